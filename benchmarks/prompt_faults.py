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
"""Of 256 questions, so many meet this at their first try: busy twice, a cut before and in the middle of the answer."""

DECLINED, GARBLED = 12, 6
"""Of 256 questions, so many are declined, and answered without a score."""


@dataclass
class Account:
    """What the endpoint saw and charged for.

    Attributes:
        faulty: Whether faults are injected.
        charged: Body's hash → times that it was charged for.
        unread: Bodies whose answer was the last of its connection: its client may have died before it read it.
        turned: Kind of fault → how often.
        most: Calls at the same time.
    """

    faulty: bool = True
    charged: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    turned: Counter[str] = field(default_factory=Counter)
    most: int = 0
    _at_once: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the calls of one connection."""
        last = None
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                if head.startswith("GET"):
                    self.faulty = "/faulty" in head
                    writer.write(_reply(200, self.told()))
                    if "calm" in head:
                        self.charged, self.turned, self.unread = Counter(), Counter(), Counter()
                    continue
                headers = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in head.split("\r\n")[1:])}
                raw = await reader.readexactly(int(headers["content-length"]))
                self._at_once += 1
                self.most = max(self.most, self._at_once)
                try:
                    reply, paid = self._answer(raw, headers["idempotency-key"])
                    await asyncio.sleep(LATENCY_S)
                finally:
                    self._at_once -= 1
                last = paid
                writer.write(reply)
                await writer.drain()
                if not reply or len(reply) < 2 or b"Content-Length" not in reply[:200] or paid == "half":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if last is not None:
                self.unread[last] += 1
            writer.close()

    def _answer(self, raw: bytes, key: str) -> tuple[bytes, str | None]:
        """Return a reply, and the hash of its body if it is charged for."""
        digest = hashlib.sha256(raw)
        name, fate = digest.hexdigest(), digest.digest()
        fault = self._fault(fate) if self.faulty else None
        if fault in ("429", "503"):
            pause = {"Retry-After-Ms": "50"} if fate[1] % 2 else {}
            return _reply(int(fault), {"error": {"message": "too many requests"}}, pause), None
        if fault == "cut":
            return b"", None
        if key not in self._keys:
            self._keys.add(key)
            self.charged[name] += 1
        whole = _reply(200, _chat(_said(json.loads(raw), fate)))
        return (whole[: len(whole) - 40], "half") if fault == "half" else (whole, name)

    def _fault(self, fate: bytes) -> str | None:
        kind = None
        if self._at_once > BEARS:
            kind = "429"
        elif fate not in self._seen:
            place, self._seen = fate[2], self._seen | {fate}
            for name, share in FAULTS.items():
                if 0 <= place < share:
                    kind = name
                    break
                place -= share
        if kind is not None:
            self.turned[kind] += 1
        return kind

    def told(self) -> dict[str, Any]:
        """What the account shows."""
        return {
            "charged": dict(self.charged), "unread": dict(self.unread), "turned": dict(self.turned),
            "most": self.most,
        }  # fmt: skip


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


def _killed(arguments: list[str], url: str, after: int) -> int:
    """Kill the command once so many answers were charged for; return how many were."""
    process = _run(arguments)
    while sum(_account(url)["charged"].values()) < after:
        if process.exitcode is not None:
            raise SystemExit("it was done before it could be killed: more pictures")
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    time.sleep(3 * LATENCY_S)  # what was on the wire reaches the account
    return sum(_account(url)["charged"].values())


def main() -> None:
    """Run, kill, resume, compare, and print figures."""
    import mllmqa.cli.bench_prompts  # noqa: F401 - once, for all forked processes
    from mllmqa.evaluation.prompting import asking, bench, estimate, measure, report, runner  # noqa: F401
    from mllmqa.evaluation.prompting.bench import Design, make
    from mllmqa.evaluation.prompting.items import read_items
    from mllmqa.models.api import backend  # noqa: F401

    n, kills = (int(x) for x in (*sys.argv[1:], "20", "2")[:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 2)
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
        at = [_killed(rough, url, plan * (k + 1) // (kills + 1)) for k in range(kills)]
        last = _run(rough)
        last.join()
        seen, wall = _account(url), time.perf_counter() - start
        _account(url, "calm")
        whole = _run(calm)
        whole.join()
        names = ("report.json", "report.md", "scores.csv")
        same = all((folder / "rough" / x).read_bytes() == (folder / "calm" / x).read_bytes() for x in names)
    server.terminate()
    _tell(seen, plan, at, same)
    print(f"{wall:.0f} s with faults and {kills} kills; exit codes {last.exitcode} and {whole.exitcode}")


def _tell(seen: dict[str, Any], plan: int, at: list[int], same: bool) -> None:
    twice = {name: times for name, times in seen["charged"].items() if times > 1}
    on_the_wire = sum(name in seen["unread"] for name in twice)
    faults = ", ".join(f"{kind} {times}" for kind, times in sorted(seen["turned"].items()))
    print(f"{plan} questions; faults: {faults}; killed after {at} paid answers; at once: {seen['most']} at most")
    print(
        f"{len(seen['charged'])} different requests charged for (probe included), {len(twice)} of them twice: "
        f"{on_the_wire} on the wire at a kill, {len(twice) - on_the_wire} otherwise"
    )
    print(f"reports the same to the byte: {same}")


if __name__ == "__main__":
    main()
