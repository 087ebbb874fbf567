"""Questions to JSON answers, over a real endpoint on loopback, with nano and with a random model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmqa.asking import Answer, AnswerSchema, Options, ask, find_schema
from mllmqa.asking.by_schema import SHIPPED
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.loading import load
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.backend import ApiBackend
from mllmqa.models.api.transport import Pacing
from mllmqa.models.constrained import enforced_by
from mllmqa.models.resolve import resolve
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.asking.conftest import Eye, Make

WHY = "why is A worse than B?"
BY_VERDICT = Options(schema="verdict")
GOOD: dict[str, Any] = {
    "better": "B",
    "files": {
        "A": {"level": "poor", "distortions": [{"distortion": "blur", "severity": "serious"}]},
        "B": {"level": "excellent", "distortions": []},
    },
    "reason": "A has serious blur.",
}
WRONG = {**GOOD, "better": "A"}
OWN = AnswerSchema.of(
    {
        "type": "object",
        "properties": {"better": {"enum": ["A", "B"]}, "why": {"type": "string"}},
        "required": ["better", "why"],
        "additionalProperties": False,
    },
    "own.json",
)
BY_OWN = Options(schema=OWN)


@pytest.fixture
def two(make: Make) -> list[Path]:
    """A is blurred, B is clean."""
    return [make("a.png", "poor", 1, blur="serious"), make("b.png", "excellent", 2)]


def _again(found: Answer) -> Answer:
    """An answer as it is read back from its record."""
    return Answer.model_validate_json(found.model_dump_json())


# ------------------------------------------------------------------ answers that hold


def test_an_answer_by_the_shipped_schema(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.says.append(json.dumps(GOOD))
    found = ask(scorer, WHY, two, options=BY_VERDICT)
    assert (found.source, found.reason, found.data) == ("model", None, GOOD)
    assert json.loads(found.text) == GOOD
    assert found.contradictions == ()
    assert {claim.kind for claim in found.claims} == {"level", "distortion", "severity", "clean", "better"}
    assert found.held is not None
    assert (found.held.name, found.held.by, found.held.valid) == ("verdict", "response_format", True)
    (asked,) = eye.spoken_to
    sent = asked.body["response_format"]["json_schema"]
    assert sent["strict"] is True
    text = asked.texts[-1]
    assert text.endswith("JSON Schema: " + json.dumps(sent["schema"], separators=(",", ":")))
    assert "B is better than A with probability 0.90." in text
    assert found.made is not None
    assert "answer/json@1" in found.made.prompts
    assert _again(found) == found


def test_the_hash_in_the_record_is_that_of_the_schema(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.says.append('{"better": "B", "why": "A has serious blur."}')
    found = ask(scorer, WHY, two, options=BY_OWN)
    assert found.data == {"better": "B", "why": "A has serious blur."}
    assert found.held is not None
    assert (found.held.name, found.held.sha256) == ("own.json", OWN.sha256)
    assert [claim.kind for claim in found.claims] == ["better", "distortion", "severity"]


def test_what_is_said_many_times_is_one_claim(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    said = json.dumps({"better": "B", "why": "A has noise. " * 9})
    eye.says += [said, said]
    found = ask(scorer, WHY, two, options=BY_OWN)
    assert [(one.claim.words, one.threshold) for one in found.contradictions] == [("noise", "ABSENT_BELOW")]


def test_text_is_asked_for_as_before(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.says.append("B is better.")
    found = ask(scorer, WHY, two)
    assert (found.data, found.held) == (None, None)
    assert "response_format" not in eye.spoken_to[0].body
    assert "JSON" not in eye.spoken_to[0].texts[-1]


# ------------------------------------------------------------------ contradictions


@pytest.mark.parametrize(("options", "right"), [(BY_VERDICT, GOOD), (BY_OWN, {"better": "B", "why": "blur in A"})])
def test_a_contradiction_is_named_once(
    options: Options, right: dict[str, Any], scorer: Scorer, eye: Eye, two: list[Path]
) -> None:
    eye.says += [json.dumps({**right, "better": "A"}), json.dumps(right)]
    found = ask(scorer, WHY, two, options=options)
    assert (found.source, found.regenerated, found.data) == ("model", True, right)
    _, second = eye.spoken_to
    assert "A is better than B with probability 0.10" in str(second.body["messages"][-1]["content"])
    assert "response_format" in second.body


def test_what_contradicts_twice_is_composed_of_readings(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.says += [json.dumps(WRONG), json.dumps(WRONG)]
    found = ask(scorer, WHY, two, options=BY_VERDICT)
    assert (found.source, found.reason, found.regenerated) == ("evidence", "contradicted", True)
    assert found.data == {**GOOD, "reason": "B is better than A (probability 0.90)."}
    assert found.model_text == json.dumps(WRONG)
    assert [one.threshold for one in found.contradictions] == ["EVEN_MARGIN"]
    assert found.held is not None
    assert found.held.valid is True
    assert found.confidence is not None
    assert _again(found) == found


def test_by_a_schema_of_ones_own_it_is_no_answer(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    said = '{"better": "A", "why": "B has noise"}'
    eye.says += [said, said]
    found = ask(scorer, WHY, two, options=BY_OWN)
    assert (found.source, found.reason, found.data) == ("none", "contradicted", None)
    assert found.text == "No answer by the schema: what the model says contradicts the readings."
    assert found.model_text == said
    assert [one.threshold for one in found.contradictions] == ["EVEN_MARGIN", "ABSENT_BELOW"]
    assert found.evidence is not None


# ------------------------------------------------------------------ no JSON


def _outcomes(scorer: Scorer, eye: Eye, files: list[Path], *says: str) -> list[Answer]:
    """What is answered by the shipped schema and by one's own where the endpoint says these."""
    found = []
    for options in (BY_VERDICT, BY_OWN):
        eye.says.extend(says)
        found.append(ask(scorer, WHY, files, options=options))
    assert [one.source for one in found] == ["evidence", "none"]
    assert found[0].data == {**GOOD, "reason": "B is better than A (probability 0.90)."}
    assert found[1].data is None
    assert [_again(one) for one in found] == found
    return found


