"""What `mllmqa score` prints: rows on stdout and the rest on stderr, in any width, with and without a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.cli.show import Screen
from mllmqa.schema import FrameScore, Score, read_result
from tests.records_made import scored, unscored
from tests.terminal import Seen, python_on_a_terminal

HEADER = " score    ± std  level                           file"


def screen(*, as_json: bool = False, quiet: bool = False, scale: int = 5) -> Screen:
    return Screen(as_json=as_json, quiet=quiet, scale=scale, total=lambda: None)


def with_std(source: str, value: float, std: float) -> Score:
    return scored(source, value).model_copy(update={"std": std})


def test_a_row_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as shown:
        shown.show(with_std("a.png", 4.2, 0.5))
        shown.show(with_std("b.png", 1.0, 0.0))
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        HEADER,
        "  4.20 ±   0.50   good      " + "█" * 16 + "░" * 4 + "  a.png",
        "  1.00 ±   0.00   bad       " + "░" * 20 + "  b.png",
    ]


def test_the_scale_of_100_moves_value_and_spread_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """1..5 is 0..100: a spread of half a level is 12.5."""
    with screen(scale=100) as shown:
        for value in (1.0, 3.0, 5.0):
            shown.show(with_std("a", value, 0.5))
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[:3] for row in rows] == [[v, "±", "12.50"] for v in ("0.00", "50.00", "100.00")]
    assert [row.count("█") for row in rows] == [0, 10, 20]


@given(value=st.floats(1, 5), std=st.floats(0, 2), scale=st.sampled_from([5, 100]))
def test_rows_line_up_whatever_the_score(value: float, std: float, scale: int) -> None:
    row = screen(scale=scale)._row(value, std, "name").plain
    assert len(row) == len("  4.20 ±   0.50   ") + 10 + 20 + len("  name")
    assert row.count("█") + row.count("░") == 20
    number = float(row[:6])
    assert number == pytest.approx(value if scale == 5 else (value - 1) * 25, abs=0.005 + 1e-9)
    assert row.count("█") == pytest.approx((value - 1) * 5, abs=0.5)


@pytest.mark.parametrize("columns", ["20", "80", "400"])
def test_rows_are_never_wrapped_or_cut(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go to pipes and are cut by `awk`: the width of a terminal plays no part."""
    monkeypatch.setenv("COLUMNS", columns)
    name = "folder with spaces/" + "long" * 60 + ".png"
    with screen() as shown:
        shown.show(scored(name))
        shown.show(unscored(name))
        assert shown.finish(0, 0) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].endswith(f"  {name}")
    assert len(out.splitlines()) == 2
    assert err.splitlines() == [f"unscored: {name}: no such file", "scored 1, unscored 1"]


@pytest.mark.parametrize("name", ["[bold]x[/bold].png", "[/]", ":smile:.png", "a[link=http://x]b.png"])
def test_names_are_text_and_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as shown:
        shown.show(scored(name))
        shown.show(unscored(name))
    out, err = capsys.readouterr()
    assert out.endswith(f"  {name}\n")
    assert err == f"unscored: {name}: no such file\n"


def test_a_message_that_does_not_name_its_input_gets_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as shown:
        shown.show(unscored("a.png").model_copy(update={"message": "out of memory"}))
        shown.show(unscored("b.png"))
    assert capsys.readouterr().err.splitlines() == [
        "unscored: a.png: out of memory",
        "unscored: b.png: no such file",
    ]


def test_frames_stand_below_their_clip(capsys: pytest.CaptureFixture[str]) -> None:
    base = scored("clip.mp4", 3.5)
    frames = tuple(
        FrameScore(value=value, std=0.25, levels=base.levels, coverage=1, timestamp_s=t)
        for value, t in ((2.0, 0.0), (5.0, 1.23456))
    )
    with screen() as shown:
        shown.show(base.model_copy(update={"frames": frames}))
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["3.50", "2.00", "5.00"]
    assert rows[1].endswith("    at 0.000 s")
    assert rows[2].endswith("    at 1.235 s")


def test_json_is_the_records_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    made = [scored("a.png", 2.5), unscored("b.png"), scored("c.png")]
    with screen(as_json=True, scale=100) as shown:
        for one in made:
            shown.show(one)
    out, err = capsys.readouterr()
    assert [read_result(line) for line in out.splitlines()] == made
    assert err == "unscored: b.png: no such file\n"


