"""Scores by comparison with anchor images: Compare2Score (Zhu et al., NeurIPS 2024).

The model is asked how the input compares with each of n anchors. The logits of the comparison words give the
preference of the input over that anchor; with the preferences among the anchors they fill a matrix of n + 1 items,
whose MAP estimate (:mod:`mllmqa.ranking`) is the score.

The published score is min–max scaled over the n + 1 items, so whatever is better than all anchors has exactly 100:
a record keeps the MAP score itself, which does not saturate, beside it. Differences from the published code, which
exists in three versions: the optimum is exact instead of 50 or 100 steps from random numbers (those differ from it
by up to 0.45, with 50 steps by 4.0, of 100), softmax and expectation are in float64 from float32 logits, and the
logits of one anchor are not added to those of the next.

Compare2Score shows the anchor first, as it was trained. Other models are asked in both orders and the answers
averaged (``orders`` of the preset): their liking for one place would otherwise count for the input only, since it
cancels among the anchors, and a slight one drives every input to the same end of the published scale.

A video is asked about frame by frame; the preferences are averaged over its frames.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa import levels, media, prompts, ranking
from mllmqa.anchors import AnchorSet
from mllmqa.errors import DataError, InferenceError, MllmqaError, UsageError
from mllmqa.models.base import Backend, ImageHWC, LevelLogits, Request
from mllmqa.models.presets import AnchoredPreset, Preset, VideoPreset
from mllmqa.prepare import Plan, Prepared, ScoreOptions
from mllmqa.schema import Anchored, Distribution
from mllmqa.scoring import Judged, Scorer, answered

log = logging.getLogger(__name__)

Float = NDArray[np.float64]

MAX_STD = 2.0
"""Largest standard deviation that a quantity on 1..5 can have; larger errors are shown as this."""

_MIN_RANGE = 1e-9
"""Of the scores of input and anchors; below it all are equal and the min–max scale does not exist."""


@dataclass(frozen=True)
class Place:
    """Where an input stands among its anchors.

    Attributes:
        score: MAP score; not saturated.
        standard_error: Of that score.
        published_100: Min–max scaled over input and anchors, 0..100.
        standard_error_100: The standard error through the same scale; not clipped.
        items: Float64, shape (n + 1,): MAP scores of the anchors, then of the input.
    """

    score: float
    standard_error: float
    published_100: float
    standard_error_100: float
    items: Float


def place(preferences: ArrayLike, among: ArrayLike, link: ranking.Link = "normal") -> Place:
    """Place an input among n anchors.

    Args:
        preferences: Shape (n,), 0..1: of the input over each anchor.
        among: Shape (n, n): preferences among the anchors, row over column.
        link: ``normal`` as in the paper, or ``logistic`` as in two of the three published versions.

    Raises:
        DataError: Shapes or values are malformed.
        InferenceError: All scores are equal, so that the published scale does not exist.
    """
    found = ranking.rank(with_input(preferences, among), link)
    if not found.converged:
        raise InferenceError(f"the MAP estimate did not converge in {found.iterations} steps")
    low, high = float(found.scores.min()), float(found.scores.max())
    if high - low < _MIN_RANGE:
        raise InferenceError(
            "the model prefers nothing to anything: input and anchors all have the same score",
            hint="use a model that answers comparisons, or other anchors",
        )
    score, error = float(found.scores[-1]), float(found.standard_errors[-1])
    per_unit = 100.0 / (high - low)
    shown = 100.0 * ((score - low) / (high - low))  # exactly 0 and 100 at the ends
    return Place(score, error, shown, error * per_unit, found.scores)


def with_input(preferences: ArrayLike, among: ArrayLike) -> Float:
    """Return the matrix of anchors and input (last): float64, shape (n + 1, n + 1).

    Raises:
        DataError: The shapes do not fit or a preference is outside 0..1.
    """
    row, core = np.asarray(preferences, dtype=np.float64), np.asarray(among, dtype=np.float64)
    if row.ndim != 1 or core.shape != (len(row), len(row)):
        raise DataError(f"{row.shape} preferences for a matrix of shape {core.shape}", expected="(n,) and (n, n)")
    if not ((row >= 0) & (row <= 1)).all():
        raise DataError(f"preferences {row.tolist()}", expected="probabilities")
    return np.block([[core, (1 - row)[:, None]], [row[None], np.array([[0.5]])]])


def anchors_for(preset: Preset, folder: str | os.PathLike[str] | None) -> AnchorSet:
    """Read the anchors that a scorer shall use.

    Raises:
        UsageError: None are given, or the folder is not one of anchors.
        DataError: ``anchors.json`` is malformed, or an image changed.
    """
    if folder is not None:
        return AnchorSet.read(folder)
    published = preset.anchored.images if preset.anchored else None
    raise UsageError(
        f"{preset.name} scores by comparison with anchor images, and none are given",
        expected="--anchors FOLDER",
        hint=(f"download the data set {published} of the hub there, or " if published else "")
        + "choose your own images with `mllmqa anchors select`",
    )


class AnchoredScorer(Scorer):
    """A model that compares inputs with anchors.

    Args:
        backend: The model behind it.
        preset: How it is asked; its ``anchored`` section, or that section's defaults.
        anchors: The images to compare with.
    """

    def __init__(self, backend: Backend, preset: Preset, anchors: AnchorSet) -> None:
        if backend.info.remote:
            raise UsageError("a model behind an endpoint compares with no anchors", where=backend.info.model)
        self.settings = preset.anchored or AnchoredPreset()
        prompt = prompts.load(self.settings.prompt)
        asked = {
            "aspects": {prompt.aspect: prompt.id},
            "video": VideoPreset(mode="per-frame", frames=preset.video.frames),
            "anchored": self.settings,
        }
        super().__init__(backend, preset.model_copy(update=asked))
        self.scale = prompts.word_scale(self.settings.words)
        self.anchors = anchors
        self._views: dict[str, tuple[ImageHWC, ...]] = {}
        self._matrices: dict[str, Float] = {}

    def plan(self, options: ScoreOptions | None = None) -> Plan:
        """Resolve options against this model, and measure the preferences among the anchors if need be.

        Raises:
            UsageError: The model cannot do what the options ask for.
            LevelTokenError: Its tokenizer splits the comparison words.
            DataError: An anchor is no image that can be read.
            InferenceError: The model failed on the anchors.
        """
        plan = super().plan(options)
        both = self.settings.orders == "both"
        spec = self._with_anchors(plan.spec)
        chosen = replace(plan, anchors=self._anchor_views(plan), both_orders=both, spec=spec)
        self.matrix(chosen)
        return chosen

    def matrix(self, plan: Plan) -> Float:
        """Return the preferences among the anchors, float64 (n, n), row over column.

        Published ones belong to the published images: they are used for a folder without ``anchors.json``. Others
        come from ``anchors.json`` if this model has been measured with this view, and are measured otherwise.

        Raises:
            UsageError: The folder has not as many images as the published matrix has rows.
            InferenceError: The model failed.
        """
        view = plan.view.name
        if view not in self._matrices:
            if self._is_published:
                self._matrices[view] = self._published()
            else:
                defaults = super().plan(ScoreOptions(aspect=plan.aspect, view=view))
                spec = self._with_anchors(defaults.spec)
                stored = self.anchors.measured(spec)
                self._matrices[view] = self._measure(plan) if stored is None else stored
                if stored is None:
                    self.anchors.store(spec, self.backend.info.model, self._matrices[view])
        return self._matrices[view]

    @property
    def _is_published(self) -> bool:
        return self.settings.matrix is not None and self.anchors.file is None

    def _published(self) -> Float:
        matrix = np.array(self.settings.matrix, dtype=np.float64)
        if len(matrix) != len(self.anchors.paths):
            raise UsageError(
                f"{len(self.anchors.paths)} images without anchors.json: not the published anchors of "
                f"{self.preset.name}",
                where=self.anchors.folder,
                expected=f"{len(matrix)} images, worst first by name",
                hint="choose your own with `mllmqa anchors select`",
            )
        names = ", ".join(path.name for path in self.anchors.paths)
        log.warning("%s: taken for the published anchors, worst first: %s", self.anchors.folder, names)
        return matrix

    def _measure(self, plan: Plan) -> Float:
        """Ask the model about each pair of anchors in both orders, and average."""
        n = len(plan.anchors)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        asked = [Request(plan.image_prompt, (plan.anchors[i], plan.anchors[j])) for i, j in pairs]
        size = self.default_batch_size
        batches = (asked[k : k + size] for k in range(0, len(asked), size))
        answers = [a for batch in batches for a in self.backend.level_logits(batch, self.scale.words)]
        second = np.full((n, n), 0.5)  # [i, j]: preference for j, shown after i
        for (i, j), answer in zip(pairs, answered(answers), strict=True):
            second[i, j] = self._preference(answer)[0]
        averaged: Float = (second.T + 1 - second) / 2
        return averaged

    def _anchor_views(self, plan: Plan) -> tuple[ImageHWC, ...]:
        if plan.view.name not in self._views:
            shown = [_decoded(path, plan) for path in self.anchors.paths]
            self._views[plan.view.name] = tuple(shown)
        return self._views[plan.view.name]

    def _with_anchors(self, spec: str) -> str:
        """Extend a spec by the words and anchors; the matrix follows from them."""
        parts = [spec, self.anchors.sha256, self.scale.model_dump_json(), str(self._is_published)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _preference(self, answer: LevelLogits) -> tuple[float, float]:
        logits = np.asarray(answer.logits, dtype=np.float32)
        value, coverage = levels.expectation(logits, answer.log_z, self.scale, self.settings.temperature)
        return value, math.nan if coverage is None else coverage  # models on this machine always tell

    def _judge(self, answers: Sequence[LevelLogits], ready: Prepared, plan: Plan) -> Judged:
        """Place an input by the answers about its pairs with the anchors, for each frame of a video."""
        orders = 2 if plan.both_orders else 1
        asked = np.array([self._preference(answer) for answer in answers])
        asked = asked.reshape(-1, len(plan.anchors), orders, 2)  # frame, anchor, order, (preference, coverage)
        asked[:, :, 1:, 0] = 1 - asked[:, :, 1:, 0]  # the anchor came last: the preference was for it
        pairs = asked.mean(axis=2)
        among = self.matrix(plan)
        frames = [self._distribution(p, among) for p in pairs] if plan.per_frame else []
        mean = pairs.mean(axis=0)
        found = place(mean[:, 0], among, self.settings.link)
        return Judged(self._distribution(mean, among), frames, self._anchored(mean[:, 0], found))

    def _distribution(self, answered_n2: Float, among: Float) -> Distribution:
        """Value and deviation on 1..5 from preferences and coverages (n, 2). There are no level words in it."""
        found = place(answered_n2[:, 0], among, self.settings.link)
        ends = levels.from_display_scale(100, 100) - levels.from_display_scale(0, 100)
        return Distribution(
            value=levels.from_display_scale(found.published_100, 100),
            std=min(MAX_STD, found.standard_error_100 * ends / 100),
            levels={},
            coverage=float(answered_n2[:, 1].mean()),
        )

    def _anchored(self, preferences: Float, found: Place) -> Anchored:
        return Anchored(
            preferences=tuple(preferences.tolist()),
            score=found.score,
            standard_error=found.standard_error,
            published_100=found.published_100,
            anchors_sha256=self.anchors.sha256,
            matrix="published" if self._is_published else "measured",
            orders=self.settings.orders,
            link=self.settings.link,
            temperature=self.settings.temperature,
        )


def _decoded(path: os.PathLike[str], plan: Plan) -> ImageHWC:
    """Return the one view of an anchor."""
    try:
        picture = media.decode_image(media.open_media(path), background=plan.view.pad_color)
    except MllmqaError as error:
        raise DataError(f"the anchor cannot be used ({error})", where=path) from error
    shown = plan.view(picture, np.random.default_rng(0))
    if len(shown) != 1:
        raise UsageError(
            f"the view {plan.view.name} cuts pictures into parts, which cannot be compared with an anchor",
            hint="choose another with --view",
        )
    return shown[0]