@pytest.mark.parametrize("said", ["B is better.", '```json\n{"better": "B"}\n```', '{"better": "C"}', "[]"])
def test_an_endpoint_that_ignores_the_schema(said: str, scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    for found in _outcomes(scorer, eye, two, said):
        assert found.reason == "unparsed"
        assert found.held is not None
        assert (found.held.by, found.held.valid) == ("response_format", False)
        assert str(found.held.problem).startswith("the answer ")
        assert found.model_text == said
        assert found.regenerated is False
    assert "No answer by the schema: the answer " in found.text


def test_an_endpoint_that_rejects_the_schema(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.rejects = ("response_format",)
    for found in _outcomes(scorer, eye, two):
        assert found.reason == "api-rejected"
        assert found.held is not None
        assert (found.held.by, found.held.valid) == (None, None)
        assert "rejects the request (400): Unsupported parameter: 'response_format'" in str(found.held.problem)
        assert found.model_text is None


def test_an_endpoint_that_declines(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    for found in _outcomes(scorer, eye, two, "!I cannot judge that."):
        assert found.reason == "declined"


def test_an_answer_that_is_cut_off(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    for found in _outcomes(scorer, eye, two, '~{"better": "B", "wh'):
        assert (found.reason, found.model_text) == ("truncated", '{"better": "B", "wh')
        assert found.held is not None
        assert found.held.valid is False
        assert '"wh' not in found.text


def test_cancelled_is_no_answer(scorer: Scorer, eye: Eye, two: list[Path]) -> None:
    eye.says.append(json.dumps(GOOD))
    told: list[str] = []
    options = Options(schema="verdict", on_text=told.append, cancelled=lambda: len(told) >= 3)
    found = ask(scorer, WHY, two, options=options)
    assert (found.source, found.reason, found.data) == ("none", "cancelled", None)


# ------------------------------------------------------------------ what is not asked


def test_a_place_is_read_and_not_written(scorer: Scorer, eye: Eye, make: Make) -> None:
    one = make("a.png", "fair")
    found = ask(scorer, "Where is it worst?", [one], options=BY_OWN)
    assert (found.source, found.reason, found.data) == ("none", "by-readings", None)
    found = ask(scorer, "Where is it worst?", [one], options=BY_VERDICT)
    assert found.data == {
        "files": {"A": {"level": "fair", "distortions": None}},
        "reason": "The quality of the image is fair (3.0 of 5).",
    }
    assert eye.spoken_to == []


def test_refusals_are_refusals(scorer: Scorer, eye: Eye, make: Make) -> None:
    found = ask(scorer, "who is this?", [make("a.png")], options=BY_VERDICT)
    assert (found.source, found.data, found.held) == ("refusal", None, None)


def test_schemas_by_name(tmp_path: Path, scorer: Scorer, make: Make) -> None:
    assert find_schema("verdict") == "verdict"
    assert SHIPPED == ("verdict",)
    file = tmp_path / "own.json"
    file.write_text(OWN.text, encoding="utf-8")
    found = find_schema(str(file))
    assert isinstance(found, AnswerSchema)
    assert found.sha256 == OWN.sha256
    with pytest.raises(UnknownNameError, match=r"no schema 'verdikt'; expected verdict, or a JSON file"):
        find_schema("verdikt")
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="is no JSON Schema"):
        find_schema(str(file))
    with pytest.raises(UnknownNameError, match="no schema 'x'"):
        ask(scorer, "how good is it?", [make("a.png")], options=Options(schema="x"))


# ------------------------------------------------------------------ models on this machine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """A random LLaVA: what it says means nothing."""
    folder = tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "llava")
    return load(str(folder), device="cpu")  # type: ignore[return-value]


SHORT = AnswerSchema.of(
    {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}, "sure": {"type": "boolean"}},
        "required": ["n", "sure"],
        "additionalProperties": False,
    },
    "short.json",
)


