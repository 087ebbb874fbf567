"""``mllmqa ask`` as a user meets it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mllmqa.asking import Answer
from mllmqa.asking.records import REASONS, Claim, Contradiction
from mllmqa.chatting.loop import Screen
from mllmqa.cli.ask import _show, notes_of
from tests.asking.conftest import Eye
from tests.conftest import Run
from tests.loopback import without_endpoint
from tests.terminal import python_on_a_terminal

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Eye]:
    """Sees fair pictures without distortions, and has nothing to say."""
    without_endpoint(monkeypatch, tmp_path)
    with Eye() as eye:
        eye.says.append("Hm.")
        yield eye


def test_help(run: Run) -> None:
    assert run("ask", "--help").out == (GOLDEN / "help-ask.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("question", "files", "said"),
    [
        ("who is this?", 1, "I only judge the technical quality"),
        ("why is A worse than B?", 1, "only one is given"),
        ("why is A worse than B?", 0, "There is no image or video to look at"),
        ("is C sharp?", 2, "There is no C: given are A and B."),
    ],
)
def test_refusals_load_no_model(question: str, files: int, said: str, run: Run, photo: Path) -> None:
    ran = run("ask", question, *[photo] * files, "--model", "/nowhere")
    assert (ran.code, ran.err) == (1, "")
    assert said in ran.out


def test_a_refusal_as_json_is_the_record(run: Run, photo: Path) -> None:
    ran = run("ask", "who is this?", photo, "--json")
    found = Answer.model_validate_json(ran.out)
    assert (ran.code, found.source, found.reason) == (1, "refusal", "outside")


def test_an_answer_over_an_endpoint(run: Run, server: Eye, photo: Path) -> None:
    ran = run("ask", "how good is it?", photo, "--model", "api:eye", "--base-url", server.url, "--json")
    assert ran.code == 0, ran.err
    found = Answer.model_validate_json(ran.out)
    assert (found.source, found.reason) == ("evidence", "says-nothing")
    assert found.text == "The quality of the image is fair (3.0 of 5)."
    assert json.loads(ran.out)["evidence"]["files"][0]["score"]["provenance"]["model"] == "api:eye"
    assert "requests" in ran.err


def test_people_see_text_and_where_it_comes_from(run: Run, server: Eye, photo: Path) -> None:
    ran = run(
        "ask", "how good is it?", "-", "--model", "api:eye", "--base-url", server.url, stdin=photo.read_bytes()
    )
    assert ran.out == "The quality of the image is fair (3.0 of 5).\n"
    first = ran.err.splitlines()[0]
    assert first.startswith(f"composed of the model's readings ({REASONS['says-nothing']}); confidence 0.95")


def test_a_broken_file_is_a_refusal(run: Run, server: Eye, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    ran = run("ask", "how good is it?", broken, "--model", "api:eye", "--base-url", server.url)
    assert ran.code == 1
    assert f"I cannot look at that: {broken}: is neither an image nor a video" in ran.out


def test_usage(run: Run, photo: Path) -> None:
    ran = run("ask", "which is better?", "-", "-")
    assert (ran.code, "stdin is asked for more than once" in ran.err) == (2, True)
    ran = run("ask", "how good is it?", photo, "--base-url", "http://x")
    assert (ran.code, "options of an endpoint are given" in ran.err) == (2, True)


def test_at_a_terminal_the_text_appears_as_it_is_said_and_over_a_pipe_only_the_answer(
    server: Eye, photo: Path
) -> None:
    server.says.clear()
    server.says.extend(["The quality of A is excellent.", "A is heavily blurred."])
    ask = ["-m", "mllmqa", "ask", "how good is it?", str(photo), "--model", "api:eye", "--base-url", server.url]
    seen = python_on_a_terminal(*ask, "--no-cache", columns=120)
    assert seen.code == 0
    said, told, answer, composed, *held = seen.plain.splitlines()
    assert said == "The quality of A is excellent."
    assert told == "(the text above does not hold; the answer is:)"
    assert answer == "The quality of the image is fair (3.0 of 5)."
    assert composed.startswith("composed of the model's readings")
    assert held[0].startswith("does not hold: ")
    server.says.extend(["The quality of A is excellent.", "A is heavily blurred."])
    assert python_on_a_terminal(*ask, columns=120, pipe_stdout=True).piped == f"{answer}\n"


def test_a_text_that_holds_is_shown_once() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, live=True)
    for piece in ("The quality ", "is fair."):
        screen.piece(piece)
    found = Answer(question="q", text="The quality is fair.", source="model", confidence=0.5)
    assert _show(found, screen, as_json=False) == 0
    assert (out.getvalue(), err.getvalue()) == ("The quality is fair.\n", "confidence 0.50\n")


def test_what_does_not_hold_is_named() -> None:
    claim = Claim(kind="distortion", key="A", category="blur", words="blurred")
    fault = Contradiction(claim=claim, reading="no blur is read", threshold="ABSENT_BELOW")
    found = Answer(question="q", text="t", source="evidence", reason="contradicted", contradictions=(fault,))
    assert notes_of(found)[1:] == ["does not hold: 'blurred': no blur is read"]
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, live=True)
    screen.piece("It is blurred.")
    _show(found, screen, as_json=False)
    assert out.getvalue() == "It is blurred.\nt\n"
    assert err.getvalue().splitlines()[0] == "(the text above does not hold; the answer is:)"


def test_notes_tell_all() -> None:
    one = Answer(question="q", text="t", source="model", regenerated=True, confidence=0.5, notes=("cut off",))
    assert notes_of(one) == ["confidence 0.50; asked twice", "cut off"]
    assert notes_of(Answer(question="q", text="t", source="refusal")) == []


# ------------------------------------------------------------------ JSON by a schema

OWN = {
    "type": "object",
    "properties": {"level": {"enum": ["fair", "good"]}},
    "required": ["level"],
    "additionalProperties": False,
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A schema of one's own."""
    file = tmp_path / "own.json"
    file.write_text(json.dumps(OWN), encoding="utf-8")
    return file


