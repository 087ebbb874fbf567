"""What a run will do: samples, steps and tokens, counted as the run itself counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.errors import DataError, ModelLoadError, UsageError
from mllmqa.training import plan
from mllmqa.training.assemble import assemble
from mllmqa.training.estimate import Load
from mllmqa.training.outline import Outline, outline
from tests import tiny_models
from tests.training.runs_made import level_file, level_sample, sample_file, stage_of, text_sample


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def found(llava: Path) -> Outline:
    return outline(stage_of(model=str(llava)))


def test_samples_per_set_and_task(tmp_path: Path) -> None:
    mixed = sample_file(
        tmp_path / "mixed" / "samples.jsonl",
        [level_sample(tmp_path / "mixed", 0, "a") for _ in range(1) if not (tmp_path / "mixed").mkdir()]
        + [text_sample(k, "identify") for k in range(3)],
    )
    other = level_file(tmp_path / "other", 5)
    stage = stage_of(
        data=[{"samples": str(mixed)}, {"samples": str(mixed), "tasks": "identify", "weight": 2, "name": "twice"},
              {"samples": str(other), "weight": 0.5}],
        evaluate=[{"samples": str(other), "name": "held"}],
    )  # fmt: skip
    made = plan.steps(stage)
    assert [(one.name, one.n, one.weight, one.tasks) for one in made.sets] == [
        ("mixed", 4, 1.0, {"identify": 3, "level": 1}),
        ("twice", 3, 2.0, {"identify": 3}),
        ("other", 5, 0.5, {"level": 5}),
    ]
    assert [(one.name, one.n) for one in made.evaluate] == [("held", 5)]
    assert made.epoch == 4 + 6 + 2  # half of five samples: two of them in one epoch
    assert made.sets[2].samples == other


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "epochs", "steps"),
    [(2, 1, 1, 1, 5), (2, 1, 1, 1.5, 8), (3, 2, 1, 1, 2), (2, 2, 2, 3, 4), (64, 1, 8, 1, 1), (1, 1, 1, 0.05, 1)],
)
def test_steps_are_whole_and_cover_the_epochs(
    batch: int, accumulate: int, processes: int, epochs: float, steps: int, tmp_path: Path
) -> None:
    file = level_file(tmp_path, 10)
    made = plan.steps(
        stage_of(data=[{"samples": str(file)}], batch=batch, accumulate=accumulate, epochs=epochs), processes
    )
    assert (made.epoch, made.per_step, made.steps) == (10, batch * accumulate * processes, steps)
    assert made.items == steps * made.per_step >= epochs * 10


def test_pairs_are_counted_as_pairs(tmp_path: Path) -> None:
    made = plan.steps(stage_of(data=[{"samples": str(level_file(tmp_path, 6))}], pairs=True, batch=2))
    assert (made.epoch, made.steps) == (6, 3)


def test_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the stage names no data; give data=FILE"):
        plan.steps(stage_of())
    with pytest.raises(DataError, match=r"nowhere\.jsonl: cannot be read: .*make it with `mllmqa build`"):
        plan.steps(stage_of(data=[{"samples": str(tmp_path / "nowhere.jsonl")}]))
    file = level_file(tmp_path / "set", 2)
    with pytest.raises(DataError, match="no sample of the task 'rate'"):
        plan.steps(stage_of(data=[{"samples": str(file)}], evaluate=[{"samples": str(file), "tasks": "rate"}]))


def test_tokens_are_those_of_the_run(tmp_path: Path, llava: Path, found: Outline) -> None:
    file = level_file(tmp_path, 7)
    stage = stage_of(model=str(llava), data=[{"samples": str(file)}])
    made = plan.tokens(stage, found)
    parts = assemble(stage, found.model, found.processor, found.preset)
    lengths = [int(parts.collator([parts.rows[k]])["inputs"]["attention_mask"].sum()) for k in range(7)]
    assert made.longest == max(lengths) and min(lengths) <= made.mean <= max(lengths)
    assert made.samples == len(parts.rows) and made.lost == 0
    assert made.vision == 9  # a picture of 24 × 24 pixels in patches of 8 × 8
    assert made.answers > 5  # the answer's letters and words, and the end
    assert made.load(2) == Load(made.longest * 2, 18, round(made.answers + 1) * 2)


def test_only_some_items_of_a_long_run_are_measured(tmp_path: Path, llava: Path, found: Outline) -> None:
    stage = stage_of(model=str(llava), data=[{"samples": str(level_file(tmp_path, 9))}], epochs=50)
    assert plan.tokens(stage, found, measured=4).samples == 4


def test_pairs_are_measured_by_the_sample(tmp_path: Path, llava: Path, found: Outline) -> None:
    stage = stage_of(model=str(llava), data=[{"samples": str(level_file(tmp_path, 6))}], pairs=True)
    made = plan.tokens(stage, found, measured=3)
    assert (made.samples, made.vision) == (6, 9)


def test_samples_that_cannot_be_used_are_counted(tmp_path: Path, llava: Path, found: Outline) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    whole = [level_sample(folder, k, "made") for k in range(4)]
    file = sample_file(folder / "samples.jsonl", [*whole, text_sample(0, "level2")])
    made = plan.tokens(stage_of(model=str(llava), data=[{"samples": str(file)}], batch=1), found)
    assert (made.samples, made.lost) == (4, 1)


def test_patches_of_every_family(tmp_path: Path) -> None:
    stages = {
        family: stage_of(model=str(tiny_models.build(family, tmp_path / family))) for family in ("qwen2_5_vl",)
    }
    file = level_file(tmp_path / "set", 2)
    for family, stage in stages.items():
        given = stage.model_copy(update={"data": stage_of(data=[{"samples": str(file)}]).data})
        made = plan.tokens(given, outline(given))
        assert made.vision == 36, family  # 24 × 24 pixels in patches of 4 × 4, one row each
    assert plan.patch_area(object()) == 14 * 14


def test_an_outline_has_no_weights(found: Outline) -> None:
    assert {parameter.device.type for parameter in found.model.parameters()} == {"meta"}
    assert found.preset.family in (None, "llava") and found.processor.tokenizer is not None


def test_the_model_inside_the_package_has_an_outline() -> None:
    made = outline(stage_of(model="nano"))
    assert made.preset.name == "nano"


def test_an_adapter_is_outlined_by_its_base(llava: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(f'{{"base_model_name_or_path": "{llava}"}}', encoding="utf-8")
    assert sum(1 for _ in outline(stage_of(model=str(tmp_path))).model.parameters()) > 10


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (None, UsageError, "names no model to start from; expected model=NAME"),
        ("api:gpt", UsageError, "a model behind an endpoint cannot be trained"),
        ("llava-1.5", ModelLoadError, "is not on this machine, and is fetched only when it is trained"),
    ],
)
def test_models_without_an_outline(model: str | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        outline(stage_of(model=model))


def test_a_broken_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava", "text_config": 3}', encoding="utf-8")
    with pytest.raises(ModelLoadError) as raised:
        outline(stage_of(model=str(tmp_path)))
    assert "\n" not in str(raised.value)
