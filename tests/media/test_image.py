"""Pictures: stated colour rules, upright, never half decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mllmqa.errors import MediaCorruptError, MediaFormatError, UsageError
from mllmqa.media import decode_frames, decode_image, open_media, video_index
from mllmqa.media.pillow_guard import quiet_pillow
from mllmqa.media.pixels import MEAN_COLOR, scale_16_bit, upright
from tests.media.made import SHARED, png_bytes, scene

HOSTILE = SHARED / "media/hostile"
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How to store an upright picture so that the orientation brings it back."""


def encoded(image: Image.Image, format: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


def pixels(data: bytes, background: tuple[int, int, int] = MEAN_COLOR) -> np.ndarray:
    media = open_media(data)
    frame = decode_image(media, background=background)
    assert frame.dtype == np.uint8
    assert frame.shape == (media.info.height, media.info.width, 3)
    return frame


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_give_the_same_upright_picture(format: str, orientation: int) -> None:
    upright_picture = Image.fromarray(scene(5))
    stored = upright_picture.transpose(TRANSPOSED[orientation]) if orientation > 1 else upright_picture
    how: dict[str, Any] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.get(
        format, {}
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format, exif=exif, **how)
    assert np.abs(pixels(data).astype(int) - scene(5)).mean() < (3 if how.get("quality") else 1e-9)
    assert open_media(data).info.rotation_deg == {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(orientation, 0)


def test_upright_is_what_pillow_does() -> None:
    for orientation, back in TRANSPOSED.items():
        stored = np.array(Image.fromarray(scene(9)).transpose(back))
        np.testing.assert_array_equal(upright(stored, orientation), scene(9))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(scene(1)), "PNG", exif=exif)), scene(1))


def test_broken_exif_is_ignored() -> None:
    data = encoded(Image.fromarray(scene(1)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(data).shape == (64, 96, 3)


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (122, 116, 104)])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_over_the_background(background: tuple[int, int, int], format: str) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[..., :3], rgba[:, :16, 3], rgba[:, 16:, 3] = (200, 100, 50), 255, 128
    how = {"lossless": True, "exact": True} if format == "WEBP" else {}
    shown = pixels(encoded(Image.fromarray(rgba), format, **how), background)
    mixed = [round((c * 128 + b * 127) / 255) for c, b in zip((200, 100, 50), background, strict=True)]
    assert shown[0, 0].tolist() == [200, 100, 50]
    assert shown[0, 31].tolist() == mixed


def test_palette_grey_and_colour_key_transparency() -> None:
    palette = Image.fromarray(scene(2)).quantize(16)
    np.testing.assert_array_equal(pixels(encoded(palette, "PNG")), np.array(palette.convert("RGB")))
    clear = pixels(encoded(palette, "PNG", transparency=bytes(16)), (1, 2, 3))
    assert (clear == (1, 2, 3)).all()
    grey = Image.new("L", (32, 32), 77)
    assert (pixels(encoded(grey, "PNG")) == 77).all()
    assert (pixels(encoded(grey, "PNG", transparency=77), (9, 8, 7)) == (9, 8, 7)).all()
    grey_alpha = Image.new("LA", (32, 32), (77, 0))
    assert (pixels(encoded(grey_alpha, "PNG"), (9, 8, 7)) == (9, 8, 7)).all()
    bilevel = Image.new("1", (32, 32), 1)
    assert (pixels(encoded(bilevel, "PNG")) == 255).all()


RAMP = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_rounded(format: str) -> None:
    if format == "PPM":
        data = b"P5 32 32 65535\n" + RAMP.astype(">u2").tobytes()
    else:
        data = encoded(Image.fromarray(RAMP), format)
    expected = np.round(RAMP.astype(np.float64) * 255 / 65535).astype(np.uint8)
    np.testing.assert_array_equal(pixels(data), np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_colour_is_scaled_and_rounded() -> None:
    rgb = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)
    expected = np.round(rgb.astype(np.float64) * 255 / 65535).astype(np.uint8)
    data = png_bytes(rgb, 2, depth=16)
    np.testing.assert_array_equal(pixels(data), expected)
    assert open_media(data).info.pixel_format == "RGB;16"
    rgba = np.concatenate([rgb, np.full((32, 32, 1), 65535, np.uint16)], axis=-1)
    np.testing.assert_array_equal(pixels(png_bytes(rgba, 6, depth=16)), expected)


@given(st.integers(0, 65535))
def test_scale_16_bit_is_the_rounded_ratio(value: int) -> None:
    assert scale_16_bit(np.array([value], np.uint16))[0] == int(value * 255 / 65535 + 0.5)


def test_values_without_a_stated_white_are_refused() -> None:
    with pytest.raises(MediaFormatError, match="floating-point pixels"):
        pixels(encoded(Image.new("F", (32, 32), 0.5), "TIFF"))
    with pytest.raises(MediaFormatError, match=r"32-bit values 0\.\.70000"):
        high = np.zeros((32, 32), np.int32)
        high[0, 0] = 70000
        pixels(encoded(Image.fromarray(high), "TIFF"))


