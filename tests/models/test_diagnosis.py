"""What nano's heads find in a picture, and that whoever asks about distortions hears them first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa import prompts
from mllmqa.asking import places
from mllmqa.asking.listening import Listener
from mllmqa.data import distortions
from mllmqa.data.distortions import CATEGORIES
from mllmqa.data.video_distortions import IN_TIME, apply, read_clip
from mllmqa.loading import load
from mllmqa.media import decode_frames, open_media
from mllmqa.media.slices import held, moments, slices
from mllmqa.models.base import Examiner, Request
from mllmqa.models.nano.categories import at_size
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.tiny_nano import Observed

PROMPT = prompts.render(prompts.load("score/quality"), medium="image")
FLOWER = Path(__file__).parents[2] / "docs" / "samples" / "flower.mp4"
SIZES = ((96, 64), (64, 64), (200, 120))


def pictures() -> list[np.ndarray]:
    return [photo_pixels(width, height, seed) for seed, (width, height) in enumerate(SIZES)]


def test_heads_say_what_the_tower_was_trained_to_say(nano: Scorer) -> None:
    backend: Any = nano.backend
    assert isinstance(backend, Examiner)
    tower = backend.model.model.vision_tower
    found = backend.examine(pictures())
    assert found is not None
    assert [[one.category for one in picture.found] for picture in found] == [list(CATEGORIES)] * 3
    for picture, pixels in zip(found, pictures(), strict=True):
        seen = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.inference_mode():
            (statistics,) = tower._looked(seen, tower._parts)
            presence, severity, _ = tower.categories.heads(statistics[:, 0])
            short_side = torch.tensor([min(pixels.shape[:2])])
            looks = [at_size(tower.categories.heads(one)[2], short_side) for one in statistics.unbind(1)]
            fidelity = torch.stack(looks).clamp(1, 5).mean(0)
        assert [one.probability for one in picture.found] == pytest.approx(presence.sigmoid()[0].tolist(), abs=1e-3)
        assert [one.severity for one in picture.found] == pytest.approx(severity.clamp(1, 5)[0].tolist(), abs=1e-2)
        assert picture.fidelity == pytest.approx(float(fidelity[0]), abs=1e-2)


def test_neighbours_of_other_sizes_change_nothing(nano: Scorer) -> None:
    backend: Any = nano.backend
    together = backend.examine(pictures())
    alone = [backend.examine([picture])[0] for picture in pictures()]
    for one, other in zip(together, alone, strict=True):
        assert [d.probability for d in one.found] == pytest.approx([d.probability for d in other.found], abs=1e-5)
        assert one.fidelity == pytest.approx(other.fidelity, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "category"), [("noise_gaussian_rgb", "noise"), ("blur_gaussian", "blur"), ("pixelate", "pixelate")]
)
def test_a_heavy_distortion_is_found_and_grows(nano: Scorer, name: str, category: str) -> None:
    backend: Any = nano.backend
    photo = decode_frames(open_media(FLOWER), (1.0,)).frames_THWC[0]
    severities = (2, 5)
    made = [distortions.apply(photo, name, s, np.random.default_rng(0)).pixels for s in severities]
    examined = backend.examine(made)
    light, heavy = ({one.category: one for one in picture.found} for picture in examined)
    assert max(heavy.values(), key=lambda one: one.probability).category == category
    assert heavy[category].probability > 0.5
    assert heavy[category].severity > light[category].severity


def test_undistorted_photos_are_clean_and_near_to_themselves(nano: Scorer, shared: Path) -> None:
    """Photos that were never trained on: every fifth of the folder; most are clean, and every damage is farther."""
    backend: Any = nano.backend
    paths = sorted((shared / "media" / "pristine").glob("*.jpg"))[::15]
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    clean = backend.examine(photos)
    assert sum(max(one.probability for one in picture.found) < 0.5 for picture in clean) >= 0.7 * len(photos)
    for name in ("noise_gaussian_rgb", "pixelate", "compression_jpeg"):
        made = [distortions.apply(photo, name, 5, np.random.default_rng(0)).pixels for photo in photos]
        pairs = zip(clean, backend.examine(made), strict=True)
        assert all(before.fidelity > after.fidelity for before, after in pairs), name


@pytest.mark.parametrize("name", ["freeze", "flicker"])
def test_what_happens_in_time_is_found_in_a_real_clip(nano: Scorer, name: str) -> None:
    """And where nothing happens nothing is found of it."""
    backend: Any = nano.backend
    assert backend.examines_time
    clip = read_clip(FLOWER, short_side=192, span_s=(0.0, 4.0))
    done = apply(clip, name, 4, np.random.default_rng(1), within=(1.0, 3.0))
    told = []
    for one in (clip, done.clip):
        lasting = held(one.timestamps_s)
        given = backend.examine_in_time(slices(one.frames_THWC, lasting))
        assert [found.found.category for found in given] == list(IN_TIME)
        assert all(len(found.rows) == sum(lasting) for found in given)
        told.append({found.found.category: found for found in given}[name])
    assert told[0].found.probability < 0.5 < told[1].found.probability
    times, (start, end) = np.concatenate(moments(done.clip.timestamps_s)), done.applied[0].span_s
    inside = (times >= start - 1e-6) & (times < end - 1e-6)
    rows = np.array(told[1].rows)
    assert rows[inside].mean() > rows[~inside].mean() + 0.3


def test_other_models_have_none(tmp_path: Path) -> None:
    scorer = load(str(tiny_models.build("llava", tmp_path)), device="cpu")
    backend: Any = scorer.backend
    assert isinstance(backend, Examiner)
    assert (backend.examines, backend.examines_time) == (False, False)
    assert not backend.examines_time
    shown = [Request(PROMPT, (photo_pixels(64, 64),))]
    assert Listener(scorer).fidelities(shown) is None
    assert not Listener(scorer).sees_moments


def test_heads_are_heard_before_words_are_asked(nano: Scorer) -> None:
    backend: Any = Observed(nano.backend)
    listener = Listener(Scorer(backend, nano.preset))
    shown = [Request(PROMPT, (picture,)) for picture in pictures()]
    found, unread = listener.presence(shown, ["blur", "noise"], "image")
    assert (unread, backend.asked) == ({}, 0)
    assert [one.category for one in found] == ["blur", "noise"]
    assert backend.examined == [3]
    place = list(CATEGORIES).index("blur")
    blur = [picture.found[place].probability for picture in backend.examine(pictures())]
    assert found[0].per_frame == pytest.approx(blur)
    assert found[0].probability == pytest.approx(places.lasting(blur))
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
    backend: Any = Observed(nano.backend)
    listener = Listener(Scorer(backend, nano.preset))
    shown = [Request(PROMPT, (pictures()[0],))]
    listener.presence(shown, ["blur", "freeze"], "video")
    assert backend.asked == 2
    clip = [replace(shown[0], images=tuple(pictures()[:2]), clip=None)]
    listener.presence(clip, ["blur"], "video")
    assert backend.asked == 3


def test_a_picture_is_examined_once(nano: Scorer) -> None:
    """Presence, strength and fidelity of the same pictures are one look; new ones are looked at by themselves."""
    backend: Any = Observed(nano.backend)
    listener = Listener(Scorer(backend, nano.preset))
    shown = [Request(PROMPT, (picture,)) for picture in pictures()]
    listener.presence(shown[:2], ["blur"], "image")
    listener.how(shown[1], ["blur"], "image")
    near = listener.fidelities(shown)
    assert backend.examined == [2, 1]
    assert near == pytest.approx([one.fidelity for one in nano.backend.examine(pictures())])  # type: ignore[attr-defined]
    assert listener.fidelities([replace(shown[0], images=tuple(pictures()[:2]))]) is None  # a clip is no picture
    assert (backend.examined, backend.asked) == ([2, 1], 0)
