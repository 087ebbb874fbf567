"""One outcome for each sample: good answers, each reason to drop, failures, order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mllmqa.data.sample import Sample
from mllmqa.data.tasks.compose import rebuilt, told
from mllmqa.data.teacher import REASONS, Dropped, Rewritten, Teacher, rewrite
from mllmqa.errors import ApiAuthError, DataError
from tests.data.samples_made import plain
from tests.data.teacher.made import (
    School,
    as_json,
    asked,
    flaw,
    labels,
    medium,
    pair,
    right_answer,
    sent_pictures,
    single,
    task_text,
    texts,
)
from tests.loopback import Received, Reply, chat, error_body

Connect = Callable[..., Teacher]
BUSY = Reply(429, error_body("slow down"), {"Retry-After": "1"})
BLUR = flaw("A", "blur", 2)
GOOD = {"content": "A boat.", "distortions": "The moderate blur softens it.", "conclusion": "So the quality of the image is poor."}  # fmt: skip # noqa: E501


def _one(school: School, connect: Connect, folder: Path, sample: Sample, reply: Reply | None = None, **options: Any) -> Any:  # fmt: skip # noqa: E501
    if reply is not None:
        school.answer = lambda _: reply
    (outcome,) = rewrite([sample], connect(**options), folder)
    return outcome


# ------------------------------------------------------------------ good answers

RIGHT = [
    single("assess", BLUR),
    single("assess", flaw("A", "noise", 4, order=1), flaw("A", "contrast_weaken", 1, order=2)),
    single("assess", flaw("A", "noise", 4, box=(0, 0, 10, 10))),
    single("assess"),
    single("identify", BLUR, flaw("A", "compression", 3)),
    single("identify"),
    single("level", BLUR),
    single("causal", BLUR),
    pair("rate"),
    pair("compare", flaw("A", "blur", 5), flaw("B", "blur", 2)),
    pair("compare", flaw("B", "noise", 3), better="A"),
]


@pytest.mark.parametrize("sample", RIGHT, ids=lambda s: f"{s.task}-{len(s.labels.distortions)}")
def test_a_right_answer_takes_the_place_of_the_plain_one(
    sample: Sample, school: School, connect: Connect, folder: Path
) -> None:
    found = _one(school, connect, folder, sample)
    assert isinstance(found, Rewritten), found
    assert found.sample.messages[:-1] == sample.messages[:-1]
    assert found.sample.messages[-1].text == " ".join(right_answer(school.asked[0]).values())
    assert found.sample.labels == sample.labels
    assert found.sample.media == sample.media


def test_who_wrote_it_and_how_is_told(school: School, connect: Connect, folder: Path) -> None:
    sample = single("assess", BLUR)
    source = _one(school, connect, folder, sample).sample.derived_from
    assert source.teacher == "api:eye (served-1)"
    assert source.prompts == (*sample.derived_from.prompts, "teach/rules@1", "teach/assess@1")
    assert (source.task, source.seed) == (sample.derived_from.task, sample.derived_from.seed)


def test_a_rewritten_sample_is_read_back_and_not_rebuilt(school: School, connect: Connect, folder: Path) -> None:
    found = _one(school, connect, folder, single("assess", BLUR)).sample
    assert Sample.model_validate_json(found.to_json()) == found
    with pytest.raises(DataError, match="teach/assess@1"):
        rebuilt(found)


def test_what_is_sent(school: School, connect: Connect, folder: Path) -> None:
    sample = pair("compare", flaw("A", "blur", 5), flaw("B", "blur", 2))
    _one(school, connect, folder, sample, max_tokens=333)
    (request,) = school.asked
    assert sent_pictures(request) == [(folder / f"photo{k}.png").read_bytes() for k in (0, 1)]
    assert texts(request)[:2] == ["Image A:", "Image B:"]
    text = task_text(request)
    assert sample.messages[0].content[-1].text in text
    assert f"Plain answer: {sample.messages[1].text}" in text
    assert "- Image A: catastrophic blur" in text
    assert "- Image B is better than image A" in text
    assert (request.body["max_completion_tokens"], request.body["temperature"]) == (333, 0.5)
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["content", "A", "B", "conclusion"]
    assert schema["additionalProperties"] is False


# ------------------------------------------------------------------ answers that are dropped


def _with(**parts: str) -> Reply:
    return as_json(GOOD | parts)


ENDLESS = "It is soft and it is soft and it is soft and it is soft and it is soft and moderate blur."
DROPS: dict[str, tuple[Reply, str]] = {
    "refusal field": (Reply(200, chat(None, refusal="I cannot")), "refusal"),
    "refusal in words": (Reply(200, chat("I'm sorry, but I can't help with that.")), "refusal"),
    "refusal in JSON": (_with(content="I cannot see the image."), "refusal"),
    "content filter": (Reply(200, chat("x", "content_filter")), "refusal"),
    "prose": (Reply(200, chat("The image has moderate blur.")), "not-json"),
    "cut JSON": (Reply(200, chat(json.dumps(GOOD)[:40])), "not-json"),
    "JSON and prose": (Reply(200, chat("Here: " + json.dumps(GOOD))), "not-json"),
    "cut by length": (Reply(200, chat(json.dumps(GOOD)[:40], "length")), "truncated"),
    "whole, but cut by length": (Reply(200, chat(json.dumps(GOOD), "length")), "truncated"),
    "reasoned until the end": (Reply(200, chat("", "length")), "truncated"),
    "a list": (as_json([GOOD]), "schema"),
    "a key too many": (as_json({**GOOD, "score": "2"}), "schema"),
    "a key too few": (as_json({"content": "A boat."}), "schema"),
    "a number": (as_json({**GOOD, "content": 3}), "schema"),
    "an empty part": (_with(content=" . "), "empty"),
    "too long": (_with(content="boats " * 110), "too-long"),
    "endless": (_with(distortions=ENDLESS), "repetition"),
    "reference": (_with(content="Compared to the original image, the boat is soft."), "leaks-reference"),
    "labels": (_with(distortions="According to the label there is moderate blur."), "leaks-labels"),
    "a number of severity": (_with(distortions="Moderate blur of severity level 2."), "leaks-labels"),
    "extra": (_with(content="A boat in noise."), "extra-distortion"),
    "extra in other words": (_with(content="A grainy boat."), "extra-distortion"),
    "missing": (_with(distortions="It is soft."), "missing-distortion"),
    "denied": (_with(distortions="There is no blur, but moderate blur."), "missing-distortion"),
    "grade": (_with(distortions="The serious blur softens it."), "wrong-grade"),
    "no grade": (_with(distortions="The blur softens it."), "wrong-grade"),
    "level": (_with(conclusion="So the quality of the image is good."), "wrong-level"),
    "no level": (_with(conclusion="So it is not nice."), "wrong-level"),
}


@pytest.mark.parametrize("name", DROPS)
def test_each_reason_to_drop(name: str, school: School, connect: Connect, folder: Path) -> None:
    reply, reason = DROPS[name]
    found = _one(school, connect, folder, single("assess", BLUR), reply)
    assert isinstance(found, Dropped), found
    assert found.reason == reason, found
    assert reason in REASONS
    assert found.id == "assess0"
    assert found.found
    body = reply.body
    assert isinstance(body, dict)
    said = body["choices"][0]["message"]["content"]
    if reason not in ("refusal", "truncated") or said not in (None, "", "x"):
        assert found.text == said
        assert (found.teacher, found.prompts) == ("api:eye (served-1)", ("teach/rules@1", "teach/assess@1"))


def test_a_wrong_side_is_dropped(school: School, connect: Connect, folder: Path) -> None:
    sample = pair("compare", flaw("A", "blur", 5), flaw("B", "blur", 2))
    parts = {"content": "Boats.", "A": "Image A has catastrophic blur.", "B": "Image B has slight blur."}
    found = _one(
        school, connect, folder, sample, as_json({**parts, "conclusion": "So image A is better."}), cache="off"
    )
    assert found.reason == "wrong-grade"
    assert found.found == ("slight blur (B)", "no grade of blur (B)", "A is better")
    assert found.expected == ("moderate blur", "moderate blur", "B is better")
    parts["B"] = "Image B has moderate blur."
    found = _one(
        school, connect, folder, sample, as_json({**parts, "conclusion": "So image A is better."}), cache="off"
    )
    assert found.reason == "wrong-side"
    found = _one(
        school, connect, folder, sample, as_json({**parts, "conclusion": "It is hard to tell."}), cache="off"
    )
    assert (found.reason, found.found) == ("wrong-side", ("no side",))


def test_a_fenced_answer_is_fine(school: School, connect: Connect, folder: Path) -> None:
    fenced = Reply(200, chat(f"```json\n{json.dumps(GOOD)}\n```\n"))
    assert isinstance(_one(school, connect, folder, single("assess", BLUR), fenced), Rewritten)


def test_a_reference_may_be_spoken_of_where_it_is_shown(school: School, connect: Connect, folder: Path) -> None:
    media = (medium("photo1.png", "ref", "reference"), medium("photo0.png"))
    sample = asked(Sample(id="s", media=media, labels=labels(BLUR)), "assess")
    reply = _with(content="Unlike the reference, the boat is soft.")
    assert isinstance(_one(school, connect, folder, sample, reply), Rewritten)
    assert texts(school.asked[0])[0] == "Reference image:"


def test_a_reference_for_the_teacher_alone(school: School, connect: Connect, folder: Path) -> None:
    sample = single("assess", BLUR)
    sample = sample.model_copy(update={"media": (*sample.media, medium("photo1.png", "ref", "reference"))})
    found = _one(school, connect, folder, sample, _with(content="Unlike the reference, the boat is soft."))
    assert found.reason == "leaks-reference"
    assert len(sent_pictures(school.asked[0])) == 2
    assert "never mention it" in texts(school.asked[0])[1]


# ------------------------------------------------------------------ samples that are not asked about

UNFIT = {
    "no task": (plain(), "unsupported", "task none"),
    "a task without prompt": (single("dominant", BLUR), "unsupported", "task dominant"),
    "two questions": (told(single("level"), "level+assess", 0), "unsupported", "task level+assess"),
    "rewritten": (
        single("level").model_copy(
            update={"derived_from": single("level").derived_from.model_copy(update={"teacher": "api:x"})}  # type: ignore[union-attr]
        ),
        "unsupported",
        "rewritten already by api:x",
    ),
    "made by nobody": (single("level").model_copy(update={"derived_from": None}), "unsupported", "does not say"),
    "no label": (
        single("level").model_copy(update={"labels": labels(level=None)}), "data", "has no label: level of A",
    ),
    "no file": (single("level", media=(medium("gone.png"),)), "not-found", "gone.png"),
    "no path": (single("level", media=(medium(None, sha256="0" * 64),)), "not-found", "has no path"),
    "another file": (single("level", media=(medium("photo0.png", sha256="0" * 64),)), "data", "another SHA-256"),
    "a video that is none": (
        single("level", media=(medium("photo0.png", kind="video"),)), "unknown-format", "of the kind image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_samples_that_cannot_be_rewritten_cost_nothing(
    name: str, school: School, connect: Connect, folder: Path
) -> None:
    sample, reason, message = UNFIT[name]
    found = _one(school, connect, folder, sample)
    assert isinstance(found, Dropped), found
    assert (found.reason, found.text) == (reason, None)
    assert message in found.found[0]
    assert school.received == []


@pytest.mark.parametrize("task", ["identify", "rate"])
def test_short_answers_stay_short(task: str, school: School, connect: Connect, folder: Path) -> None:
    sample = single(task, BLUR) if task == "identify" else pair(task)
    short = next(
        made for made in (told(sample, task, seed) for seed in range(50))
        if made.messages[0].text.endswith(("only.", "enough.", "nothing else."))
    )  # fmt: skip
    found = _one(school, connect, folder, short)
    assert (found.reason, found.found) == ("unsupported", ("the question asks for a short answer",))
    assert school.received == []


# ------------------------------------------------------------------ failures and order


def test_failures_of_the_endpoint_cost_their_own_sample(school: School, connect: Connect, folder: Path) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(4)]
    school.script.extend(
        [
            Reply(),
            Reply(429, error_body("slow down"), {"Retry-After": "1"}),
            Reply(),
            *[Reply(500, "")] * 6,
            Reply(),
        ]
    )
    found = list(rewrite(samples, connect(concurrency=1), folder))
    assert [one.reason if isinstance(one, Dropped) else None for one in found] == [
        None, None, "api-unreachable", None,
    ]  # fmt: skip
    assert found[2].teacher == "api:eye"  # type: ignore[union-attr]


def test_a_refused_key_ends_the_run(school: School, connect: Connect, folder: Path) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(4)]
    school.script.extend([Reply(), Reply(401, error_body("no"))])
    outcomes = rewrite(samples, connect(concurrency=1), folder)
    assert isinstance(next(outcomes), Rewritten)
    with pytest.raises(ApiAuthError):
        next(outcomes)
    assert len(school.received) == 2


def test_order_and_content_do_not_depend_on_concurrency(school: School, connect: Connect, folder: Path) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(12)]
    alone = list(rewrite(samples, connect(concurrency=1, cache="off"), folder))
    teacher = connect(concurrency=8, cache="off")
    list(rewrite(samples[11:], teacher, folder))  # the very first question is asked alone
    # Four are in flight at the same time, and are answered last first.
    together_now, done = threading.Barrier(4), {k: threading.Event() for k in range(1, 5)}
    photos = {(folder / f"photo{k}.png").read_bytes(): k for k in range(12)}

    def late(request: Received) -> Reply:
        number = photos[sent_pictures(request)[0]]
        if number in done:
            together_now.wait(60)
            if number < 4:
                done[number + 1].wait(60)
            done[number].set()
        return as_json(right_answer(request))

    school.answer = late
    together = list(rewrite(samples, teacher, folder))
    assert [replace(one, from_cache=False) for one in together if isinstance(one, Rewritten)] == alone
    assert school.most_at_once >= 4


def test_dropped_samples_pass_in_their_place(school: School, connect: Connect, folder: Path) -> None:
    bad = Dropped(id="line 2", reason="data")
    given = [single("assess", BLUR), bad, single("assess", BLUR, number=1)]
    found = list(rewrite(given, connect(), folder))
    assert found[1] is bad
    assert [isinstance(one, Rewritten) for one in found] == [True, False, True]


def test_whoever_stops_listening_stops_the_run(school: School, connect: Connect, folder: Path) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(12)]
    outcomes = rewrite(samples, connect(concurrency=1), folder)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(school.received) < 5


def test_a_surprise_becomes_a_record(school: School, connect: Connect, folder: Path) -> None:
    body = chat("x")
    body["choices"][0]["message"] = "not an object"
    found = _one(school, connect, folder, single("assess", BLUR), Reply(200, body))
    assert found.reason == "api-answer"
