"""How findings are written, and what of them a text can say."""

from __future__ import annotations

import pytest
from hypothesis import given

from mllmqa.data.tasks import extract
from mllmqa.data.tasks.phrases import GRID, capital, found, one_kind, turn, written
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import join, wording
from tests.data.tasks.labels_made import findings, one


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("blur", 4), "serious blur"),
        (Finding("blur", 2.5, (0, 0.1, 0.5, 1)), "obvious blur at (0, 100, 500, 1000)"),
        (Finding("drop", 1, span_s=(0.04, 1.96)), "slight frame dropping from 0.0 s to 2.0 s"),
        (
            Finding("contrast_strengthen", 5, (0, 0, 1, 1), (1, 2)),
            "catastrophic overly high contrast at (0, 0, 1000, 1000) from 1.0 s to 2.0 s",
        ),
    ],
)
def test_a_finding_in_words(finding: Finding, text: str) -> None:
    assert found(finding) == text
    assert extract.findings(text) == [written(finding)]


@given(findings())
def test_any_findings_are_read_back(given_: list[Finding]) -> None:
    """Of one category, overlapping, without places: each comes back with its own place."""
    text = join([found(finding) for finding in given_]) if given_ else ""
    assert extract.findings(text) == extract.findings(text.upper()) == [written(finding) for finding in given_]


@given(one)
def test_what_is_written_is_written_again(finding: Finding) -> None:
    once = written(finding)
    assert written(once) == once
    assert found(once) == found(finding)
    assert all(round(GRID * x) == pytest.approx(GRID * x) for x in once.box or ())


def test_texts_begin_with_capitals() -> None:
    assert (capital("blur"), capital("a"), capital("3.4"), capital("Überall")) == ("Blur", "A", "3.4", "Überall")
    made = turn("level", "how good?", "it is good.", wording("level"))
    assert (made.question, made.answer, made.wording) == ("How good?", "It is good.", "build/level@1")


def test_one_kind() -> None:
    assert one_kind([Finding("blur", 1), Finding("blur", 5)])
    assert not one_kind([Finding("blur", 1), Finding("noise", 1)])
    assert not one_kind([])
