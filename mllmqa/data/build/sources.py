"""What a set is built from: pristine photos, pristine clips, media with opinion scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from mllmqa.data.build.files import printed
from mllmqa.data.build.opinions import Rated
from mllmqa.data.build.recipe import KINDS, Kind
from mllmqa.data.findings import Findings
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.sample import Split
from mllmqa.errors import UsageError

TEST_SHARE, VAL_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class Source:
    """One ``--src``: what it is and where.

    Attributes:
        kind: ``photos``, ``clips``, or the name of a registered data set, or ``rated`` for a table.
        path: Folder, or table.
    """

    kind: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``KIND=PATH``, or a path alone: a data set that is recognised, else photos or clips.

        Raises:
            UsageError: It does not exist, or what it is cannot be told.
        """
        kind, equals, path = text.partition("=")
        if not equals or "/" in kind or (not _is_kind(kind) and Path(text).exists()):
            kind, path = "", text
        found = Path(path)
        if not found.exists():
            raise UsageError("no such source", where=path)
        return cls(kind or _kind_of(found), found)


@dataclass(frozen=True)
class Sources:
    """All that a recipe may draw from; small: files are opened when they are used.

    Attributes:
        photos: Files, sorted by name.
        clips: Files, sorted by name.
        rated: Media with opinions, in the order of the sources.
        described: One record for each source: kind, path, number of files, hash of their names, sizes and labels.
        findings: What is wrong with label files: such rows are left out, and counted here.
    """

    photos: tuple[Path, ...]
    clips: tuple[Path, ...]
    rated: tuple[Rated, ...]
    described: tuple[dict[str, Any], ...]
    findings: Findings

    @cached_property
    def groups(self) -> dict[tuple[str, Split | None], list[Rated]]:
        """Rated media by data set and part."""
        found: dict[tuple[str, Split | None], list[Rated]] = {}
        for one in self.rated:
            found.setdefault((one.source, one.part), []).append(one)
        return found

    def count(self, kind: Kind) -> int:
        """Return how many there are of a kind."""
        return len(getattr(self, kind))


def part_of(path: Path) -> Split:
    """Return the part that a pristine photo or clip belongs to, by its name alone: 80 % train, 10 % val, 10 % test.

    All distorted versions of it are in the same part, in every set that is built.
    """
    share = int.from_bytes(hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).digest()[:4], "big") / 2**32
    return "test" if share < TEST_SHARE else "val" if share < TEST_SHARE + VAL_SHARE else "train"


def part_named(text: str | None) -> Split | None:
    """Return a part by its name.

    Raises:
        UsageError: There is none of this name.
    """
    named: dict[str | None, Split | None] = {"train": "train", "val": "val", "test": "test", None: None}
    if text in named:
        return named[text]
    raise UsageError(f"part {text!r}", expected="train | val | test")


def open_sources(
    wanted: Iterable[Source],
    *,
    part: Split | None = None,
    columns: Columns | None = None,
    scale: RatingScale | None = None,
    media: bool = True,
) -> Sources:
    """List the files of sources and read their labels.

    Args:
        wanted: The sources.
        part: Only photos, clips and rows of this part; None: all.
        columns: What the columns of a table (kind ``rated``) are.
        scale: What its scores mean.
        media: Whether the media of data sets are looked for; False: their labels are enough, samples name the
            paths and no sizes.

    Raises:
        UsageError: A kind is not known, or a table comes without columns and scale.
        DataError: Label files cannot be read.
    """
    files: dict[str, list[Path]] = {"photos": [], "clips": []}
    rated: list[Rated] = []
    described: list[dict[str, Any]] = []
    findings = Findings()
    for source in wanted:
        labels: list[str] = []
        if source.kind in files:
            found = [path for path in _media(source) if part in (None, part_of(path))]
            files[source.kind] += found
        else:
            rows = _rated(source, columns, scale, findings, media)
            rated += (chosen := [row for row in rows if part in (None, row.part)])
            found, labels = [row.path for row in chosen], [_label(row) for row in chosen]
        described.append(_described(source, found, labels))
    return Sources(tuple(files["photos"]), tuple(files["clips"]), tuple(rated), tuple(described), findings)


def _is_kind(text: str) -> bool:
    from mllmqa.data.registry import data_sets

    return text in ("rated", "photos", "clips") or text in data_sets()


def _kind_of(path: Path) -> str:
    """Tell what a path is: photos or clips by their endings where no label file of a known data set lies there."""
    from mllmqa.data.registry import recognise

    if path.is_file():
        return "rated"
    try:
        return recognise(path).name
    except UsageError as error:
        held = [kind for kind in ("photos", "clips") if any(True for _ in _media(Source(kind, path)))]
        if len(held) == 1:
            return held[0]
        what = "holds photos and clips" if held else "holds no photos, clips or labels that are known"
        hint = f"say which: photos={path} | clips={path} | NAME={path} of `mllmqa data ls`"
        raise UsageError(what, where=path, hint=hint) from error


def _media(source: Source) -> list[Path]:
    """Return the photos or clips in a folder and its folders, links followed, sorted by their path."""
    from mllmqa.errors import MediaNotFoundError
    from mllmqa.media.gather import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, gather

    photos = source.kind == "photos"
    if not source.path.is_dir():
        expected = KINDS["photos" if photos else "clips"]
        raise UsageError("is not a folder", where=source.path, expected=expected)
    endings = IMAGE_EXTENSIONS if photos else VIDEO_EXTENSIONS
    found = []
    for one in gather([str(source.path)]):
        if one.error is not None and not isinstance(one.error, MediaNotFoundError):
            raise one.error  # a folder that may not be read is not an empty one
        path = Path(one.source)
        if path.suffix.lower().lstrip(".") in endings and path.is_file():
            found.append(path)
    return sorted(found)


def _rated(
    source: Source, columns: Columns | None, scale: RatingScale | None, findings: Findings, media: bool
) -> Sequence[Rated]:
    from mllmqa.data.build.opinions import of_data_set, of_table
    from mllmqa.data.registry import data_sets

    if source.kind == "rated":
        if columns is None or scale is None:
            raise UsageError(
                "a table of one's own needs --columns, --direction and --range", where=source.path,
                hint="what scores mean is never guessed",
            )  # fmt: skip
        if not media:
            what = "labels are enough for data sets of `mllmqa data ls` only: what a table's files are, they tell"
            raise UsageError(what, where=source.path, hint="leave out --labels-only")
        return of_table(source.path, columns, scale, findings)
    if source.kind not in data_sets():
        known = ", ".join((*get_args(Kind), "a name of `mllmqa data ls`"))
        raise UsageError(f"source of the kind {source.kind!r}", expected=known)
    return of_data_set(source.path, source.kind, findings, media=media)


def _described(source: Source, files: Sequence[Path], labels: Sequence[str]) -> dict[str, Any]:
    digest = hashlib.sha256()
    root = source.path if source.path.is_dir() else source.path.parent
    for path, label in zip(files, labels or [""] * len(files), strict=True):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        size = path.stat().st_size if path.is_file() else -1
        digest.update(f"{name}\0{size}\0{label}\0".encode("utf-8", "surrogateescape"))
    where = printed(source.path.resolve())
    return {"kind": source.kind, "path": where, "n": len(files), "files_sha256": digest.hexdigest()}


def _label(one: Rated) -> str:
    """Return what a sample takes from a row, as text: other opinions make other samples."""
    row = one.rating
    return repr((row.score, row.std, row.n, row.histogram, one.scale, one.part))
