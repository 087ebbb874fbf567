"""`mllmqa build` as a user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.data.build.built_here import ONE, left_out, photos, recipe, samples, shown, table, tree
from tests.data.build.test_build_opinions import biq

GOLDEN = Path(__file__).parents[1] / "golden"
BIG = ONE.replace("48", "64")


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("build", "--help").out == (GOLDEN / "help-build.txt").read_text(encoding="utf-8")


def test_recipes_are_listed(run: Run) -> None:
    done = run("build", "--list")
    assert done.code == 0 and not done.err
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert {"qalign", "depictqa"} <= set(lines)
    assert "from photos" in lines["depictqa"] and '{"short_px": 224}' in lines["depictqa"]
    assert "from rated" in lines["qalign"]


def test_a_set_from_photos_with_exports(run: Run, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 3, width=120, height=100), tmp_path / "out"
    command = ("build", "depictqa", "short_px=64", "--src", f"photos={source}", "--out", out, "--n", 4, "--seed", 5)
    done = run(*command, "--format", "llava", "--format", "messages")
    assert done.code in (0, 1), done.err
    assert done.out == f"{out / 'samples.jsonl'}\n"
    assert f"mllmqa: {source}: 3 of the kind photos" in done.err
    assert f"mllmqa: {out / 'llava.json'}: 4 samples; llava does not hold" in done.err
    assert "mllmqa: 4 samples (" in done.err
    found = samples(out)
    assert len(found) == 4 and all(sample.id.startswith("depictqa-5-") for sample in found)
    assert json.loads((out / "build.json").read_text(encoding="utf-8"))["options"] == {"short_px": 64}
    assert len(json.loads((out / "llava.json").read_text(encoding="utf-8"))) == 4


def test_unreadable_photos_are_left_out_counted_and_named_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    source = photos(tmp_path / "in", 4, width=120, height=100)
    whole = (source / "photo 00.png").read_bytes()
    (source / "cut.png").write_bytes(whole[: len(whole) // 2])
    (source / "text.jpg").write_text("this is a text\n" * 40, encoding="utf-8")
    (source / "empty.png").touch()
    (source / os.fsdecode(b"caf\xe9 \xe2\x80\xa8.png")).write_text("no picture", encoding="utf-8")
    photos(tmp_path / "small", 1, width=60, height=40)
    (tmp_path / "small" / "photo 00.png").rename(source / "small.png")
    done = run("build", recipe(tmp_path, BIG), "--src", f"photos={source}", "--out", tmp_path / "out", "--n", 40)
    assert done.code == 1
    assert len(samples(tmp_path / "out")) == 40
    gone = left_out(tmp_path / "out")
    named = " ".join(one["message"] for one in gone)
    for name in ("cut.png", "text.jpg", "empty.png", "small.png", "caf"):
        assert name in named
    total = sum(int(line.split()[1]) for line in done.err.splitlines() if line.endswith("; see left_out.jsonl"))
    assert total == len(gone)
    assert {one["reason"] for one in gone} >= {"corrupt", "unknown-format", "data"}


def test_a_table_of_ones_own(run: Run, tmp_path: Path) -> None:
    rows = [("a.png", 30), ("b.png", "nan"), ("c.png", 130), ("missing.png", 5), ("a.png", 3), ("d.png", 90.5)]
    path, out = table(tmp_path / "t", rows, "file,dmos"), tmp_path / "out"
    options = ("--columns", "path=file,score=dmos", "--direction", "dmos", "--range", "0:100")
    done = run("build", "qalign", "--src", f"rated={path}", "--out", out, *options)
    assert done.code == 1
    for kind in ("not-a-number", "off-scale", "missing-media", "duplicate"):
        assert f"mllmqa: wrong: 1 × {kind}, first {path}, line" in done.err
    words = {Path(s.media[0].path or "").name: s.labels.levels[0].word for s in samples(out)}
    assert words == {"a.png": "good", "d.png": "bad"}  # a low DMOS is good
    assert {sample.labels.mos[0].direction for sample in samples(out)} == {"lower-better"}
    assert all((out / one).is_file() for one in shown(out))


def test_parts_of_a_data_set_and_of_photos(run: Run, tmp_path: Path) -> None:
    root = biq(tmp_path / "b")
    for part, first in (("train", "Train"), ("test", "Test")):
        out = tmp_path / part
        assert run("build", "qalign", "--src", f"biq2021={root}", "--out", out, "--part", part).code == 0
        assert len(samples(out)) == 6
        assert all(s.split == part and Path(s.media[0].path or "").name.startswith(first) for s in samples(out))
    none = run("build", "qalign", "--src", f"biq2021={root}", "--out", tmp_path / "val", "--part", "val")
    assert none.code == 2
    message = (
        "mllmqa: qalign needs rated of the part val; expected --src a data set with opinion scores, or a table"
    )
    assert none.err.splitlines()[-1].startswith(message)
    source = photos(tmp_path / "in", 30, width=64, height=64)
    used = {}
    for part in ("train", "val", "test"):
        out = tmp_path / f"photos-{part}"
        run("build", recipe(tmp_path, ONE), "--src", f"photos={source}", "--out", out, "--part", part, "--n", 30)
        assert {sample.split for sample in samples(out)} == {part}
        used[part] = {sample.source for sample in samples(out)}
    assert not used["train"] & used["val"] and not used["train"] & used["test"] and not used["val"] & used["test"]


def test_labels_are_enough(run: Run, tmp_path: Path) -> None:
    root, out = biq(tmp_path / "b"), tmp_path / "out"
    for path in (root / "Images").iterdir():
        path.unlink()
    none = run("build", "qalign", "--src", f"biq2021={root}", "--out", out)
    assert none.code == 2 and "qalign needs rated" in none.err.splitlines()[-1]
    done = run("build", "qalign", "--src", f"biq2021={root}", "--out", out, "--labels-only")
    assert done.code == 0, done.err
    found = samples(out)
    assert len(found) == 12
    assert all(s.media[0].kind == "image" and s.media[0].width is None and s.media[0].sha256 is None for s in found)


def test_resume_and_refusals(run: Run, tmp_path: Path) -> None:
    source, out = photos(tmp_path / "in", 3), tmp_path / "out"
    command = ("build", recipe(tmp_path, ONE), "--src", f"photos={source}", "--out", out)
    assert run(*command, "--n", 3).code == 0
    before = tree(out)
    for more, message in (
        (("--n", 3), f"{out}/samples.jsonl: this file exists already; continue it with --resume, or remove it"),
        (("--n", 3, "--resume", "--seed", 1), f"{out}: was begun with another seed: 0; expected 1; use the same"),
        (("short_px=40", "--n", 3, "--resume"), f"{out}: was begun with another options.short_px: 48; expected 40"),
        (("--n", 2, "--resume"), f"{out}: has 3 samples already; expected --n 3 or more"),
    ):
        done = run(*command, *more)
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith(f"mllmqa: {message}")
        assert tree(out) == before
    done = run(*command, "--n", 5, "--resume")
    assert done.code == 0
    assert "mllmqa: 5 samples, 3 of them already there (identify 2)" in done.err
    again = run(*command, "--n", 5, "--resume")
    assert again.code == 0 and "5 samples, 5 of them already there ()" not in again.err


USAGE = [
    ("", "a recipe, --src and --out are needed; `mllmqa build --list` names the recipes"),
    ("qalign", "a recipe, --src and --out are needed"),
    ("qalgn --src in --out out", "no recipe 'qalgn'; expected coinstruct | "),
    ("depictqa --src in --out out", "depictqa makes as many samples as are wanted; expected --n NUMBER"),
    ("depictqa px=1 --src in --out out", "option 'px=1'; expected short_px=224"),
    ("depictqa --src gone --out out --n 1", "gone: no such source"),
    ("qalign --src photos=in --out out", "qalign needs rated; expected --src a data set with"),
    ("depictqa --src in --out in/out --n 1", "in/out: lies in a source of photos"),
    ("depictqa --src in --out out --n 1 --part all", "part 'all'; expected train | val | test"),
    ("depictqa --src in --out out --n 1 --format x", "no format is called x; expected llava"),
    ("coinstruct --src in --out out --n 1 --format depictqa", "depictqa has 2 slots for media, and samples of"),
    ("qalign --src t/scores.csv --out out", "t/scores.csv: a table of one's own needs --columns, --direction"),
    ("qalign --src t/scores.csv --out out --columns path=file,score=mos", "--columns needs --direction and"),
    ("qalign --src t/scores.csv --out out --direction mos", "--direction and --range belong to --columns"),
    (
        "depictqa --src in --out out --n 1 --columns path=a,score=b --direction mos --range 1:5",
        "--columns belongs to a source rated=TABLE, and there is none",
    ),
    ("own.py --src in --out out --n 1", "own.py, line 2: fails at item 0 (ZeroDivisionError:"),
    ("own.py --src in --out out --n 1 --workers 2", "own.py, line 2: fails at item 0 (ZeroDivisionError:"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_errors_are_one_line(
    arguments: str, message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "in", 1)
    table(tmp_path / "t", [("a.png", 3)])
    own = "from mllmqa.data.build import Recipe\nRECIPE = Recipe('Own', lambda made: 1 / 0, ('photos',))\n"
    recipe(tmp_path, own, "own.py")
    monkeypatch.chdir(tmp_path)
    done = run("build", *arguments.split())
    assert (done.code, done.out) == (2, "")
    wrong = [line for line in done.err.splitlines() if "of the kind" not in line]
    assert len(wrong) == 1 and wrong[0].startswith(f"mllmqa: {message}"), done.err


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_numbers_are_numbers(value: str, run: Run) -> None:
    assert run("build", "depictqa", "--n", value).code == 2


def test_a_run_without_fruit_is_one_line(run: Run, tmp_path: Path) -> None:
    source = photos(tmp_path / "in", 1, width=40, height=40)
    done = run("build", recipe(tmp_path, ONE), "--src", source, "--out", tmp_path / "out", "--n", 2)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("mllmqa: 200 items in a row gave no sample, the last: ")
    assert "photo 00.png: a picture of 40×40 px cannot be shrunk" in done.err


def test_a_format_that_fails_leaves_the_set_and_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    three = (
        "from mllmqa.data.build import Recipe, draw\n\n\ndef item(made):\n    chance = made.chance('plan')\n"
        "    return made.questions(1, ('best_of',), draw.ladder(made.photo(chance), 3, chance))\n\n\n"
        "RECIPE = Recipe('Three', item, ('photos',), options={'short_px': 48})\n"
    )
    out = tmp_path / "out"
    command = ("build", recipe(tmp_path, three), "--src", f"photos={photos(tmp_path / 'in', 2)}", "--out", out)
    done = run(*command, "--n", 2, "--format", "depictqa")
    assert (done.code, done.out) == (2, f"{out / 'samples.jsonl'}\n")
    assert f"{out / 'samples.jsonl'} is complete; for another format repeat the command with --resume" in done.err
    assert len(samples(out)) == 2 and not list(out.glob("*.partial"))
    again = run(*command, "--n", 2, "--resume", "--format", "llava")
    assert again.code == 0 and len(json.loads((out / "llava.json").read_text(encoding="utf-8"))) == 2


def test_rows_without_a_path_are_counted_where_labels_are_enough(run: Run, tmp_path: Path) -> None:
    root = biq(tmp_path / "b")
    (file,) = (one for one in sorted(root.rglob("*.csv")) if "rain" in one.name)
    lines = file.read_text(encoding="utf-8").splitlines()
    name = lines[1].split(",")[0]
    lines[1] = lines[1].replace(name, "", 1)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run("build", "qalign", "--src", f"biq2021={root}", "--out", tmp_path / "out", "--labels-only")
    assert done.code == 1 and len(samples(tmp_path / "out")) == 11
    assert f"mllmqa: wrong: 1 × no-path, first {file}, line 2: field " in done.err
