"""Asking a real tiny model: texts as training writes them, failures as records, logs that go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.sample import Sample
from mllmqa.errors import DataError, UnknownNameError, UsageError
from mllmqa.evaluation.answers.ask import Asker
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import AnswerLog, Answers, read_log
from mllmqa.evaluation.answers.run import answer_all, header_of
from mllmqa.models.presets import preset_named
from mllmqa.scoring import Scorer
from mllmqa.training.conversation import Writer
from mllmqa.training.shown import show_all, tags_of
from tests.data.samples_made import said
from tests.training.training_made import kinds_of_samples, opened, write_set

SAMPLES = kinds_of_samples()
FAMILIES = ("llava", "qwen3_vl", "internvl", "mplug_owl2", "nano")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("set")
    write_set(place, SAMPLES)
    return place


def scorer(family: str, folder: Path) -> Scorer:
    backend = opened(family, folder / family).backend()
    return Scorer(backend, backend.preset)


def item(sample: Sample, folder: Path, **more: object) -> Item:
    up_to = sample.model_copy(update={"messages": sample.messages[:-1]})
    return Item(**{"id": sample.id, "task": "t", "sample": up_to, "folder": folder, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_asked_is_what_training_writes_before_the_answer(family: str, folder: Path) -> None:
    made = scorer(family, folder)
    asker = Asker(made)
    words = ("excellent", "good", "fair", "poor", "bad")
    writer = Writer(made.backend.processor, made.preset, None, False, words)  # type: ignore[attr-defined]
    named = said("user", "Image A:", "@A", "Image B:", "@B", "Is A or B better?")
    pair = next(s for s in SAMPLES if s.id == "pair")
    pair = pair.model_copy(update={"id": "named", "messages": (named, said("assistant", "B"))})
    for sample in [*(s for s in SAMPLES if s.id in ("A", "turns", "pair")), pair]:
        request = asker.request(item(sample, folder))
        seen = show_all(sample, folder, asker.look, lambda key: None)  # type: ignore[arg-type,return-value]
        written = writer.write(sample, tags_of(seen)).text
        text = made.backend.text(request)  # type: ignore[attr-defined]
        answer = sample.messages[-1].text
        assert written.startswith(text)
        assert written[len(text) :].lstrip().startswith(answer)
        assert "Is it sharp?" not in text or "No, it is blurred." in text


def test_one_question_that_fails_costs_itself_only(folder: Path) -> None:
    made = scorer("llava", folder)
    lost = SAMPLES[0].model_copy(
        update={"id": "lost", "media": (SAMPLES[0].media[0].model_copy(update={"path": "no"}),)}
    )
    items = [item(s, folder) for s in (SAMPLES[0], lost, SAMPLES[2])]
    replies = list(Asker(made, max_tokens=4).ask(items, batch_size=2))
    assert [reply.item.id for reply in replies] == ["A", "lost", "pair"]
    assert [reply.error is None for reply in replies] == [True, False, True]
    assert replies[1].error is not None
    assert replies[1].error.code == "not-found"


def test_batches_change_no_answer(folder: Path) -> None:
    asker = Asker(scorer("llava", folder), max_tokens=5)
    items = [item(s, folder) for s in SAMPLES if s.id != "clip"]
    one = [reply.text for reply in asker.ask(items, batch_size=1)]
    assert [reply.text for reply in asker.ask(items, batch_size=8, workers=2)] == one
    assert all(text is not None for text in one)


def test_probabilities_of_words_are_read(folder: Path) -> None:
    asked = item(SAMPLES[0], folder, words=("good", "bad"))
    (reply,) = Asker(scorer("llava", folder)).ask([asked])
    assert reply.logprobs is not None
    assert sum(2.718281828**value for value in reply.logprobs.values()) == pytest.approx(1, abs=1e-6)
    assert reply.coverage is not None
    assert 0 < reply.coverage <= 1


def test_two_clips_at_once_are_refused(folder: Path) -> None:
    clip = next(s for s in SAMPLES if s.id == "clip")
    twice = clip.model_copy(update={"messages": (said("user", "@C", "@C", "Well?"), said("assistant", "x"))})
    with pytest.raises(DataError, match="shows a clip beside other media"):
        Asker(scorer("qwen3_vl", folder)).request(item(twice, folder))


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(UnknownNameError, match="view"):
        Asker(Scorer(_NoBackend(), preset_named("nano")), view="nonsense")  # type: ignore[arg-type]


class _NoBackend:
    native_video = False


def test_a_log_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    made = scorer("llava", folder)
    asker = Asker(made, max_tokens=3)
    header, path = header_of(made, asker), tmp_path / "log.jsonl"
    items = [item(s, folder) for s in SAMPLES if s.id != "clip"]
    with AnswerLog(path, header, continued=False) as log:
        assert len(list(answer_all(asker, items[:2], log.known, keep=log.write))) == 2
    with path.open("ab") as file:
        file.write(b'{"answers_version":1,"id":"torn')
    with AnswerLog(path, header, continued=True) as log:
        new = list(answer_all(asker, items, log.known, keep=log.write))
    assert [answer.id for answer in new] == [one.id for one in items[2:]]
    found, answers = read_log(path)
    assert (found.spec, len(answers)) == (header.spec, len(items))
    whole = Answers()
    list(answer_all(asker, items, whole))
    assert [answers.of(one) for one in items] == [whole.of(one) for one in items]


def test_failures_are_tried_again_and_other_settings_refused(folder: Path, tmp_path: Path) -> None:
    made = scorer("llava", folder)
    asker, path = Asker(made, max_tokens=3), tmp_path / "log.jsonl"
    sample = SAMPLES[0].model_copy(update={"media": (SAMPLES[0].media[0].model_copy(update={"path": "late.png"}),)})
    asked, header = item(sample, tmp_path), header_of(made, asker)
    with AnswerLog(path, header, continued=False) as log:
        (first,) = answer_all(asker, [asked], log.known, keep=log.write)
    assert (first.reason, first.text) == ("not-found", None)
    (tmp_path / "late.png").write_bytes((folder / "A.png").read_bytes())
    with AnswerLog(path, header, continued=True) as log:
        (second,) = answer_all(asker, [asked], log.known, keep=log.write)
        assert list(answer_all(asker, [asked], log.known)) == []
    assert second.text is not None
    other = header_of(made, Asker(made, max_tokens=4))
    with pytest.raises(DataError, match="by another model or with other settings"):
        AnswerLog(path, other, continued=True)
    with pytest.raises(UsageError, match="exists already"):
        AnswerLog(path, header, continued=False)


def test_files_of_others_are_left_alone(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("my notes")
    header = header_of(scorer("llava", folder), Asker(scorer("llava", folder)))
    with pytest.raises(DataError, match="not a record of ours"):
        AnswerLog(path, header, continued=True)
    assert path.read_text() == "my notes"
    path.write_text('{"other": 1}\n')
    with pytest.raises(DataError, match="line 1 is no record of answers"):
        read_log(path)
    path.write_text("")
    with pytest.raises(DataError, match="holds no header"):
        read_log(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path / "none")
