"""The shipped schema: its words, its shape for the files of a question, its claims, and what is composed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.asking.claims import contradictions
from mllmqa.asking.records import Evidence
from mllmqa.asking.verdict import VerdictForm, shape
from mllmqa.data.tasks.wording import vocabulary
from tests.asking.evidence_made import evidences, file, pair, severity, two


def _files(body: dict[str, Any], kind: str = "image") -> dict[str, Any]:
    found: dict[str, Any] = body["$defs"][kind]["properties"]
    return found


def test_its_words_are_those_of_all_other_answers() -> None:
    body = dict(VerdictForm(two(0.5), "AB").schema.body)
    assert body["properties"]["better"]["enum"] == ["A", "B", "about equal"]
    files = body["properties"]["files"]["properties"]
    assert files == {key: {"$ref": "#/$defs/image"} for key in "AB"}
    words, one = vocabulary(), _files(body)
    assert one["level"]["enum"] == list(prompts.level_scale().words)
    item = one["distortions"]["items"]["properties"]
    assert item["distortion"]["enum"] == [words.label(c) for c in words.possible("image")]
    assert item["severity"]["enum"] == [*words.severities, None]
    assert list(body["properties"]) == body["required"] == ["better", "files", "reason"]
    assert "<" not in json.dumps(body)


def test_one_file_has_no_better_one_and_three_may_have_no_best() -> None:
    alone = VerdictForm(Evidence(files=(file(),)), "A").schema.body
    assert alone["required"] == ["files", "reason"]
    three = Evidence(files=tuple(map(file, "ABC")), pairs=(pair(0.5), pair(0.5, "A", "C"), pair(0.5, "B", "C")))
    body = VerdictForm(three, "ABC").schema.body
    assert body["properties"]["better"]["enum"] == ["A", "B", "C", "about equal", None]
    assert list(VerdictForm(three, "AC").schema.body["properties"]["files"]["properties"]) == ["A", "C"]


def test_an_image_and_a_video_are_not_ranked_and_have_their_own_words() -> None:
    clip = file("B", kind="video", frames=(3.0, 3.0))
    body = VerdictForm(Evidence(files=(file("A"), clip)), "AB").schema.body
    assert body["required"] == ["files", "reason"]
    named = {kind: _files(dict(body), kind)["distortions"]["items"]["properties"] for kind in ("image", "video")}
    assert "freezing" not in named["image"]["distortion"]["enum"]
    assert "freezing" in named["video"]["distortion"]["enum"]


def test_endpoints_get_it_without_what_many_reject() -> None:
    here, there = (VerdictForm(two(0.5), "AB", remote=remote).schema for remote in (False, True))
    assert all(f'"{keyword}"' in here.text for keyword in shape().local_only)
    assert not any(f'"{keyword}"' in there.text for keyword in shape().local_only)
    assert here.sha256 != there.sha256


VERDICT = {
    "better": "B",
    "files": {
        "A": {"level": "poor", "distortions": [{"distortion": "blur", "severity": "serious"}]},
        "B": {"level": "excellent", "distortions": []},
    },
    "reason": "A has serious blur.",
}


def test_all_that_it_says_is_claimed() -> None:
    form = VerdictForm(two(0.1), "AB")
    assert form.schema.parsed(json.dumps(VERDICT)) == VERDICT
    found = [(c.kind, c.key, c.category or c.value or c.other) for c in form.claims(VERDICT)]
    assert found == [
        ("level", "A", 2.0),
        ("distortion", "A", "blur"),
        ("severity", "A", "blur"),
        ("level", "B", 5.0),
        ("clean", "B", None),
        ("better", "B", "A"),
        ("distortion", "A", "blur"),
        ("severity", "A", "blur"),
    ]


def test_claims_are_held_against_the_readings() -> None:
    good, bad = file("B", 5.0), file("A", 2.0, {"blur": (0.95, 4.0)})
    assert contradictions(VerdictForm(two(0.1), "AB").claims(VERDICT), two(0.1, bad, good)) == []
    turned = two(0.9, file("A", 5.0), file("B", 2.0, {"blur": (0.95, 4.0)}))
    faults = contradictions(VerdictForm(turned, "AB").claims(VERDICT), turned)
    rules = {
        "LEVEL_SLACK",
        "ABSENT_BELOW",
        "not read",
        "DENIED_ABOVE",
        "EVEN_MARGIN",
    }  # of blur no strength is read
    assert {one.threshold for one in faults} == rules
    assert "better: B" in [one.claim.words for one in faults]


def test_equal_is_said_of_every_pair_and_null_claims_nothing() -> None:
    three = Evidence(files=tuple(map(file, "ABC")), pairs=(pair(0.5), pair(0.9, "A", "C"), pair(0.9, "B", "C")))
    form = VerdictForm(three, "ABC")
    same = {key: {"level": "fair", "distortions": None} for key in "ABC"}
    equal = form.claims({"better": "about equal", "files": same, "reason": ""})
    assert [(c.kind, c.key, c.other) for c in equal if c.kind == "equal"] == [
        *(("equal", "A", "B"), ("equal", "A", "C"), ("equal", "B", "C"))
    ]
    assert len(contradictions(equal, three)) == 2
    assert {c.kind for c in form.claims({"better": None, "files": same, "reason": ""})} == {"level"}


@pytest.mark.parametrize(("p", "better"), [(0.9, "A"), (0.2, "B"), (0.505, "about equal"), (0.52, "A")])
def test_the_composed_one_of_two(p: float, better: str) -> None:
    evidence = two(p, file("A", 2.2, {"blur": (0.9, 4.2), "noise": (0.6, None)}))
    found = VerdictForm(evidence, "AB").composed(evidence)
    assert found["better"] == better
    assert found["files"]["A"] == {
        "level": "poor",
        "distortions": [{"distortion": "blur", "severity": "serious"}, {"distortion": "noise", "severity": None}],
    }
    assert found["files"]["B"] == {"level": "fair", "distortions": []}


def test_what_was_not_read_is_null() -> None:
    blind = file("A").model_copy(update={"presence": (), "unread": {"presence": "split words"}})
    evidence = Evidence(files=(blind,))
    assert VerdictForm(evidence, "A").composed(evidence)["files"]["A"]["distortions"] is None


@given(evidences(), st.booleans())
def test_the_composed_one_follows_its_schema_and_never_contradicts(evidence: Evidence, remote: bool) -> None:
    form = VerdictForm(evidence, [one.key for one in evidence.files], remote=remote)
    made = form.composed(evidence)
    assert form.schema.parsed(json.dumps(made)) == made
    assert contradictions(form.claims(made), evidence) == []


def test_a_severity_by_itself_is_a_word() -> None:
    strongest = file("A", 1.0, {"noise": (0.99, 5.0)}).model_copy(update={"severities": (severity("noise", 5.0),)})
    evidence = Evidence(files=(strongest,))
    (one,) = VerdictForm(evidence, "A").composed(evidence)["files"]["A"]["distortions"]
    assert one == {"distortion": "noise", "severity": vocabulary().severities[-1]}
