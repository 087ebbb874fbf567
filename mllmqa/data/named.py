"""Which distortions a text names, and which it denies: the one reader of free texts for checks and evaluation.

Categories are found by their names in ``prompts/build/words.yaml`` and by the other words of
``prompts/teach/words.yaml``; what is denied is not named ("no visible blur"), and where a denial may be meant the
text is unclear (:mod:`mllmqa.data.teacher.claims`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mllmqa.data.teacher.claims import Mention, clean_claims, mentions


@dataclass(frozen=True)
class Named:
    """What a text says of distortions.

    Attributes:
        claimed: Categories that it says are there, in order, each once.
        denied: Categories that it says are not there.
        unclear: Categories of which it is not clear what it says, or of which it says both.
        clean: It says that there is no distortion at all.
    """

    claimed: tuple[str, ...]
    denied: tuple[str, ...]
    unclear: tuple[str, ...]
    clean: bool

    @property
    def answer(self) -> frozenset[str] | None:
        """The categories that are there by this text; None where it does not say, or contradicts itself."""
        if self.unclear or (self.clean and self.claimed):
            return None
        return frozenset(self.claimed) if self.claimed or self.clean else None


def named(text: str) -> Named:
    """Read the distortions of one picture or video out of a text.

    >>> named("There is no blur but strong noise.").claimed
    ('noise',)
    """
    return _summed(mentions(text), bool(clean_claims(text)))


def named_by_side(text: str) -> dict[str, Named]:
    """Read the distortions of A and of B out of a text; what it says of both counts for each.

    Mentions of a side that cannot be told ("the other one") are unclear for both.
    """
    found, clean = mentions(text), clean_claims(text)
    sides: dict[str, Named] = {}
    for key in ("A", "B"):
        own = [one for one in found if one.side in (key, "both")]
        lost = {one.category for one in found if one.side in ("other", None)}
        said = _summed(own, any(side in (key, "both") for side in clean))
        unclear = tuple(dict.fromkeys((*said.unclear, *sorted(lost))))
        sides[key] = Named(said.claimed, said.denied, unclear, said.clean)
    return sides


def _summed(found: Iterable[Mention], clean: bool) -> Named:
    by: dict[str, list[str]] = {"claimed": [], "denied": [], "unclear": []}
    for one in found:
        by[one.polarity].append(one.category)
    both = [category for category in by["claimed"] if category in by["denied"]]
    claimed, denied = (dict.fromkeys(c for c in by[which] if c not in both) for which in ("claimed", "denied"))
    return Named(tuple(claimed), tuple(denied), tuple(dict.fromkeys((*by["unclear"], *both))), clean)
