"""Stages by name or file, what they extend, and settings from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.training import stages
from mllmqa.training.stage import Answer, Fidelity, Mix

BASE = """
title: base
model: nano
data: [{samples: a.jsonl}]
train: {vision: 2e-6, head: null}
losses: {answer: 1.0, fidelity: 5e-1}
optimizer: {rate: 2e-5, betas: [0.9, 0.95]}
lora: null
batch: 4
"""


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def base(tmp_path: Path) -> str:
    return written(tmp_path, "base.yaml", BASE)


def test_a_file_is_named_after_itself_and_reads_numbers_with_exponents(base: str) -> None:
    stage = stages.read(base)
    assert (stage.name, stage.optimizer.rate, stage.train) == ("base", 2e-5, {"vision": 2e-6, "head": None})
    assert stage.losses.fidelity == Fidelity(weight=0.5)


@pytest.mark.parametrize(
    ("setting", "where", "expected"),
    [
        ("batch=8", "batch", 8),
        ("optimizer.rate=1e-3", "optimizer.rate", 1e-3),
        ("optimizer.betas=[0.8, 9e-1]", "optimizer.betas", (0.8, 0.9)),
        ("train.vision=1e-6", "train.vision", 1e-6),
        ("train.head=null", "train.head", None),
        ("train={projector: null}", "train", {"projector": None}),
        ("losses.answer.per=sample", "losses.answer", Answer(weight=1.0, per="sample")),
        ("losses.fidelity.std=predicted", "losses.fidelity", Fidelity(weight=0.5, std="predicted")),
        ("losses.emd=0.1", "losses.emd.weight", 0.1),
        ("lora.rank=8", "lora.rank", 8),
        ("data=x.jsonl", "data", (Mix(samples="x.jsonl"),)),
        ("data=x.jsonl,y.jsonl", "data", (Mix(samples="x.jsonl"), Mix(samples="y.jsonl"))),
        ("data.0.weight=2", "data.0", Mix(samples="a.jsonl", weight=2)),
        ("data.0.tasks=level", "data.0.tasks", ("level",)),
        ("evaluate=v.jsonl", "evaluate", (Mix(samples="v.jsonl"),)),
        ("model=a=b", "model", "a=b"),
        ("report_to=none", "report_to", ("none",)),
        ("revision='1234567'", "revision", "1234567"),
        ("revision=12e4567", "revision", "12e4567"),
        ("template=", "template", None),
    ],
)
def test_settings(base: str, setting: str, where: str, expected: Any) -> None:
    value: Any = stages.read(base, [setting])
    for step in where.split("."):
        value = (
            value[int(step)] if step.isdigit() else value[step] if isinstance(value, dict) else getattr(value, step)
        )
    assert value == expected


def test_settings_are_applied_in_their_order(base: str) -> None:
    stage = stages.read(base, ["losses={}", "losses.levels=5e-1", "losses.levels.over=words", "batch=1", "batch=2"])
    assert stage.losses.answer is None and stage.losses.levels is not None
    assert (stage.losses.levels.weight, stage.losses.levels.over, stage.batch) == (0.5, "words", 2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch", "setting 'batch'; expected key=value"),
        ("=3", "setting '=3'; expected key=value"),
        ("lora..rank=3", "setting 'lora..rank=3'; expected key=value"),
        ("batch={", "setting 'batch={' is no YAML value"),
        ("batch=2024-13-45", "setting 'batch=2024-13-45' is no YAML value"),
        ("data.1.weight=2", "expected an index from 0 to 0 in place of '1'"),
        ("data.first.weight=2", "expected an index from 0 to 0 in place of 'first'"),
        ("optimizer.betas.0.x=1", "what is there has no parts"),
        ("extends=deqa", "expected the stage itself in place of what it shall extend"),
        ("bach=2", "base.yaml: bach: Extra inputs are not permitted"),
        ("train={}", "base.yaml: stage: trains nothing"),
        ("revision=1234567", "base.yaml: revision: Input should be a valid string"),
        ("optimizer.rate=fast", "base.yaml: optimizer.rate: Input should be a valid number"),
        (f"batch={'9' * 5000}", "is no YAML value"),
        ("batch=" + "[" * 3000, "is no YAML value"),
    ],
)
def test_settings_that_are_refused(base: str, setting: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        stages.read(base, [setting])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_a_stage_extends_is_merged_but_for_parts_and_losses(tmp_path: Path, base: str) -> None:
    path = written(
        tmp_path, "over.yaml",
        "extends: base\ntitle: over\ntrain: {head: null}\nlosses: {answer: 2}\n"
        "optimizer: {rate: 1e-3}\nlora: {rank: 4}\n",
    )  # fmt: skip
    stage = stages.read(path)
    assert (stage.name, stage.title, stage.model, stage.batch) == ("over", "over", "nano", 4)
    assert stage.train == {"head": None}, "which parts are trained is one choice"
    assert stage.losses.weights() == {"answer": 2.0}
    assert (stage.optimizer.rate, stage.optimizer.betas) == (1e-3, (0.9, 0.95))
    assert stage.lora is not None and stage.lora.rank == 4
    assert stages.read(base).name == "base"


@pytest.mark.parametrize("base_name", ["sub/base", "sub/base.yaml", "./sub/base.yaml"])
def test_files_are_extended_from_where_they_lie(tmp_path: Path, base_name: str) -> None:
    written(tmp_path, "sub/base.yaml", BASE)
    assert stages.read(written(tmp_path, "over.yaml", f"extends: {base_name}\nbatch: 7\n")).batch == 7


def test_a_file_of_ones_own_extends_a_shipped_stage(tmp_path: Path) -> None:
    stage = stages.read(written(tmp_path, "mine.yaml", "extends: deqa-lora\nlora: {rank: 8}\nbatch: 1\n"))
    assert stage.lora is not None and (stage.lora.rank, stage.lora.alpha) == (8, 256)
    assert stage.name == "mine" and stage.pairs


@pytest.mark.parametrize(
    "chain", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "../here/a"}, {"a": "b.yaml", "b": "./a"}]
)
def test_circles_end(tmp_path: Path, chain: dict[str, str]) -> None:
    for name, of in chain.items():
        written(tmp_path, f"here/{name}.yaml", f"extends: {of}\n")
    with pytest.raises(UsageError, match="extends itself"):
        stages.read(str(tmp_path / "here" / "a.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "is no stage; expected a mapping of fields"),
        ("", "is no stage"),
        ("a: [", "cannot be read as YAML"),
        ("a: 2024-13-45", "cannot be read as YAML"),
        ("a: " + "[" * 3000, "cannot be read as YAML"),
        ("extends: [base]", "extends ['base']; expected the name of a stage"),
        ("extends: nowhere", "no stage 'nowhere'"),
        ("title: t", "optimizer: Field required"),
        ("!!python/object:os.system {}", "cannot be read as YAML"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        stages.read(written(tmp_path, "x.yaml", text))
    assert message in str(raised.value)


def test_binary_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as YAML"):
        stages.read(str(tmp_path / "x.yaml"))
    (tmp_path / "y.yaml").mkdir()
    with pytest.raises(UnknownNameError, match="no such file"):
        stages.read(str(tmp_path / "y.yaml"))


@pytest.mark.parametrize("name", ["nowhere.yaml", "no/where", "x" * 5000 + ".yaml", "a\0b.yaml"])
def test_files_that_are_not_there(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no such file"):
        stages.read(name)


@pytest.mark.parametrize("name", ["deqa-lara", "", "x" * 5000])
def test_unknown_names_list_the_known(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"expected .*deqa-lora \| "):
        stages.read(name)


def test_a_resolved_stage_reads_as_itself(tmp_path: Path) -> None:
    for name in stages.names():
        stage = stages.read(name, ["seed=3"])
        again = stages.read(written(tmp_path, "resolved.yaml", stages.to_yaml(stage)))
        assert again.model_dump(exclude={"extends"}) == stage.model_dump(exclude={"extends"})
        assert stages.digest(again) == stages.digest(stage), "what it extends says nothing more"


def test_the_digest_changes_with_every_field_that_is_said(base: str) -> None:
    digests = {stages.digest(stages.read(base, [s])) for s in ("batch=1", "batch=2", "seed=1", "losses.answer=2")}
    assert len(digests) == 4


def test_nothing_but_stages_is_listed() -> None:
    folder = Path(stages.__file__).parents[2] / "train" / "configs"
    listed = set(stages.names())
    for path in folder.glob("*.yaml") if folder.is_dir() else ():
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert (path.stem in listed) == ("optimizer" in fields or "extends" in fields)
