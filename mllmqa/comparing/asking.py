"""Asking a model which of two is better, or comparing what it scores; one object resolves how, once.

A model that has comparison words (``comparison`` of its preset, or ``anchored``) is shown both sides in both orders
in one prompt; the value of the words is averaged. Of videos that it sees frame by frame, frames are asked about
in pairs at the same share of the duration, and the preferences averaged; a model that sees the frames of a video
together gets those of A, then those of B, as pictures of one prompt. Where the preset says so (``joined``), the
scores of both sides and what the model's own heads read of them decide, too.

Other models score each side by itself, and the two distributions are compared (:mod:`mllmqa.comparing.preference`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from mllmqa import levels, prompts
from mllmqa.anchored import AnchoredScorer
from mllmqa.comparing.preference import both_orders, joined
from mllmqa.data.tasks.wording import wording
from mllmqa.errors import InferenceError, MllmqaError, UsageError
from mllmqa.models.base import Backend, Examiner, LevelLogits, Request
from mllmqa.models.presets import ComparisonPreset, JoinedPreset
from mllmqa.prepare import Plan, Prepared, Refused, ScoreOptions, about, make_plan
from mllmqa.schema import Method, Readout, Score, Unscored
from mllmqa.scoring import Input, Scorer, answered, prepare_ahead

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Asked:
    """What a model answered about one pair.

    Attributes:
        a_first: Preference for what is shown first, 0..1, where that is the first of the pair.
        b_first: The same where it is the second of the pair.
        coverage: Mean mass of the comparison words; None where an endpoint does not tell.
        n_pairs: Pairs of pictures that were asked about.
        readout: How the words were read.
        joined: Weight of the words and log-odds by other readings; None: the words alone decide.
    """

    a_first: float
    b_first: float
    coverage: float | None
    n_pairs: int
    readout: Readout
    joined: tuple[float, float] | None = None

    @property
    def p_better(self) -> float:
        """Probability that the first of the pair is better, mean over both orders, joined with other readings."""
        p = both_orders(self.a_first, self.b_first)
        return p if self.joined is None else joined(p, *self.joined)

    @property
    def by_order(self) -> tuple[float, float]:
        """Probability that the first of the pair is better: shown first, shown second."""
        return self.a_first, 1 - self.b_first

    @property
    def position_bias(self) -> float:
        """The first of :attr:`by_order` minus the second."""
        return self.a_first + self.b_first - 1

    def swapped(self) -> Asked:
        """Return the same, told of the pair the other way round."""
        other = None if self.joined is None else (self.joined[0], -self.joined[1])
        return replace(self, a_first=self.b_first, b_first=self.a_first, joined=other)


class Readings(NamedTuple):
    """What decides about a side beside the words.

    Attributes:
        score: 1..5.
        fidelity: 1..5, how near to an undistorted picture by the model's heads, mean of what is shown.
        damage: Sum over the categories of distortion of presence times severity, mean of what is shown.
    """

    score: float
    fidelity: float
    damage: float


Pair = tuple[Prepared, Prepared]


class Asker:
    """A scorer and how it compares.

    Args:
        scorer: The model with its preset.
        options: What to ask and to show; the preset's choices by default.

    Attributes:
        plan: What each side is made into.
        method: How preferences are found.
        takes_reference: Whether a reference can be shown.
        scores: Whether it can score one side by itself.
        spec: Hash of all that decides a comparison but the inputs.

    Raises:
        UsageError: The model cannot do what the options ask for.
        LevelTokenError: Its tokenizer splits the words.
    """

    def __init__(self, scorer: Scorer, options: ScoreOptions | None = None) -> None:
        options = options or ScoreOptions()
        backend, preset = scorer.backend, scorer.preset
        self.scorer = scorer
        how = preset.comparing()
        if how is not None and prompts.load(how.prompt).aspect != options.aspect:
            how = None  # asked about one aspect only: of another one it has scores
        self._how: ComparisonPreset | None = how
        self.scores = preset.anchored is None or isinstance(scorer, AnchoredScorer)
        self._score_plan: Plan | None = scorer.plan(options) if self.scores else None
        plain = None if self._score_plan is None or self._score_plan.anchors else self._score_plan
        self.plan = plain or make_plan(preset, backend.info, backend.native_video, options)
        self._joined = how.joined if how is not None and self.scores and _has_heads(backend) else None
        self._read: dict[str, Readings] = {}
        words: Method = "comparison-words" if self._joined is None else "joined"
        self.method: Method = "scores" if how is None else words
        self.takes_reference = how is not None and how.named
        self._scale = prompts.word_scale("comparison" if how is None else how.words)
        if how is not None:
            backend.check_words(self._prompt(how, "image", False), self._scale.words)
        self.spec = self._spec()

    def _spec(self) -> str:
        parts = [self.plan.spec, self._score_plan.spec if self._score_plan else "", self.method]
        if self._how is not None:
            asked = prompts.load(self._how.prompt)
            parts += [part.model_dump_json() for part in (self._how, self._scale, asked)]
            parts += [wording("layout").model_dump_json()] if self._how.named else []
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    # ------------------------------------------------------------------ sides

    def prepare(self, inputs: Iterable[Input], workers: int | None = None) -> Iterator[Prepared | Refused]:
        """Open, decode and view inputs, in order; what cannot be shown is refused."""
        for ready in prepare_ahead(inputs, self.plan, workers or min(8, os.cpu_count() or 1)):
            cut = isinstance(ready, Prepared) and any(len(m.images) != 1 for m in _moments(ready))
            if cut and self._how is not None and not self._how.named:
                what = f"the view {self.plan.view.name} cuts pictures into parts, which this model cannot compare"
                yield Refused(ready.source, UsageError(what, hint="choose another with --view"), ready.media)
            else:
                yield ready

    def score(self, sides: Sequence[Prepared]) -> list[Score | Unscored]:
        """Score sides that were prepared, one result each; none where the model only compares."""
        plan = self._score_plan
        if plan is None:
            return []
        ready = [_with_anchors(side, plan) if plan.anchors else side for side in sides]
        found = list(self.scorer.results(ready, plan, self.scorer.default_batch_size))
        if self._joined is not None:
            known = zip(sides, found, strict=True)
            self._read |= {_key(side): self._readings(side, s) for side, s in known if isinstance(s, Score)}
        return found

    def _readings(self, side: Prepared, score: Score) -> Readings:
        backend = self.scorer.backend
        if not isinstance(backend, Examiner):
            raise TypeError(f"{type(backend).__name__} has no heads")
        seen = backend.examine([image for request in _moments(side) for image in request.images])
        damage = [sum(one.probability * one.severity for one in picture.found) for picture in seen]
        return Readings(score.value, float(np.mean([one.fidelity for one in seen])), float(np.mean(damage)))

    def _lead(self, how: JoinedPreset, pair: Pair) -> tuple[float, float]:
        """Return the weight of the words, and the log-odds by scores and heads that the first is better."""
        for side in pair:
            if _key(side) not in self._read:
                answered([InferenceError(s.message) for s in self.score([side]) if isinstance(s, Unscored)])
        one, other = (self._read[_key(side)] for side in pair)
        near = how.fidelity * (one.fidelity - other.fidelity) - how.damage * (one.damage - other.damage)
        return how.words, how.score * (one.score - other.score) + near

    # ------------------------------------------------------------------ pairs

    def preferences(self, pairs: Sequence[Pair], reference: Prepared | None = None) -> list[Asked | MllmqaError]:
        """Ask about pairs in both orders; one answer each, or why there is none.

        Equal contents are asked about once: the other order is the same question.
        """
        how = self._how
        if how is None:
            raise ValueError("a model without comparison words is not asked about pairs")
        wanted = [self._requests(how, pair, reference) for pair in pairs]
        requests = [request for own in wanted for request in own]
        size = self.scorer.default_batch_size
        answers: list[LevelLogits | MllmqaError] = []
        for k in range(0, len(requests), size):
            answers += self.scorer.backend.level_logits(requests[k : k + size], self._scale.words)
        found: list[Asked | MllmqaError] = []
        place = 0
        for pair, own in zip(pairs, wanted, strict=True):
            mine = answers[place : place + len(own)]
            place += len(own)
            try:
                asked = self._asked(how, answered(mine), twice=not same_content(*pair))
                lead = None if self._joined is None else self._lead(self._joined, pair)
                found.append(replace(asked, joined=lead))
            except MllmqaError as error:
                found.append(error)
        return found

    def _requests(self, how: ComparisonPreset, pair: Pair, reference: Prepared | None) -> list[Request]:
        """Return the questions about one pair: those with its first side in front, then the others."""
        a, b = pair
        prompt = self._prompt(how, a.media.kind, reference is not None)
        shown = [_moments(side) for side in (*pair, *([reference] if reference else []))]
        n = max(len(moments) for moments in shown)
        rows = [[moments[(2 * k + 1) * len(moments) // (2 * n)] for moments in shown] for k in range(n)]
        orders = ((0, 1),) if same_content(a, b) else ((0, 1), (1, 0))
        return [
            _together(prompt, [row[i] for i in (*range(2, len(row)), *order)], self._names(how, a.media.kind, row))
            for order in orders
            for row in rows
        ]

    def _names(self, how: ComparisonPreset, kind: Kind, row: Sequence[Request]) -> list[str]:
        if not how.named:
            return []
        layout, chance = wording("layout"), np.random.default_rng(0)
        reference = [layout.pick("reference", chance) for _ in row[2:]]
        return [*reference, *(layout.pick("stimulus", chance, medium=kind, key=key) for key in "AB")]

    def _asked(self, how: ComparisonPreset, answers: Sequence[LevelLogits], *, twice: bool) -> Asked:
        values, coverages = [], []
        for answer in answers:
            logits = np.asarray(answer.logits, dtype=np.float32)
            value, coverage = levels.expectation(logits, answer.log_z, self._scale, how.temperature)
            values.append(value if how.favours == "first" else 1 - value)
            coverages.append(coverage)
        n = len(values) // 2 if twice else len(values)
        a_first = float(np.mean(values[:n]))
        b_first = float(np.mean(values[n:])) if twice else a_first
        known = [c for c in coverages if c is not None]
        covered = float(np.mean(known)) if len(known) == len(coverages) else None
        readouts = {answer.readout for answer in answers}
        return Asked(a_first, b_first, covered, n, readouts.pop() if len(readouts) == 1 else "mixed")

    def _prompt(self, how: ComparisonPreset, kind: Kind, reference: bool) -> prompts.Prompt:
        return prompts.render(prompts.load(how.prompt), medium=kind, reference=reference)


def _has_heads(backend: Backend) -> bool:
    return isinstance(backend, Examiner) and backend.examines


def _key(side: Prepared) -> str:
    """What a side is known by: its content, or its name where no hash is known."""
    return side.media.sha256 or side.source


def same_content(a: Prepared, b: Prepared) -> bool:
    """Tell whether two inputs are the same bytes (or pixels, for arrays)."""
    return a.media.sha256 is not None and a.media.sha256 == b.media.sha256


def in_fixed_order(a: Prepared, b: Prepared) -> bool:
    """Tell whether two inputs stand in the order in which they are always asked about, however they are named."""
    return (a.media.sha256 or "", a.source) <= (b.media.sha256 or "", b.source)


def _moments(side: Prepared) -> list[Request]:
    """Return the pictures of one side: all together, or by frame."""
    return [side.requests[0]] if side.joint else list(side.requests)


def _together(prompt: prompts.Prompt, parts: Sequence[Request], names: Sequence[str]) -> Request:
    """Join the pictures of several sides to one request, a name in front of the first picture of each."""
    labels = [
        name if k == 0 else ""
        for name, part in zip(names, parts, strict=bool(names))
        for k in range(len(part.images))
    ]
    files = [part.encoded for part in parts]
    return Request(
        prompt,
        tuple(image for part in parts for image in part.images),
        encoded=tuple(file for own in files for file in own or ()) if all(files) else None,
        labels=tuple(labels),
    )


def _with_anchors(side: Prepared, plan: Plan) -> Prepared:
    """Return a side as it is scored by comparison with anchors: the same pictures, other questions."""
    requests = tuple(request for own in side.requests for request in about(own.images, plan, None))
    return replace(side, requests=requests, provenance=side.provenance.model_copy(update={"spec": plan.spec}))
