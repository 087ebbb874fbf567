"""What free texts claim of distortions: negations, grades, sides, other words."""

from __future__ import annotations

import pytest

from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.claims import mentions
from mllmqa.data.teacher.prompt import free_words

POLARITIES = [
    # claimed
    ("A boat with moderate blur and serious noise.", "claimed claimed"),
    ("Not only blur but also noise harms it.", "claimed claimed"),
    ("There is no doubt about the blur.", "claimed"),
    ("No fine detail survives the serious blur.", "claimed"),
    ("There is no blur, but noise.", "denied claimed"),
    ("There is no blur. Noise covers the sky.", "denied claimed"),
    ("It has no blur; noise is everywhere.", "denied claimed"),
    ("no blur and moderate noise", "denied claimed"),
    # denied, in plain forms
    ("There is no blur.", "denied"),
    ("There is no visible blur or noise.", "denied denied"),
    ("It shows no blur, noise or pixelation.", "denied denied denied"),
    ("It has neither blur nor noise.", "denied denied"),
    ("It is free of any blur.", "denied"),
    ("It is free from noise and sharp.", "denied"),
    ("Without any trace of noise, the sky is smooth.", "denied"),
    ("There is no serious blur.", "denied"),
    ("a noise-free sky", "denied"),
    ("Noise is absent.", "denied"),
    # what may be a denial, but is not plainly one
    ("It does not show blur.", "unclear"),
    ("It isn't blurred.", "unclear"),
    ("The boat is not affected by noise.", "unclear"),
    ("Blur is not visible.", "unclear"),
    ("Blur cannot be seen.", "unclear"),
    ("Hardly any noise is left.", "unclear"),
    ("It is never free of noise.", "unclear"),
    ("It is not without noise.", "unclear"),
    ("It is clear, without blur and noise.", "denied unclear"),
    ("There is no blur, noise is obvious.", "denied unclear"),
    ("While the sky has no noise, blur softens the hull.", "denied unclear"),
    ("Noise rather than blur harms it.", "claimed unclear"),
]


@pytest.mark.parametrize(("text", "expected"), POLARITIES)
def test_denials(text: str, expected: str) -> None:
    assert " ".join(one.polarity for one in mentions(text)) == expected


@pytest.mark.parametrize(
    ("text", "grades", "others"),
    [
        ("a slight blur", (1,), ()),
        ("a serious, ugly blur", (4,), ()),
        ("slightly blurred", (1,), ()),
        ("catastrophically noisy", (5,), ()),
        ("The blur is moderate.", (2,), ()),
        ("The blur is clearly obvious.", (3,), ()),
        ("The blur looks rather slight.", (1,), ()),
        ("moderate to serious blur", (2, 4), ()),
        ("severe blur", (), (4,)),
        ("a faint noise", (), (1,)),
        ("It is a serious picture of a boat with blur.", (), ()),
        ("A serious man. Blur softens him.", (), ()),
    ],
)
def test_grades(text: str, grades: tuple[int, ...], others: tuple[int, ...]) -> None:
    (one,) = mentions(text)
    assert (one.grades, one.other_grades) == (grades, others)


def test_a_grade_belongs_to_the_next_name_only() -> None:
    assert [one.grades for one in mentions("serious blur and noise")] == [(4,), ()]


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("Image A shows blur, image B noise.", ["A", "B"]),
        ("A has blur while B has noise.", ["A", "B"]),
        ("In Image A the hull is hidden by blur.", ["A"]),
        ("Unlike image A, image B shows blur.", ["B"]),
        ("Image B, compared with image A, shows blur.", ["B"]),
        ("Image B has more blur than image A, and noise.", ["B", "B"]),
        ("The blur of image A is worse than the noise in image B.", ["A", "B"]),
        ("Both show blur.", ["both"]),
        ("Image A and B share the blur.", ["both"]),
        ("Image A is sharp; the other one has noise.", ["other"]),
        ("A boat with blur.", [None]),
        ("The blur is bad.", [None]),
    ],
)
def test_sides(text: str, sides: list[str | None]) -> None:
    assert [one.side for one in mentions(text)] == sides


def test_a_part_about_one_side_starts_there() -> None:
    assert [one.side for one in mentions("Blur on the hull; image B has noise.", "A")] == ["A", "B"]


@pytest.mark.parametrize("category", list(vocabulary().categories))
def test_every_category_is_found_by_all_of_its_names(category: str) -> None:
    for name in (vocabulary().label(category), *free_words().aliases.get(category, ())):
        assert [one.category for one in mentions(f"It has {name.upper()} here.")] == [category], name


def test_names_inside_other_words_are_none() -> None:
    assert mentions("A noiseless, lossless-looking crane; unblurred; the compressor.") == []


def test_aliases_are_of_known_categories_and_of_one_only() -> None:
    aliases = free_words().aliases
    assert set(aliases) <= set(vocabulary().categories)
    names = [*vocabulary().categories.values(), *(alias for many in aliases.values() for alias in many)]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)
    assert not set(free_words().grades) & set(vocabulary().severities)