def test_an_object_by_ones_own_schema(run: Run, server: Eye, photo: Path, own: Path) -> None:
    ask = ("ask", "how good is it?", photo, "--model", "api:eye", "--base-url", server.url, "--schema", own)
    server.says.clear()
    server.says += ['{"level": "fair"}', '{"level": "fair"}', "It is fair."]
    ran = run(*ask)
    assert (ran.code, ran.out) == (0, '{"level": "fair"}\n'), ran.err
    record = Answer.model_validate_json(run(*ask, "--json").out)  # from the cache
    assert record.data == {"level": "fair"}
    assert record.held is not None
    assert (record.held.name, record.held.by, record.held.valid) == (str(own), "response_format", True)
    assert len(server.says) == 2


def test_no_answer_by_the_schema_leaves_stdout_empty(run: Run, server: Eye, photo: Path, own: Path) -> None:
    ask = ("ask", "how good is it?", photo, "--model", "api:eye", "--base-url", server.url, "--schema", own)
    ran = run(*ask)  # it says "Hm."
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("No answer by the schema: the answer is no JSON: 'Hm.'")
    ran = run(*ask, "--json")
    assert ran.code == 1
    assert Answer.model_validate_json(ran.out).reason == "unparsed"


def test_the_shipped_schema_is_composed_where_the_model_does_not_follow_it(
    run: Run, server: Eye, photo: Path
) -> None:
    ran = run(
        "ask", "how good is it?", photo, "--model", "api:eye", "--base-url", server.url, "--schema", "verdict"
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out) == {
        "files": {"A": {"level": "fair", "distortions": []}},
        "reason": "The quality of the image is fair (3.0 of 5).",
    }
    first = ran.err.splitlines()[0]
    assert first.startswith(f"composed of the model's readings ({REASONS['unparsed']}); confidence ")
    assert "the answer is no JSON: 'Hm.'" in ran.err


def test_a_refusal_is_no_object(run: Run, photo: Path) -> None:
    ran = run("ask", "who is this?", photo, "--schema", "verdict")
    assert (ran.code, ran.out) == (1, "")
    assert "I only judge the technical quality" in ran.err


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("verdikt", "no schema 'verdikt'; expected verdict, or a JSON file"),
        ('{"type": "object", "oneOf": []}', "decoding cannot be held to the keyword 'oneOf' at the top"),
        ("{", "the schema is no JSON"),
    ],
)
def test_bad_schemas_are_usage(schema: str, said: str, run: Run, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    if schema.startswith("{"):
        file.write_text(schema, encoding="utf-8")
        schema = str(file)
    ran = run("ask", "how good is it?", photo, "--model", "/nowhere", "--schema", schema)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
