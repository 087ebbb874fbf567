"""The schema of a stage: what it takes, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mllmqa.training.stage import PARTS, Emd, Lora, Losses, Mix, Stage, number

LEAST: dict[str, Any] = {
    "name": "s",
    "title": "t",
    "optimizer": {"rate": 1e-4},
    "batch": 2,
    "train": {"head": None},
}


def stage(**fields: Any) -> Stage:
    return Stage.model_validate({**LEAST, **fields})


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        stage(**fields)
    first = raised.value.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def test_the_least_stage_learns_to_say_the_answer() -> None:
    least = stage()
    assert least.losses.weights() == {"answer": 1.0}
    assert (least.lora, least.deepspeed, least.template, least.global_batch) == (None, None, None, None)
    assert least.optimizer.betas == (0.9, 0.999) and least.optimizer.clip == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": {}}, "trains nothing"),
        ({"losses": {}}, "no loss has a weight"),
        ({"losses": {"answer": 0}}, "no loss has a weight"),
        ({"losses": {"distil": 1.0}}, "`losses.distil` and `teacher` go together"),
        ({"teacher": "t.jsonl"}, "`losses.distil` and `teacher` go together"),
        ({"quantize": "4bit"}, "give `lora`"),
        ({"quantize": "4bit", "lora": {}, "train": {"language": None}}, "cannot be in `train`"),
        ({"lora": {}, "train": {"language": None}}, "one of them"),
        ({"compare_on": "koniq10k"}, "`compare_on` needs `evaluate_every`"),
    ],
)
def test_contradictions(fields: dict[str, Any], message: str) -> None:
    assert message in refused(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch": 0}, "batch: Input should be greater than or equal to 1"),
        ({"epochs": 0}, "epochs: Input should be greater than 0"),
        ({"epochs": float("nan")}, "epochs: Input should be"),
        ({"train": {"tower": None}}, "train.tower.[key]: Input should be 'vision'"),
        ({"train": {"head": 0}}, "train.head: Input should be greater than 0"),
        ({"optimizer": {"rate": float("inf")}}, "optimizer.rate: Input should be a finite number"),
        ({"optimizer": {"rate": 1, "warmup": 1.5}}, "optimizer.warmup: Input should be less than or equal to 1"),
        ({"losses": {"answer": -1}}, "losses.answer.weight: Input should be greater than or equal to 0"),
        ({"losses": {"answer": True}}, "losses.answer: Input should be a valid dictionary"),
        ({"losses": {"answers": 1}}, "losses.answers: Extra inputs are not permitted"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"data": [{"samples": "a", "tasks": []}]}, "data.0.tasks: Value error, names no task"),
        ({"data": [{"samples": "a", "weight": 0}]}, "data.0.weight: Input should be greater than 0"),
        ({"lora": {"targets": "(q_proj"}}, "lora.targets: Value error, is no regular expression"),
        ({"lora": {"targets": []}}, "lora.targets: Value error, names no module"),
        ({"lora": {"targets": ""}}, "lora.targets: Value error, names no module"),
        ({"lora": {"targets": ["q_proj", ""]}}, "lora.targets: Value error, names no module"),
        ({"losses": {"answer": 10**400}}, "losses.answer.weight: Input should be a finite number"),
    ],
)
def test_fields_are_named_that_are_wrong(fields: dict[str, Any], message: str) -> None:
    assert refused(**fields).startswith(message)


def test_a_number_stands_for_a_weight_also_as_yaml_gives_it() -> None:
    losses = Losses.model_validate({"emd": "5e-2", "answer": 1, "fidelity": {"weight": 2, "std": "predicted"}})
    assert losses.emd == Emd(weight=0.05)
    assert losses.weights() == {"answer": 1.0, "emd": 0.05, "fidelity": 2.0}
    assert list(losses.weights()) == ["answer", "emd", "fidelity"]  # the order of the fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((1, 1.0), (2.5, 2.5), ("2e-5", 2e-5), ("-.5", -0.5), ("+1.", 1.0), ("3E4", 3e4), (10**400, float("inf"))),
        *(
            (True, None),
            ("1_000", None),
            ("x", None),
            ("", None),
            (None, None),
            ("nan", None),
            ([1], None),
            ("１", None),
        ),
    ],
)
def test_numbers_as_yaml_1_1_gives_them(value: object, expected: float | None) -> None:
    assert number(value) == expected


def test_one_name_stands_for_a_tuple_of_one() -> None:
    assert Mix.model_validate({"samples": "a", "tasks": "level"}).tasks == ("level",)
    assert stage(report_to="none").report_to == ("none",)
    assert Lora.model_validate({"targets": ["q_proj"]}).targets == ("q_proj",)


def test_parts_are_trained_at_the_rates_that_are_stated() -> None:
    both = stage(train={"vision": "2e-6", "projector": None})
    assert both.train == {"vision": 2e-6, "projector": None}
    assert set(both.train) <= set(PARTS)


def test_stages_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        stage().batch = 3  # type: ignore[misc]


def test_scores_of_level_words() -> None:
    assert stage().scores("levels") == (5, 4, 3, 2, 1)
