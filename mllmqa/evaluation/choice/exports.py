"""Questions and answers in the forms of public harnesses: VLMEvalKit's TSV, an lmms-eval task, inspect's log.

Nothing of those projects is used: the forms are written from their documentation (facts: promptbench §3), and each
is read back by a test.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mllmqa import prompts, resources
from mllmqa._version import __version__
from mllmqa.data.tasks.phrases import LETTERS
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.answers.log import Header
from mllmqa.evaluation.choice.asking import LETTER
from mllmqa.evaluation.choice.question import Question
from mllmqa.evaluation.choice.report import ChoiceResult, Chosen
from mllmqa.whole_file import write_whole

FORMATS = ("vlmevalkit", "lmms-eval", "inspect")


def parse_export(text: str) -> tuple[str, Path]:
    """Read ``FORMAT=PATH``.

    Raises:
        UsageError: It is no such thing, or the format is unknown.
    """
    name, equals, path = text.partition("=")
    if name not in FORMATS or not equals or not path:
        raise UsageError(f"--export {text!r}", expected=" | ".join(f"{one}=PATH" for one in FORMATS))
    return name, Path(path)


# ------------------------------------------------------------------ VLMEvalKit


def write_vlmevalkit(questions: Sequence[Question], folder: Path, path: Path) -> None:
    """Write a TSV: index, question, A, B, …, answer (a letter), category; pictures in base64, videos by path.

    Args:
        questions: With options; the category is their first grouping.
        folder: Of their media.
        path: The file.

    Raises:
        DataError: A medium cannot be read, or a question has no options.
    """
    _check_options(questions, path)
    most = max(len(one.options) for one in questions)
    video = any(shown.kind == "video" for one in questions for shown in one.media)
    columns = ["index", "question", *LETTERS[:most], "answer", "category"]
    columns += ["video", "video_path"] if video else ["image"]
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, columns, delimiter="\t", lineterminator="\n")
    table.writeheader()
    for one in questions:
        row = {"index": one.id, "question": one.question, "category": _category(one)}
        row |= dict(zip(one.letters, one.options, strict=True))
        row["answer"] = "" if one.answer is None else one.letters[one.answer]
        if video:
            paths = [str((folder / shown.path).resolve()) for shown in one.media]
            row |= {"video": Path(paths[0]).stem, "video_path": _list(paths)}
        else:
            row["image"] = _list([_base64(folder / shown.path) for shown in one.media])
        table.writerow(row)
    write_whole(path, out.getvalue())


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else str(list(parts))


def _category(question: Question) -> str:
    return next((value for values in question.categories.values() for value in values), "")


def _base64(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error


# ------------------------------------------------------------------ lmms-eval


def write_lmms_eval(questions: Sequence[Question], folder: Path, out: Path) -> None:
    """Write a task folder for ``--include_path``: ``NAME.yaml``, ``utils.py``, ``questions.jsonl``.

    Media are named by absolute paths; the answers that cannot be read are counted, not guessed.

    Args:
        questions: With options and published answers.
        folder: Of their media.
        out: The folder; its name becomes the task's.

    Raises:
        DataError: A question has no options or no published answer.
    """
    _check_options(questions, out)
    if hidden := [one.id for one in questions if one.answer is None]:
        raise DataError(
            f"question {hidden[0]} has no published answer", where=out, expected="answers to compare with"
        )
    name = "".join(c if c.isalnum() else "_" for c in out.name).strip("_") or "mllmqa_questions"
    lines = []
    for one in questions:
        told = prompts.render(
            prompts.load(LETTER), question=one.question, options=list(one.options), letters=one.letters
        )
        media = [{"kind": s.kind, "path": str((folder / s.path).resolve())} for s in one.media]
        row = {"id": one.id, "prompt": told.question, "options": list(one.options), "media": media}
        row |= {"answer": one.letters[one.answer or 0], "category": _category(one)}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    out.mkdir(parents=True, exist_ok=True)
    data = out / "questions.jsonl"
    template = resources.folder("eval") / "exports" / "lmms_eval"
    text = (template / "task.yaml").read_text(encoding="utf-8")
    write_whole(data, "".join(lines))
    write_whole(out / f"{name}.yaml", text.replace("TASK_NAME", name).replace("DATA_FILE", str(data.resolve())))
    write_whole(out / "utils.py", (template / "utils.py").read_text(encoding="utf-8"))


# ------------------------------------------------------------------ inspect


def write_inspect(
    questions: Sequence[Question], chosen: Sequence[Chosen], result: ChoiceResult, header: Header | None, path: Path
) -> None:
    """Write a log in the shape of inspect's ``EvalLog`` (JSON, version 2): one sample per question and order.

    Args:
        questions: That were asked.
        chosen: Grades; ``C`` is right, ``I`` wrong, ``N`` unparsed; without an answer a sample has an error.
        result: Of the run.
        header: Who was asked; None: not recorded.
        path: The file, ``NAME.json``.
    """
    by_id = {one.id: one for one in questions}
    model = "unknown" if header is None else f"mllmqa/{header.model.get('model')}"
    now, epochs = datetime.now(UTC).isoformat(timespec="seconds"), dict[str, int]()
    samples = []
    for one in chosen:
        epochs[one.id] = epochs.get(one.id, 0) + 1
        samples.append(_sample(by_id[one.id], one, epochs[one.id], model))
    flat = result.count.flat()
    metrics: dict[str, Any] = {
        name: {"name": name, "value": flat[name], "params": {}} for name in ("accuracy", "low", "high")
    }
    scores = [{"name": "choice", "scorer": "choice", "params": {}, "metrics": metrics}]
    done = sum(one.text is not None or one.choice is not None for one in chosen)
    settings: dict[str, Any] = {} if header is None else dict(header.settings)
    log = {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": "" if header is None else header.spec, "run_id": "", "created": now, "task": "mllmqa/choice",
            "task_id": "choice", "task_version": 1, "task_attribs": {}, "task_args": {}, "model": model,
            "model_generate_config": {"max_tokens": settings.get("max_tokens")}, "model_args": {},
            "dataset": {"name": path.stem, "samples": len(questions), "sample_ids": list(by_id), "shuffled": False},
            "config": {"epochs": max(epochs.values(), default=1)}, "packages": {"mllmqa": __version__},
            "metadata": {"settings": settings},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": len(chosen), "completed_samples": done, "scores": scores},
        "stats": {"started_at": now, "completed_at": now, "model_usage": {}},
        "samples": samples,
    }  # fmt: skip
    write_whole(path, json.dumps(log, ensure_ascii=False, allow_nan=False))


_VALUES = {"right": "C", "wrong": "I", "unparsed": "N"}


def _sample(question: Question, one: Chosen, epoch: int, model: str) -> dict[str, Any]:
    shown = [question.options[i] for i in one.order]
    target = "" if question.answer is None or not shown else question.letters[one.order.index(question.answer)]
    said = one.text or ""
    message = {"role": "assistant", "content": said, "source": "generate", "model": model}
    made: dict[str, Any] = {
        "id": question.id, "epoch": epoch, "input": question.question, "choices": shown, "target": target,
        "messages": [{"role": "user", "content": question.question, "source": "input"}, message],
        "output": {"model": model, "choices": [{"message": message, "stop_reason": "stop"}], "completion": said},
        "metadata": {"media": [s.path for s in question.media], **question.categories}, "store": {}, "events": [],
    }  # fmt: skip
    if one.outcome in _VALUES:
        letter = None if one.choice is None else question.letters[one.order.index(one.choice)]
        made["scores"] = {"choice": {"value": _VALUES[one.outcome], "answer": letter, "explanation": said}}
    if one.outcome == "unscored":
        made["error"] = {"message": one.reason or "no answer", "traceback": "", "traceback_ansi": ""}
    return made


def _check_options(questions: Sequence[Question], where: Path) -> None:
    if not questions:
        raise DataError("no question to export", where=where)
    if without := [one.id for one in questions if not one.options]:
        raise DataError(f"question {without[0]} has no options", where=where, expected="multiple choice")
