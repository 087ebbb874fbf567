"""A set of pictures distorted by several processes; the result depends neither on their number nor on the order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from mllmqa.data.distortions.base import Distorted, Pixels, opencv
from mllmqa.data.distortions.engine import apply_many
from mllmqa.data.distortions.size import to_short_side
from mllmqa.data.streams import stream
from mllmqa.errors import DataError, MediaError, error_line


@dataclass(frozen=True)
class Job:
    """One picture to distort.

    Attributes:
        id: Name of the sample; with the seed and the task it fixes all draws.
        source: A file, or (H, W, 3) uint8 RGB.
        steps: (name, severity), applied one after the other; none for a clean copy.
    """

    id: str
    source: Path | Pixels
    steps: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Made:
    """What became of a job: exactly one of `distorted` and `reason` is there."""

    id: str
    distorted: Distorted | None
    reason: str | None


def make(job: Job, *, seed: int, task: str, short_px: int | None) -> Made:
    """One job. A picture or a step that cannot be used gives a reason; other errors are raised."""
    try:
        pixels = _read(job.source) if isinstance(job.source, Path) else job.source
        if short_px is not None:
            pixels = to_short_side(pixels, short_px)
        return Made(job.id, apply_many(pixels, job.steps, stream(seed, job.id, task)), None)
    except (MediaError, DataError) as error:
        return Made(job.id, None, error_line(error))


def apply_all(
    jobs: Iterable[Job],
    *,
    seed: int,
    task: str = "distort",
    workers: int = 1,
    short_px: int | None = None,
) -> Iterator[Made]:
    """Distort many pictures; one `Made` per job, in the order of the jobs.

    A result is a function of (job, seed, task, short_px): not of `workers`, of the other jobs or of their order.
    At most four jobs per worker are held at a time, so that memory is constant.

    Args:
        jobs: Read as results are taken.
        seed: Root seed.
        task: Name of the child streams.
        workers: Processes; 1 works in this one. More are spawned, so that a script needs its
            ``if __name__ == "__main__"``.
        short_px: Bring all pictures to this short side first, clean ones included; None leaves their sizes.

    Raises:
        DataError: `workers` is not positive.
    """
    if workers < 1:
        raise DataError(f"workers is {workers}", expected="1 or more")
    work = partial(make, seed=seed, task=task, short_px=short_px)
    return map(work, jobs) if workers == 1 else _spread(jobs, work, workers)


def _spread(jobs: Iterable[Job], work: Callable[[Job], Made], workers: int) -> Iterator[Made]:
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Made]] = deque()
    source = iter(jobs)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        try:
            waiting.extend(pool.submit(work, job) for job in islice(source, 4 * workers))
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(work, job) for job in islice(source, 1))
                yield made
        finally:
            for future in waiting:
                future.cancel()


def _one_thread() -> None:
    if find_spec("cv2"):  # without it, the first operation says which extra is missing
        opencv().setNumThreads(1)


def _read(path: Path) -> Pixels:
    from mllmqa.media import decode_image, open_media

    return decode_image(open_media(path))
