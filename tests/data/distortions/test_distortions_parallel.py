"""Batches: equal for any number of workers and any order, one result per job, bounded read-ahead."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data import distortions
from mllmqa.data.distortions import Job
from mllmqa.data.streams import stream
from mllmqa.errors import DataError
from tests.conftest import photo_pixels


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for number in range(6):
        path = folder / f"{number}.png"
        Image.fromarray(photo_pixels(96 + number, 64, number)).save(path)
        steps = [[("blur_jitter", 3), ("noise_impulse", 1.5)], [("noise_poisson", 2)], []][number % 3]
        found.append(Job(f"p{number}", path, steps))
    array = photo_pixels(80, 64, 9)
    return [*found, Job("array", array, [("blur_glass", 2)]), Job("again", array, [("blur_glass", 2)])]


def pixels(jobs: list[Job], workers: int, **options: object) -> dict[str, np.ndarray]:
    found = list(distortions.apply_all(jobs, seed=3, workers=workers, **options))
    assert [one.id for one in found] == [job.id for job in jobs]
    return {one.id: one.distorted.pixels for one in found if one.distorted is not None}


def test_workers_and_order_do_not_matter(jobs: list[Job]) -> None:
    alone = pixels(jobs, 1, short_px=48)
    assert len(alone) == len(jobs)
    for other in (pixels(jobs[::-1], 1, short_px=48), pixels(jobs[3:] + jobs[:3], 2, short_px=48)):
        assert alone.keys() == other.keys()
        assert all(np.array_equal(alone[key], other[key]) for key in alone)
    assert not np.array_equal(alone["array"], alone["again"])  # another id, other draws


def test_a_result_is_that_of_its_stream(jobs: list[Job]) -> None:
    made = next(iter(distortions.apply_all(jobs[:1], seed=3, task="rate")))
    source = np.asarray(Image.open(jobs[0].source))
    expected = distortions.apply_many(source, jobs[0].steps, stream(3, "p0", "rate"))
    assert made.distorted is not None
    assert np.array_equal(made.distorted.pixels, expected.pixels)
    assert made.distorted.parameters == expected.parameters
    assert made.reason is None


def test_clean_copies_are_of_the_same_size(jobs: list[Job]) -> None:
    found = pixels(jobs, 1, short_px=48)
    assert {min(one.shape[:2]) for one in found.values()} == {48}
    assert np.array_equal(found["p2"], distortions.to_short_side(np.asarray(Image.open(jobs[2].source)), 48))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_used_gives_a_reason(jobs: list[Job], tmp_path: Path, workers: int) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    bad = [
        Job("missing", tmp_path / "missing.png", []),
        Job("broken", tmp_path / "no.png", []),
        Job("unknown", photo_pixels(64, 64), [("melting", 1)]),
        Job("small", photo_pixels(40, 40), [("pixelate", 1)]),
        jobs[0],
    ]
    found = list(distortions.apply_all(bad, seed=0, workers=workers, short_px=64))
    assert [one.id for one in found] == ["missing", "broken", "unknown", "small", "p0"]
    assert [one.distorted is None for one in found] == [True, True, True, True, False]
    reasons = [one.reason or "" for one in found]
    assert "missing.png" in reasons[0]
    assert "no.png" in reasons[1]
    assert "melting" in reasons[2]
    assert "40×40" in reasons[3]


def test_jobs_are_read_as_results_are_taken(jobs: list[Job]) -> None:
    read = []

    def source() -> Iterator[Job]:
        for number in range(40):
            read.append(number)
            yield Job(str(number), photo_pixels(32, 32), [])

    lazy = distortions.apply_all(source(), seed=0)
    next(lazy)
    assert read == [0]
    read.clear()
    spread = distortions.apply_all(source(), seed=0, workers=2)
    next(spread)
    assert len(read) <= 9
    spread.close()  # stops early without running the rest
    assert len(read) <= 9


def test_workers_are_positive(jobs: list[Job]) -> None:
    with pytest.raises(DataError, match="workers is 0"):
        distortions.apply_all(jobs, seed=0, workers=0)
