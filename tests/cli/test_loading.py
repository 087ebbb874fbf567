"""Loading as the commands do it: what an endpoint cannot have, and what libraries say stays off the terminal."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import logging as transformers_logging

from mllmqa import loading
from mllmqa.cli.loading import LoadingWishes, quiet
from mllmqa.errors import UsageError
from mllmqa.models.api import ApiOptions
from mllmqa.models.load import LocalOptions
from mllmqa.models.quantize import Quantization
from tests.conftest import Run

NOWHERE = "http://127.0.0.1:9/v1"
LIBRARIES = ("huggingface_hub", "bitsandbytes")


@pytest.fixture(autouse=True)
def loud_again() -> Iterator[None]:
    """What a test makes quiet is told again by the next one."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    levels = {library: logging.getLogger(library).level for library in LIBRARIES}
    yield
    transformers_logging.set_verbosity(verbosity)
    if bars:
        transformers_logging.enable_progress_bar()
    for library, level in levels.items():
        logging.getLogger(library).setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "nano"], "api:gpt: a model behind an endpoint has no --base"),
        (["--compile"], "api:gpt: a model behind an endpoint has no --compile"),
        (["--device", "cpu"], "the endpoint chooses device, dtype and quantisation"),
        (["--dtype", "float32"], "the endpoint chooses device, dtype and quantisation"),
        (["--quantize", "8bit"], "the endpoint chooses device, dtype and quantisation"),
        (["--anchors", "nowhere"], "compares with no anchors"),
    ],
)
def test_what_an_endpoint_cannot_have_is_one_line(
    arguments: list[str], message: str, run: Run, photo: Path
) -> None:
    ran = run("score", photo, "--model", "api:gpt", "--base-url", NOWHERE, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_both_kinds_of_options_are_refused_only_where_both_say_something() -> None:
    with pytest.raises(UsageError, match="a model behind an endpoint has no --base, --compile"):
        LoadingWishes(base="nano", compiled=True).load("api:gpt", ApiOptions(base_url=NOWHERE))
    with pytest.raises(UsageError, match="options of an endpoint are given"):
        LoadingWishes().load("nano", ApiOptions(base_url=NOWHERE))


@pytest.mark.parametrize("options", [LocalOptions(), LocalOptions(base="nano"), LocalOptions(compiled=True)])
def test_options_of_this_machine_for_an_endpoint(options: LocalOptions) -> None:
    with pytest.raises(UsageError, match=r"api:gpt: .*endpoint"):
        loading.load("api:gpt", options=options)


def test_wishes_that_say_nothing_are_none() -> None:
    scorer = LoadingWishes(device="cpu").load("nano")
    assert (scorer.backend.info.model, scorer.backend.info.device) == ("nano", "cpu")


def test_libraries_are_quiet_about_what_is_no_error() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet()
        warnings.warn("soon", FutureWarning, stacklevel=1)
        warnings.warn("look", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["look"]
    assert transformers_logging.get_verbosity() == logging.ERROR
    assert not transformers_logging.is_progress_bar_enabled()  # here stderr is no terminal
    for library in LIBRARIES:
        assert not logging.getLogger(library).isEnabledFor(logging.WARNING)
        assert logging.getLogger(library).isEnabledFor(logging.ERROR)


def test_quantisation_is_read() -> None:
    assert LoadingWishes().quantization() is None
    wished = LoadingWishes(quantize="4bit", quantize_vision=True)
    assert wished.quantization() == Quantization.of("4bit", vision=True)
    with pytest.raises(UsageError, match="expected --quantize with it"):
        LoadingWishes(quantize_vision=True).load("nano")


@pytest.mark.parametrize("module", ["loading", "endpoint", "options", "groups"])
def test_shared_options_can_be_imported_first(module: str) -> None:
    command = [sys.executable, "-c", f"import mllmqa.cli.{module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
