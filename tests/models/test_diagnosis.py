"""What nano's heads find in a picture, and that whoever asks about distortions hears them first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa import prompts
from mllmqa.asking.listening import Listener
from mllmqa.data import distortions
from mllmqa.data.distortions import CATEGORIES
from mllmqa.loading import load
from mllmqa.media import decode_frames, open_media
from mllmqa.models.base import Diagnostician, Request
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

PROMPT = prompts.render(prompts.load("score/quality"), medium="image")
FLOWER = Path(__file__).parents[2] / "docs" / "samples" / "flower.mp4"
SIZES = ((96, 64), (64, 64), (200, 120))


def pictures() -> list[np.ndarray]:
    return [photo_pixels(width, height, seed) for seed, (width, height) in enumerate(SIZES)]


def test_heads_say_what_the_tower_was_trained_to_say(nano: Scorer) -> None:
    backend: Any = nano.backend
    assert isinstance(backend, Diagnostician)
    tower = backend.model.model.vision_tower
    found = backend.diagnose(pictures())
    assert found is not None
    assert [[one.category for one in picture] for picture in found] == [list(CATEGORIES)] * 3
    for picture, pixels in zip(found, pictures(), strict=True):
        seen = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.inference_mode():
            pooled = tower(seen).pooler_output
            presence = tower.categories.presence(pooled).sigmoid()[0]
            severity = tower.categories.severity(pooled)[0].clamp(1, 5)
        assert [one.probability for one in picture] == pytest.approx(presence.tolist(), abs=1e-3)
        assert [one.severity for one in picture] == pytest.approx(severity.tolist(), abs=1e-2)


def test_neighbours_of_other_sizes_change_nothing(nano: Scorer) -> None:
    backend: Any = nano.backend
    together = backend.diagnose(pictures())
    alone = [backend.diagnose([picture])[0] for picture in pictures()]
    for one, other in zip(together, alone, strict=True):
        assert [d.probability for d in one] == pytest.approx([d.probability for d in other], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "category"), [("noise_gaussian_rgb", "noise"), ("blur_gaussian", "blur"), ("pixelate", "pixelate")]
)
def test_a_heavy_distortion_is_found_and_grows(nano: Scorer, name: str, category: str) -> None:
    backend: Any = nano.backend
    photo = decode_frames(open_media(FLOWER), (1.0,)).frames_THWC[0]
    severities = (2, 5)
    made = [distortions.apply(photo, name, s, np.random.default_rng(0)).pixels for s in severities]
    light, heavy = ({one.category: one for one in picture} for picture in backend.diagnose(made))
    assert max(heavy.values(), key=lambda one: one.probability).category == category
    assert heavy[category].probability > 0.5
    assert heavy[category].severity > light[category].severity


def test_other_models_have_none(tmp_path: Path) -> None:
    scorer = load(str(tiny_models.build("llava", tmp_path)), device="cpu")
    backend: Any = scorer.backend
    assert backend.diagnose([photo_pixels(64, 64)]) is None


class Counting:
    """A back end that counts the closed questions it is asked."""

    def __init__(self, backend: Any) -> None:
        self._backend, self.asked = backend, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def diagnose(self, images: Any) -> Any:
        return self._backend.diagnose(images)

    def level_logits(self, requests: Any, words: Any) -> Any:
        self.asked += len(requests)
        return self._backend.level_logits(requests, words)


def test_heads_are_heard_before_words_are_asked(nano: Scorer) -> None:
    backend: Any = Counting(nano.backend)
    listener = Listener(Scorer(backend, nano.preset))
    shown = [Request(PROMPT, (picture,)) for picture in pictures()]
    found, unread = listener.presence(shown, ["blur", "noise"], "image")
    assert (unread, backend.asked) == ({}, 0)
    assert [one.category for one in found] == ["blur", "noise"]
    blur = [picture[list(CATEGORIES).index("blur")].probability for picture in backend.diagnose(pictures())]
    assert found[0].per_frame == pytest.approx(blur)
    assert found[0].probability == pytest.approx(np.mean(blur))
    assert found[0].coverage is None

    strong = listener.how(shown[0], ["noise", "blur"], "image")
    assert backend.asked == 0
    assert list(strong) == ["noise", "blur"]
    for one in strong.values():
        assert not isinstance(one, str)
        assert one.readout == "heads"
        assert sum(one.words.values()) == pytest.approx(1)
        values = dict(
            zip(("catastrophic", "serious", "obvious", "moderate", "slight"), (5, 4, 3, 2, 1), strict=True)
        )
        assert sum(values[word] * p for word, p in one.words.items()) == pytest.approx(one.value)
        assert 0 <= one.std <= 0.5


def test_what_heads_do_not_know_is_asked(nano: Scorer) -> None:
    backend: Any = Counting(nano.backend)
    listener = Listener(Scorer(backend, nano.preset))
    shown = [Request(PROMPT, (pictures()[0],))]
    listener.presence(shown, ["blur", "freeze"], "video")
    assert backend.asked == 2
    clip = [replace(shown[0], images=tuple(pictures()[:2]), clip=None)]
    listener.presence(clip, ["blur"], "video")
    assert backend.asked == 3
