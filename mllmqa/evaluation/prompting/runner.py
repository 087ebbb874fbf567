"""Ask all questions of a plan that are not answered yet: in parallel where the model is remote, within a budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mllmqa.errors import ApiUnreachableError, BudgetError
from mllmqa.evaluation.prompting.answers import Answer, Failure
from mllmqa.evaluation.prompting.asking import Asker, Outcome
from mllmqa.evaluation.prompting.log import AnswerLog, Line
from mllmqa.evaluation.prompting.strategies import Strategy
from mllmqa.evaluation.prompting.trials import Trial
from mllmqa.models.api.meter import Usage
from mllmqa.models.api.options import Budget, Price

GONE = 16
"""Answers that do not come, one after the other, after which an endpoint is taken for gone (or twice the number of
requests in flight, if that is more)."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Limits:
    """What a run may do.

    Attributes:
        concurrency: Questions at the same time; 1 for a model on this machine.
        budget: For models on this machine; an endpoint keeps its own.
        price: For a budget in money.
    """

    concurrency: int = 1
    budget: Budget = field(default_factory=Budget)
    price: Price | None = None


def run(
    work: Sequence[tuple[Strategy, Trial]], asker: Asker, log: AnswerLog, limits: Limits, progress: Progress
) -> str | None:
    """Ask what is not done; every outcome is a line of the log at once.

    Args:
        work: Every trial with its strategy.
        asker: The model.
        log: Open for appending.
        limits: Concurrency and budget.
        progress: Told how many are done of how many.

    Returns:
        Why it stopped early (a spent budget, an endpoint that is gone), or None.

    Raises:
        ApiError: The endpoint refuses the key, or has no such model.
        OSError: The log cannot be written.
    """
    done = {trial for trial, line in log.lines.items() if line.done}
    left = [(strategy, trial) for strategy, trial in work if trial.id not in done]
    job = _Job(asker, log, limits, lambda n: progress(len(work) - len(left) + n, len(work)))
    try:
        if limits.concurrency == 1:
            for strategy, trial in left:
                job.one(strategy, trial)
        else:
            _parallel(job, left, limits.concurrency)
    except (BudgetError, ApiUnreachableError) as error:
        return str(error)
    return None


def _parallel(job: _Job, left: Sequence[tuple[Strategy, Trial]], concurrency: int) -> None:
    """Let several threads take the next question each; what is in flight at the end is waited for: it is paid."""
    rest, turn = iter(left), threading.Lock()

    def work() -> None:
        while not job.stop.is_set():
            with turn:
                following = next(rest, None)
            if following is None:
                return
            try:
                job.one(*following)
            except BaseException:
                job.stop.set()
                raise

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="mllmqa-bench")
    try:
        for future in [pool.submit(work) for _ in range(min(concurrency, len(left)))]:
            future.result()
    except BaseException:
        job.stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Job:
    """One question after the other, with the counts that stop a run."""

    def __init__(self, asker: Asker, log: AnswerLog, limits: Limits, progress: Callable[[int], None]) -> None:
        self._asker, self._log, self._limits, self._progress = asker, log, limits, progress
        self._lock = threading.Lock()
        self._usage = Usage()
        self._lost = 0
        self.stop = threading.Event()

    def one(self, strategy: Strategy, trial: Trial) -> None:
        """Ask, read, log, count."""
        if self.stop.is_set():
            return
        if not self._asker.info.remote:
            self._check()
        outcome = self._asker.ask(trial)
        self._log.append(_line(strategy, trial, outcome))
        with self._lock:
            used = self._usage
            self._usage = Usage(
                answered=used.answered + 1,
                tokens_in=used.tokens_in + (outcome.tokens_in or 0),
                tokens_out=used.tokens_out + (outcome.tokens_out or 0),
            )
            lost = isinstance(outcome.result, Failure) and outcome.result.kind == "transport"
            self._lost = self._lost + 1 if lost else 0
            self._progress(self._usage.answered)
            if self._lost >= max(GONE, 2 * self._limits.concurrency):
                self.stop.set()
                raise ApiUnreachableError(
                    f"the last {self._lost} questions got no answer",
                    where=self._asker.info.base_url,
                    hint="go on later with the same command",
                )

    def _check(self) -> None:
        """Keep the budget of a model on this machine."""
        budget, used = self._limits.budget, self._usage
        spent = budget.requests is not None and used.answered >= budget.requests
        spent |= budget.tokens is not None and used.tokens_in + used.tokens_out >= budget.tokens
        price = self._limits.price
        spent |= budget.cost is not None and price is not None and used.cost(price) >= budget.cost
        if spent:
            raise BudgetError("the budget is spent", hint="go on with the same command; answers so far are kept")


def _line(strategy: Strategy, trial: Trial, outcome: Outcome) -> Line:
    result = outcome.result
    read: Answer | Failure = result if isinstance(result, Failure) else strategy.read(trial, result)
    return Line(
        trial=trial.id,
        values=read.values if isinstance(read, Answer) else (),
        failure=read.kind if isinstance(read, Failure) else None,
        said=read.said if isinstance(read, Failure) else "",
        text=None if isinstance(result, Failure) else result.text,
        logits=None if isinstance(result, Failure) else result.logits,
        truncated=False if isinstance(result, Failure) else result.truncated,
        tokens_in=outcome.tokens_in,
        tokens_out=outcome.tokens_out,
        from_cache=outcome.from_cache,
        seconds=round(outcome.seconds, 6),
        original=outcome.original,
    )
