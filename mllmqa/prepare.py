"""From one source to the requests that a model is asked: open, sample, decode, view, prompt.

Runs in decode workers; touches no model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from mllmqa import media, prompts
from mllmqa._version import __version__
from mllmqa.errors import (
    MediaFormatError,
    MediaLimitError,
    MllmqaError,
    UnknownNameError,
    UsageError,
    error_line,
)
from mllmqa.models.base import Clip, EncodedImage, ImageHWC, ModelInfo, Request
from mllmqa.models.presets import Preset
from mllmqa.schema import Media, Provenance, Sent

if TYPE_CHECKING:
    from PIL import Image

    Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
    """A path, encoded bytes, a binary stream, a PIL image, or a uint8 array: HWC image, THWC video."""

VIEW_SEED = 0
"""Root seed of random views and frame rules; each input has its own stream, from its content's hash."""

CHUNK_BYTES = 256 << 20
"""Raw frames of one clip that are decoded at a time."""

SLICES = "+slices"
"""Behind the name of a view in provenance: slices of the whole clip were shown, too."""

MAX_VIEW_BYTES = 1 << 30
"""Views of one clip; a frame rule that asks for more is refused."""


IsDone = Callable[[str, str | None], bool]
"""Name and SHA-256 of an input → whether its score is there already."""


@dataclass(frozen=True)
class ScoreOptions:
    """What a caller may choose; None takes the preset's choice.

    Attributes:
        aspect: ``quality`` or ``aesthetics``, where the preset has it.
        frames: Frame rule for videos, e.g. ``uniform:8``.
        per_frame: Report each frame's score besides the clip's.
        view: What the model sees, e.g. ``native``.
        decoder: ``auto``, ``pyav``, ``torchcodec`` or ``decord``.
    """

    aspect: str = "quality"
    frames: str | None = None
    per_frame: bool = False
    view: str | None = None
    decoder: str = "auto"


@dataclass(frozen=True)
class Plan:
    """Options resolved against a model: all that decides a score but the input itself."""

    preset: Preset
    info: ModelInfo
    aspect: str
    rule: media.FrameRule
    view: media.View
    video_view: media.View
    video_mode: Literal["native", "images", "per-frame"]
    per_frame: bool
    decoder: str
    image_prompt: prompts.Prompt
    video_prompt: prompts.Prompt
    spec: str
    anchors: tuple[ImageHWC, ...] = ()
    """Views of the anchors that each picture is compared with; empty for scores by level words."""
    both_orders: bool = False
    """Whether each picture is shown after and before each anchor, not only after it."""

    @property
    def slices(self) -> bool:
        """Whether slices of the clip stand behind its frames."""
        return self.preset.video.slices and self.video_mode == "images"


@dataclass(frozen=True)
class Prepared:
    """One input, ready to be asked about.

    Attributes:
        source: As the user named it.
        media: What the file is.
        requests: First the joint one (if ``joint``), then one per frame (if wanted). With anchors: for each
            picture one per anchor, in their order, or two (the anchor first, then last).
        joint: Whether the first request is about the whole input.
        provenance: Of the score to come.
    """

    source: str
    media: Media
    requests: tuple[Request, ...]
    joint: bool
    provenance: Provenance


@dataclass(frozen=True)
class Refused:
    """One input that gave no request, and why."""

    source: str
    error: MllmqaError
    media: Media | None = field(default=None)


def make_plan(preset: Preset, info: ModelInfo, native_video: bool, options: ScoreOptions) -> Plan:
    """Resolve options against a preset.

    Raises:
        UnknownNameError: Unknown aspect, frame rule, view or decoder.
        UsageError: The model cannot take videos in the preset's way.
    """
    if options.aspect not in preset.aspects:
        raise UnknownNameError(
            f"{info.model} has no aspect {options.aspect!r}", expected=" | ".join(preset.aspects)
        )
    if options.decoder not in media.DECODERS:
        raise UnknownNameError(f"no decoder {options.decoder!r}", expected=" | ".join(media.DECODERS))
    mode = preset.video.mode
    if mode == "auto":
        mode = "native" if native_video else "images"
    if mode == "native" and not native_video:
        raise UsageError(
            "the preset wants the model's own video input, but its processor has none", where=info.model
        )
    prompt = prompts.load(preset.aspects[options.aspect])
    image_prompt = prompts.render(prompt, medium="image")
    video_prompt = image_prompt if mode == "per-frame" else prompts.render(prompt, medium="video")
    rule = media.parse_rule(preset.video.frames if options.frames is None else options.frames)
    named = options.view  # "" is a mistake, e.g. an unset variable of a shell, and not the default
    view = media.parse_view(preset.view if named is None else named)
    video_view = media.parse_view((preset.video.view or preset.view) if named is None else named)
    chosen = [mode, rule.name, options.per_frame, options.decoder, view, video_view, image_prompt, video_prompt]
    spec = _spec(preset, info, chosen)
    return Plan(
        preset, info, options.aspect, rule, view, video_view, mode, options.per_frame, options.decoder,
        image_prompt, video_prompt, spec,
    )  # fmt: skip


