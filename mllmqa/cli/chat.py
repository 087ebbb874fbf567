"""``mllmqa chat``: a conversation about the quality of files."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mllmqa.cli import endpoint
from mllmqa.errors import MllmqaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllmqa.chatting import Doing, Session
    from mllmqa.chatting.loop import Screen
    from mllmqa.chatting.transcript import Transcript
    from mllmqa.scoring import Scorer

_Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILES]...", help="Images and videos; they become A, B, C …", show_default=False),
]


def chat(
    files: _Files = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="Default: nano, or that of the transcript."),
    ] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="N|RULE", help="Frames of videos. Default: the model's rule.")
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all that happens as lines of JSON, as it happens.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask the questions of a transcript again; show what differs."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="The model's own words: nothing is read first or checked.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, max=8192, help="Greatest length of an answer.")] = 256,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps | balanced")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    quantize: Annotated[str | None, typer.Option(metavar="8bit|4bit", help="Of the language model.")] = None,
    quantize_vision: Annotated[bool, typer.Option("--quantize-vision", help="Of the vision tower, too.")] = False,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as --model.")] = None,
    base_url: endpoint.BaseUrl = None,
    timeout: endpoint.Timeout = None,
    budget: endpoint.Limit = None,
    price: endpoint.PriceOption = None,
    cache: endpoint.CacheFolder = None,
    no_cache: endpoint.NoCache = False,
) -> None:
    """Talk about the quality of images and videos: ask, follow up, score, compare.

    At a terminal: Ctrl-C stops an answer, at the prompt it leaves. Over a pipe: one question or command per line.
    /help lists the commands. Answers rest on the model's readings and are held against them, unless --plain.

    Exit code: 0, 1 something could not be done (over a pipe) or differs (--replay), 2 usage, 130 interrupted.
    """
    from mllmqa.chatting.transcript import Transcript, read_transcript

    if replay is not None and files:
        raise UsageError("a replay has its own files", expected="--replay FILE without others")
    events = [] if replay is None else read_transcript(replay)
    record = Transcript(transcript)
    local = {"device": device, "dtype": dtype, "quantize": (quantize, quantize_vision), "base": base}
    remote = (base_url, timeout, (budget, price), (cache, no_cache))

    def load(name: str) -> Scorer:
        return _load(name, local, remote)

    if replay is not None:
        from mllmqa.chatting.replay import first_model

        session = _session(_doing(load, max_tokens, plain), model or first_model(events) or "nano", record, frames)
        raise typer.Exit(_replayed(session, events, change_models=model is None))
    session = _session(_doing(load, max_tokens, plain), model or "nano", record, frames)
    raise typer.Exit(_talk(session, files or []))


def _load(name: str, local: dict[str, Any], remote: tuple[Any, ...]) -> Scorer:
    """Load a model with the options of the command; those of an endpoint serve models behind one only."""
    from mllmqa.cli.loading import load_model, quantization

    base_url, timeout, spending, cache = remote
    if name.startswith("api:"):
        return load_model(
            name, None, endpoint.endpoint_options(name, base_url, (None, timeout), spending, None, cache)
        )
    how = {"device": local["device"], "dtype": local["dtype"], "quantize": quantization(*local["quantize"])}
    return load_model(name, {"base": local["base"]}, None, **how)


def _doing(load: Callable[[str], Scorer], max_tokens: int, plain: bool) -> Doing:
    from mllmqa.chatting import Doing
    from mllmqa.chatting.grounded import GroundedTalk, compare_files
    from mllmqa.chatting.plain import PlainTalk

    return Doing(PlainTalk() if plain else GroundedTalk(), load, compare_files, max_tokens)


def _session(doing: Doing, model: str, record: Transcript, frames: str | None) -> Session:
    from mllmqa.chatting import Session

    session = Session(doing.load(model), doing, record)
    if frames is not None:
        session.set_frames(frames)
    return session


def _talk(session: Session, files: list[str]) -> int:
    """Run the conversation; return the exit code."""
    from mllmqa.chatting.loop import Loop, Screen, piped, typed

    if sys.stdin is None:
        raise UsageError("stdin is closed", expected="questions, from a terminal or a pipe")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names of files may hold any bytes
    interactive = sys.stdin.isatty()
    screen = Screen(sys.stdout, sys.stderr, live=sys.stdout.isatty())
    loop = Loop(session, screen, interactive=interactive)
    for path in files:
        try:
            screen.note(session.add(path).title)
        except MllmqaError as error:
            loop.fail(f"/add {path}", error)
    if interactive:
        screen.note(f"model {session.scorer.backend.info.model}; /help lists the commands")
    loop.run(typed(screen) if interactive else piped(sys.stdin))
    _spent(session, screen)
    return 1 if loop.failed and not interactive else 0


def _replayed(session: Session, events: Any, *, change_models: bool) -> int:
    from mllmqa.chatting.loop import Screen
    from mllmqa.chatting.replay import replay

    screen = Screen(sys.stdout, sys.stderr, live=False)
    counts = {"same": 0, "differs": 0, "note": 0}
    for step in replay(session, events, change_models=change_models):
        counts[step.status] += 1
        for line in step.lines():
            screen.line(line)
    screen.note(
        f"replayed {counts['same'] + counts['differs']}: {counts['same']} the same, {counts['differs']} differ"
    )
    _spent(session, screen)
    return 1 if counts["differs"] else 0


def _spent(session: Session, screen: Screen) -> None:
    """Say what an endpoint was asked."""
    usage = getattr(session.scorer.backend, "usage", None)
    if usage is not None:
        screen.note(usage.line())
