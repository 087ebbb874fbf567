"""Made-up samples, one by hand with every field set, and strategies of hypothesis for any."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from mllmqa.data.sample import DerivedFrom, Medium, Message, Part, Sample
from mllmqa.data.sample_labels import (
    Caption,
    Distortion,
    Histogram,
    Labels,
    Level,
    Mcq,
    Mos,
    Preference,
    Stall,
)

WORDS = ("excellent", "good", "fair", "poor", "bad")
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<"), min_size=1, max_size=20)
LINES = TEXTS.map(lambda text: f"x{' '.join(text.splitlines())}")
NAMES = st.from_regex(r"[a-z0-9 _-]{1,12}", fullmatch=True).filter(str.strip)


def medium(key: str = "A", **more: Any) -> Medium:
    return Medium(**{"key": key, "kind": "image", "path": f"{key}.png", **more})


def said(role: str, *parts: str) -> Message:
    """A message; a part that starts with @ is the medium of that key."""
    made = [Part(media=p[1:]) if p.startswith("@") else Part(text=p) for p in parts]
    return Message.model_validate({"role": role, "content": tuple(made)})


def plain(**more: Any) -> Sample:
    """A sample with one image and one question."""
    messages = (said("user", "@A", "How good is it?"), said("assistant", "Good."))
    return Sample(**{"id": "one", "media": (medium(),), "messages": messages, **more})


def mos(value: float = 3.0, **more: Any) -> Mos:
    return Mos(**{"media": "A", "value": value, "low": 1.0, "high": 5.0, "direction": "higher-better", **more})


def full(**more: Any) -> Sample:
    """A sample with every field set: a reference, two distorted images and a clip."""
    shares = Histogram(scores=(1.0, 2.0, 3.0, 4.0, 5.0), weights=(0.0, 1.0, 2.0, 4.0, 3.0))
    labels = Labels(
        mos=(mos(3.9, std=0.5, n_ratings=10, histogram=shares), mos(2.0, media="B", direction="higher-better")),
        levels=(
            Level(media="A", word="good", scale=WORDS, probabilities=(0.1, 0.7, 0.2, 0.0, 0.0), method="deqa"),
        ),
        preference=Preference(among=("A", "B"), better="A", probability=0.8, strength="better"),
        distortions=(
            Distortion(
                media="A", category="blur", name="blur_lens", severity=1.0, order=1, parameters={"radius": 2}
            ),
            Distortion(
                media="A", category="noise", name="noise_poisson", severity=2.0, order=2, box=(4, 6, 20, 30)
            ),
            Distortion(media="B", category="compression", severity=5.0, mask="masks/b.png"),
            Distortion(media="clip", category="freeze", name="freeze", severity=3.5, span_s=(1.0, 1.5)),
        ),
        mcq=Mcq(question="Which is sharper?", options=("A", "B"), answer=0),
        stalls=(Stall(media="clip", start_s=0.5, duration_s=2.0),),
        captions=(Caption(text="A boat.", media="A"), Caption(text="Three versions of a boat.")),
    )
    media = (
        medium("ref", role="reference", path="ref/boat", width=64, height=48, sha256="0" * 64),
        medium("A", role="distorted", width=64, height=48),
        medium("B", role="distorted", width=64, height=48),
        medium("clip", kind="video", path="clip.mp4", width=64, height=48, duration_s=4.0, span_s=(0.5, 3.0)),
    )
    messages = (
        said("system", "You judge pictures."),
        said("user", "@ref", "@A", "@B", "@clip", "Which is better, and what is in the clip?"),
        said("assistant", "A is better; the clip freezes."),
    )
    derived = DerivedFrom(task="rate", prompts=("build/rate@1",), seed=7, teacher="api:gpt-x")
    given = {"id": "all", "media": media, "labels": labels, "messages": messages, "derived_from": derived}
    told = {"task": "rate", "split": "train", "source": "made up", "licence": "CC0-1.0"}
    return Sample(**{**given, **told, **more})


def changed(sample: Sample, place: str, value: Any) -> str:
    """The JSON of a sample with one field set, or removed (``...``)."""
    record: Any = json.loads(sample.to_json())
    *parents, last = (int(p) if p.isdigit() else p for p in place.split("."))
    at = record
    for parent in parents:
        at = at[parent]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(record)


def texts_with_media(keys: list[str]) -> st.SearchStrategy[list[str]]:
    """Parts of a message: texts and media, no two texts side by side."""
    marks = st.lists(st.sampled_from([f"@{key}" for key in keys]) | TEXTS.map(lambda t: f" {t}"), max_size=5)
    return marks.map(_apart).filter(bool)


def _apart(parts: list[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if kept and not part.startswith("@") and not kept[-1].startswith("@"):
            continue
        kept.append(part)
    return kept if any(p.startswith("@") or p.strip() for p in kept) else []


@st.composite
def labels_of(draw: st.DrawFn, keys: list[str]) -> Labels:
    """Labels of images without size."""
    key = st.sampled_from(keys)
    scored = draw(st.none() | key)
    low, span = draw(st.floats(-100, 100)), draw(st.floats(0.1, 200))
    share = draw(st.floats(0.01, 0.99))
    value = min(max(low + share * span, low), low + span)
    direction = draw(st.sampled_from(["higher-better", "lower-better"]))
    scale = {"low": low, "high": low + span, "direction": direction, "std": draw(st.none() | st.just(span / 4))}
    one = st.builds(
        Distortion,
        media=key,
        category=NAMES,
        name=st.none() | NAMES,
        severity=st.none() | st.sampled_from([1.0, 2.0, 3.5, 5.0]),
        box=st.none() | st.just((1, 2, 3, 4)),
    )
    return Labels(
        mos=() if scored is None else (mos(value, media=scored, **scale),),
        levels=(Level(media=keys[0], word="fair", scale=WORDS),) if draw(st.booleans()) else (),
        distortions=draw(st.none() | st.lists(one, max_size=3).map(tuple)),
        preference=Preference(among=(keys[0], keys[-1]), better=draw(st.sampled_from([None, keys[0]])))
        if len(keys) > 1
        else None,
    )


@st.composite
def samples(draw: st.DrawFn, keys: st.SearchStrategy[list[str]] | None = None, video: bool = True) -> Sample:
    """Any sample that has messages: one to three media, mentioned in any order, any number of times."""
    named = draw(keys or st.sampled_from([["A"], ["A", "B"], ["ref", "A"], ["ref", "A", "B"], ["B", "extra"]]))
    kinds = st.sampled_from(["image", "video"]) if video else st.just("image")
    media = []
    for key in named:
        kind = draw(kinds)
        ending = ".mp4" if kind == "video" else draw(st.sampled_from([".png", ""]))
        role = "reference" if key == "ref" else "stimulus"
        media.append(medium(key, kind=kind, role=role, path=f"{key}/{draw(NAMES)}{ending}"))
    turns = []
    for k in range(draw(st.sampled_from([2, 4]))):
        turns.append(said(("user", "assistant")[k % 2], *draw(texts_with_media(named))))
    if draw(st.booleans()):
        turns.insert(0, said("system", draw(LINES)))
    return Sample(
        id=draw(LINES), media=tuple(media), labels=draw(labels_of(named)), messages=tuple(turns),
        task=draw(st.none() | NAMES), source=draw(st.none() | NAMES),
    )  # fmt: skip
