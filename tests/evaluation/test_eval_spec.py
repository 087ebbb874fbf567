"""Specifications: short forms, products, names, shipped files, options of the command line, endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllmqa import prompts
from mllmqa.data import registry
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.evaluation import spec
from mllmqa.evaluation.arguments import Arguments, specified
from mllmqa.evaluation.metrics import names as metric_names
from mllmqa.evaluation.scorers import api_options
from mllmqa.training.samples import make_smoke_set


def made(**fields: Any) -> spec.EvalSpec:
    return spec.checked({"data": ["biq2021=/data"], **fields})


def test_short_forms() -> None:
    found = made(
        models=["nano", {"model": "runs/x/model/", "device": "cpu"}], predictions=["dir/other.csv", "q=p.csv"]
    )
    assert [one.name for one in found.models] == ["nano", "model"]
    assert [(one.name, one.file) for one in found.predictions] == [("other", "dir/other.csv"), ("q", "p.csv")]
    assert (found.data[0].name, found.data[0].root, found.data[0].is_samples) == ("biq2021", "/data", False)
    assert spec.checked({"data": ["x=a/s.jsonl"], "metrics": ["psnr"]}).data[0].is_samples


def test_models_times_prompts_beside_metrics_and_predictions() -> None:
    found = made(models=["a", "b"], prompts=["score/quality", "score/q"], metrics=["psnr"], predictions=["p.csv"])
    assert found.scorers() == [
        "a + score/quality", "a + score/q", "b + score/quality", "b + score/q", "psnr", "p",
    ]  # fmt: skip
    assert [one.prompt for one in found.asked()] == ["score/quality", "score/q"] * 2
    assert [one.name for one in made(models=[{"model": "a", "prompt": "score/q"}]).asked()] == ["a + score/q"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nothing to evaluate"),
        ({"models": ["a", "x/a"]}, "two scorers are called 'a': give one of them another name"),
        ({"metrics": ["psnr"], "data": ["a=/x", "a=/y"]}, "two data sets are called 'a'"),
        ({"metrics": ["psnr"], "data": []}, "data: Tuple should have at least 1 item"),
        ({"predictions": [{"name": "p", "file": "f.csv", "data": "z"}]}, "the data set 'z', which is not there"),
        ({"models": [{"model": "a", "modle": 1}]}, "models.0.modle: Extra inputs"),
        ({"metrics": ["psnr"], "figures": {"combine": ["mean"]}}, "figures.combine.0"),
        ({"metrics": ["psnr"], "data": [{"name": "a", "limit": 0}]}, "data.0.limit"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made(**fields)


def test_a_specification_is_written_and_read_again(tmp_path: Path) -> None:
    found = made(models=[{"model": "nano", "view": "native"}], metrics=["psnr"], figures={"by": ["level"]}, seed=3)
    (tmp_path / "s.yaml").write_text(spec.to_yaml(found))
    assert spec.checked(spec.read_fields(str(tmp_path / "s.yaml"))) == found.model_copy(update={"name": "s"})


def test_files_that_are_no_specification(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no specification 'nosuch'; expected biq2021 \|"):
        spec.read_fields("nosuch")
    with pytest.raises(UnknownNameError, match="no such file"):
        spec.read_fields(str(tmp_path / "none.yaml"))
    path = tmp_path / "s.yaml"
    for text, words in (("- a\n", "is no specification"), ("a: [\n", "cannot be read as YAML")):
        path.write_text(text)
        with pytest.raises(UsageError, match=words):
            spec.read_fields(str(path))


@pytest.mark.parametrize("name", spec.names())
def test_shipped_specifications_name_what_there_is(name: str) -> None:
    found = spec.checked(spec.read_fields(name), name)
    assert found.title
    assert set(found.metrics) <= set(metric_names())
    for one in found.data:
        assert (one.set or one.name) in registry.data_sets()
        assert one.root is None  # the user says where it lies
    assert set(found.prompts) <= set(prompts.names())


# ---------------------------------------------------------------- options


def test_options_make_a_specification() -> None:
    found = specified(
        Arguments(
            data=("biq2021=/d",), part="test", limit=5, near_duplicates=10, models=("nano",),
            model_options={"device": "cpu", "dtype": None}, metrics=("psnr",), predictions=("a.csv", "b=c.csv"),
            columns="item=k,score=v", lower_better=("b",), by=("level",), combine=("ridge",), resamples=50, seed=7,
        )
    )  # fmt: skip
    (data,) = found.data
    assert (data.root, data.part, data.limit, data.near_duplicates) == ("/d", "test", 5, 10)
    assert (found.models[0].device, found.models[0].dtype) == ("cpu", "auto")
    assert [(one.name, one.item, one.score, one.direction) for one in found.predictions] == [
        ("a", "k", "v", "higher-better"), ("b", "k", "v", "lower-better"),
    ]  # fmt: skip
    assert (found.figures.by, found.figures.combine, found.figures.resamples) == (("level",), ("ridge",), 50)
    assert found.seed == 7


def test_models_get_the_options_that_they_can_have() -> None:
    options = {"device": "cpu", "budget": "5req", "batch_size": 2, "quantize": None}
    found = specified(Arguments(data=("a=/d",), models=("nano", "api:m"), model_options=options))
    local, remote = found.models
    assert (local.device, local.budget, local.batch_size) == ("cpu", None, 2)
    assert (remote.device, remote.budget, remote.batch_size) == ("auto", "5req", 2)
    for models, words in (
        (("nano",), "--budget is said of no model; expected --model api:NAME"),
        (("api:m",), "--device is said of no model; expected --model of this machine"),
    ):
        with pytest.raises(UsageError, match=words):
            specified(Arguments(data=("a=/d",), models=models, model_options=options))
    with pytest.raises(UsageError, match="--base-url is said of no model"):
        specified(Arguments(spec="biq2021", data=("biq2021=/d",), model_options={"base_url": "http://x"}))


def test_options_add_to_a_named_specification() -> None:
    found = specified(
        Arguments(spec="biq2021", data=("biq2021=/d",), metrics=("resolution",), by=("split", "level"))
    )
    assert found.data[0].root == "/d"
    assert found.data[0].part == "test"
    assert (found.models[0].name, found.metrics[-1]) == ("nano", "resolution")
    assert found.figures.by == ("level", "split")


def test_a_folder_is_recognised_and_a_file_of_samples_named(tmp_path: Path) -> None:
    root = make_smoke_set(tmp_path / "biq", seed=0, photos=2, side=32)
    assert specified(Arguments(data=(str(root),), metrics=("psnr",))).data[0].name == "biq2021"
    (data,) = specified(Arguments(data=("runs/x/samples.jsonl",), metrics=("psnr",))).data
    assert (data.name, data.root, data.is_samples) == ("samples", "runs/x/samples.jsonl", True)
    with pytest.raises(UsageError, match="no label file of a known data set"):
        specified(Arguments(data=(str(tmp_path),), metrics=("psnr",)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Arguments(data=("a=/d",)), "nothing to evaluate; expected --model, --metric or --predictions"),
        (Arguments(spec="biq2021", data=("other=/d",)), "NAME=ROOT with NAME one of biq2021"),
        (Arguments(data=("=/d",), metrics=("psnr",)), "expected NAME=ROOT, or a folder"),
        (Arguments(data=("a=",), metrics=("psnr",)), "expected NAME=ROOT, or a folder"),
        (Arguments(metrics=("psnr",)), "data: Tuple should have at least 1 item"),
        (Arguments(data=("a=/d",), metrics=("psnr",), part="all"), "data.0.part: Input should be 'train'"),
        (Arguments(data=("a=/d",), metrics=("psnr",), combine=("mean",)), "--combine mean; expected rank-average"),
        (Arguments(data=("a=/d",), metrics=("psnr",), columns="item=x"), "expected --predictions with it"),
        (Arguments(data=("a=/d",), metrics=("psnr",), lower_better=("x",)), "expected --predictions with it"),
        (Arguments(data=("a=/d",), predictions=("p.csv",), lower_better=("x",)), "--lower-better x; expected p"),
        (Arguments(data=("a=/d",), predictions=("p.csv",), columns="mos=x"), "expected ROLE=COLUMN"),
    ],
)
def test_wrong_options_are_named(given: Arguments, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        specified(given)


def test_options_of_an_endpoint() -> None:
    plain = spec.ModelSpec.model_validate("nano")
    assert api_options(plain) is None
    remote = spec.ModelSpec.model_validate(
        {
            "model": "api:m",
            "base_url": "http://127.0.0.1:1/v1",
            "budget": "5req",
            "concurrency": 2,
            "readout": "text",
        }
    )
    found = api_options(remote)
    assert found is not None
    assert (found.base_url, found.concurrency, found.readout) == ("http://127.0.0.1:1/v1", 2, "text")
    assert remote.name == "api:m"
    with pytest.raises(UsageError, match="options of an endpoint are given"):
        api_options(plain.model_copy(update={"budget": "5req"}))
