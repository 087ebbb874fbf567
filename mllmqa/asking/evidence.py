"""The model's own readings of files, taken before any text: scores, distortions, severities, tiles, preferences.

Whether a distortion is there is a yes/no question, read as the probabilities of both words in a closed set; how
strong it is, as those of the five severities. The wordings are those of ``prompts/build``, which nano knows;
a model that follows instructions is asked for the word alone. All questions about one picture are asked at once, so
that its features are computed once (:mod:`mllmqa.models.passes`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mllmqa import media
from mllmqa.asking import thresholds
from mllmqa.asking.listening import InTime, Listener
from mllmqa.asking.records import Evidence, FileEvidence, PairEvidence, Presence, Severity, TileMap
from mllmqa.comparing.pair import compare
from mllmqa.comparing.preference import thurstone
from mllmqa.data.distortions.engine import CATEGORIES
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import InferenceError
from mllmqa.media.slices import moments
from mllmqa.media.views import tiles
from mllmqa.models.base import Request
from mllmqa.prepare import Plan, Prepared, Refused, ScoreOptions, make_plan, prepare
from mllmqa.schema import Unscored
from mllmqa.scoring import Input

if TYPE_CHECKING:
    from mllmqa.prepare import Source
    from mllmqa.schema import Score
    from mllmqa.scoring import Scorer

KEYS = "ABCDEFGH"
"""By these names, in order, a question knows its files."""

REFERENCE = "R"
LEAST_TILE_PX = 64
"""Side of a tile; the grid is made coarser for smaller pictures."""

Preference = Callable[["Scorer", "File", "File", "File | None"], PairEvidence]
"""Scorer, both files and the reference, if there is one → how they compare."""


@dataclass(frozen=True)
class Depth:
    """How much is read of each file.

    Attributes:
        frames: Frame rule for videos; None: the model's own.
        per_frame: Whether each frame of a video is scored by itself, too.
        grid: Rows and columns of the tile map of an image; None: no tiles.
        distortions: Whether it is asked what distorts the file.
    """

    frames: str | None = None
    per_frame: bool = False
    grid: tuple[int, int] | None = None
    distortions: bool = True


@dataclass(frozen=True)
class File:
    """One file of a question.

    Attributes:
        key: A, B, C … or R.
        source: What to open.
        evidence: What was read of it.
        shown: The pictures that the model saw: one request per picture or clip.
    """

    key: str
    source: Source
    evidence: FileEvidence
    shown: tuple[Request, ...]

    @property
    def score(self) -> Score:
        """Its score."""
        return self.evidence.score


@dataclass(frozen=True)
class Gathered:
    """All that is read for a question.

    Attributes:
        files: In order.
        reference: The pristine one, if there is one.
        evidence: The readings alone, as a record.
    """

    files: tuple[File, ...]
    reference: File | None
    evidence: Evidence


def gather(
    scorer: Scorer,
    files: Sequence[Source],
    reference: Source | None = None,
    depth: Depth | None = None,
    prefer: Preference | None = None,
) -> Gathered:
    """Read all files of a question.

    Args:
        scorer: Model with its preset.
        files: At most eight images or videos; they become A, B, C …
        reference: The pristine one, if there is one.
        depth: How much is read.
        prefer: How two files are compared; default :func:`preferred`.

    Raises:
        MediaError: A file cannot be read.
        ModelError: The model failed.
    """
    depth, compare = depth or Depth(), prefer or preferred
    read = tuple(read_file(scorer, source, key, depth) for key, source in zip(KEYS, files, strict=False))
    pristine = None if reference is None else read_file(scorer, reference, REFERENCE, replace(depth, grid=None))
    pairs = itertools.combinations(read, 2)
    evidence = Evidence(
        files=tuple(one.evidence for one in read),
        pairs=tuple(compare(scorer, a, b, pristine) for a, b in pairs if a.evidence.medium == b.evidence.medium),
        reference=None if pristine is None else pristine.evidence,
    )
    return Gathered(read, pristine, evidence)


def preferred(scorer: Scorer, a: File, b: File, reference: File | None) -> PairEvidence:
    """Compare two files: by comparison words in both orders where the model has them, else by their scores.

    Raises:
        ModelError: The model failed.
    """
    if scorer.preset.comparing() is None:
        p = thurstone(a.score, b.score)
        return PairEvidence(first=a.key, second=b.key, first_better=p, method="scores")
    options = ScoreOptions(frames=a.score.provenance.frame_rule)
    pristine = None if reference is None else reference.source
    found = compare(scorer, a.source, b.source, reference=pristine, options=options)
    if isinstance(found, Unscored):
        raise InferenceError(f"{a.key} and {b.key} cannot be compared: {found.message}")
    return PairEvidence(
        first=a.key,
        second=b.key,
        first_better=found.p_a_better,
        method=found.method,
        order_gap=found.position_bias,
    )


def read_file(scorer: Scorer, source: Source, key: str, depth: Depth) -> File:
    """Read one file.

    Raises:
        MediaError: It cannot be read.
        ModelError: The model failed.
    """
    options = ScoreOptions(frames=depth.frames)
    plan = make_plan(scorer.preset, scorer.backend.info, scorer.backend.native_video, options)
    ready = _prepared(source, plan, key)
    each = depth.per_frame or plan.video_mode == "per-frame"
    score = scorer.score(source, replace(options, per_frame=each))
    listener = Listener(scorer)
    questions = [Questions(ready.requests, _worst_shown(ready, score), asked_medium(ready, plan))]
    in_time: InTime = ([], [])
    if ready.media.kind == "video" and plan.video_mode == "per-frame" and depth.distortions:
        if listener.sees_moments:
            in_time = listener.in_time(*_moments(source, plan))
        elif plan.preset.video.slices:
            clip = _prepared(source, replace(plan, video_mode="images"), key).requests
            questions.append(Questions(clip, clip[0], "video", in_time=True))
    presence, severities, unread = _distortions(listener, questions if depth.distortions else ())
    presence, severities = (*presence, *in_time[0]), (*severities, *in_time[1])
    grid = depth.grid if ready.media.kind == "image" else None
    named = likely(presence)[: thresholds.MOST_NAMED]
    tile_map = None if grid is None else tile_map_of(listener, source, plan, grid, named)
    evidence = FileEvidence(
        key=key, score=score, presence=presence, severities=severities, tiles=tile_map, unread=unread,
        **(_fidelity(listener, ready, score) if depth.distortions or depth.per_frame else {}),
    )  # fmt: skip
    return File(key, source, evidence, ready.requests)


@dataclass(frozen=True)
class Questions:
    """What is asked about a file.

    Attributes:
        shown: Pictures or clips, each asked about by itself.
        worst: Of what strengths are asked.
        medium: What it is called in the questions.
        in_time: Whether only distortions in time are asked about: the others were asked of each frame.
    """

    shown: Sequence[Request]
    worst: Request
    medium: str
    in_time: bool = False

    @property
    def categories(self) -> list[str]:
        """Categories that are asked about: those in time only of clips that are shown as a whole."""
        if self.medium == "image":
            return list(CATEGORIES)
        words = vocabulary()
        return [c for c in words.possible("video") if not self.in_time or c in words.video_only]


def _distortions(
    listener: Listener, questions: Sequence[Questions]
) -> tuple[tuple[Presence, ...], tuple[Severity, ...], dict[str, str]]:
    """Ask what distorts a file, and how strong that is; and what could not be read."""
    presence: list[Presence] = []
    severities: list[Severity] = []
    unread: dict[str, str] = {}
    for asked in questions:
        found, missing = listener.presence(asked.shown, asked.categories, asked.medium)
        presence += found
        unread |= missing
        for category, strength in listener.how(asked.worst, likely(found), asked.medium).items():
            if isinstance(strength, Severity):
                severities.append(strength)
            else:
                unread[f"severity:{category}"] = strength
    return tuple(presence), tuple(severities), unread


def likely(presence: Sequence[Presence]) -> list[str]:
    """Return the categories that a text may name, the most probable first."""
    ranked = sorted(presence, key=lambda one: -one.probability)
    return [one.category for one in ranked if one.probability >= thresholds.ABSENT_BELOW]


def _prepared(source: Source, plan: Plan, key: str) -> Prepared:
    ready = prepare(source, Input.of(source).name, plan)
    if isinstance(ready, Prepared):
        return ready
    raise ready.error if isinstance(ready, Refused) else InferenceError("nothing to read", where=key)


def asked_medium(ready: Prepared, plan: Plan) -> str:
    """Return what a file is called in questions: frames that are asked about singly are images."""
    return "image" if plan.video_mode == "per-frame" else ready.media.kind


def _fidelity(listener: Listener, ready: Prepared, score: Score) -> dict[str, Any]:
    """Return the fields of a file's evidence that heads fill."""
    found = listener.fidelities(ready.requests)
    if found is None:
        return {}
    frames = tuple(found) if score.frames is not None and len(found) == len(score.frames) else None
    return {"fidelity": float(np.mean(found)), "fidelities": frames}


