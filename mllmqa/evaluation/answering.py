"""From a file of samples or questions to results: what ``mllmqa answers`` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mllmqa.data.sample import START
from mllmqa.data.sample_file import numbered_lines
from mllmqa.errors import UsageError
from mllmqa.evaluation.answers.ask import Asker
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import Answer, AnswerLog, Answers, Header, read_log
from mllmqa.evaluation.answers.run import answer_all, header_of
from mllmqa.evaluation.choice import asking, exports, files
from mllmqa.evaluation.choice import report as choice_report
from mllmqa.evaluation.choice.question import Question
from mllmqa.evaluation.describe import asked as describe_asked
from mllmqa.evaluation.describe import report as describe_report
from mllmqa.evaluation.judge import ANSWER, DESCRIPTION, Case, Criterion, judge, summed

if TYPE_CHECKING:
    from mllmqa.models.base import Backend
    from mllmqa.scoring import Scorer

Target = tuple[str, Path]
"""A format of :mod:`mllmqa.evaluation.choice.exports`, and where to write it."""
GRADES = ("text", "likelihood")
DESCRIBING = ("assess", "causal", "compare", "reason_five", "reason_three", "describe_several")
"""Tasks of samples whose answers describe."""


@dataclass(frozen=True)
class Results:
    """Figures of a run.

    Attributes:
        kind: Of the file.
        tasks: Of samples: by task.
        choices: Of questions.
        judged: By a judge, where there was one.
        graded: Each answer with its grade, as JSON lines have it.
        n_unscored: Questions without an answer.
    """

    kind: Literal["samples", "questions"]
    graded: Sequence[describe_report.Graded | choice_report.Chosen]
    n_unscored: int
    tasks: Sequence[describe_report.TaskResult] = ()
    choices: choice_report.ChoiceResult | None = None
    judged: Sequence[Criterion] = ()

    def flat(self) -> dict[str, Any]:
        """Return all figures as ``--json`` shows them."""
        own = {"tasks": [task.flat() for task in self.tasks]} if self.choices is None else self.choices.flat()
        judged = {"judge": [one.model_dump() for one in self.judged]} if self.judged else {}
        return {"kind": self.kind, **own, **judged}


@dataclass(frozen=True)
class Pace:
    """Decode threads and questions at once; None: as suits machine and model."""

    workers: int | None = None
    batch_size: int | None = None


class Asked(Protocol):
    """A file that can be asked and graded."""

    def __len__(self) -> int:
        """Return the number of questions, each in all its orders."""
        ...

    def items(self) -> Iterator[Item]:
        """Yield what the model is asked."""
        ...

    def grade(self, known: Answers) -> Results:
        """Grade the answers that are known; questions without one are unscored."""
        ...

    def cases(self, known: Answers) -> tuple[list[Case], tuple[str, ...]]:
        """Return what a judge can grade, and by which criteria."""
        ...

    def export(self, known: Answers, header: Header | None, targets: Sequence[Target]) -> None:
        """Write questions, or answers, in the forms of other harnesses; ``header`` says who answered."""
        ...


@dataclass(frozen=True)
class AskedSamples:
    """Questions about labelled samples."""

    questions: Sequence[describe_asked.Labelled]

    def __len__(self) -> int:
        return len(self.questions)

    def items(self) -> Iterator[Item]:
        """Yield what the model is asked."""
        return (one.item for one in self.questions)

    def grade(self, known: Answers) -> Results:
        """Compare the answers with the labels."""
        tasks, each = describe_report.grade(self.questions, known)
        return Results("samples", each, sum(one.outcome == "unscored" for one in each), tasks=tasks)

    def cases(self, known: Answers) -> tuple[list[Case], tuple[str, ...]]:
        """Return the answers that describe, with the samples' own as references."""
        found = []
        for one in self.questions:
            answer = known.of(one.item)
            if one.item.task in DESCRIBING and answer is not None and answer.text is not None:
                kind = one.sample.media[0].kind
                found.append(Case(one.item.id, one.question, one.truth, answer.text, kind))
        return found, DESCRIPTION

    def export(self, known: Answers, header: Header | None, targets: Sequence[Target]) -> None:
        """Refuse: samples have forms of their own.

        Raises:
            UsageError: There is a target.
        """
        if targets:
            raise UsageError("samples cannot be exported", expected="a file of questions, or `mllmqa data rewrite`")


@dataclass(frozen=True)
class AskedQuestions:
    """Multiple choice."""

    questions: Sequence[tuple[Question, Sequence[Item]]]
    folder: Path
    """Of the media."""

    def __len__(self) -> int:
        return sum(len(items) for _, items in self.questions)

    def items(self) -> Iterator[Item]:
        """Yield what the model is asked."""
        return (item for _, items in self.questions for item in items)

    def grade(self, known: Answers) -> Results:
        """Compare the answers with the right options."""
        result, each = choice_report.grade_choices(self.questions, known)
        unscored = sum(one.text is None and not one.read for one in each)
        return Results("questions", each, unscored, choices=result)

    def cases(self, known: Answers) -> tuple[list[Case], tuple[str, ...]]:
        """Return the answers to open questions whose right answer is published."""
        found = []
        for question, items in self.questions:
            answer = known.of(items[0])
            if question.reference is not None and answer is not None and answer.text is not None:
                kind = question.media[0].kind
                found.append(Case(question.id, question.question, question.reference, answer.text, kind))
        return found, ANSWER

    def export(self, known: Answers, header: Header | None, targets: Sequence[Target]) -> None:
        """Write questions, or answers, in the forms of other harnesses.

        Raises:
            DataError: A question cannot be told in a form.
        """
        questions = [question for question, _ in self.questions]
        for name, path in targets:
            if name == "inspect":
                result, chosen = choice_report.grade_choices(self.questions, known)
                exports.write_inspect(questions, chosen, result, header, path)
            elif name == "vlmevalkit":
                exports.write_vlmevalkit(questions, self.folder, path)
            else:
                exports.write_lmms_eval(questions, self.folder, path)


