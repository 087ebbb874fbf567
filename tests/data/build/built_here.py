"""What the tests of builds share: photos, clips, tables and recipes, made small, and folders compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mllmqa.data.build import Order, Source, load_recipe, open_sources
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import read_samples
from tests.conftest import photo_pixels
from tests.media.made import make_video

MOS = RatingScale("mos", 1.0, 5.0)
COLUMNS = Columns(path="file", score="mos")

MANY = """
import os, signal
from mllmqa.data.build import Item, Recipe, draw
from mllmqa.errors import DataError

KILL = os.environ.get("TEST_KILL", "")  # ITEM:early, ITEM:late, ITEM:parent


def item(made):
    at, _, how = KILL.partition(":")
    if at == str(made.number) and how == "early":
        os.kill(os.getpid(), signal.SIGKILL)
    chance = made.chance("plan")
    pristine = made.photo(chance)
    if chance.random() < 0.25:
        made.sample("identify", draw.one(pristine, chance))
        raise DataError("drawn to be left out", where=pristine.path.name)
    found = [made.sample("identify", draw.one(pristine, chance)) for _ in range(int(chance.integers(1, 4)))]
    a, b = draw.ladder(pristine, 2, chance)
    found.append(made.sample("rate", a, b, reference=pristine, preference=draw.preferred(a, b)))
    if at == str(made.number) and how != "early":
        os.kill(os.getppid() if how == "parent" else os.getpid(), signal.SIGKILL)
    return found


RECIPE = Recipe("Several samples of an item, some items left out", item, ("photos",), options={"short_px": 48})
"""
"""A recipe that tries what is hard to continue; it kills its process where a test wants it."""

ONE = """
from mllmqa.data.build import Item, Recipe


def item(made: Item):
    return [made.sample("identify", made.photo(made.chance("plan")))]


RECIPE = Recipe("One clean photo", item, ("photos",), options={"short_px": 48})
"""


CLIPS = """
from mllmqa.data.build import Item, Recipe
from mllmqa.data.video_distortions import Step


def item(made: Item):
    chance = made.chance("plan")
    pristine = made.video(chance, 1.5)
    worse = pristine.distorted([Step("flicker", int(chance.integers(3, 6)), (0.2, 1.0))], chance)
    noisy = worse.lifted("noise_impulse", 3, chance, None)
    return [made.sample("identify", noisy, reference=pristine), made.sample("ground", worse)]


RECIPE = Recipe("Flicker and noise", item, ("clips",), options={"short_px": 48})
"""


def photos(folder: Path, count: int = 6, *, width: int = 80, height: int = 60, start: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(start, start + count):
        Image.fromarray(photo_pixels(width, height, seed=k)).save(folder / f"photo {k:02d}.png")
    return folder


def clips(folder: Path, count: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        make_video(folder / f"clip{k}.mp4", 20 + 4 * k)
    return folder


def table(folder: Path, rows: Sequence[Sequence[object]], header: str = "file,mos") -> Path:
    """Write a table with a photo for each row whose first cell names a PNG that is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, (name, *_) in enumerate(rows):
        if not str(name).startswith("missing") and not (folder / str(name)).exists():
            Image.fromarray(photo_pixels(64, 48, seed=k)).save(folder / str(name))
    path = folder / "scores.csv"
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def recipe(folder: Path, text: str = MANY, name: str = "many.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def order(name: str | Path, out: Path, sources: Sequence[Source], n: int | None = None, **more: Any) -> Order:
    """An order with the recipe's own options, except those of ``options``."""
    options = {**load_recipe(str(name)).recipe.options, **more.pop("options", {})}
    opened = open_sources(sources, **more.pop("opened", {}))
    return Order(str(name), opened, out, n, more.pop("seed", 0), options, **more)


def tree(folder: Path) -> dict[str, bytes]:
    """Path → content of every file of a set."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def samples(folder: Path) -> list[Sample]:
    return list(read_samples(folder / "samples.jsonl"))


def left_out(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "left_out.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def shown(folder: Path) -> set[str]:
    """Paths of all media that samples of a set show."""
    return {medium.path or "" for sample in samples(folder) for medium in sample.media}


def media(folder: Path) -> set[str]:
    """Paths of all media files of a set."""
    return {path for path in tree(folder) if path.startswith("media/")}