def test_cmyk_uses_its_profile_or_pillows_conversion() -> None:
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    plain = pixels(encoded(cmyk, "TIFF"))
    np.testing.assert_array_equal(plain, np.array(cmyk.convert("RGB")))
    np.testing.assert_array_equal(pixels(encoded(cmyk, "TIFF", icc_profile=b"not a profile")), plain)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # valid, but not for CMYK
    np.testing.assert_array_equal(pixels(encoded(cmyk, "TIFF", icc_profile=srgb)), plain)


def test_an_rgb_profile_is_not_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(Image.fromarray(scene(3)), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(pixels(data), scene(3))


def test_heif_needs_no_global_registration() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(scene(4))).save(file, quality=-1)
    media = open_media(file.getvalue())
    assert media.info.format == "heif"
    assert np.abs(decode_image(media).astype(int) - scene(4)).mean() < 3
    assert decode_frames(media).decoder.startswith("pillow-heif ")
    assert "HEIF" not in Image.OPEN


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_cut_off_picture_is_never_half_grey(format: str, part: float) -> None:
    data = encoded(Image.effect_noise((200, 200), 60).convert("RGB"), format)
    with pytest.raises(MediaCorruptError, match="broken"):
        pixels(data[: int(len(data) * part)])


ANIMATED = {"GIF": {}, "WEBP": {"lossless": True}, "PNG": {}, "AVIF": {"quality": 90}}


@pytest.mark.parametrize("format", ANIMATED)
def test_animated_pictures_are_videos(format: str) -> None:
    frames = [Image.fromarray(scene(i)) for i in range(4)]
    data = encoded(
        frames[0], format, save_all=True, append_images=frames[1:], duration=[100, 300, 50, 200], **ANIMATED[format]
    )
    media = open_media(data)
    index = video_index(media)
    assert (media.info.kind, media.info.n_frames) == ("video", 4)
    assert index.timestamps_s == pytest.approx([0, 0.1, 0.4, 0.45])
    assert media.info.duration_s == pytest.approx(0.65)
    shown = decode_frames(media, [0.44, 0.0])
    assert shown.timestamps_s == pytest.approx((0.4, 0.0))
    for frame, number in zip(shown.frames_THWC, (2, 0), strict=True):
        assert np.abs(frame.astype(int) - scene(number)).mean() < 8  # GIF has 256 colours


def test_a_gif_without_durations_moves_as_in_browsers() -> None:
    frames = [Image.fromarray(scene(i)) for i in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=0)
    assert video_index(open_media(data)).timestamps_s == pytest.approx([0, 0.1, 0.2])


def test_one_frame_is_an_image() -> None:
    assert open_media(encoded(Image.fromarray(scene(0)), "GIF")).info.kind == "image"


def test_pages_are_named() -> None:
    pages = [Image.fromarray(scene(i)) for i in range(3)]
    media = open_media(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert (media.info.kind, media.info.format) == ("image", "tiff page 1/3")
    np.testing.assert_array_equal(decode_image(media), scene(0))
    assert (
        open_media(encoded(pages[0], "MPO", save_all=True, append_images=pages[1:])).info.format == "mpo page 1/3"
    )


def test_pil_images_and_arrays() -> None:
    media = open_media(Image.fromarray(scene(7)))
    np.testing.assert_array_equal(decode_image(media), scene(7))
    assert (media.info.name, media.info.format) == ("<PIL.Image>", "array")
    assert open_media(scene(7)).info.name == "<array>"
    np.testing.assert_array_equal(decode_image(open_media(scene(7))), scene(7))
    grey = scene(7)[..., 0]
    for array in (grey, grey[..., None]):
        np.testing.assert_array_equal(decode_image(open_media(array)), np.repeat(grey[..., None], 3, axis=2))
    clear = np.zeros((32, 32, 4), np.uint8)
    assert (decode_image(open_media(clear), background=(4, 5, 6)) == (4, 5, 6)).all()


def test_a_pil_image_from_a_file_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(encoded(Image.fromarray(scene(1)), "JPEG", exif=exif))
    with Image.open(path) as image:
        np.testing.assert_array_equal(decode_image(open_media(image)), decode_image(open_media(path)))


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int64, bool])
def test_arrays_of_unknown_range_are_refused(dtype: type) -> None:
    with pytest.raises(MediaFormatError, match="expected uint8"):
        open_media(np.zeros((32, 32, 3), dtype))


@pytest.mark.parametrize("shape", [(32,), (32, 32, 2), (2, 2, 32, 32, 3), (0, 32, 32, 3), (3, 32, 32)])
def test_arrays_of_unknown_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaFormatError, match="expected HW, HWC"):
        open_media(np.zeros(shape, np.uint8))


def test_an_image_has_no_times_and_a_video_no_single_picture() -> None:
    with pytest.raises(UsageError, match="is a video; expected an image"):
        decode_image(open_media(np.zeros((2, 32, 32, 3), np.uint8)))
    frames = decode_frames(open_media(scene(0)))
    assert (frames.timestamps_s, frames.decoder) == ((), "array")


def test_shared_orientations_agree() -> None:
    if not HOSTILE.exists():
        pytest.skip("shared media are not on this machine")
    shapes = {decode_image(open_media(p)).shape for p in HOSTILE.glob("exif_orient_[1-8].jpg")}
    assert shapes == {(450, 600, 3)}


def test_pillows_warnings_stay_inside() -> None:
    before = list(warnings.filters)
    with quiet_pillow(), quiet_pillow():
        pass
    assert list(warnings.filters) == before
