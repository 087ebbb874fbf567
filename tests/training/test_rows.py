"""What is shown of media and known of them: views, frames, opinions on one scale, one record per sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels
from mllmqa.errors import MediaFormatError, UnknownNameError, UsageError
from mllmqa.models.presets import Preset, preset_named
from mllmqa.training.conversation import Writer
from mllmqa.training.mixture import Mixture, SampleSet
from mllmqa.training.rows import Lost, Opinion, Row, Rows
from mllmqa.training.shown import Look, show
from mllmqa.training.stage import Mix
from tests.data.samples_made import WORDS, medium, mos
from tests.training.training_made import SOFT, kinds_of_samples, level_sample, opened, write_set


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rows")
    write_set(root, kinds_of_samples())
    return root


def look(native: bool = False, **more: Any) -> Look:
    return Look.of(preset_named("generic"), native, **more)


def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def clip(**more: Any) -> Any:
    return medium("C", kind="video", path="clip.mp4", **more)


def test_a_picture_is_seen_as_in_scoring(places: Path) -> None:
    seen = show(medium("A"), places / "A.png", look(view="pad-square:32"), chance())
    assert seen.clip is None
    assert [image.shape for image in seen.images] == [(32, 32, 3)]


def test_frames_of_a_clip_with_or_without_a_video_input(places: Path) -> None:
    apart = show(clip(), places / "clip.mp4", look(frames="uniform:4"), chance())
    assert (len(apart.images), apart.clip) == (4, None)
    joined = show(clip(), places / "clip.mp4", look(native=True, frames="uniform:4"), chance())
    assert joined.clip is not None
    assert len(joined.clip.timestamps_s) == len(joined.images) == 4
    assert joined.clip.duration_s == pytest.approx(2.0)


def test_only_the_part_that_is_meant_is_shown(places: Path) -> None:
    part = clip(span_s=(1.0, 1.5))
    seen = show(part, places / "clip.mp4", look(native=True, frames="all"), chance())
    assert seen.clip is not None
    assert seen.clip.timestamps_s == pytest.approx((1.0, 1.2, 1.4))
    with pytest.raises(MediaFormatError, match=r"no frame from 1.05 to 1.15 s"):
        show(clip(span_s=(1.05, 1.15)), places / "clip.mp4", look(frames="all"), chance())


def test_a_file_of_another_kind_is_refused(places: Path) -> None:
    with pytest.raises(MediaFormatError, match=r"of the kind video.*expected image"):
        show(medium("A"), places / "clip.mp4", look(), chance())


def test_what_a_preset_cannot_do_is_refused() -> None:
    native_only = preset_named("one-align")
    with pytest.raises(UsageError, match="wants the model's own video input"):
        Look.of(native_only, False)
    with pytest.raises(UnknownNameError, match="no view is called"):
        look(view="round:3")
    assert not Look.of(preset_named("nano"), True).native  # scored frame by frame


def rows(
    places: Path, samples: list[Sample], folder: str, *, teacher: Any = None, preset: Preset | None = None
) -> Rows:
    found = opened("llava", places / "llava")
    writer = Writer(found.processor, preset or found.preset, None, False, WORDS)
    path = write_set(places / folder, samples)
    mixture = Mixture([SampleSet(Mix(samples=str(path)))], seed=0)
    return Rows(mixture, writer, look(frames="uniform:4"), len(samples), teacher)


def of(made: Rows, name: str) -> Row | Lost:
    return next(item[0] for item in (made[i] for i in range(len(made))) if item[0].id == name)


def test_opinions_are_brought_to_levels(places: Path) -> None:
    dmos = Labels(
        mos=(mos(20.0, low=0.0, high=100.0, std=10.0, direction="lower-better"),),
        levels=level_sample("x", 4.2).labels.levels,
    )
    turned = level_sample("x", 4.2).model_copy(update={"labels": dmos})
    unrated = level_sample("y", 3.0).model_copy(
        update={"labels": Labels(levels=level_sample("y", 3.0).labels.levels)}
    )
    made = rows(places, [turned, unrated, level_sample("z", 3.0, std=0.5)], "opinions")
    x, y, z = (of(made, name) for name in "xyz")
    assert isinstance(x, Row)
    assert isinstance(y, Row)
    assert isinstance(z, Row)
    assert x.opinion == Opinion(pytest.approx(4.2), pytest.approx(0.4))  # type: ignore[arg-type]
    assert (y.opinion, y.soft) == (None, None)
    assert (z.opinion, z.soft) == (Opinion(3.0, 0.5), SOFT)


def test_every_sample_gives_exactly_one_record(places: Path) -> None:
    samples = kinds_of_samples()
    made = rows(places, samples, "kinds")
    found = [made[i] for i in range(len(made))]
    assert sorted(item[0].id for item in found) == sorted(s.id for s in samples)
    assert all(len(item) == 1 and isinstance(item[0], Row) for item in found)
    (places / "kinds" / "B.png").unlink()
    (places / "kinds" / "clip.mp4").write_bytes(b"no clip")
    lost = {item[0].id: item[0] for item in (made[i] for i in range(len(made))) if isinstance(item[0], Lost)}
    assert set(lost) == {"pair", "clip"}
    assert lost["pair"].reason == "not-found"
    assert "B.png" in lost["pair"].message
    assert {row.kind for row in (of(made, "A"), of(made, "text")) if isinstance(row, Row)} == {"image", "text"}


def test_a_teacher_must_have_seen_the_medium(places: Path) -> None:
    digest = "a" * 64
    known = level_sample("k", 3.0).model_copy(update={"media": (medium("A", path="k.png", sha256=digest),)})
    strange = level_sample("u", 3.0)
    made = rows(places, [known, strange], "teacher", teacher={digest: SOFT})
    k, u = of(made, "k"), of(made, "u")
    assert isinstance(k, Row)
    assert k.teacher == SOFT
    assert isinstance(u, Lost)
    assert "not in the teacher's results" in u.message


def test_an_item_is_the_same_whenever_it_is_asked_for(places: Path) -> None:
    made = rows(places, [level_sample(f"s{i}", 2.0 + i / 2) for i in range(4)], "again")
    first, again = made[2][0], made[2][0]
    assert isinstance(first, Row)
    assert isinstance(again, Row)
    assert first.written == again.written
    assert np.array_equal(first.shown[0].images[0], again.shown[0].images[0])