def _moments(source: Source, plan: Plan) -> tuple[list[Any], list[Any], float]:
    """Return the slices of a clip, when their rows are shown, and how long it is."""
    opened = media.open_media(source)
    index = media.video_index(opened)
    pictures = media.slice_pictures(opened, index, decoder=plan.decoder)
    return pictures, moments(index.timestamps_s), index.duration_s


def _worst_shown(ready: Prepared, score: Score) -> Request:
    """Return what strengths are asked about: the picture or clip as a whole, or the frame with the lowest score."""
    if score.frames is None or len(ready.requests) != len(score.frames):
        return ready.requests[0]
    values = [frame.value for frame in score.frames]
    return ready.requests[values.index(min(values))]


# ------------------------------------------------------------------ tiles


def tile_map_of(
    listener: Listener, source: Source, plan: Plan, grid: tuple[int, int], categories: Sequence[str]
) -> TileMap:
    """Score the tiles of a picture, and ask each whether it shows some categories.

    Args:
        listener: Asks the model.
        source: The image.
        plan: What the model sees of each tile.
        grid: Rows and columns at most; fewer where tiles would be under :data:`LEAST_TILE_PX`.
        categories: That the whole picture may show.

    Raises:
        ModelError: The model failed.
    """
    opened = media.open_media(source)
    picture = media.decode_frames(opened, background=plan.view.pad_color).frames_THWC[0]
    rows, columns = (max(1, min(n, side // LEAST_TILE_PX)) for n, side in zip(grid, picture.shape[:2], strict=True))
    requests = [_tile_request(tile, plan) for tile in tiles(picture, rows, columns)]
    found: dict[str, list[float]] = {category: [] for category in categories}
    if categories:
        for request in requests:
            for one in listener.presence([request], list(categories), "image")[0]:
                found[one.category].append(one.probability)
    presence = {category: tuple(values) for category, values in found.items()}
    return TileMap(rows=rows, columns=columns, values=tuple(listener.scores(requests)), presence=presence)


def _tile_request(tile: Any, plan: Plan) -> Request:
    views = tuple(plan.view(tile))
    encoded = None
    if plan.info.remote:
        from mllmqa.models.api.pictures import as_png

        encoded = tuple(as_png(view) for view in views)
    return Request(plan.image_prompt, views, encoded=encoded)
