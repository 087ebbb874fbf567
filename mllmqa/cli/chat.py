"""``mllmqa chat``: a conversation about the quality of files."""

from __future__ import annotations

import functools
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import Without, unfolded
from mllmqa.cli.loading import Loading, LoadingWishes
from mllmqa.cli.options import NAMES
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


@unfolded
def chat(
    *,
    files: _Files = None,
    model: Annotated[
        str | None,
        typer.Option(metavar=NAMES, help="Default: nano, or that of the transcript."),
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
    loading: Loading,
    endpoint: Annotated[EndpointWishes, Without("concurrency", "readout")],
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
    doing = _doing(functools.partial(_load, loading=loading, endpoint=endpoint), max_tokens, plain)
    if replay is None:
        raise typer.Exit(_talk(_session(doing, model or "nano", record, frames), files or []))
    from mllmqa.chatting.replay import first_model

    session = _session(doing, model or first_model(events) or "nano", record, frames)
    raise typer.Exit(_replayed(session, events, change_models=model is None))


def _load(name: str, loading: LoadingWishes, endpoint: EndpointWishes) -> Scorer:
    """Load a model; what is wished of an endpoint is for models behind one, the rest for those on this machine."""
    if name.startswith("api:"):
        return LoadingWishes().load(name, endpoint.options(name))
    return loading.load(name)


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
    for line in spent(session.scorer.backend):
        screen.note(line)
