"""What is shown of many inputs: kept up to a size, made again, never mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.comparing.asking import Asker
from mllmqa.comparing.shelf import Shelf
from mllmqa.errors import MediaCorruptError, MediaNotFoundError
from mllmqa.prepare import Prepared, Refused
from mllmqa.scoring import Input
from tests.observer import Observer, comparing, grey

PICTURE = 32 * 32 * 3


class Counted:
    """Prepares, and counts how often."""

    def __init__(self) -> None:
        self.asker, self.times = Asker(comparing(Observer())), 0

    def __call__(self, one: Input) -> Prepared | Refused:
        self.times += 1
        return next(self.asker.prepare([one], 1))


@pytest.fixture
def sources(tmp_path: Path) -> list[Input]:
    for level in range(4):
        Image.fromarray(grey(50 * level)).save(tmp_path / f"{level}.png")
    return [Input.of(str(tmp_path / f"{level}.png")) for level in range(4)]


def filled(sources: list[Input], make: Counted, size: int) -> Shelf:
    shelf = Shelf(make, size)
    for key, source in enumerate(sources):
        ready = make(source)
        assert isinstance(ready, Prepared)
        shelf.put(key, source, ready)
    make.times = 0
    return shelf


@pytest.mark.parametrize(("size", "again"), [(4 * PICTURE, 0), (2 * PICTURE, 4), (1, 4)])
def test_what_was_dropped_is_made_again(sources: list[Input], size: int, again: int) -> None:
    make = Counted()
    shelf = filled(sources, make, size)
    for key in range(4):
        assert int(shelf.get(key).requests[0].images[0].mean()) == 50 * key
    assert make.times == again
    shelf.get(3)
    assert make.times == again  # the last one used is still there


def test_streams_are_never_dropped() -> None:
    make = Counted()
    inputs = [Input(np.full((32, 32, 3), 60 * k, np.uint8), f"<array {k}>") for k in range(3)]
    shelf = filled(inputs, make, 1)
    assert [int(shelf.get(k).requests[0].images[0].mean()) for k in range(3)] == [0, 60, 120]
    assert make.times == 0


def test_a_file_that_is_gone_or_another_one_now_is_an_error(sources: list[Input]) -> None:
    shelf = filled(sources, Counted(), 1)
    Image.fromarray(grey(99)).save(str(sources[0].source))
    with pytest.raises(MediaCorruptError, match=r"0\.png: changed while it was compared"):
        shelf.get(0)
    Path(str(sources[1].source)).unlink()
    with pytest.raises(MediaNotFoundError):
        shelf.get(1)
