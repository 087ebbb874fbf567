"""Random samples with the labels that each task needs, labels changed in one place, and texts tampered with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.data.sample import Medium, Message, Part, Sample
from mllmqa.data.sample_labels import Caption, Distortion, Labels, Level, Mos, Preference, Stall
from mllmqa.data.tasks.wording import vocabulary

DURATION_S = 60.0
WIDTH, HEIGHT = 320, 240
LEVELS = prompts.level_scale().words
COMPARISON = prompts.word_scale("comparison").words
PAIRS = frozenset({"rate", "compare", "comparative"})
SEVERAL = frozenset({"best_of", "worst_of", "rank", "which_has", "describe_several"})
PLACED = frozenset({"ground", "reason_three"})
ONE_CATEGORY = frozenset({"dominant", "what", "mcq_category"}) | PLACED
AT_LEAST_ONE = ONE_CATEGORY | {"how", "mcq_severity"}

kinds = st.sampled_from(["image", "video"])
severities = st.floats(1, 5)


def _interval(most: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(0, most), st.floats(0, most)).map(sorted).map(tuple).filter(lambda s: s[0] < s[1])


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x0, y0 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    return (x0, y0, draw(st.integers(x0 + 1, WIDTH)), draw(st.integers(y0 + 1, HEIGHT)))


def media(keys: Sequence[str], kind: str, *, reference: bool) -> tuple[Medium, ...]:
    more: dict[str, Any] = {"kind": kind, "width": WIDTH, "height": HEIGHT}
    if kind == "video":
        more["duration_s"] = DURATION_S
    found = [Medium(key=key, path=f"{key}.bin", **more) for key in keys]
    return tuple([Medium(key="ref", role="reference", path="r.bin", **more)] * reference + found)


@st.composite
def distortions(
    draw: st.DrawFn, key: str, kind: str, names: Sequence[str], *, placed: bool = False, least: int = 0
) -> list[Distortion]:
    """Distortions of one medium; with ``placed`` all have a box, or all a span."""
    boxed = kind == "image" or draw(st.booleans())
    made = []
    for k in range(draw(st.integers(least, 4))):
        box = draw(boxes() if placed and boxed else st.none() if placed else st.none() | boxes())
        spans = _interval(DURATION_S)
        span = None if kind == "image" else draw(spans if placed and not boxed else st.none() | spans)
        category, severity = draw(st.sampled_from(names)), draw(severities)
        made.append(Distortion(media=key, category=category, severity=severity, box=box, span_s=span, order=k + 1))
    return made


def level(key: str = "A", word: str = "good", scale: Sequence[str] = LEVELS) -> Level:
    return Level(media=key, word=word, scale=tuple(scale))


@st.composite
def opinions(draw: st.DrawFn, key: str = "A") -> Mos:
    low = draw(st.sampled_from([0.0, 1.0, -3.0, 0.5, 1.25]))
    high = low + draw(st.sampled_from([0.5, 1.0, 4.0, 9.0, 100.0, 92.43]))
    direction = draw(st.sampled_from(["higher-better", "lower-better"]))
    return Mos(media=key, value=draw(st.floats(low, high)), low=low, high=high, direction=direction)


@st.composite
def alone(draw: st.DrawFn, task: str) -> Sample:
    """A sample of one medium, with or without its reference."""
    kind = "video" if task == "streaming_level" else draw(kinds)
    names = vocabulary().possible(kind)
    if task in ONE_CATEGORY:
        names = [draw(st.sampled_from(names))]
    found = draw(distortions("A", kind, names, placed=task in PLACED, least=int(task in AT_LEAST_ONE)))
    if task in ("how", "mcq_severity"):
        found = found[:1]
    stall = st.builds(Stall, media=st.just("A"), start_s=st.floats(0, DURATION_S), duration_s=st.floats(0.06, 99))
    labels = Labels(
        levels=(level(word=draw(st.sampled_from(LEVELS))),), mos=(draw(opinions()),), distortions=tuple(found),
        stalls=tuple(draw(st.lists(stall, max_size=3))) if kind == "video" else (),
        captions=(Caption(text="a street at night", media="A"),) if draw(st.booleans()) else (),
    )  # fmt: skip
    return Sample(
        id=f"s{draw(st.integers(0, 999))}", media=media("A", kind, reference=draw(st.booleans())), labels=labels
    )


@st.composite
def pair(draw: st.DrawFn) -> Sample:
    kind = draw(kinds)
    names = vocabulary().possible(kind)
    found = [one for key in "AB" for one in draw(distortions(key, kind, names))]
    better = Preference(
        among=("A", "B"), better=draw(st.sampled_from("AB")), strength=draw(st.sampled_from(COMPARISON))
    )
    labels = Labels(distortions=tuple(found), preference=better)
    return Sample(id="p", media=media("AB", kind, reference=draw(st.booleans())), labels=labels)


@st.composite
def several(draw: st.DrawFn, task: str) -> Sample:
    """Three or four media: one distortion at different severities, or told apart by opinions."""
    kind, count = draw(kinds), draw(st.integers(3, 4))
    keys = draw(st.permutations("ABCD"[:count]))
    names = vocabulary().possible(kind)
    if task == "which_has" or draw(st.booleans()):
        picked = draw(st.permutations(names))
        found = [
            Distortion(media=key, category=name, severity=draw(severities))
            for key, name in zip(keys, picked, strict=False)
        ]
        steps = draw(st.lists(st.floats(1, 20), min_size=count, max_size=count))
        mos = tuple(
            Mos(media=key, value=100 - at, low=0.0, high=100.0, direction="higher-better")
            for key, at in zip(keys, accumulate(steps), strict=True)
        )
    else:
        name, mos = draw(st.sampled_from(names)), ()
        clean = draw(st.integers(0, 1))
        found = [
            Distortion(media=key, category=name, severity=float(place))
            for place, key in enumerate(keys[clean:], draw(st.integers(1, 6 - count + clean)))
        ]
    labels = Labels(distortions=tuple(found), mos=mos)
    return Sample(id="m", media=media("ABCD"[:count], kind, reference=False), labels=labels)


def samples_for(task: str) -> st.SearchStrategy[Sample]:
    """Samples with the labels that a task needs."""
    return pair() if task in PAIRS else several(task) if task in SEVERAL else alone(task)


# ------------------------------------------------------------------ labels changed in one place


def with_labels(sample: Sample, **labels: Any) -> Sample:
    return sample.model_copy(update={"labels": sample.labels.model_copy(update=labels)})


def _next(word: str, among: Sequence[str]) -> str:
    return among[(among.index(word) + 1) % len(among)]


def other_level(sample: Sample) -> Sample:
    word = sample.labels.levels[0].word
    return with_labels(sample, levels=(level(word=_next(word, LEVELS)),))


def other_score(sample: Sample) -> Sample:
    (mos,) = sample.labels.mos
    middle = (mos.low + mos.high) / 2
    value = mos.value + (mos.high - mos.low) / 2 * (1 if mos.value < middle else -1)
    return with_labels(sample, mos=(mos.model_copy(update={"value": value}),))


def other_scale(sample: Sample) -> Sample:
    (mos,) = sample.labels.mos
    return with_labels(sample, mos=(mos.model_copy(update={"high": mos.high + 5}),))


def _first(sample: Sample, **update: Any) -> Sample:
    found = sample.labels.distortions or ()
    return with_labels(sample, distortions=(found[0].model_copy(update=update), *found[1:]))


def other_category(sample: Sample) -> Sample:
    there = {one.category for one in sample.labels.distortions or ()}
    free = [name for name in vocabulary().possible("image") if name not in there]
    return _first(sample, category=free[0])


def other_severity(sample: Sample) -> Sample:
    severity = (sample.labels.distortions or ())[0].severity or 0
    return _first(sample, severity=severity + (2 if severity <= 3 else -2))


def other_box(sample: Sample) -> Sample:
    one = (sample.labels.distortions or ())[0]
    if one.box is None:
        span = (20.0, 21.0) if one.span_s != (20.0, 21.0) else (30.0, 31.0)
        return _first(sample, span_s=span)
    box = (0, 0, 9, 9) if one.box[2] > 20 else (100, 100, 200, 200)
    return _first(sample, box=box)


def clean(sample: Sample) -> Sample:
    return with_labels(sample, distortions=())


def no_stalls(sample: Sample) -> Sample:
    return with_labels(sample, stalls=() if sample.labels.stalls else (Stall(media="A", start_s=1, duration_s=1),))


def other_side(sample: Sample) -> Sample:
    found = sample.labels.preference
    assert found is not None
    turned = found.model_copy(update={"better": "B" if found.better == "A" else "A"})
    return with_labels(sample, preference=turned)


def other_strength(sample: Sample) -> Sample:
    found = sample.labels.preference
    assert found is not None and found.strength is not None
    return with_labels(sample, preference=found.model_copy(update={"strength": _next(found.strength, COMPARISON)}))


def other_order(sample: Sample) -> Sample:
    """Turn the order round, so that best and worst change their places."""
    if sample.labels.mos:
        turned = [one.model_copy(update={"value": 100 - one.value}) for one in sample.labels.mos]
        return with_labels(sample, mos=tuple(turned))
    shown = [medium.key for medium in sample.media]
    found = [
        one.model_copy(update={"severity": 6 - (one.severity or 0)}) for one in sample.labels.distortions or ()
    ]
    if len(found) < len(shown):  # the clean one is the best: another one becomes it
        (best,) = set(shown) - {one.media for one in found}
        found[0] = found[0].model_copy(update={"media": best})
    return with_labels(sample, distortions=tuple(found))


Change = Callable[[Sample], Sample]
DISTORTION: tuple[Change, ...] = (other_category, other_severity, clean)
CHANGES: dict[str, tuple[Change, ...]] = {
    "score": (other_score, other_scale),
    "level": (other_level,),
    "streaming_level": (other_level, no_stalls),
    "identify": (other_category, clean),
    "dominant": (other_category, clean),
    "what": (other_category, clean),
    "how": DISTORTION,
    "yes_no": (),
    "assess": (*DISTORTION, other_level, other_box),
    "causal": (*DISTORTION, other_level, other_box),
    "ground": (other_category, other_box, clean),
    "reason_five": (*DISTORTION, other_level, other_box),
    "reason_three": (*DISTORTION, other_box),
    "mcq_category": (other_category, clean),
    "mcq_severity": DISTORTION,
    "mcq_level": (other_level,),
    "mcq_yes_no": (),
    "rate": (other_side,),
    "compare": (other_side, other_category, other_severity),
    "comparative": (other_strength,),
    "best_of": (other_order,),
    "worst_of": (other_order,),
    "rank": (other_order,),
    "which_has": (clean,),
    "describe_several": (other_order, other_category, clean),
}

# ------------------------------------------------------------------ texts tampered with

_WORDS = vocabulary()
_LABELS = list(_WORDS.categories.values())
TOKENS: dict[str, tuple[str, Sequence[str]]] = {
    "level": (rf"(?<=is )(?:{'|'.join(LEVELS)})\b", LEVELS),
    "label": (rf"\b(?:{'|'.join(_LABELS)})\b", _LABELS),
    "grade": (rf"\b(?:{'|'.join(_WORDS.severities)})\b", _WORDS.severities),
    "comparison": (rf"\b(?:{'|'.join(COMPARISON)})\b", COMPARISON),
    "yes": (r"\b(?:yes|no)(?=, there)", ("yes", "no")),
    "side": (r"\b[AB]\b", "AB"),
    "key": (r"\b[A-D]\b", "ABCD"),
    "letter": (r"\b[A-H]\b", "ABCDEFGH"),
    "count": (rf"\b(?:{'|'.join(_WORDS.numbers)})\b(?= kind| region| passage)", _WORDS.numbers),
    "position": (rf"\b(?:{'|'.join(_WORDS.positions)})\b", _WORDS.positions),
    "extent": (rf"\b(?:{'|'.join(_WORDS.extents)})\b(?= extent)", list(_WORDS.extents)),
    "number": (r"\b\d+(?:\.\d+)?\b(?!\. )", ()),
    "clean": (rf"\b{_WORDS.clean}\b", ()),
}
"""Kind of word → where it stands, and its like."""
SAID: dict[str, str] = {
    "score": "number",
    "level": "level",
    "streaming_level": "level",
    "identify": "label clean",
    "dominant": "label",
    "what": "label",
    "how": "label grade",
    "yes_no": "label yes",
    "assess": "label grade level number clean",
    "causal": "level",
    "ground": "label number",
    "reason_five": "label grade level number count clean",
    "reason_three": "label grade number count position extent",
    "mcq_category": "letter",
    "mcq_severity": "letter",
    "mcq_level": "letter",
    "mcq_yes_no": "letter",
    "rate": "side",
    "compare": "side label grade",
    "comparative": "comparison",
    "best_of": "key",
    "worst_of": "key",
    "rank": "key",
    "which_has": "key label",
    "describe_several": "key label grade number",
}
"""Task → the kinds of words in its answers, none of which may be replaced unnoticed."""


def tampered(sample: Sample, task: str) -> Iterator[Sample]:
    """Yield the sample with one word of its last answer replaced by its like, for every such word."""
    answer = sample.messages[-1].text
    for kind in SAID[task].split():
        pattern, among = TOKENS[kind]
        for found in re.finditer(pattern, answer, 0 if kind in ("side", "key", "letter") else re.IGNORECASE):
            word = found[0]
            if kind == "number":
                other = f"{float(word) + 7:.1f}" if "." in word else str(int(word) + 7)
            else:
                other = "serious blur" if kind == "clean" else _next(_as_listed(word, among), among)
            yield answered(sample, f"{answer[: found.start()]}{other}{answer[found.end() :]}")


def _as_listed(word: str, among: Sequence[str]) -> str:
    return word if word in among else word.lower()


def answered(sample: Sample, text: str) -> Sample:
    """Return the sample with another last answer."""
    last = Message(role="assistant", content=(Part(text=text),))
    return sample.model_copy(update={"messages": (*sample.messages[:-1], last)})
