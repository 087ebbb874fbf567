"""Options: what is accepted, what is refused without repeating a secret; when to try again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.models.api import ApiOptions, Budget, Price
from mllmqa.models.api.options import OPENAI_URL
from mllmqa.models.api.retry import LONGEST_S, backoff_s, is_retried, retry_after_s
from mllmqa.models.resolve import resolve

NOW = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("500req", Budget(requests=500)),
        ("2Mtok", Budget(tokens=2_000_000)),
        ("1.5ktok, 5 USD", Budget(tokens=1500, cost=5)),
        ("0req", Budget(requests=0)),
    ],
)
def test_budgets(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "5", "5eur", "-1req", "5usd,6usd", "1e3req", "req"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match="500req"):
        Budget.parse(text)


def test_prices() -> None:
    assert Price.parse("2.50/10") == Price(2.5, 10)
    for text in ("2.5", "a/b", "-1/2", "1/2/3"):
        with pytest.raises(UsageError, match="IN/OUT"):
            Price.parse(text)


@pytest.mark.parametrize(
    "options",
    [
        {"readout": "guess"}, {"concurrency": 0}, {"concurrency": 999}, {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"retries": -1}, {"max_tokens": 0}, {"budget": Budget(cost=1)}, {"base_url": "localhost:8000"},
        {"base_url": "ftp://host/v1"}, {"base_url": "http://"}, {"base_url": "http://h:99999/v1"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ApiOptions(**options).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    ["https://user:hunter2@host/v1", "https://hunter2@host/v1", "https://host/v1?key=hunter2", "http://h/#hunter2"],
)
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        ApiOptions(base_url=url).url()
    assert "hunter2" not in str(caught.value)


def test_where_the_endpoint_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert ApiOptions().url() == OPENAI_URL
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here:1/v1/")
    assert ApiOptions().url() == "http://here:1/v1"
    assert ApiOptions(base_url="http://there/v1").url() == "http://there/v1"


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ApiOptions().cache_file() == tmp_path / "mllmqa" / "api" / "answers.sqlite"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    assert ApiOptions().cache_file() == Path.home() / ".cache" / "mllmqa" / "api" / "answers.sqlite"
    assert ApiOptions(cache=tmp_path).cache_file() == tmp_path / "answers.sqlite"
    assert ApiOptions(cache="off").cache_file() is None


def test_names_of_models() -> None:
    source = resolve("api:org/model:tag")
    assert (source.name, source.location, source.preset.name) == ("api:org/model:tag", "org/model:tag", "api")
    for name in ("api:", "api: "):
        with pytest.raises(UsageError, match="api:MODEL"):
            resolve(name)
    with pytest.raises(UsageError, match="no revisions"):
        resolve("api:x", revision="main")
    with pytest.raises(UnknownNameError, match="api:NAME"):
        resolve("api")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:30 GMT"}, 90.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:01:30 +0100"}, 90.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:30"}, 90.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 99 Jan 2027 07:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW.timestamp()) == seconds


@given(st.integers(0, 10**7))
def test_retry_after_reads_any_http_date(later: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW.timestamp() + later, UTC), usegmt=True)
    assert retry_after_s({"retry-after": date}, NOW.timestamp()) == later


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_grows_to_its_limit(failed: int, jitter: float) -> None:
    pause = backoff_s(failed, jitter)
    assert 0 < pause <= LONGEST_S
    assert pause <= backoff_s(failed + 1, jitter)
    assert pause >= 0.75 * backoff_s(failed, 0.0)


def test_which_statuses_are_retried() -> None:
    retried = {status for status in range(100, 600) if is_retried(status, {})}
    assert retried == {408, 409, 425, 429, *range(500, 600)} - {501}
    assert is_retried(400, {"x-should-retry": "true"})
    assert not is_retried(429, {"x-should-retry": "false"})
