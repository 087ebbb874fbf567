"""Rows of published question files → the one record. A form is known by its columns.

Formats (facts: instruct §3.3–3.7): Q-Bench (Wu et al., ICLR 2024) JSON and its Hugging Face columns, Q-Bench⁺ on
pairs, Q-Bench-Video, A-Bench, R-Bench, and the TSV of VLMEvalKit. The file of MICBench (Co-Instruct, ECCV 2024) is
described nowhere; a list of pictures per row is read like Q-Bench's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from mllmqa.data.tasks.phrases import LETTERS
from mllmqa.errors import DataError

Row = Mapping[str, Any]
Fields = dict[str, Any]

KINDS = ("yes/no", "what", "how")
"""Q-Bench's ``type``; a known harness takes the second for the third."""
CONCERNS = ("distortion", "other", "in-context distortion", "in-context other")

_VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".gif")
_INLINE = re.compile(r"(?:^|\n)\s*([A-H])[.)]\s*(.+?)\s*(?=\n\s*[A-H][.)]|\n?$)")


def _qbench(row: Row) -> Fields:
    options = _texts(row["candidates"] if "candidates" in row else row["answer_candidates"])
    answer = row.get("correct_ans", row.get("correct_answer"))
    return {
        "media": _paths(row.get("img_path", row.get("images"))),
        "options": options,
        "answer": _index(answer, options),
        "categories": {"kind": _coded(row.get("type"), KINDS), "concern": _coded(row.get("concern"), CONCERNS)},
    }


def _qbench_hf(row: Row) -> Fields:
    options = tuple(str(row[k]) for k in (f"option{i}" for i in range(8)) if _given(row.get(k)))
    images = [row[key] for key in ("image", "image1", "image2", "image3", "image4") if _given(row.get(key))]
    kind, concern = (
        _coded(row.get(f"question_{name}"), of) for name, of in (("type", KINDS), ("concern", CONCERNS))
    )
    return {
        "media": [("image", one) for one in images],
        "options": options,
        "answer": _index(row.get("correct_choice"), options),
        "categories": {"kind": kind, "concern": concern},
    }


def _abench(row: Row) -> Fields:
    options, parts = _texts(row["answers"]), [part.strip() for part in str(row.get("category", "")).split("->")]
    return {
        "media": _paths(row["img_path"]),
        "options": options,
        "answer": _index(row.get("correct_ans", row.get("correct_answer")), options),
        "categories": {f"category {k}": (part,) for k, part in enumerate(parts, 1) if part},
    }


def _qbench_video(row: Row) -> Fields:
    options, kind = _texts(row.get("answers") or ()), str(row.get("question_type", ""))
    right = row.get("correct_choice")
    groups = {"kind": kind, "context": row.get("context"), "video": row.get("video_type")}
    made: Fields = {
        "media": _paths(row["video_name"], "video"),
        "categories": {
            **{name: _groups(value) for name, value in groups.items()},
            "concern": _groups(row.get("quality_concern")),
        },
    }
    if len(options) < 2:  # an open question: what is right is told in words
        told = right if _given(right) else (options[0] if options else None)
        return {**made, "reference": None if told is None else str(told)}
    return {**made, "options": options, "answer": _index(right, options)}


def _rbench(row: Row) -> Fields:
    text = str(row["choice"]).replace("；", ";").replace("．", ".")
    options = tuple(re.sub(r"^\s*[A-H]\s*[.)]\s*", "", part).strip() for part in text.split(";") if part.strip())
    named = {"kind": row.get("type"), "distortion": row.get("distortion"), "strength": row.get("strength")}
    return {
        "media": _paths(row["name"]),
        "options": options,
        "answer": _index(row.get("answer"), options),
        "categories": {name: _groups(value) for name, value in named.items()},
    }


