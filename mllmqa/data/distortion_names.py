"""Are the distortions of a sample known ones: an unknown name or category is a mistake of spelling, or of scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache

from mllmqa.data.flaws import Flaw, shown
from mllmqa.data.sample import Sample


@cache
def known_names() -> Mapping[str, str]:
    """Return every distortion that can be made, of pictures and of videos → its category."""
    from mllmqa.data import distortions, video_distortions
    from mllmqa.data.video_distortions.registry import category_of_video

    pictures = (*distortions.NAMES, *distortions.KADID_NAMES)
    found = {name: distortions.category_of(name) for name in pictures}
    return found | {name: category_of_video(name) for name in video_distortions.NAMES}


@cache
def known_categories() -> tuple[str, ...]:
    """Return the categories that texts have words for, then those of the distortions beside them."""
    from mllmqa.data.tasks.wording import vocabulary

    return tuple(dict.fromkeys((*vocabulary().categories, *known_names().values())))


def distortion_flaws(sample: Sample) -> Iterator[Flaw]:
    """Yield what is wrong with the names: a category or a function that is unknown, or two that do not agree."""
    for k, one in enumerate(sample.labels.distortions or ()):
        field = f"labels.distortions.{k}"
        if one.category not in known_categories():
            yield Flaw(f"{field}.category", shown(one.category), f"one of {', '.join(known_categories())}")
        if one.name is None:
            continue
        category = known_names().get(one.name)
        if category is None:
            yield Flaw(f"{field}.name", shown(one.name), _known(one.name, one.category))
        elif category != one.category and one.category in known_categories():
            yield Flaw(f"{field}.category", shown(one.category), f"{category}, the category of {one.name}")


def _known(name: str, category: str) -> str:
    alike = get_close_matches(name, known_names(), n=1)
    same = [other for other, its in known_names().items() if its == category]
    return f"a distortion that is known, e.g. {', '.join(alike or same or list(known_names())[:3])}"
