"""Names of distortions in labels: known ones pass, unknown and contradicting ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.distortion_names import distortion_flaws, known_categories, known_names
from mllmqa.data.problems import iter_problems
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels
from tests.data.samples_made import plain


def labelled(category: str, name: str | None = None) -> Sample:
    return plain(labels=Labels(distortions=(Distortion(media="A", category=category, name=name),)))


def test_all_that_can_be_made_is_known() -> None:
    for name, category in known_names().items():
        assert list(distortion_flaws(labelled(category, name))) == []
    for category in known_categories():
        assert list(distortion_flaws(labelled(category))) == []
    assert {"blur", "freeze", "stall", "compression"} <= set(known_categories())


@pytest.mark.parametrize(
    ("category", "name", "field", "expected"),
    [
        ("frobnication", None, "category", "one of blur"),
        ("blur", "blur_gausian", "name", "blur_gaussian"),
        ("blur", "xyzzy", "name", "blur_gaussian, blur_motion"),
        ("blur", "compression_jpeg", "category", "compression, the category of compression_jpeg"),
        ("compression", "freeze", "category", "freeze, the category of freeze"),
    ],
)
def test_unknown_and_contradicting_names(category: str, name: str | None, field: str, expected: str) -> None:
    (flaw,) = distortion_flaws(labelled(category, name))
    assert flaw.field == f"labels.distortions.0.{field}"
    assert expected in flaw.expected


def test_unknown_ones_are_problems_of_a_file_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(f"{plain(id='x').to_json()}\n{labelled('frobnication', 'frob').to_json()}\n", encoding="utf-8")
    found = [(one.line, one.flaw.field) for one in iter_problems(path, "none")]
    assert found == [(2, "labels.distortions.0.category"), (2, "labels.distortions.0.name")]
