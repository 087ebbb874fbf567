"""What `mllmqa bench prompts` itself costs per request, against an endpoint on loopback that answers at once.

    python benchmarks/prompt_overhead.py [PICTURES] [SIDE]

The endpoint is a process of its own; CPU time is that of the benchmark's process alone.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Labels, Mos

CONCURRENCY = 32


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Score: 1"}}
    usage = {"prompt_tokens": 100, "completion_tokens": 4}
    body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")
            )
            await reader.readexactly(length)
            writer.write(reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _endpoint(port: multiprocessing.Queue[int]) -> None:
    async def main() -> None:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=1 << 26)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _pictures(folder: Path, n: int, side: int) -> Path:
    rng, made = np.random.default_rng(0), []
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{i}.jpg", quality=80)
        mos = Mos(media="A", value=float(rng.uniform(1, 5)), low=1, high=5, direction="higher-better")
        medium = Medium(key="A", kind="image", path=f"{i}.jpg")
        made.append(Sample(id=str(i), media=(medium,), labels=Labels(mos=(mos,))))
    write_samples(made, folder / "samples.jsonl")
    return folder / "samples.jsonl"


def main() -> None:
    """Run nine modes and print one line."""
    from mllmqa.evaluation.prompting.asking import Asker
    from mllmqa.evaluation.prompting.bench import Design, make
    from mllmqa.evaluation.prompting.items import read_items
    from mllmqa.evaluation.prompting.log import AnswerLog
    from mllmqa.evaluation.prompting.runner import Limits, run
    from mllmqa.loading import load
    from mllmqa.models.api import ApiOptions

    n, side = (int(x) for x in (*sys.argv[1:], "154", "192")[:2])
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_endpoint, args=(port,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = make(read_items(_pictures(folder, n, side)), Design())
        options = ApiOptions(
            base_url=f"http://127.0.0.1:{port.get()}/v1", concurrency=CONCURRENCY, cache=folder, readout="text"
        )
        asker = Asker(load("api:m", options=options), bench.items)
        with AnswerLog(folder / "a.jsonl", bench.head(asker.info)) as log:
            before, cpu = time.perf_counter(), time.process_time()
            run(bench.work, asker, log, Limits(CONCURRENCY), lambda done, total: None)
            wall, cpu = time.perf_counter() - before, time.process_time() - cpu
        size = (folder / "0.jpg").stat().st_size
    server.terminate()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(bench.work)} requests, pictures of {size / 1e3:.0f} kB, concurrency {CONCURRENCY}: "
        f"{1e3 * wall / len(bench.work):.2f} ms wall and {1e3 * cpu / len(bench.work):.2f} ms CPU per request; "
        f"peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
