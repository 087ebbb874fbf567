"""``mllmqa eval`` as a user meets it."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pytest
import yaml

from mllmqa.evaluation.runlog import log_path, read_log
from mllmqa.training.samples import make_smoke_set
from tests.conftest import Run
from tests.pages_read import checked

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def biq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve made-up test photos."""
    return make_smoke_set(tmp_path_factory.mktemp("biq"), seed=5, photos=12, side=64)


@pytest.fixture
def asked(biq: Path, tmp_path: Path) -> list[object]:
    """Options of a small evaluation without a model."""
    return [
        "eval", "--data", f"biq2021={biq}", "--part", "test", "--metric", "constant", "--metric", "sharpness",
        "--metric", "contrast", "--resamples", 200, "--out", tmp_path / "run",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [[], ["run"], ["show"], ["compare"], ["ls"]])
def test_help_is_as_committed(command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    golden = GOLDEN / f"help-{'-'.join(['eval', *command])}.txt"
    assert run("eval", *command, "--help").out == golden.read_text(encoding="utf-8")


def test_a_run_shows_its_figures_and_keeps_log_specification_and_summary(
    run: Run, asked: list[object], tmp_path: Path
) -> None:
    ran = run(*asked, "--by", "level", "--combine", "rank-average")
    assert ran.code == 0, ran.err
    head, *rows = ran.out.splitlines()
    assert head == "biq2021, all: 12 items"
    assert [line.split()[0] for line in rows[1:5]][-1] == "constant"
    assert "biq2021, all, by level" in ran.out
    assert "constant on biq2021: 12 items" in ran.err
    assert "note: constant on biq2021: no SRCC, all 12 scores are 3" in ran.err
    folder = tmp_path / "run"
    assert sorted(path.name for path in folder.iterdir()) == ["log.jsonl", "spec.yaml", "summary.json"]
    assert {row["scorer"] for row in json.loads((folder / "summary.json").read_text())["rows"]} == {
        "constant", "sharpness", "contrast", "rank-average",
    }  # fmt: skip


def test_show_makes_the_same_figures_without_media_or_models(
    run: Run, asked: list[object], tmp_path: Path, biq: Path
) -> None:
    root = Path(shutil.copytree(biq, tmp_path / "biq"))
    asked[2] = f"biq2021={root}"
    first = run(*asked)
    shutil.rmtree(root)
    assert run("eval", "show", tmp_path / "run").out == first.out
    markdown = run("eval", "show", tmp_path / "run", "--markdown", "-").out
    assert "### biq2021, all: 12 items\n\n| scorer | SRCC [95 %] | letters |" in markdown
    found = json.loads(
        run("eval", "show", tmp_path / "run", "--json", "--by", "folder", "--combine", "rank-average").out
    )
    assert found["rows"][0]["groups"]["folder"][0]["name"] == "Images"
    assert run("eval", "show", tmp_path / "run", "--by", "lens").code == 2


def test_show_writes_reports_and_replaces_no_file_of_others(run: Run, asked: list[object], tmp_path: Path) -> None:
    run(*asked)
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    shown = run("eval", "show", tmp_path / "run", "--html", page, "--markdown", text, "--thumbnails", "2")
    assert (shown.code, shown.out) == (0, "")
    assert (
        page.read_text().count("data:image/jpeg") == 4
    )  # two scorers with a curve, the third is constant or folded
    assert text.read_text().startswith("# ")
    page.write_text("mine")
    assert "no page of mllmqa" in run("eval", "show", tmp_path / "run", "--html", page).err
    for wrong in (("--thumbnails", "3"), ("--json", "--html", tmp_path / "n.html")):
        assert run("eval", "show", tmp_path / "run", *wrong).code == 2
    assert "cannot be written" in run("eval", "show", tmp_path / "run", "--markdown", tmp_path / "no" / "r.md").err


def test_a_specification_with_its_data_and_more_scorers(run: Run, biq: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "data: [{name: biq2021, part: test, limit: 5}]\nmetrics: [sharpness]\nfigures: {resamples: 50}\n"
    )
    ran = run("eval", file, "--data", f"biq2021={biq}", "--metric", "entropy", "--out", tmp_path / "run", "--json")
    assert ran.code == 0, ran.err
    assert [row["scorer"] for row in json.loads(ran.out)["rows"]] == ["entropy", "sharpness"][::-1]
    dumped = yaml.safe_load(run("eval", file, "--data", f"biq2021={biq}", "--dump").out)
    assert dumped["data"] == [{"name": "biq2021", "root": str(biq), "part": "test", "limit": 5}]
    assert not (tmp_path / "runs").exists()


def test_unscored_items_give_exit_code_1_and_a_killed_run_goes_on(
    run: Run, asked: list[object], tmp_path: Path
) -> None:
    ran = run(*asked, "--metric", "psnr")  # there are no references
    assert ran.code == 1
    assert "note: psnr on biq2021: no SRCC, 0 scored items are too few, 3 are needed" in ran.err
    path = log_path(tmp_path / "run")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert run(*asked, "--metric", "psnr").code == 2  # without --resume
    again = run(*asked, "--metric", "psnr", "--resume")
    assert (again.code, again.out) == (1, ran.out)


def test_a_model_that_refuses_everything_has_no_srcc_and_every_report_says_so(
    run: Run, biq: Path, tmp_path: Path
) -> None:
    ran = run(
        "eval", "--data", f"biq2021={biq}", "--part", "test", "--model", "fake:refuse=1", "--metric", "sharpness",
        "--resamples", 50, "--out", tmp_path / "run",
    )  # fmt: skip
    assert ran.code == 1
    reason = "no SRCC, 0 scored items are too few, 3 are needed"
    assert reason in ran.err
    assert "12 of 12 unscored (12 api-refused)" in ran.err
    line = next(line for line in ran.out.splitlines() if line.startswith("fake"))
    assert line.split()[1] == "–"
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    assert run("eval", "show", tmp_path / "run", "--html", page, "--markdown", text, "--thumbnails", "0").code == 1
    assert reason in text.read_text(encoding="utf-8")
    assert reason in " ".join(checked(page.read_text(encoding="utf-8")).texts)
    found = json.loads(run("eval", "show", tmp_path / "run", "--json").out)
    row = next(one for one in found["rows"] if one["scorer"].startswith("fake"))
    assert row["srcc"]["value"] is None
    assert (row["n_scored"], row["reasons"]) == (0, {"api-refused": 12})
    assert reason.removeprefix("no SRCC, ") == row["srcc"]["reason"]


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    run: Run, asked: list[object], tmp_path: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))
    try:
        ran = run(*asked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ran.code == 2
    assert "cannot write the results: File too large; continue with --resume" in ran.err.splitlines()[-1]
    assert log_path(tmp_path / "run").stat().st_size == 9000  # the last line is torn
    assert run(*asked, "--resume").code == 0
    log = read_log(tmp_path / "run")
    assert [log.missing(name, "biq2021") for name in log.scorers] == [[], [], []]


def test_predictions_of_others_beside_metrics(run: Run, asked: list[object], biq: Path, tmp_path: Path) -> None:
    rows = (biq / "Test (Images and MOS).csv").read_text().splitlines()[1:]
    lines = [f"somewhere/{name},{-float(mos)}" for name, mos in (row.split(",") for row in rows[:10])]
    table = tmp_path / "theirs.csv"
    table.write_text("\n".join(["image,score", *lines, "stranger.jpg,1"]) + "\n")
    ran = run(*asked, "--predictions", table)
    assert ran.code == 1
    assert "theirs: 1 of 11 rows are no item of biq2021, e.g. 'stranger.jpg' (matched by file name)" in ran.err
    assert "note: theirs on biq2021: inverted, SRCC is negative" in ran.err
    assert "note: theirs on biq2021: 2 of 12 unscored (2 no-prediction)" in ran.err
    stated = run(*asked[:-1], tmp_path / "other", "--predictions", table, "--lower-better", "theirs")
    line = next(line for line in stated.out.splitlines() if line.startswith("theirs"))
    assert line.split()[1] == "1.000"
    assert "inverted" not in stated.err.replace("theirs", "")


def test_runs_and_their_scorers_are_compared(run: Run, asked: list[object], tmp_path: Path) -> None:
    run(*asked)
    ran = run("eval", "compare", tmp_path / "run", "--resamples", 100)
    assert ran.code == 0, ran.err
    assert [line.split("  ")[0] for line in ran.out.splitlines()[2:5]] == [
        "constant – sharpness", "constant – contrast", "sharpness – contrast",
    ]  # fmt: skip
    items = run("eval", "compare", tmp_path / "run", "--a", "sharpness", "--b", "contrast", "--items")
    assert items.out.count("opinion") == 6
    two = run(
        "eval", "compare", tmp_path / "run", tmp_path / "run", "--json", "--statistic", "plcc", "--resamples", 9
    )
    pairs = [json.loads(line) for line in two.out.splitlines()]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [
        (name, name) for name in ("constant", "sharpness", "contrast")
    ]
    assert pairs[1]["difference"] == 0


def test_the_shipped_specifications_are_listed(run: Run) -> None:
    names = [line.split()[0] for line in run("eval", "ls").out.splitlines()]
    assert {"biq2021", "kadid10k"} <= set(names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nosuch"], "no specification 'nosuch'"),
        (["--data", "x"], "no label file of a known data set"),
        (["--metric", "psnr"], "data: Tuple should have at least 1 item"),
        (["--data", "a=/x", "--metric", "nosuch"], "no metric 'nosuch'"),
        (["show", "nowhere"], "no log of an evaluation"),
        (["compare", "nowhere"], "no log of an evaluation"),
    ],
)
def test_wrong_calls_are_one_line(
    options: list[str], words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("eval", *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_statistic_that_is_none(run: Run, tmp_path: Path) -> None:
    ran = run("eval", "compare", tmp_path, "--statistic", "rmse")
    assert (ran.code, ran.err) == (2, "mllmqa: --statistic rmse; expected srcc | plcc\n")
