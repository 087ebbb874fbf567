"""What is wished of an endpoint: read, refused for models on this machine, and the line of what was spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.errors import UsageError
from mllmqa.loading import load
from mllmqa.models.api import ApiOptions, Budget, Price
from tests.asking.conftest import Eye
from tests.conftest import Run
from tests.loopback import without_endpoint


def test_nothing_wished_is_what_an_endpoint_has_anyway() -> None:
    assert EndpointWishes().options("api:eye") == EndpointWishes().read() == ApiOptions()
    assert EndpointWishes().options("nano") is None


def test_all_wishes_are_read(tmp_path: Path) -> None:
    wished = EndpointWishes("http://127.0.0.1:9/v1", 3, 4.5, "7req,1usd", "2/10", "text", tmp_path)
    expected = ApiOptions(
        base_url="http://127.0.0.1:9/v1", concurrency=3, timeout_s=4.5, budget=Budget.parse("7req,1usd"),
        price=Price.parse("2/10"), readout="text", cache=tmp_path,
    )  # fmt: skip
    assert wished.options("api:eye") == expected
    assert EndpointWishes(no_cache=True).read().cache == "off"


@pytest.mark.parametrize(
    "wished",
    [
        EndpointWishes(base_url=""),
        EndpointWishes(concurrency=0),
        EndpointWishes(timeout=0.0),
        EndpointWishes(budget=""),
        EndpointWishes(price=""),
        EndpointWishes(readout=""),
        EndpointWishes(cache=Path()),
        EndpointWishes(no_cache=True),
    ],
)
def test_any_of_them_is_refused_for_a_model_on_this_machine(wished: EndpointWishes) -> None:
    with pytest.raises(UsageError, match="nano: options of an endpoint are given"):
        wished.options("nano")


@pytest.mark.parametrize(
    ("wished", "message"),
    [
        (EndpointWishes(cache=Path("here"), no_cache=True), "--cache and --no-cache exclude each other"),
        (EndpointWishes(concurrency=0), "concurrency 0; expected 1 to 256"),
        (EndpointWishes(budget="5usd"), "needs prices"),
        (EndpointWishes(budget="many"), "--budget 'many'"),
        (EndpointWishes(price="2"), "--price '2'"),
    ],
)
def test_what_makes_no_sense_is_said(wished: EndpointWishes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wished.options("api:eye")


def test_what_was_spent() -> None:
    assert spent(load("fake").backend) == []


COMMANDS = (("score", None), ("ask", "How good is it?"), ("explain", None))


def test_every_command_says_it_with_the_cost(
    run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_endpoint(monkeypatch, tmp_path)
    with Eye() as eye:
        eye.says += ["Hm."] * 9
        where = ("--model", "api:eye", "--base-url", eye.url, "--price", "2/10")
        for command, question in COMMANDS:
            ran = run(command, *([question] if question else []), photo, *where)
            assert ran.code == 0, ran.err
            assert "endpoint: " in ran.err
            assert ", cost 0." in ran.err
        compared = run("compare", photo, photo, *where)
        talked = run("chat", photo, *where, stdin=b"How good is it?\n")
        assert all(", cost 0." in ran.err for ran in (compared, talked)), (compared, talked)
