"""A peer that is not ours: ``transformers serve`` with a tiny random LLaVA."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mllmqa.loading import load
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.messages import CHAT
from mllmqa.models.base import Request
from mllmqa.prompts import Prompt
from mllmqa.schema import Unscored
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

ASK = Prompt("chat/test@1", "0", "What is it?", "")
STARTS = 600
"""Looks at a server that is starting, five a second."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model of a running server."""
    missing = [name for name in ("fastapi", "uvicorn", "starlette") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers[serving] is not installed: {', '.join(missing)}")
    folder = tiny_models.build("llava", tmp_path_factory.mktemp("serve") / "llava")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Without torchvision: its CUDA build has no picture decoder beside a CPU build of torch, Pillow always has.
    code = "import sys; sys.modules['torchvision'] = None; from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("log") / "serve.txt"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--device", "cpu"], stdout=out, stderr=out, env=environment)
    try:
        for _ in range(STARTS):
            if process.poll() is not None or _answers(port):
                break
            time.sleep(0.2)
        if process.poll() is not None or not _answers(port):
            pytest.skip(f"transformers serve did not start: {log.read_text(errors='replace')[-300:]}")
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@pytest.fixture
def scorer(served: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scorer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    url, model = served
    made = load(f"api:{model}", options=ApiOptions(base_url=url, cache="off", max_tokens=8))
    yield made
    made.backend.close()  # type: ignore[attr-defined]


def test_it_offers_words_only(scorer: Scorer) -> None:
    """No decisions path, log-probabilities ignored, unknown parameters rejected: each is noticed by itself."""
    assert scorer.backend.info.readout == "text"


def test_a_random_model_gives_one_record_per_picture_and_no_score(scorer: Scorer, photo: Path) -> None:
    results = scorer.score([photo, photo_pixels(64, 48)])
    assert [type(r) for r in results] == [Unscored] * 2
    assert {r.reason for r in results if isinstance(r, Unscored)} <= {"truncated", "unparsed"}


def test_an_answer_is_that_of_the_model_here(scorer: Scorer, served: tuple[str, str], photo: Path) -> None:
    """The picture arrives: greedy text over HTTP equals that of the same weights in this process."""
    picture = photo_pixels(56, 56)
    backend = scorer.backend
    (answer,) = backend.answers([Request(ASK, (picture,))], max_new_tokens=12)  # type: ignore[attr-defined]
    here = load(served[1], device="cpu", dtype="float32").backend
    separator = here.preset.model_copy(update={"answer_separator": ""})  # type: ignore[attr-defined]
    here.preset = separator  # type: ignore[attr-defined]
    assert answer.text == here.generate([Request(ASK, (picture,))], max_new_tokens=12)[0]
    assert answer.tokens_out == 12
    assert answer.tokens_in > 16
    others = [Request(ASK, (photo_pixels(56, 56, seed=seed),)) for seed in (3, 5, 7)]
    assert set(backend.generate(others, max_new_tokens=12)) - {answer.text}, "no picture matters"


def test_an_unknown_model_is_told(scorer: Scorer, tmp_path: Path) -> None:
    from mllmqa.errors import ApiError

    body = {"model": str(tmp_path / "none"), "messages": [{"role": "user", "content": "hello"}]}
    transport = scorer.backend._transport  # type: ignore[attr-defined]
    transport._options = ApiOptions(base_url=transport.url, retries=0)
    with pytest.raises(ApiError) as caught:
        transport.post(CHAT, body)
    assert "\n" not in str(caught.value)
