"""Find the media that labels name: exactly, or else under another case, ending or folder, which is reported."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

How = Literal["exact", "other-case", "no-extension", "elsewhere", "missing"]


class MediaIndex:
    """The files below a folder.

    Args:
        root: The folder.
        search: Whether a name that is not there exactly is looked for; False: exact names only.
    """

    def __init__(self, root: Path, *, search: bool) -> None:
        self.root = root
        self.search = search

    def find(self, name: str) -> tuple[Path, How]:
        """Return the file that a label means, and how it was found.

        A file in another place is taken only if it is the single best match: of the files with this base name the
        one that shares the most trailing folders with ``name``.

        Args:
            name: Path from the root on, with ``/``, or absolute.
        """
        exact = self.root / name
        if not name or not self.search or is_there(exact):
            return exact, "exact" if name and is_there(exact) else "missing"
        wanted = PurePosixPath(name.replace("\\", "/"))
        same = self._by_name.get(wanted.name.casefold(), [])
        how: How = "elsewhere"
        if not same and not _is_media(wanted.suffix):
            same, how = self._by_stem.get(wanted.name.casefold(), []), "no-extension"
        best = _best(same, wanted)
        if best is None:
            return exact, "missing"
        relative = best.relative_to(self.root).as_posix()
        if how == "elsewhere" and relative.casefold() == wanted.as_posix().casefold():
            how = "other-case"
        return best, how

    @cached_property
    def files(self) -> list[Path]:
        """All media files below the root, sorted."""
        return sorted(p for p in self.root.rglob("*") if _is_media(p.suffix) and p.is_file())

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            found.setdefault(path.name.casefold(), []).append(path)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            found.setdefault(path.stem.casefold(), []).append(path)
        return found


def is_there(path: Path) -> bool:
    """Tell whether there is such a file; a name that no file can have names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a file system takes; NUL
        return False


def _is_media(suffix: str) -> bool:
    from mllmqa.media.gather import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

    return suffix.lower().lstrip(".") in (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)


def _best(candidates: list[Path], wanted: PurePosixPath) -> Path | None:
    """The candidate that shares more trailing folders with the wanted path than all others."""
    ranked = sorted(((_shared(path, wanted), path) for path in candidates), key=lambda one: one[0], reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]


def _shared(path: Path, wanted: PurePosixPath) -> tuple[int, int]:
    folders = list(zip(reversed(path.parts[:-1]), reversed(wanted.parts[:-1]), strict=False))
    for depth, (a, b) in enumerate(folders):
        if a.casefold() != b.casefold():
            return depth, int(path.name == wanted.name)
    return len(folders), int(path.name == wanted.name)
