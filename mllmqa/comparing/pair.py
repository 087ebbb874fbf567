"""Which of two is better, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllmqa.comparing.asking import Asked, Asker, in_fixed_order, same_content
from mllmqa.comparing.preference import spread_of_gap, thurstone
from mllmqa.errors import MediaFormatError, MllmqaError
from mllmqa.prepare import Prepared, Refused, ScoreOptions
from mllmqa.schema import Comparison, Score, Side, Unscored, verdict_of
from mllmqa.scoring import Input, Scorer, unscored

if TYPE_CHECKING:
    from mllmqa.prepare import Source


@dataclass(frozen=True)
class _Sides:
    """The inputs of one comparison, ready to be shown."""

    a: Prepared
    b: Prepared
    reference: Prepared | None


def compare(
    scorer: Scorer,
    a: Source | Input,
    b: Source | Input,
    *,
    reference: Source | Input | None = None,
    options: ScoreOptions | None = None,
) -> Comparison | Unscored:
    """Compare two images, or two videos, of any sizes and lengths.

    A model with comparison words is asked in both orders, and the answers are averaged; of other models the two
    score distributions are compared. ``method`` of the result says which. Swapping the inputs gives exactly the
    mirrored result, and equal contents a tie at 0.5.

    Args:
        scorer: From :func:`mllmqa.load`.
        a: Path, binary file object, PIL image, uint8 array; or an input with a name.
        b: The other.
        reference: The pristine original of both, for models that can be shown one; the result says whether it was.
        options: What to ask and what to show; the preset's choices by default.

    Returns:
        The comparison; or, where an input cannot be used, its record: it names the first such.

    Raises:
        UsageError: The model cannot do what the options ask for.
        LevelTokenError: Its tokenizer splits the words.
    """
    return compare_with(Asker(scorer, options), a, b, reference)


def compare_with(
    asker: Asker, a: Source | Input, b: Source | Input, reference: Source | Input | None = None
) -> Comparison | Unscored:
    """As :func:`compare`, for many comparisons with one model: the options are resolved already."""
    named = [a, b] if reference is None else [a, b, reference]
    inputs = [one if isinstance(one, Input) else Input.of(one) for one in named]
    ready = list(asker.prepare(inputs))
    sides: list[Prepared] = []
    for one in ready:
        if isinstance(one, Refused):
            return unscored(one.source, one.error, asker.plan, one)
        error = other_kind(one, sides[0]) if sides else None
        if error is not None:
            return unscored(one.source, error, asker.plan, one)
        sides.append(one)
    shown = _Sides(sides[0], sides[1], sides[2] if sides[2:] else None)
    return _compared(asker, shown)


def other_kind(one: Prepared, first: Prepared) -> MediaFormatError | None:
    """Return the error of an input of another kind than the first, if it is such: an image beside a video."""
    if one.media.kind == first.media.kind:
        return None
    return MediaFormatError(
        f"is of the kind {one.media.kind} ({one.media.format}), and {first.source} of the kind {first.media.kind}",
        where=one.source,
        expected="images only or videos only",
    )


def _compared(asker: Asker, sides: _Sides) -> Comparison | Unscored:
    a, b = sides.a, sides.b
    scores = _scores(asker, a, b)
    for score in scores:
        if isinstance(score, Unscored):
            return score
    known = [score for score in scores if isinstance(score, Score)]
    asked: Asked | None = None
    if asker.method != "scores":
        answer = _preference(asker, sides)
        if isinstance(answer, MllmqaError):
            return unscored(f"{a.source} | {b.source}", answer, asker.plan, Refused(a.source, answer))
        asked = answer
    p = asked.p_better if asked else thurstone(known[0], known[1])
    pair = zip((a, b), known or (None, None), strict=True)
    side_a, side_b = (
        Side(source=s.source, media=s.media, provenance=s.provenance, score=score) for s, score in pair
    )
    third = sides.reference
    return Comparison(
        aspect=asker.plan.aspect,
        verdict=verdict_of(p),
        p_a_better=p,
        method=asker.method,
        by_order=asked.by_order if asked else None,
        position_bias=asked.position_bias if asked else None,
        n_pairs=asked.n_pairs if asked else 0,
        coverage=asked.coverage if asked else None,
        readout=asked.readout if asked else None,
        gap=known[0].value - known[1].value if known else None,
        gap_std=spread_of_gap(known[0], known[1]) if known else None,
        reference_used=None if third is None else asker.takes_reference,
        a=side_a,
        b=side_b,
        reference=Side(source=third.source, media=third.media, provenance=third.provenance) if third else None,
        spec=asker.spec,
    )


def _scores(asker: Asker, a: Prepared, b: Prepared) -> list[Score | Unscored]:
    """Score both in an order that does not depend on which is A: floats of a batch depend on it."""
    if same_content(a, b):
        return [_renamed(score, side) for score in asker.score([a]) for side in (a, b)]
    if in_fixed_order(a, b):
        return asker.score([a, b])
    return asker.score([b, a])[::-1]


def _renamed(score: Score | Unscored, side: Prepared) -> Score | Unscored:
    return score.model_copy(update={"source": side.source, "media": side.media})


def _preference(asker: Asker, sides: _Sides) -> Asked | MllmqaError:
    """Ask which is better, in the same way whichever of both is A."""
    reference = sides.reference if asker.takes_reference else None
    if in_fixed_order(sides.a, sides.b):
        return asker.preferences([(sides.a, sides.b)], reference)[0]
    answer = asker.preferences([(sides.b, sides.a)], reference)[0]
    return answer if isinstance(answer, MllmqaError) else answer.swapped()
