"""The ready stages: the values that were published, and that everything they name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mllmqa import resources
from mllmqa.data.build import load_recipe, recipes
from mllmqa.data.registry import data_sets
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.training import stages
from mllmqa.training.launch import deepspeed_file
from mllmqa.training.stage import Lora, Losses, Mix, Optimizer, Stage
from mllmqa.training.templates import load_template

FOLDER = resources.folder("train") / "configs"
ALL = stages.names()
PUBLISHED = (
    "q-align", "one-align", "deqa", "deqa-lora", "compare2score", "depictqa", "q-instruct", "vqa2-1a", "vqa2-1b",
    "vqa2-2", "vqa2-3", "vida", "distil", "qlora-24gb",
)  # fmt: skip


def comment(name: str) -> str:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def test_the_stages_that_the_issue_asks_for_are_there() -> None:
    assert set(PUBLISHED) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_everything_that_a_stage_names_is_there(name: str) -> None:
    stage = stages.read(name)
    assert stage.name == name and stage.title
    if stage.preset is not None:
        assert stage.preset in presets()
    if stage.template is not None:
        load_template(stage.template)
    if stage.deepspeed is not None:
        deepspeed_file(stage.deepspeed)
    if stage.model is not None and not stage.model.startswith("runs/"):
        assert not resolve(stage.model).remote


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_stage_says_how_its_data_are_built_and_where_it_deviates(name: str) -> None:
    text = comment(name)
    base = stages.read(name)
    assert re.search(r"Deviations: ", text) or name in ("vqa2-1b", "distil"), name
    built = re.findall(r"mllmqa build (\w+)", text)
    if name != "deqa-lora":  # its data are those of deqa
        assert built and set(built) <= set(recipes())
    sources = set(re.findall(r"--src (\w[\w-]*)=", text)) - {"photos", "clips", "rated"}
    assert sources <= data_sets().keys()
    assert base.data and all(mix.samples.startswith("data/") for mix in base.data)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_options_in_the_comments_are_those_of_the_recipes(name: str) -> None:
    for recipe, rest in re.findall(r"mllmqa build (\w+) (.*)", comment(name)):
        given = re.findall(r"(?:^| )(\w+=\S+)", re.sub(r"--\S+ \S+", "", rest.split("   ")[0]))
        load_recipe(recipe).recipe.settings([one for one in given if "…" not in one and "(" not in one])


@pytest.mark.parametrize("name", PUBLISHED)
def test_folders_of_data_are_made_by_a_command_that_is_written_somewhere(name: str) -> None:
    said = {folder for each in PUBLISHED for folder in re.findall(r"--out (data/\S+)", comment(each))}
    for mix in stages.read(name).data:
        folder = str(Path(mix.samples).parent)
        stem = re.sub(r"-(koniq10k|spaq|kadid10k|ava|lsvq|livec|live|csiq)$", "", folder)
        assert any(one == folder or one.startswith(f"{stem}-") for one in said), folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("q-align", {"optimizer.rate": 2e-5, "epochs": 3, "batch": 16, "global_batch": 128, "deepspeed": "zero3"}),
        ("q-align", {"optimizer.warmup": 0.03, "optimizer.weight_decay": 0, "media_first": True}),
        ("one-align", {"epochs": 2, "batch": 32, "optimizer.rate": 2e-5, "template": "vicuna-v1"}),
        ("deqa", {"epochs": 3, "batch": 16, "pairs": True, "losses.fidelity.std": "unit"}),
        ("deqa-lora", {"lora.rank": 128, "lora.alpha": 256, "lora.dropout": 0.05, "optimizer.rate": 2e-5}),
        (
            "deqa-lora",
            {"lora.targets": ("q_proj", "v_proj.multiway.1"), "train": {"vision": None, "projector": None}},
        ),
        ("compare2score", {"epochs": 2, "global_batch": 64, "optimizer.rate": 2e-5, "pairs": False}),
        ("depictqa", {"lora.rank": 16, "lora.alpha": 16, "lora.dropout": 0.1, "optimizer.rate": 2e-4}),
        ("depictqa", {"optimizer.betas": (0.9, 0.95), "optimizer.weight_decay": 1e-3, "accumulate": 16}),
        ("depictqa", {"optimizer.schedule": "linear", "optimizer.clip": 1.0, "train": {"projector": None}}),
        ("q-instruct", {"optimizer.rate": 2e-5, "epochs": 1, "batch": 16}),
        ("vqa2-1a", {"train": {"vision": 2e-6, "projector": None}, "optimizer.rate": 1e-5, "accumulate": 2}),
        ("vqa2-1b", {"train": {"motion": None, "motion_projector": None}, "batch": 1}),
        ("vida", {"lora.rank": 64, "lora.alpha": 128, "lora.rate": 1e-4, "global_batch": 128}),
        ("vida", {"train": {"vision": 1e-6, "projector": 1e-5}, "lora.targets": "language"}),
        ("qlora-24gb", {"quantize": "4bit", "deepspeed": None, "lora.rank": 128, "optimizer.rate": 2e-4}),
    ],
)
def test_published_values(name: str, expected: dict[str, Any]) -> None:
    """`facts/scoring.md` §2.5, §3.4, §4; `facts/instruct.md` §1.9, §2.6, §3.1, §3.6."""
    stage = stages.read(name)
    for field, value in expected.items():
        found: Any = stage
        for step in field.split("."):
            found = getattr(found, step)
        assert found == value, field


@pytest.mark.parametrize("name", ["vqa2-2", "vqa2-3"])
def test_later_stages_of_vqa2_train_everything_but_the_embeddings(name: str) -> None:
    stage = stages.read(name)
    assert set(stage.train) == {"vision", "projector", "language", "head", "motion", "motion_projector"}
    assert stage.train["vision"] == 2e-6 and stage.train["language"] is None


def test_deqas_weights_add_up_to_the_published_total() -> None:
    """fidelity + .05 [(CE_A + KL_A) + (CE_B + KL_B)]; ours are means over A and B together."""
    losses = stages.read("deqa").losses
    a, b, between = (0.7, 1.3), (0.9, 0.2), 0.4
    published = between + 0.05 * (sum(a) + sum(b))
    answer, levels = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    weights = losses.weights()
    assert weights["fidelity"] * between + weights["answer"] * answer + weights["levels"] * levels == pytest.approx(
        published
    )
    assert losses.answer is not None and losses.answer.leave_out_level
    assert losses.levels is not None and losses.levels.over == "vocabulary"
    assert losses.fidelity is not None and losses.fidelity.target == "continuous"


def test_the_stages_of_vqa2_follow_one_another() -> None:
    chain = [stages.read(name).model for name in ("vqa2-1b", "vqa2-2", "vqa2-3")]
    assert chain == ["runs/vqa2-1a/model", "runs/vqa2-1b/model", "runs/vqa2-2/model"]


def test_the_documentation_tells_every_stage_and_field() -> None:
    path = Path(__file__).parents[2] / "docs" / "training.md"
    text = path.read_text(encoding="utf-8")
    told = set(re.findall(r"`([\w-]+)`", text))
    assert {one for one in PUBLISHED if not one.startswith("vqa2-")} <= told
    assert Stage.model_fields.keys() <= told
    inner = {*Lora.model_fields, *Losses.model_fields, *Optimizer.model_fields, *Mix.model_fields}
    assert inner <= told
