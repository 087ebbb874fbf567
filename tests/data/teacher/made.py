"""Samples to rewrite, and a teacher on loopback that answers as it is told: right by default."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_labels import Distortion, Labels, Level, Preference
from mllmqa.data.tasks.compose import told
from tests.conftest import photo_pixels
from tests.loopback import Loopback, Received, Reply, chat

WORDS = ("excellent", "good", "fair", "poor", "bad")
Parts = dict[str, str]


def medium(path: str | None, key: str = "A", role: Any = "distorted", **more: Any) -> Medium:
    return Medium(**{"key": key, "kind": "image", "path": path, "role": role, "width": 48, "height": 32, **more})


def flaw(key: str, category: str, severity: float, **more: Any) -> Distortion:
    return Distortion(media=key, category=category, severity=severity, **more)


def labels(*found: Distortion, level: str | None = "poor", better: str | None = None) -> Labels:
    return Labels(
        levels=(Level(media="A", word=level, scale=WORDS),) if level else (),
        distortions=found,
        preference=Preference(among=("A", "B"), better=better) if better else None,
    )


def single(task: str, *found: Distortion, number: int = 0, **more: Any) -> Sample:
    """A sample of one image, ``photo0.png`` and so on."""
    given = {"id": f"{task}{number}", "media": (medium(f"photo{number}.png"),), "labels": labels(*found), **more}
    return asked(Sample(**given), task)


def pair(task: str, *found: Distortion, better: str = "B", **more: Any) -> Sample:
    """A sample of two images."""
    media = (medium("photo0.png"), medium("photo1.png", "B"))
    given = {"id": task, "media": media, "labels": labels(*found, better=better, level=None), **more}
    return asked(Sample(**given), task)


def asked(sample: Sample, task: str) -> Sample:
    """The sample with a question that wants a sentence."""
    for seed in range(50):
        made = told(sample, task, seed)
        if not made.messages[-2].text.endswith(("only.", "enough.", "nothing else.")):
            return made
    raise AssertionError("no long form in 50 draws")


def photos(folder: Path, count: int = 2) -> None:
    for k in range(count):
        Image.fromarray(photo_pixels(48, 32, seed=k)).save(folder / f"photo{k}.png")


def task_text(request: Received) -> str:
    """The last text of the user's message: question, facts, form."""
    return str(request.body["messages"][-1]["content"][-1]["text"])


def texts(request: Received) -> list[str]:
    """All texts of the user's message."""
    return [part["text"] for part in request.body["messages"][-1]["content"] if part["type"] == "text"]


def sent_pictures(request: Received) -> list[bytes]:
    return [data for _, data in request.pictures]


def right_answer(request: Received) -> Parts:
    """What a perfect teacher answers; the content part tells which picture it saw."""
    text = task_text(request)
    facts = dict(re.findall(r"^- (?:Image|Video)(?: ([AB]))?: (.+)$", text, re.MULTILINE))
    level = re.search(r"^- The quality of the \w+ is (\w+)$", text, re.MULTILINE)
    better = re.search(r"^- (?:Image|Video) ([AB]) is better", text, re.MULTILINE)
    keys = re.findall(r'"(\w+)"', text[text.index("Its keys are") :].partition(";")[0])
    seen = hashlib.sha256(b"".join(sent_pictures(request))).hexdigest()[:8]
    end = f"Hence the quality of the image is {level[1]}." if level else ""
    end = f"So image {better[1]} is better." if better else end
    names = " and ".join(fact.strip() for fact in facts.values())
    own = {
        "content": f"A boat numbered {seen} lies at the shore.",
        "distortions": f"There is {names}, and the boat suffers from it.",
        "effects": f"The boat {seen} is hard to make out.",
        "conclusion": end,
        "A": f"Image A shows {facts.get('A', '')} on the hull.",
        "B": f"Image B shows {facts.get('B', '')} on the hull.",
        "answer": " ".join(filter(None, [f"Look at boat {seen}: it shows {names}." if facts else "A boat.", end])),
    }
    return {key: own[key] for key in keys}


def as_json(parts: Any) -> Reply:
    return Reply(200, chat(json.dumps(parts)))


@dataclass
class School(Loopback):
    """A loopback server whose model is a teacher.

    Attributes:
        answer: Request → reply; None: a right one.
    """

    answer: Callable[[Received], Reply] | None = None
    asked: list[Received] = field(default_factory=list)

    def _usual(self, request: Received) -> Reply:
        usual = super()._usual(request)
        if usual.status != 200:
            return usual
        self.asked.append(request)
        return self.answer(request) if self.answer else as_json(right_answer(request))
