"""Nine modes over an endpoint on loopback that is busy, cuts connections and declines; killed twice, then resumed.

    python benchmarks/prompt_faults.py [PICTURES] [KILLS]

The command is the one that users type, in a process of its own each time, and is killed by SIGKILL in the middle.
The endpoint keeps the account: it charges each answer once per idempotency key, also one whose connection it cuts,
and nothing that it turns away. Then the same plan is run without faults and kills: both reports must be the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prompt_overhead import _pictures

CONCURRENCY = 8
BEARS = 5
"""Calls at the same time beyond which the endpoint answers 429."""

LATENCY_S = 0.02
FAULTS = {"429": 40, "503": 20, "cut": 20, "half": 20}
"""Of 256 questions, so many meet this at their first try; cuts come before the answer and in the middle of it."""

DECLINED, GARBLED = 12, 6
"""Of 256 questions, so many are declined, and answered without a score."""


@dataclass
class Account:
    """What the endpoint saw and charged for.

    Attributes:
        faulty: Whether faults are injected.
        charged: Body's hash → when it was charged for, in seconds since 1970.
        turned: Kind of fault → how often.
        most: Calls at the same time.
    """

    faulty: bool = True
    charged: dict[str, list[float]] = field(default_factory=dict)
    turned: Counter[str] = field(default_factory=Counter)
    most: int = 0
    _at_once: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the calls of one connection, until it is cut."""
        try:
            whole = True
            while whole and (head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")):
                if head.startswith("GET"):
                    writer.write(_reply(200, self._told(faulty="/faulty" in head)))
                    continue
                headers = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in head.split("\r\n")[1:])}
                raw = await reader.readexactly(int(headers["content-length"]))
                if "/chat/completions" not in head:
                    writer.write(_reply(404, {"error": {"message": "no such path"}}))
                    continue
                self._at_once += 1
                self.most = max(self.most, self._at_once)
                try:
                    await asyncio.sleep(LATENCY_S)
                    reply, whole = self._answer(raw, headers["idempotency-key"])
                finally:
                    self._at_once -= 1
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # its client was killed, or has all it wants
        finally:
            writer.close()

    def _answer(self, raw: bytes, key: str) -> tuple[bytes, bool]:
        """Return a reply and whether it is sent as a whole; charge for it unless it is turned away."""
        digest = hashlib.sha256(raw)
        fault = self._fault(digest.digest()) if self.faulty else None
        if fault in ("429", "503"):
            pause = {"Retry-After-Ms": "50"} if digest.digest()[1] % 2 else {}
            return _reply(int(fault), {"error": {"message": "too many requests"}}, pause), True
        if fault == "cut":
            return b"", False
        if key not in self._keys:
            self._keys.add(key)
            self.charged.setdefault(digest.hexdigest(), []).append(time.time())
        whole = _reply(200, _chat(_said(json.loads(raw), digest.digest())))
        return (whole[:-40], False) if fault == "half" else (whole, True)

    def _fault(self, fate: bytes) -> str | None:
        kind = None
        if self._at_once > BEARS:
            kind = "429"
        elif fate not in self._seen:
            self._seen.add(fate)
            place = fate[2]
            for name, share in FAULTS.items():
                if 0 <= place < share:
                    kind = name
                    break
                place -= share
        if kind is not None:
            self.turned[kind] += 1
        return kind

    def _told(self, *, faulty: bool) -> dict[str, Any]:
        """Return what the account shows; begin a new one where faults end."""
        told = {"charged": self.charged, "turned": dict(self.turned), "most": self.most}
        if not faulty:
            self.faulty, self.charged, self.turned, self.most = False, {}, Counter(), 0
        return told


def _said(body: dict[str, Any], fate: bytes) -> str:
    parts = [part for part in body["messages"][0]["content"] if isinstance(part, dict)]
    text = " ".join(part["text"] for part in parts if part["type"] == "text")
    marks = [hashlib.sha256(p["image_url"]["url"].encode()).digest() for p in parts if p["type"] == "image_url"]
    if "Score:" not in text:
        return "Good"  # the probe
    if fate[3] < DECLINED:
        return "I'm sorry, but I can't help with that."
    if fate[3] < DECLINED + GARBLED:
        return "Quite nice."
    if "0 to 100" in text:
        return f"Description: some noise.\nScore: {marks[-1][0] % 101}"
    shape = re.findall(r"<rank>", text)
    if not shape:
        return f"Score: {int(marks[-2] > marks[-1])}"
    shown = marks[-len(shape) :]
    order = sorted(shown)
    return "Score: [" + ", ".join(str(order.index(mark)) for mark in shown) + "]"