def _spec(preset: Preset, info: ModelInfo, chosen: list[object]) -> str:
    """Hash all that decides a score but the input: model, preset, prompts, words, view, rule, libraries."""
    identity = asdict(info)
    del identity["device"]
    if not info.remote:
        del identity["base_url"], identity["readout"]
    if info.weights_sha256:
        del identity["model"]  # how the user spelled its folder
    decided = {
        "model": identity,
        "preset": preset.model_dump(exclude={"comparison", "follows", "history"}),  # decide no score
        "levels": prompts.word_scale(preset.words).model_dump(),
        "chosen": [asdict(c) if is_dataclass(c) and not isinstance(c, type) else c for c in chosen],
        "seed": VIEW_SEED,
        "versions": [__version__, *(_version(name) for name in ("transformers", "pillow", "av", "numpy"))],
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


def prepare(
    source: Source,
    name: str,
    plan: Plan,
    kind: Literal["image", "video"] | None = None,
    is_done: IsDone | None = None,
) -> Prepared | Refused | None:
    """Turn one source into requests; whatever is wrong with it becomes a :class:`Refused`.

    Args:
        source: Path, file object, PIL image or array.
        name: How records call it.
        plan: From :func:`make_plan`.
        kind: What the user says it is; content of another kind is refused. None: whatever it is.
        is_done: Asked with name and SHA-256 once the source is open; if True nothing is decoded.

    Returns:
        Requests, or why there are none; None if it is done already.
    """
    info: Media | None = None
    try:
        opened = media.open_media(source, name=name)
        info = opened.info
        if is_done is not None and is_done(name, info.sha256):
            return None
        if kind not in (None, info.kind):
            what = f"its content is of the kind {info.kind} ({info.format})"
            raise MediaFormatError(what, where=name, expected=kind)
        return (_prepare_video if info.kind == "video" else _prepare_image)(opened, name, plan)
    except MllmqaError as error:
        return Refused(name, error, info)
    except MemoryError:
        return Refused(name, MediaLimitError("not enough memory to decode it", where=name), info)
    except Exception as error:  # noqa: BLE001 - a decoder's surprise costs one input, never the run
        what = f"cannot be read ({error_line(error)})"
        return Refused(name, MediaFormatError(what, where=name, expected="an image or a video"), info)


def _prepare_image(opened: media.OpenMedia, name: str, plan: Plan) -> Prepared:
    shown = media.decode_frames(opened, background=plan.view.pad_color)
    view = tuple(plan.view(shown.frames_THWC[0], _generator(opened)))
    sent = _files(view, plan, opened)
    made = _provenance(plan, shown, video=False, sent=sent)
    return Prepared(name, opened.info, about(view, plan, sent), True, made)


def about(view: tuple[ImageHWC, ...], plan: Plan, files: tuple[EncodedImage, ...] | None) -> tuple[Request, ...]:
    """Ask about one picture: once, or about its pairs with the anchors.

    Args:
        view: What the model sees of it.
        plan: With or without anchors.
        files: The same as files, for a remote model.

    Raises:
        UsageError: A view in several parts cannot be compared with an anchor.
    """
    if not plan.anchors:
        return (Request(plan.image_prompt, view, encoded=files),)
    if len(view) != 1:
        what = f"the view {plan.view.name} cuts pictures into parts, which cannot be compared with an anchor"
        raise UsageError(what, hint="choose another with --view")
    orders = (1, -1) if plan.both_orders else (1,)
    return tuple(Request(plan.image_prompt, (anchor, *view)[::o]) for anchor in plan.anchors for o in orders)


def _files(
    views: tuple[ImageHWC, ...], plan: Plan, opened: media.OpenMedia | None = None
) -> tuple[EncodedImage, ...] | None:
    """Return the files that a remote model gets: the user's own bytes where the view is the untouched file."""
    if not plan.info.remote:
        return None
    from mllmqa.models.api.pictures import as_png, original_file

    own = original_file(opened) if opened is not None and plan.view.kind == "native" else None
    return (own,) if own is not None else tuple(as_png(view) for view in views)


def _prepare_video(opened: media.OpenMedia, name: str, plan: Plan) -> Prepared:
    rng = _generator(opened)
    index = media.video_index(opened)
    wanted = plan.rule.times(index, rng)
    views: list[tuple[ImageHWC, ...]] = []
    times: list[float] = []
    size = 0
    step = max(1, CHUNK_BYTES // (3 * opened.info.width * opened.info.height))
    view_of = plan.video_view
    for start in range(0, len(wanted), step):
        chunk = wanted[start : start + step]
        shown = media.decode_frames(opened, chunk, decoder=plan.decoder, background=view_of.pad_color)
        views += view_of.each([*shown.frames_THWC], rng)
        times += shown.timestamps_s
        size += sum(image.nbytes for view in views[start:] for image in view)
        if size > MAX_VIEW_BYTES:
            raise MediaLimitError(
                f"the frame rule {plan.rule.name} takes {len(wanted)} frames, too many for {view_of.name}",
                where=name,
                expected=f"views of at most {MAX_VIEW_BYTES >> 20} MiB in total",
                hint="use a rule with fewer frames, e.g. --frames uniform:32",
            )
    joint = plan.video_mode != "per-frame"
    behind = media.slice_pictures(opened, index, decoder=plan.decoder) if plan.slices else []
    clip = Clip(tuple(times), index.duration_s)
    requests = [_joint_request([*views, *((picture,) for picture in behind)], clip, plan)] if joint else []
    files = [_files(view, plan) for view in views]
    sent = tuple(file for parts in files for file in parts or ()) or None
    requests = [replace(request, encoded=sent) for request in requests]
    if plan.per_frame or not joint:
        asked = zip(views, files, strict=True)
        requests += [request for view, own in asked for request in about(view, plan, own)]
    made = _provenance(plan, replace(shown, timestamps_s=tuple(times)), video=True, sent=sent)
    return Prepared(name, opened.info, tuple(requests), joint, made)


def _generator(opened: media.OpenMedia) -> np.random.Generator:
    """Return the random stream of one input: the same in any order, on any worker."""
    return np.random.default_rng([VIEW_SEED, int(opened.info.sha256 or "0", 16)])


def _joint_request(views: list[tuple[ImageHWC, ...]], clip: Clip, plan: Plan) -> Request:
    if plan.video_mode == "images":
        return Request(plan.video_prompt, tuple(image for view in views for image in view))
    if any(len(view) != 1 for view in views):
        raise UsageError(f"the view {plan.video_view.name} cuts frames into parts, which a video input cannot take")
    return Request(plan.video_prompt, tuple(view[0] for view in views), clip)


@cache
def _version(name: str) -> str:
    return version(name)  # reads files each time


def _versions() -> dict[str, str]:
    return {"torch_version": _version("torch"), "transformers_version": _version("transformers")}


def _provenance(
    plan: Plan, shown: media.Frames, *, video: bool, sent: tuple[EncodedImage, ...] | None = None
) -> Provenance:
    prompt = plan.video_prompt if video else plan.image_prompt
    mode: Literal["joint", "per-frame"] = "per-frame" if plan.video_mode == "per-frame" else "joint"
    return Provenance(
        **asdict(plan.info),
        **_versions(),
        spec=plan.spec,
        mllmqa_version=__version__,
        preset=plan.preset.name,
        prompt_id=prompt.id,
        prompt_sha256=prompt.sha256,
        view=(plan.video_view.name + SLICES * plan.slices) if video else plan.view.name,
        frame_rule=plan.rule.name if video else None,
        video_mode=mode if video else None,
        decoder=shown.decoder,
        timestamps_s=shown.timestamps_s,
        sent=tuple(Sent(mime=f.mime, sha256=f.sha256, size_bytes=len(f.data), original=f.original) for f in sent)
        if sent
        else None,
    )