def test_a_quiet_screen_shows_problems_and_the_sum_only(capsys: pytest.CaptureFixture[str]) -> None:
    with screen(quiet=True) as shown:
        shown.show(scored("a.png"))
        assert shown.finish(0, 0) == 0
    assert capsys.readouterr() == ("", "scored 1, unscored 0\n")


@pytest.mark.parametrize(
    ("good", "bad", "already", "already_bad", "code", "line"),
    [
        (1, 0, 0, 0, 0, ""),  # one input, scored: its row says all
        (0, 1, 0, 0, 1, "scored 0, unscored 1"),
        (2, 0, 0, 0, 0, "scored 2, unscored 0"),
        (2, 1, 0, 0, 1, "scored 2, unscored 1"),
        (0, 0, 5, 0, 0, "scored 0, unscored 0, 5 already in the file"),
        (0, 0, 5, 2, 1, "scored 0, unscored 0, 5 already in the file (2 of them unscored)"),
        (3, 0, 5, 1, 1, "scored 3, unscored 0, 5 already in the file (1 of them unscored)"),
    ],
)
def test_the_sum_and_the_exit_code(
    good: int, bad: int, already: int, already_bad: int, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with screen() as shown:
        for number in range(good):
            shown.show(scored(f"{number}.png"))
        for number in range(bad):
            shown.show(unscored(f"{number}.jpg"))
        capsys.readouterr()
        assert shown.finish(already, already_bad) == code
    assert capsys.readouterr().err.strip() == line
    assert (shown.scored, shown.unscored) == (good, bad)


SCRIPT = """
from mllmqa.cli.show import Screen
from tests.records_made import scored, unscored
with Screen(as_json={as_json}, quiet=False, scale=5, total=lambda: {total}) as shown:
    for number in range(3):
        shown.show(scored(f"picture-{{number}}.png", 1 + 2 * number))
    shown.show(unscored("lost.png"))
raise SystemExit(shown.finish(0, 0))
"""


def on_a_terminal(columns: int, total: object, *, as_json: bool = False, pipe_stdout: bool = False) -> Seen:
    script = SCRIPT.format(total=total, as_json=as_json)
    seen = python_on_a_terminal("-c", script, columns=columns, pipe_stdout=pipe_stdout)
    assert seen.code == 1, seen.terminal
    return seen


@pytest.mark.parametrize("columns", [30, 200])
def test_on_a_terminal_there_is_a_bar_and_every_row_is_whole(columns: int) -> None:
    seen = on_a_terminal(columns, 4)
    assert "scoring" in seen.plain
    for number in range(3):
        assert f"picture-{number}.png" in seen.plain
    assert "unscored: lost.png: no such file" in seen.plain
    assert "\x1b[?25h" in seen.terminal.rpartition("\x1b[?25l")[2]  # the cursor comes back
    assert seen.plain.splitlines()[-1].endswith("scored 3, unscored 1")


def test_a_single_input_needs_no_bar() -> None:
    assert "scoring" not in on_a_terminal(80, 1).terminal


def test_rows_in_a_pipe_have_no_colours_beside_a_bar_on_the_terminal() -> None:
    seen = on_a_terminal(80, 4, pipe_stdout=True)
    assert [line.split()[-1] for line in seen.piped.splitlines()] == [
        "file",
        *(f"picture-{i}.png" for i in range(3)),
    ]
    assert "\x1b" not in seen.piped
    assert "picture-0" not in seen.plain


def test_json_in_a_pipe_is_whole_beside_a_bar_on_the_terminal() -> None:
    seen = on_a_terminal(80, 4, pipe_stdout=True, as_json=True)
    sources = [read_result(line).source for line in seen.piped.splitlines()]
    assert sources == [*(f"picture-{i}.png" for i in range(3)), "lost.png"]
    assert '"schema_version"' not in seen.plain


def test_a_score_that_was_read_in_another_way_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    usual = scored("a.png")
    made = usual.provenance.model_copy(update={"readout": "logprobs:prefilled"})
    with screen() as shown:
        for readout in ("logprobs", "text"):
            shown.show(usual.model_copy(update={"readout": readout, "provenance": made}))
        shown.note("endpoint: 2 answers paid for")
    out, err = capsys.readouterr()
    assert [line.split("  ")[-1] for line in out.splitlines()[1:]] == ["a.png", "(read from text, not logprobs)"]
    assert err == "endpoint: 2 answers paid for\n"
