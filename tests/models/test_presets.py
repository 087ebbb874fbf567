"""Presets name what exists; malformed files are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mllmqa import media, prompts
from mllmqa.errors import ModelLoadError
from mllmqa.models import presets


def test_every_preset_names_things_that_exist() -> None:
    for preset in presets.presets().values():
        for prompt in preset.aspects.values():
            assert prompt in prompts.names()
        view = preset.view.replace("{side}", "448")
        assert media.parse_view(view).name == view
        assert media.parse_rule(preset.video.frames).name == preset.video.frames
        assert preset.licence.weights
        words = prompts.word_scale(preset.words)
        assert words.range == (1, 5)
        assert {len(words.levels)} <= {2, 5}
        if (how := preset.comparing()) is not None:
            assert prompts.word_scale(how.words).range == (0, 1)
            assert prompts.load(how.prompt).aspect in preset.aspects
        if preset.anchored:
            assert preset.anchored.prompt in preset.aspects.values()
            assert prompts.word_scale(preset.anchored.words).range == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name: nano": "name: other"}, "name is 'other'"),
        ({"view:": "vieww:"}, "vieww"),
        ({"mode: per-frame": "mode: sometimes"}, "mode"),
        ({"name: nano": "name: [nano"}, "malformed preset"),
    ],
)
def test_malformed_presets_name_file_and_field(
    change: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(presets.__file__).parent / "presets"
    text = (folder / "nano.yaml").read_text(encoding="utf-8")
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "nano.yaml").write_text(text)
    monkeypatch.setattr(presets, "_FOLDER", tmp_path)
    presets.presets.cache_clear()
    try:
        with pytest.raises(ModelLoadError, match=message) as caught:
            presets.presets()
        assert "nano.yaml" in str(caught.value)
    finally:
        presets.presets.cache_clear()


def test_compare2score_asks_about_two_pictures_as_published() -> None:
    assert presets.presets()["compare2score"].prompt_texts() == {
        "quality": "USER: <image> <image> Compared with the first image, what is your quality rating for second "
        "image? \nASSISTANT: The quality of the second image is"
    }


def test_how_models_compare() -> None:
    """By words of their own, by those that they compare with anchors with, or not at all: by scores."""
    assert presets.presets()["api"].comparing() == presets.ComparisonPreset()
    theirs = presets.presets()["compare2score"].comparing()
    assert theirs is not None
    assert (theirs.prompt, theirs.words) == ("compare/second_to_first", "comparison")
    assert (theirs.temperature, theirs.favours, theirs.named) == (100, "second", False)
    assert presets.presets()["one-align"].comparing() is None
    own = presets.presets()["compare2score"].model_copy(update={"comparison": presets.ComparisonPreset()})
    assert own.comparing() == presets.ComparisonPreset()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (((0.5, 0.2), (0.8, 0.5)), None),
        (((0.5, 0.2),), "row 1 is not 1 probabilities"),
        (((0.5, 1.2), (-0.2, 0.5)), "row 1 is not 2 probabilities"),
        (((0.5, 0.2), (0.7, 0.5)), "row 2: a preference and its opposite do not sum to 1"),
        (((0.5, float("nan")), (0.7, 0.5)), "should be a finite number"),
    ],
)
def test_published_preferences_are_checked(matrix: tuple[tuple[float, ...], ...], message: str | None) -> None:
    if message is None:
        assert presets.AnchoredPreset(matrix=matrix).matrix == matrix
        return
    with pytest.raises(ValidationError, match=message):
        presets.AnchoredPreset(matrix=matrix)


def test_a_preset_states_only_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = presets.presets()
    base, variant = known["one-align"], known["one-align-compat"]
    changed = {f for f in presets.Preset.model_fields if getattr(base, f) != getattr(variant, f)}
    assert changed == {"name", "extends", "title", "family_default", "aspects", "published", "notes"}
    (tmp_path / "a.yaml").write_text("name: a\nextends: b\n")
    (tmp_path / "b.yaml").write_text("name: b\nextends: a\n")
    monkeypatch.setattr(presets, "_FOLDER", tmp_path)
    presets.presets.cache_clear()
    try:
        with pytest.raises(ModelLoadError, match="extends 'b'"):
            presets.presets()
    finally:
        presets.presets.cache_clear()


def test_a_folder_of_a_known_family_is_asked_like_its_default() -> None:
    generic = presets.presets()[presets.GENERIC_PRESET]
    fitted = generic.fitted("mplug_owl2", 448)
    assert (fitted.name, fitted.view) == ("one-align", "pad-square:448")
    assert generic.fitted("llava", None) == generic
    assert presets.presets()["nano"].fitted("llava", None).name == "nano"
    with pytest.raises(ModelLoadError, match="family qwen3_vl"):
        presets.presets()["one-align"].fitted("qwen3_vl", None)


def test_a_layout_is_filled_once() -> None:
    filled = presets.lay_out("Q: {question}\n{media}", question="{media} {x}?", media="<image>")
    assert filled == "Q: {media} {x}?\n<image>"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nanno", "did you mean 'nano'?"), ("  NANO ", "did you mean 'nano'?"), ("zzzz", None), ("", None)],
)
def test_the_nearest_known_name_is_offered(name: str, hint: str | None) -> None:
    assert presets.nearest(name, ["nano", "qwen3-vl"]) == hint
    assert presets.nearest(name, []) is None
