"""How an endpoint is asked: forms of JSON, parameters that it rejects, the cache, the budget, videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.sample import Sample
from mllmqa.data.teacher import Dropped, Rewritten, Teacher, rewrite
from mllmqa.errors import ApiAuthError, ApiModelError, ApiUnreachableError, UnknownNameError, UsageError
from mllmqa.models.api import Budget, Price
from tests.conftest import photo_pixels
from tests.data.teacher.made import School, as_json, asked, flaw, labels, medium, right_answer, single, texts
from tests.loopback import Reply, chat, error_body

Connect = Callable[..., Teacher]
BLUR = flaw("A", "blur", 2)


def _run(teacher: Teacher, folder: Path, *samples: Sample) -> list[Any]:
    return list(rewrite(samples, teacher, folder))


def _reasons(outcomes: list[Any]) -> list[str | None]:
    return [one.reason if isinstance(one, Dropped) else None for one in outcomes]


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("rejects", "absent", "present"),
    [
        ((), (), ("response_format", "temperature", "max_completion_tokens")),
        (("max_completion_tokens",), ("max_completion_tokens",), ("response_format", "temperature", "max_tokens")),
        (("temperature",), ("temperature",), ("response_format", "max_completion_tokens")),
        (("response_format",), ("response_format",), ("temperature", "max_completion_tokens")),
        (("temperature", "response_format", "max_completion_tokens"), ("temperature", "response_format"), ("max_tokens",)),  # noqa: E501
    ],
)  # fmt: skip
def test_rejected_parameters_are_left_out_once_for_all(
    rejects: tuple[str, ...],
    absent: tuple[str, ...],
    present: tuple[str, ...],
    school: School,
    connect: Connect,
    folder: Path,
) -> None:
    school.rejects = rejects
    samples = [single("assess", BLUR, number=k) for k in range(4)]
    assert _reasons(_run(connect(), folder, *samples)) == [None] * 4
    assert len(school.asked) == 4
    for request in school.asked:
        assert all(name in request.body for name in present)
        assert not any(name in request.body for name in absent)
    # Another connection to the same endpoint remembers.
    school.received.clear()
    _run(connect(), folder, single("level", number=5))
    assert len(school.received) == 1


def test_some_json_where_a_schema_is_not_taken(school: School, connect: Connect, folder: Path) -> None:
    complaint = error_body("response_format type json_schema is not supported by this model")
    school.script.append(Reply(400, complaint))
    _run(connect(), folder, single("assess", BLUR))
    assert school.asked[0].body["response_format"] == {"type": "json_object"}


def test_a_rejected_picture_is_no_rejected_parameter(school: School, connect: Connect, folder: Path) -> None:
    school.script.append(Reply(400, error_body("the image is too large")))
    found = _run(connect(concurrency=1), folder, single("assess", BLUR), single("assess", BLUR, number=1))
    assert _reasons(found) == ["api-rejected", None]
    assert "response_format" in school.asked[0].body


@pytest.mark.parametrize("name", ["eye", "nano", "api:", ""])
def test_a_teacher_is_behind_an_endpoint(name: str, connect: Connect) -> None:
    with pytest.raises(UsageError, match="api:MODEL"):
        connect(name)


def test_usage_errors_come_before_any_request(school: School, connect: Connect) -> None:
    with pytest.raises(UsageError, match="concurrency"):
        connect(concurrency=0)
    with pytest.raises(UnknownNameError, match="frame rule"):
        connect(frames="some")
    with pytest.raises(ApiAuthError, match="OPENAI_API_KEY"):
        connect(base_url="https://api.openai.com/v1")
    assert school.received == []


def test_an_endpoint_that_never_answered_ends_the_run(school: School, connect: Connect, folder: Path) -> None:
    """Else each of many samples would wait for all of its tries."""
    samples = [single("assess", BLUR, number=k) for k in range(5)]
    school.script.extend([Reply(500, "")] * 20)
    with pytest.raises(ApiUnreachableError, match="no answer after 6 tries"):
        _run(connect(), folder, *samples)
    assert len(school.received) == 6
    school.script.clear()
    with pytest.raises(ApiModelError, match="'nobody' does not exist"):
        _run(connect("api:nobody"), folder, *samples)


# ------------------------------------------------------------------ the cache


def test_an_answer_is_paid_for_once(school: School, connect: Connect, folder: Path) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(3)]
    first = _run(connect(), folder, *samples)
    again = connect()
    second = _run(again, folder, *samples)
    assert len(school.received) == 3
    assert [one.sample for one in second] == [one.sample for one in first]
    assert [one.from_cache for one in first + second] == [False] * 3 + [True] * 3
    assert (again.usage.sent, again.usage.from_cache) == (0, 3)


def test_useless_answers_are_paid_for_once_too(school: School, connect: Connect, folder: Path) -> None:
    school.answer = lambda _: Reply(200, chat("I'm sorry, I can't."))
    assert _run(connect(), folder, single("level")) == _run(connect(), folder, single("level"))
    assert len(school.received) == 1


def test_failures_are_not_kept(school: School, connect: Connect, folder: Path) -> None:
    school.script.extend([Reply(400, error_body("no"))])
    assert _reasons(_run(connect(), folder, single("level"))) == ["api-rejected"]
    assert _reasons(_run(connect(), folder, single("level"))) == [None]


CHANGES: dict[str, Callable[[Sample], Sample]] = {
    "level": lambda s: s.model_copy(update={"labels": labels(BLUR, level="bad")}),
    "distortion": lambda s: s.model_copy(update={"labels": labels(flaw("A", "noise", 2))}),
    "grade": lambda s: s.model_copy(update={"labels": labels(flaw("A", "blur", 3))}),
    "picture": lambda s: s.model_copy(update={"media": (medium("photo1.png"),)}),
    "question": lambda s: s.model_copy(
        update={"messages": single("assess", flaw("A", "blur", 2), id="other").messages}
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_key_is_all_that_decides_the_answer(what: str, school: School, connect: Connect, folder: Path) -> None:
    sample = single("assess", BLUR)
    changed = CHANGES[what](sample)
    assert changed != sample
    _run(connect(), folder, sample, changed)
    assert len(school.received) == 2


def test_ids_limits_and_places_are_not_in_the_key(school: School, connect: Connect, folder: Path) -> None:
    sample = single("assess", BLUR)
    _run(connect(), folder, sample)
    (folder / "photo0.png").rename(folder / "renamed.png")
    moved = sample.model_copy(update={"id": "other", "media": (medium("renamed.png"),)})
    _run(connect(timeout_s=7, concurrency=2, retries=1), folder, moved)
    assert len(school.received) == 1
    _run(connect(max_tokens=99), folder, moved)
    assert len(school.received) == 2


# ------------------------------------------------------------------ the budget


@pytest.mark.parametrize(
    ("limits", "done"),
    [({"budget": Budget(requests=2)}, 2), ({"budget": Budget(tokens=250)}, 2),
     ({"budget": Budget(cost=0.00025), "price": Price(1, 0)}, 2)],
)  # fmt: skip
def test_a_spent_budget_leaves_the_rest_for_later(
    limits: dict[str, Any], done: int, school: School, connect: Connect, folder: Path
) -> None:
    samples = [single("assess", BLUR, number=k) for k in range(5)]
    found = _run(connect(concurrency=1, **limits), folder, *samples)
    assert _reasons(found) == [None] * done + ["budget"] * (5 - done)
    assert all(one.found[0].startswith("not asked: the budget of") for one in found[done:])
    assert len(school.received) == done
    assert _reasons(_run(connect(), folder, *samples)) == [None] * 5
    assert len(school.received) == 5


# ------------------------------------------------------------------ videos


@pytest.fixture
def clip(folder: Path) -> str:
    frames = [Image.fromarray(np.full_like(photo_pixels(48, 32), 12 * k)) for k in range(20)]
    frames[0].save(folder / "clip.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    return "clip.gif"


def _video(path: str, at: tuple[float, float] = (0.5, 1.0), **more: Any) -> Sample:
    seen = medium(path, kind="video", duration_s=2.0, **more)
    return asked(Sample(id="v", media=(seen,), labels=labels(flaw("A", "freeze", 3, span_s=at))), "assess")


def _greys(request: Any) -> list[int]:
    import io

    pictures = [Image.open(io.BytesIO(data)).convert("L") for _, data in request.pictures]
    return [int(np.asarray(picture).mean()) // 12 for picture in pictures]


def test_videos_go_as_frames_with_their_times(school: School, connect: Connect, folder: Path, clip: str) -> None:
    school.answer = lambda request: as_json(
        {key: part.replace("image", "video") for key, part in right_answer(request).items()}
    )
    (found,) = _run(connect(), folder, _video(clip))
    assert isinstance(found, Rewritten), found
    (request,) = school.asked
    assert texts(request)[:3] == ["The video:", "Frame 1 of 8, shown at 0.10 s:", "Frame 2 of 8, shown at 0.30 s:"]
    assert len(request.pictures) == 8
    assert "- Video: obvious freezing from 0.5 s to 1.0 s" in texts(request)[-1]


def test_the_frame_rule_is_a_choice(school: School, connect: Connect, folder: Path, clip: str) -> None:
    _run(connect(frames="linspace:2"), folder, _video(clip))
    assert _greys(school.asked[0]) == [0, 19]


def test_of_a_part_of_a_video_only_that_part_is_sent(
    school: School, connect: Connect, folder: Path, clip: str
) -> None:
    _run(connect(frames="linspace:3"), folder, _video(clip, span_s=(0.5, 1.5)))
    assert _greys(school.asked[0]) == [5, 9, 14]
    (found,) = _run(connect(), folder, _video(clip, at=(0.51, 0.59), span_s=(0.51, 0.59)))
    assert (found.reason, found.found[0][:8]) == ("data", "no frame")
