"""Anchor images: a folder of pictures that inputs are compared with.

``mllmqa anchors select`` writes such a folder: byte-identical copies and ``anchors.json``, which says where they
come from and keeps the preferences among them that models gave. A folder without ``anchors.json`` is taken as it
is: its images in the order of their names (numbers by value), worst first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from mllmqa.errors import DataError, UsageError
from mllmqa.schema import Record
from mllmqa.whole_file import write_whole

log = logging.getLogger(__name__)

FILE = "anchors.json"
Rule = Literal["variance", "middle"]


class AnchorEntry(Record):
    """One anchor, as ``anchors.json`` describes it."""

    file: str = Field(pattern=r"^[^/\\]+$")
    """Name inside the folder."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str
    """Its name in the rated data."""
    score: float
    """Opinion score as in the data; see ``direction``."""
    std: float | None
    """Standard deviation of the opinions, in the same units."""


class Measured(Record):
    """Preferences among the anchors as one model gave them."""

    spec: str
    """Hash of what they depend on: model, prompt, words, temperature, view, anchors."""
    model: str
    matrix: tuple[tuple[float, ...], ...]
    """Row over column, 0..1."""


class AnchorFile(Record):
    """Content of ``anchors.json``; the anchors are listed worst first."""

    version: Literal[1] = 1
    data: str
    """Name of the file with the ratings."""
    data_sha256: str
    n_rated: int
    direction: Literal["mos", "dmos"]
    range: tuple[float, float]
    """Of the rating scale."""
    rule: Rule
    anchors: tuple[AnchorEntry, ...] = Field(min_length=2)
    matrices: tuple[Measured, ...] = ()

    @model_validator(mode="after")
    def _square(self) -> AnchorFile:
        for one in self.matrices:
            if len(one.matrix) != len(self.anchors) or any(len(row) != len(self.anchors) for row in one.matrix):
                raise ValueError(f"the matrix of {one.model} is not {len(self.anchors)} x {len(self.anchors)}")
        return self

    def write(self, folder: Path) -> None:
        """Write ``anchors.json`` into a folder, atomically."""
        write_whole(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")


@dataclass(frozen=True)
class AnchorSet:
    """Anchors, ready to be used.

    Attributes:
        folder: Where they lie.
        paths: Their images, worst first.
        sha256s: Of the encoded bytes of each.
        file: Content of ``anchors.json``; None without one.
    """

    folder: Path
    paths: tuple[Path, ...]
    sha256s: tuple[str, ...]
    file: AnchorFile | None

    @property
    def sha256(self) -> str:
        """Hash of the set: of its images, in order."""
        return hashlib.sha256("\n".join(self.sha256s).encode()).hexdigest()

    def measured(self, spec: str) -> NDArray[np.float64] | None:
        """Return the stored preferences among the anchors for this spec, float64 (n, n), if there are any."""
        stored = AnchorSet.read(self.folder).file if self.file else None
        for one in stored.matrices if stored else ():
            if one.spec == spec:
                return np.array(one.matrix, dtype=np.float64)
        return None

    def store(self, spec: str, model: str, matrix: NDArray[np.float64]) -> None:
        """Add measured preferences to ``anchors.json``, atomically; without such a file nothing is stored."""
        stored = AnchorSet.read(self.folder).file if self.file else None
        if stored is None:
            return
        rows = tuple(tuple(float(p) for p in row) for row in matrix)
        kept = tuple(one for one in stored.matrices if one.spec != spec)
        added = (*kept, Measured(spec=spec, model=model, matrix=rows))
        try:
            stored.model_copy(update={"matrices": added}).write(self.folder)
        except OSError as error:
            log.warning("%s: the measured matrix cannot be stored (%s)", self.folder / FILE, error.strerror)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> AnchorSet:
        """Read a folder of anchors and check its images against their hashes.

        Raises:
            UsageError: No such folder, or fewer than two images in it.
            DataError: ``anchors.json`` is malformed, or a file is missing or changed; names file and field.
        """
        root = Path(folder)
        if not root.is_dir():
            raise UsageError("no such folder of anchors", where=root)
        path = root / FILE
        file = _read(path) if path.is_file() else None
        paths = tuple(root / one.file for one in file.anchors) if file else _images(root)
        if len(paths) < 2:
            raise UsageError(f"{len(paths)} images in it", where=root, expected="at least two anchor images")
        hashes = tuple(sha256_of(one) for one in paths)
        for i, entry in enumerate(file.anchors if file else ()):
            if entry.sha256 != hashes[i]:
                raise DataError(
                    f"field anchors.{i}.sha256: the file {entry.file} has other content", where=path,
                    hint="restore it, or choose the anchors again with `mllmqa anchors select`",
                )  # fmt: skip
        return cls(root, paths, hashes, file)


def _read(path: Path) -> AnchorFile:
    try:
        return AnchorFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise DataError(f"field {field}: {first['msg']}", where=path) from error


def _images(root: Path) -> tuple[Path, ...]:
    from mllmqa.media.gather import IMAGE_EXTENSIONS

    found = [p for p in root.iterdir() if p.suffix.lower().lstrip(".") in IMAGE_EXTENSIONS and p.is_file()]
    shown = sorted((p for p in found if not p.name.startswith(".")), key=_natural)
    return tuple(shown)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that takes digits as numbers: 2.png before 10.png."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