@dataclass(frozen=True)
class Choosing:
    """How multiple choice is asked.

    Attributes:
        form: Of the file.
        media: Folder of the media; None: that of the file.
        grade: ``text`` or ``likelihood``.
        orders: Of the options.
    """

    form: str = "auto"
    media: Path | None = None
    grade: str = "text"
    orders: asking.Orders = field(default_factory=asking.Orders)

    def __post_init__(self) -> None:
        if self.grade not in GRADES:
            raise UsageError(f"grade {self.grade!r}", expected=" or ".join(GRADES))


def open_asked(
    file: Path, *, tasks: Collection[str] | None = None, limit: int | None = None, how: Choosing | None = None
) -> Asked:
    """Read a file of samples or of questions; its first line tells which.

    Args:
        file: The file.
        tasks: Of samples: only these.
        limit: Questions at most, before orders multiply them.
        how: Of questions.

    Raises:
        UsageError: Nothing is left to ask, or options of the other kind of file are given.
        DataError: The file cannot be read, or something in it is malformed: names its place.
    """
    if is_samples(file):
        if how is not None and how != Choosing():
            raise UsageError("options of questions are given", where=file, expected="a file of questions with them")
        found = list(describe_asked.read_questions(file, tasks, limit))
        _check(found, file, tasks)
        return AskedSamples(found)
    if tasks is not None:
        raise UsageError("tasks are named", where=file, expected="a file of samples with them")
    how = how or Choosing()
    folder = how.media or file.parent
    questions: list[tuple[Question, Sequence[Item]]] = []
    for question in files.read_questions(file, form=how.form, media=how.media):
        if len(questions) == limit:
            break
        questions.append(
            (question, asking.items_of(question, folder, how.orders, likelihood=how.grade == "likelihood"))
        )
    _check(questions, file, None)
    return AskedQuestions(questions, folder)


def is_samples(file: Path) -> bool:
    """Tell whether a file holds samples: its first line starts as theirs do."""
    if file.suffix.lower() != ".jsonl":
        return False
    first = next(numbered_lines(file), (0, b""))[1]
    return first.startswith(START[: START.index(b":")])


def _check(found: Sequence[object], file: Path, tasks: Collection[str] | None) -> None:
    if not found:
        what = f"no sample of the task {', '.join(tasks)}" if tasks else "no question"
        raise UsageError(what, where=file)


def run(
    asked: Asked,
    scorer: Scorer,
    asker: Asker,
    *,
    log: tuple[Path, bool] | None = None,
    pace: Pace | None = None,
    told: Callable[[Answer], None] | None = None,
) -> Answers:
    """Ask what is not known yet; return all answers.

    Args:
        asked: The questions.
        scorer: The model.
        asker: How it is asked.
        log: File of the answers, and whether an existing one is continued; None: nothing is kept.
        pace: Threads and batches.
        told: Is given each new answer.

    Raises:
        UsageError: The log exists and is not continued, or letters' probabilities cannot be read.
        DataError: The log is of another model or other settings.
    """
    info, pace = scorer.backend.info, pace or Pace()
    if info.remote and info.readout == "decisions" and any(item.words for item in asked.items()):
        raise UsageError("a decisions endpoint orders its options", where=info.model, expected="--readout logprobs")
    kept = nullcontext() if log is None else AnswerLog(log[0], header_of(scorer, asker), continued=log[1])
    with kept as opened:
        known = Answers() if opened is None else opened.known
        keep = None if opened is None else opened.write
        new = answer_all(
            asker, asked.items(), known, keep=keep, workers=pace.workers, batch_size=pace.batch_size
        )  # fmt: skip
        for answer in new:
            if told is not None:
                told(answer)
    return known


def judged(results: Results, asked: Asked, known: Answers, judge_model: Backend, rounds: int) -> Results:
    """Return results with what a judge says of the answers in words.

    Raises:
        UsageError: There is no such answer.
    """
    cases, criteria = asked.cases(known)
    if not cases:
        raise UsageError("no answer for a judge", expected="open questions, or tasks that describe")
    size = int(getattr(judge_model, "batch_size", 16))
    found = judge(judge_model, cases, criteria, rounds=rounds, batch_size=size)
    return replace(results, judged=summed(found))


def logged(path: Path | None) -> tuple[Header, Answers]:
    """Return header and answers of a log.

    Raises:
        UsageError: No log is named.
        DataError: It cannot be read.
    """
    if path is None:
        raise UsageError("answers of a log are to be graded", expected="--out LOG.jsonl")
    return read_log(path)
