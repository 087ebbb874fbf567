"""Samples through a teacher: in order, many in flight, one outcome for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mllmqa.data.sample import Message, Part, Sample
from mllmqa.data.tasks.wording import wording
from mllmqa.data.teacher.client import Answer, Teacher
from mllmqa.data.teacher.contradictions import contradictions
from mllmqa.data.teacher.form import Fault, form_faults, joined, leaks, parts_of
from mllmqa.data.teacher.outcomes import Dropped, Outcome, Rewritten, by_error
from mllmqa.data.teacher.prompt import TeachFile, Told, task_file, tasks
from mllmqa.data.teacher.shown import shown_media
from mllmqa.data.teacher.truth import Truth, truth_of
from mllmqa.errors import ApiAuthError, InferenceError, MllmqaError, error_line

AHEAD = 2
"""Samples that are worked on or wait to be handed out, per call in flight."""


def rewrite(samples: Iterable[Sample | Dropped], teacher: Teacher, folder: Path) -> Iterator[Outcome]:
    """Let a teacher write the answers of samples anew.

    Order and content do not depend on the number of calls in flight. Memory does not grow with the samples.

    Args:
        samples: One question each; what is dropped already is passed on in its place.
        teacher: Whom to ask.
        folder: Where the file of the samples lies: their paths are relative to it.

    Yields:
        One outcome for each sample, in their order.

    Raises:
        ApiError: The endpoint refuses the key, or could not be asked even once: all further calls would fail.
    """
    pool = ThreadPoolExecutor(teacher.options.concurrency, thread_name_prefix="mllmqa-teach")
    waiting: deque[Future[Outcome] | Dropped] = deque()
    try:
        for sample in samples:
            given = sample if isinstance(sample, Dropped) else pool.submit(_one, sample, teacher, folder)
            waiting.append(given)
            if len(waiting) >= AHEAD * teacher.options.concurrency:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        # After Ctrl-C or an error nothing new is sent, and what is in flight is waited for: it is paid for.
        teacher.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        teacher.stop(False)


def _result(one: Future[Outcome] | Dropped) -> Outcome:
    return one if isinstance(one, Dropped) else one.result()


def _one(sample: Sample, teacher: Teacher, folder: Path) -> Outcome:
    """Return what becomes of one sample."""
    try:
        plan = _plan(sample)
        if isinstance(plan, Fault):
            return _dropped(sample, [plan])
        answer = teacher.ask(plan.told, shown_media(sample, folder, teacher.plan))
        return judged(sample, plan, answer)
    except ApiAuthError:
        raise
    except MllmqaError as error:
        if error is teacher.failed:
            raise
        return by_error(sample.id, error, teacher.name)
    except Exception as error:  # noqa: BLE001 - an answer of a kind that nobody foresaw becomes a record
        unforeseen = InferenceError(f"an answer could not be used: {error_line(error)}", where=teacher.name)
        return by_error(sample.id, unforeseen, teacher.name)


@dataclass(frozen=True)
class Plan:
    """How a sample is rewritten.

    Attributes:
        file: The task.
        truth: Labels.
        told: What the teacher is told.
    """

    file: TeachFile
    truth: Truth
    told: Told


def _plan(sample: Sample) -> Plan | Fault:
    """Return how a sample is rewritten, or why it cannot be.

    Raises:
        DataError: A label that its task needs is missing.
    """
    spoken = [message for message in sample.messages if message.role != "system"]
    task = sample.task or ""
    if task not in tasks():
        return Fault("unsupported", f"task {task or 'none'}", "one of " + ", ".join(tasks()))
    if [message.role for message in spoken] != ["user", "assistant"]:
        return Fault("unsupported", f"{len(spoken)} messages", "one question and its answer")
    if sample.derived_from is None:
        return Fault("unsupported", "does not say how its messages were made", "derived_from")
    if sample.derived_from.teacher is not None:
        return Fault("unsupported", f"rewritten already by {sample.derived_from.teacher}", "answers made of labels")
    question, answer = (message.text for message in spoken)
    if _is_short(question, sample.derived_from.prompts):
        return Fault("unsupported", "the question asks for a short answer", "one that asks for sentences")
    file, truth = task_file(task), truth_of(sample)
    asked = (spoken[0].content[-1].text or question).strip()
    return Plan(file, truth, Told(file, truth, asked, answer))


def _is_short(question: str, prompts: tuple[str, ...]) -> bool:
    names = (ref.partition("@")[0].removeprefix("build/") for ref in prompts if ref.startswith("build/"))
    pools = [wording(name).pools for name in names]
    return any(question.rstrip().endswith(text) for pool in pools for text in pool.get("short", ()))


def judged(sample: Sample, plan: Plan, answer: Answer) -> Outcome:
    """Return a sample with a teacher's answer, or why that cannot be used.

    Args:
        sample: With the answer that was made of its labels.
        plan: How it was asked.
        answer: What came.
    """
    parts = parts_of(answer.text, plan.file)
    if answer.truncated:
        faults = [Fault("truncated", f"cut off after {len(answer.text)} characters", "a whole answer")]
    elif isinstance(parts, Fault):
        faults = [parts]
    else:
        faults = list(form_faults(parts, plan.told.words)) + list(leaks(parts, plan.truth))
        faults += contradictions(parts, plan.truth, plan.file)
    if faults or isinstance(parts, Fault):
        return _dropped(sample, faults, plan, answer)
    return Rewritten(_with_answer(sample, joined(parts), plan, answer), answer.from_cache)


def _with_answer(sample: Sample, text: str, plan: Plan, answer: Answer) -> Sample:
    said = Message(role="assistant", content=(Part(text=text),))
    source = sample.derived_from
    if source is not None:
        refs = (*source.prompts, *plan.told.refs)
        source = source.model_copy(update={"prompts": refs, "teacher": answer.teacher})
    return sample.model_copy(update={"messages": (*sample.messages[:-1], said), "derived_from": source})


def _dropped(
    sample: Sample, faults: list[Fault], plan: Plan | None = None, answer: Answer | None = None
) -> Dropped:
    unique = list(dict.fromkeys(faults))
    return Dropped(
        id=sample.id,
        reason=unique[0].code,
        found=tuple(fault.found for fault in unique),
        expected=tuple(fault.expected for fault in unique),
        text=answer.text if answer else None,
        teacher=answer.teacher if answer else None,
        prompts=plan.told.refs if plan else (),
    )
