"""Readers of label tables: the plain one, and those of layouts that need code (MATLAB files, parallel lists)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mllmqa.data.registry.schema import LabelTable, Reader
from mllmqa.data.tables import Line, Table, open_table
from mllmqa.errors import DataError, MissingExtraError

Open = Callable[[Path, LabelTable], AbstractContextManager[Table]]

LIVE_GROUPS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))
"""Folders of LIVE release 2 in the order of its label arrays, with their numbers of images."""
LIVEC_TRAINING = 7
"""The first images of LIVE Challenge, t1 … t7, were shown to train the observers."""


@contextmanager
def _plain(path: Path, table: LabelTable) -> Iterator[Table]:
    with open_table(path, table.form()) as opened:
        yield opened


@contextmanager
def _live(path: Path, _: LabelTable) -> Iterator[Table]:
    """LIVE release 2: ``dmos_new`` (982), ``dmos_std``; names follow from the order, references from another file.

    203 of the 982 rows are undistorted originals with DMOS 0; they are left out. ``orgs`` should mark them, but is
    all zeros with 779 entries in the realigned file, so they are told by the score and, where there is one, the
    deviation.
    """
    arrays = _matlab(path)
    scores = _vector(arrays, ("dmos_new", "dmos"), path)
    stds = _vector(arrays, ("dmos_std",), path) if "dmos_std" in arrays else None
    names = [f"{group}/img{k}.bmp" for group, count in LIVE_GROUPS for k in range(1, count + 1)]
    if len(scores) != len(names) or (stds is not None and len(stds) != len(names)):
        raise DataError(f"{len(scores)} scores", where=path, expected=f"{len(names)} (LIVE release 2)")
    originals = path.with_name("refnames_all.mat")
    references = _vector(_matlab(originals), ("refnames_all",), originals) if originals.is_file() else None
    if references is not None and len(references) != len(names):
        raise DataError(f"{len(references)} names", where=originals, expected=str(len(names)))

    def read() -> Iterator[Line]:
        for k, name in enumerate(names):
            if scores[k] == 0 and (stds is None or stds[k] == 0):
                continue
            std = float(stds[k]) if stds is not None else None
            reference = str(references[k]) if references is not None else None
            cells = {"image": name, "dmos": float(scores[k]), "std": std, "reference": reference}
            yield Line(f"{path}, row {k}", cells)

    yield Table(("image", "dmos", "std", "reference"), str(path), read())


@contextmanager
def _livec(path: Path, _: LabelTable) -> Iterator[Table]:
    """LIVE Challenge: three MATLAB files with one array each; the seven training images are left out."""
    files = {key: path.with_name(f"All{key}_release.mat") for key in ("Images", "MOS", "StdDev")}
    arrays = {key: _vector(_matlab(file), (file.stem,), file) for key, file in files.items()}
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) != 1:
        raise DataError(f"arrays of unequal length: {sizes}", where=path.parent)

    def read() -> Iterator[Line]:
        rows = zip(arrays["Images"], arrays["MOS"], arrays["StdDev"], strict=True)
        for k, (name, score, std) in enumerate(rows):
            if k < LIVEC_TRAINING and str(name).lower().startswith("t"):
                continue
            yield Line(f"{path}, row {k}", {"image": str(name), "mos": float(score), "std": float(std)})

    yield Table(["image", "mos", "std"], str(path), read())


@contextmanager
def _tid(path: Path, table: LabelTable) -> Iterator[Table]:
    """TID2008 and TID2013: scores with names in one file, deviations line by line in ``mos_std.txt``."""
    deviations = path.with_name("mos_std.txt")
    stds: Sequence[str] | None = None
    if deviations.is_file():
        stds = deviations.read_text(encoding="ascii", errors="replace").split()
    with open_table(path, table.form()) as opened:

        def read() -> Iterator[Line]:
            count = 0
            for count, line in enumerate(opened.lines, 1):
                if stds is not None and count > len(stds):
                    break
                yield Line(line.where, {**line.cells, "std": stds[count - 1] if stds else None})
            if stds is not None and count != len(stds):
                raise DataError(
                    f"{len(stds)} deviations", where=deviations, expected=f"one for each line of {path.name}"
                )

        yield Table([*opened.columns, "std"], opened.where, read())


READERS: dict[Reader, Open] = {"table": _plain, "live": _live, "livec": _livec, "tid": _tid}


def _matlab(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise MissingExtraError("scipy", extra="eval", purpose="reading MATLAB files") from error
    try:
        found: dict[str, Any] = loadmat(path, squeeze_me=True, chars_as_strings=True)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    except (MatReadError, ValueError, NotImplementedError, TypeError) as error:
        raise DataError(f"is not a MATLAB file of version 5 ({error})", where=path) from error
    return found


def _vector(arrays: dict[str, Any], names: Sequence[str], path: Path) -> list[Any]:
    for name in names:
        if name in arrays:
            return list(arrays[name].ravel())
    held = ", ".join(sorted(key for key in arrays if not key.startswith("__")))
    raise DataError(f"no array {' or '.join(names)}", where=path, expected=f"one of {held}")