def test_a_random_model_answers_by_the_schema(tiny: Scorer, photo: Path) -> None:
    found = ask(tiny, "How good is it?", [photo], options=Options(schema=SHORT, max_new_tokens=60))
    assert found.source == "model"
    assert SHORT.parsed(found.text) == found.data
    assert found.held is not None
    assert (found.held.by, found.held.valid) == (enforced_by(), True)
    assert found.confidence is not None


def test_a_random_model_that_is_cut_off(tiny: Scorer, photo: Path) -> None:
    found = ask(tiny, "How good is it?", [photo], options=Options(schema=SHORT, max_new_tokens=3))
    assert (found.source, found.reason, found.data) == ("none", "truncated", None)


def test_nano_by_the_shipped_schema(nano: Scorer, photo: Path) -> None:
    found = ask(nano, "What is wrong with it?", [photo], options=Options(schema="verdict", max_new_tokens=160))
    assert found.source in ("model", "evidence")
    assert found.data is not None
    assert set(found.data) == {"files", "reason"}
    assert found.regenerated is False  # it does not follow
    assert found.held is not None
    assert found.held.by == enforced_by()
    assert found.made is not None
    assert found.made.prompts[0] == "build"


def test_nano_is_not_asked_what_it_has_no_wording_for(nano: Scorer, photo: Path) -> None:
    three = [photo, photo, photo]
    found = ask(nano, "What is wrong with them?", three, options=Options(schema=SHORT))
    assert (found.source, found.reason) == ("none", "by-readings")
    assert "one image or a pair of images only" in found.text


def test_endpoints_and_local_models_are_asked_through_one_protocol(eye: Eye, two: list[Path]) -> None:
    source = resolve("api:eye")
    pacing = Pacing(sleep=lambda _: None, now_s=lambda: 0.0, jitter=lambda: 0.0)
    backend = ApiBackend.connect(source, ApiOptions(base_url=eye.url, cache="off"), pacing)
    eye.says.append('{"n": 3, "sure": true}')
    found = ask(Scorer(backend, source.preset), "How good is A?", two, options=Options(schema=SHORT))
    backend.close()
    assert found.data == {"n": 3, "sure": True}