def _vlmevalkit(row: Row) -> Fields:
    question, options = str(row["question"]), tuple(str(row[k]) for k in LETTERS if _given(row.get(k)))
    if not options and (inline := _INLINE.findall(question)):  # its video files have the options in the question
        options = tuple(text for _, text in inline)
        question = question[: _INLINE.search(question).start()].strip()  # type: ignore[union-attr]
    if _given(row.get("video_path")) or _given(row.get("video")):
        shown = _paths(row.get("video_path") or row["video"], "video")
    elif _given(row.get("image_path")):
        shown = _paths(row["image_path"])
    else:
        shown = [("image", {"base64": one}) for one in _listed(row.get("image"))]
    groups = {name: _groups(row.get(name)) for name in ("category", "l2-category", "dimensions", "split")}
    made: Fields = {"media": shown, "question": question, "categories": groups}
    if not options:
        return {**made, "reference": str(row["answer"]) if _given(row.get("answer")) else None}
    return {**made, "options": options, "answer": _index(row.get("answer"), options)}


FORMS: Mapping[str, tuple[frozenset[str], Callable[[Row], Fields]]] = {
    "qbench-video": (frozenset({"video_name", "question"}), _qbench_video),
    "qbench-hf": (frozenset({"question", "option0"}), _qbench_hf),
    "qbench": (frozenset({"img_path", "candidates"}), _qbench),
    "qbench2": (frozenset({"img_path", "answer_candidates"}), _qbench),
    "several": (frozenset({"images", "candidates"}), _qbench),
    "abench": (frozenset({"img_path", "answers"}), _abench),
    "rbench": (frozenset({"name", "choice"}), _rbench),
    "vlmevalkit": (frozenset({"index", "question"}), _vlmevalkit),
}
"""Name → columns by which it is known, and its reader; the first that fits counts."""


def form_of(row: Row) -> str:
    """Return the form of a row.

    Raises:
        DataError: None is known by these columns.
    """
    for name, (needed, _) in FORMS.items():
        if needed <= row.keys():
            return name
    raise DataError(
        f"columns {', '.join(map(str, row))}",
        expected="those of "
        + "; ".join(f"{name} ({', '.join(sorted(cols))})" for name, (cols, _) in FORMS.items()),
    )


# ------------------------------------------------------------------ cells


def _given(value: Any) -> bool:
    return value is not None and str(value).strip().lower() not in ("", "n/a", "nan", "none")


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one).strip() for one in value if _given(one))


def _groups(value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one).strip() for one in many if _given(one))


def _coded(value: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """A number by its name; a name as it is."""
    if not _given(value):
        return ()
    text = str(value)
    if text.isdecimal() and int(text) < len(names):
        return (names[int(text)],)
    return (text,)


def _index(answer: Any, options: tuple[str, ...]) -> int | None:
    """The right option: by its text, else by its letter ("B", "B. noise").

    Raises:
        DataError: It is none of them.
    """
    if not _given(answer):
        return None
    told = str(answer).strip()
    by_text = [i for i, option in enumerate(options) if option.casefold() == told.casefold().rstrip(".")]
    by_text = by_text or [i for i, option in enumerate(options) if option.casefold() == told.casefold()]
    if len(by_text) == 1:
        return by_text[0]
    if (found := re.fullmatch(r"\(?([A-H])\)?(?:[.):]\s*.*)?", told)) and LETTERS.index(found[1]) < len(options):
        return LETTERS.index(found[1])
    raise DataError(f"right answer {told!r}", expected="one of " + ", ".join(options))


def _paths(value: Any, kind: str | None = None) -> list[tuple[str, Any]]:
    """(kind, path) of one name, of a list, or of a pair that is written ``a_cat_b``."""
    names = _listed(value)
    if len(names) == 1 and "_cat_" in names[0]:
        name = names[0].replace("\\", "/")
        parts = PurePosixPath(name).name.split("_cat_")
        end = PurePosixPath(parts[-1])
        if PurePosixPath(end.stem).suffix:  # "b.jpg.jpg": the pair's own suffix behind that of the second
            parts[-1] = end.stem
        elif not PurePosixPath(parts[0]).suffix:
            parts[0] += end.suffix
        names = parts
    guessed = [kind or ("video" if name.lower().endswith(_VIDEOS) else "image") for name in names]
    return [(what, name.replace("\\", "/")) for what, name in zip(guessed, names, strict=True)]


def _listed(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    text = str(value)
    if text.startswith("[") and text.endswith("]"):  # VLMEvalKit writes lists as Python does
        return [part.strip().strip("'\"") for part in text[1:-1].split(",") if part.strip()]
    return [text]
