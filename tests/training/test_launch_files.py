"""The shipped files of DeepSpeed and accelerate: what their own readers make of them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from mllmqa import resources
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.training.launch import deepspeed_file, deepspeed_settings

TRAIN = resources.folder("train")
DEEPSPEED = sorted(path.stem for path in (TRAIN / "deepspeed").glob("*.json"))
ACCELERATE = sorted(path.stem for path in (TRAIN / "accelerate").glob("*.yaml"))


def test_the_files_are_those_that_the_documentation_names() -> None:
    assert DEEPSPEED == ["zero2", "zero3", "zero3-offload"]
    assert ACCELERATE == ["multi", "single", "zero2", "zero3"]


@pytest.mark.parametrize("name", DEEPSPEED)
def test_rates_belong_to_the_stage(name: str) -> None:
    """An `optimizer` or `scheduler` in the file would replace ours, with one rate for all parts."""
    settings = deepspeed_settings(name)
    assert "optimizer" not in settings and "scheduler" not in settings
    assert settings["zero_allow_untested_optimizer"] is True
    assert settings["gradient_clipping"] == settings["gradient_accumulation_steps"] == "auto"
    assert settings["train_batch_size"] == settings["train_micro_batch_size_per_gpu"] == "auto"


@pytest.mark.parametrize("name", DEEPSPEED)
def test_zero_does_what_its_name_says(name: str) -> None:
    zero = deepspeed_settings(name)["zero_optimization"]
    assert zero["stage"] == int(name[4])
    assert (zero.get("stage3_gather_16bit_weights_on_model_save") is True) == (zero["stage"] == 3)
    places = {zero.get(part, {}).get("device") for part in ("offload_optimizer", "offload_param")}
    assert places == ({"cpu"} if name.endswith("offload") else {None})


def test_offloading_needs_no_compiler() -> None:
    """DeepSpeed's own Adam for the CPU is compiled on first use; torch's runs everywhere."""
    assert deepspeed_settings("zero3-offload")["zero_force_ds_cpu_optimizer"] is False


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra deepspeed")
@pytest.mark.parametrize("name", DEEPSPEED)
def test_transformers_fills_in_what_is_auto(name: str, tmp_path: Path) -> None:
    ensure_torchvision()
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    arguments = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=3, gradient_accumulation_steps=4, max_grad_norm=0.7,
        bf16=False, report_to=[], use_cpu=True,
    )  # fmt: skip
    config = HfTrainerDeepSpeedConfig(json.loads(deepspeed_file(name).read_text(encoding="utf-8")))
    config.trainer_config_process(arguments, auto_find_batch_size=False)

    class Wide:
        class config:
            hidden_size = 32

    config.trainer_config_finalize(arguments, Wide, 10)  # type: ignore[arg-type]
    made: dict[str, Any] = config.config
    assert (made["train_micro_batch_size_per_gpu"], made["gradient_accumulation_steps"]) == (3, 4)
    assert made["train_batch_size"] == 12 and made["gradient_clipping"] == 0.7
    assert "auto" not in json.dumps(made)


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra deepspeed")
@pytest.mark.parametrize("name", DEEPSPEED)
def test_deepspeed_knows_every_key(name: str) -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    zero = {key: value for key, value in deepspeed_settings(name)["zero_optimization"].items() if value != "auto"}
    assert DeepSpeedZeroConfig(**zero).stage == zero["stage"]


@pytest.mark.parametrize("name", ACCELERATE)
def test_accelerate_reads_its_files(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = TRAIN / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.num_machines == 1 and not config.use_cpu
    kinds = {"single": "NO", "multi": "MULTI_GPU", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
    assert str(config.distributed_type).rpartition(".")[2] == kinds[name]
    assert config.num_processes == (1 if name == "single" else 2)


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_files_for_starting_by_hand_name_ours(name: str) -> None:
    fields = yaml.safe_load((TRAIN / "accelerate" / f"{name}.yaml").read_text(encoding="utf-8"))
    settings = fields["deepspeed_config"]
    assert settings["deepspeed_config_file"] == f"train/deepspeed/{name}.json"
    assert settings["zero3_init_flag"] == (name == "zero3")


@pytest.mark.parametrize("name", ["single", "multi"])
def test_every_accelerate_file_can_be_launched(name: str) -> None:
    """What accelerate's command line makes of the file and our arguments, without starting anything."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    n = "1" if name == "single" else "3"
    given = ["--config_file", str(TRAIN / "accelerate" / f"{name}.yaml"), "--num_processes", n, "x.py", "--cpu"]
    parsed, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    assert parsed.num_processes == int(n) and parsed.multi_gpu == (name == "multi")
    assert parsed.training_script_args == ["--cpu"] and not parsed.cpu