def _chat(text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"model": "served", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 4}}


def _reply(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> bytes:
    raw = json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n{more}\r\n"
    return head.encode() + raw


def _endpoint(port: multiprocessing.Queue[int]) -> None:
    async def main() -> None:
        server = await asyncio.start_server(Account().serve, "127.0.0.1", 0, limit=1 << 26)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _account(url: str, path: str = "faulty") -> dict[str, Any]:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/{path}", timeout=60) as answer:  # noqa: S310
        return dict(json.loads(answer.read()))


def _command(arguments: list[str]) -> None:
    """The command line, as ``python -m mllmqa`` runs it."""
    from mllmqa.__main__ import main

    sys.argv = ["mllmqa", *arguments]
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the rest of this process
    sys.exit(main())


def _run(arguments: list[str]) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=_command, args=(arguments,))
    process.start()
    return process  # type: ignore[return-value]


def _killed(arguments: list[str], url: str, after: int) -> float:
    """Kill the command once so many requests were charged for; return when, in seconds since 1970."""
    process = _run(arguments)
    while len(_account(url)["charged"]) < after:
        if process.exitcode is not None:
            raise SystemExit("it was done before it could be killed: more pictures")
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    killed = time.time()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise SystemExit(f"it ended with {process.exitcode} instead of being killed")
    return killed


def main() -> None:
    """Run, kill, resume, compare, and print figures."""
    import mllmqa.cli.bench_prompts  # noqa: F401 - once, for all forked processes
    from mllmqa.evaluation.prompting import asking, bench, estimate, measure, report, runner  # noqa: F401
    from mllmqa.evaluation.prompting.bench import Design, make
    from mllmqa.evaluation.prompting.items import read_items
    from mllmqa.models.api import backend  # noqa: F401

    given = [int(x) for x in sys.argv[1:]]
    n, kills = (given + [20, 2][len(given) :])[:2]
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_endpoint, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _pictures(folder, n, 64)
        plan = len(make(read_items(data), Design()).work)
        general = ["bench", "prompts", "--data", str(data), "--model", "api:m", "--base-url", url]
        general += ["--concurrency", str(CONCURRENCY)]
        rough = [*general, "--out", str(folder / "rough"), "--cache", str(folder / "c1")]
        calm = [*general, "--out", str(folder / "calm"), "--cache", str(folder / "c2")]
        start = time.perf_counter()
        killed = [_killed(rough, url, plan * (k + 1) // (kills + 1)) for k in range(kills)]
        last = _run(rough)
        last.join()
        seen, wall = _account(url), time.perf_counter() - start
        _account(url, "calm")
        whole = _run(calm)
        whole.join()
        names = ("report.json", "report.md", "scores.csv")
        same = all((folder / "rough" / x).read_bytes() == (folder / "calm" / x).read_bytes() for x in names)
    server.terminate()
    _tell(seen, plan, killed, same)
    print(f"{wall:.0f} s with faults and {kills} kills; exit codes {last.exitcode} and {whole.exitcode}")


def _tell(seen: dict[str, Any], plan: int, killed: list[float], same: bool) -> None:
    twice = [times for times in seen["charged"].values() if len(times) > 1]
    late = [times[0] - max((k for k in killed if k < times[1]), default=-math.inf) for times in twice]
    faults = ", ".join(f"{kind} {times}" for kind, times in sorted(seen["turned"].items()))
    print(f"{plan} questions; faults: {faults}; killed {len(killed)} times; at once: {seen['most']} at most")
    span = f"{1e3 * min(late):+.0f} to {1e3 * max(late):+.0f}" if late else ""
    when = f": first {span} ms after a kill, unread or unsynced" if late else ""
    print(f"{len(seen['charged'])} requests charged for (with the probe's), {len(twice)} of them twice{when}")
    print(f"reports the same to the byte: {same}")


if __name__ == "__main__":
    main()
