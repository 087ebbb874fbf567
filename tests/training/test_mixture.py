"""Which sample is seen when: every one once per pass, by the seed and the item's number alone."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import pytest

from mllmqa.errors import DataError
from mllmqa.training.mixture import Draw, Mixture, SampleSet
from mllmqa.training.stage import Mix
from tests.training.training_made import kinds_of_samples, level_sample, ratings, write_set


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    return {
        "a": write_set(root / "a", ratings(5, source="a")),
        "b": write_set(root / "b", ratings(8, source="b")),
        "kinds": write_set(root / "kinds", kinds_of_samples()),
    }


def sets(files: dict[str, Path], **weights: float) -> list[SampleSet]:
    return [SampleSet(Mix(samples=str(files[name]), weight=weight)) for name, weight in weights.items()]


def epoch(mixture: Mixture, number: int) -> list[Draw]:
    n = mixture.epoch_length
    return [mixture.draws(number * n + i)[0] for i in range(n)]


def test_samples_are_read_by_their_number(files: dict[str, Path]) -> None:
    one = SampleSet(Mix(samples=str(files["b"])))
    assert len(one) == 8
    assert [one[i].id for i in (7, 0, 3)] == ["b7", "b0", "b3"]
    assert set(one.sources) == {"b"}
    assert one.name == "b"


def test_tasks_choose_and_kinds_are_those_of_the_questions(files: dict[str, Path]) -> None:
    one = SampleSet(Mix(samples=str(files["kinds"]), tasks=("level", "talk"), name="mine"))
    assert [one[i].id for i in range(2)] == ["A", "text"]
    assert (one.kinds, set(one.sources), one.name) == ({"image", "text"}, {"mine"}, "mine")
    assert SampleSet(Mix(samples=str(files["kinds"]))).kinds == {"image", "video", "text"}


def test_a_task_that_is_not_there_and_broken_files_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of the task 'rank'; expected tasks there: .*level"):
        SampleSet(Mix(samples=str(files["kinds"]), tasks=("rank",)))
    with pytest.raises(DataError, match=r"nothing\.jsonl: cannot be read: No such file.*mllmqa build"):
        SampleSet(Mix(samples=str(tmp_path / "nothing.jsonl")))
    broken = tmp_path / "broken.jsonl"
    broken.write_text(files["a"].read_text() + '{"id": 3}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl, line 6: field"):
        SampleSet(Mix(samples=str(broken)))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match="has no sample"):
        SampleSet(Mix(samples=str(empty)))


def test_every_sample_once_per_epoch_in_another_order(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=1, b=1), seed=3)
    first, second = epoch(mixture, 0), epoch(mixture, 1)
    whole = {Draw(0, i) for i in range(5)} | {Draw(1, i) for i in range(8)}
    assert set(first) == set(second) == whole
    assert len(first) == 13
    assert first != second


def test_blocks_show_one_set_each_and_lose_no_sample(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=1, b=2), seed=3, block=4)
    assert mixture.epoch_length == 4 + 16  # shares in whole blocks
    first, second = epoch(mixture, 0), epoch(mixture, 1)
    blocks = [[draw.of for draw in one[i : i + 4]] for one in (first, second) for i in range(0, 20, 4)]
    assert {tuple(block) for block in blocks} == {(0,) * 4, (1,) * 4}
    assert Counter(d for d in first if d.of == 1) == {Draw(1, i): 2 for i in range(8)}
    rotated = [d.number for one in (first, second) for d in one if d.of == 0]
    assert len(rotated) == 8
    assert set(rotated) == set(range(5))  # those beyond a whole block come in the next epoch
    assert [mixture.draws(i)[0] for i in range(20)] == first


def test_weights_repeat_and_halve(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=2, b=0.5), seed=0)
    assert mixture.epoch_length == 10 + 4
    first, second = epoch(mixture, 0), epoch(mixture, 1)
    assert Counter(d for d in first if d.of == 0) == {Draw(0, i): 2 for i in range(5)}
    halves = [{d.number for d in one if d.of == 1} for one in (first, second)]
    assert [len(half) for half in halves] == [4, 4]
    assert halves[0] | halves[1] == set(range(8))  # the next epoch shows the other half


def test_an_item_depends_on_seed_and_number_alone(files: dict[str, Path]) -> None:
    forward = [Mixture(sets(files, a=1, b=1), seed=5).draws(i) for i in range(40)]
    lazy = Mixture(sets(files, a=1, b=1), seed=5)
    backward = [lazy.draws(i) for i in reversed(range(40))]
    assert forward == backward[::-1]
    assert forward != [Mixture(sets(files, a=1, b=1), seed=6).draws(i) for i in range(40)]


def test_partners_are_others_of_the_same_source(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=1, b=1), seed=1, pairs=True)
    pairs = [mixture.draws(i) for i in range(300)]
    assert all(first.of == second.of and first != second for first, second in pairs)
    partners = Counter(second.number for first, second in pairs if first == Draw(0, 0))
    assert set(partners) == {1, 2, 3, 4}


def test_a_source_of_one_has_no_partner(files: dict[str, Path], tmp_path: Path) -> None:
    alone = write_set(tmp_path / "alone", [level_sample("x", 3.0, source="lonely")])
    with pytest.raises(DataError, match=r"one sample of 'lonely'.*two or more"):
        Mixture([SampleSet(Mix(samples=str(alone)))], seed=0, pairs=True)


def test_labels_tell_which_losses_find_something(files: dict[str, Path], tmp_path: Path) -> None:
    whole = SampleSet(Mix(samples=str(files["kinds"])))
    assert [whole[k].task for k in whole.levels] == ["level"]
    assert whole.labels == {"level", "soft", "mean", "std"}
    unsure = SampleSet(Mix(samples=str(write_set(tmp_path / "c", ratings(2, std=None)))))
    assert unsure.labels == {"level", "mean"}
    talk = SampleSet(Mix(samples=str(files["kinds"]), tasks=("talk",)))
    assert (talk.levels, talk.labels) == ([], set())


def test_a_byte_order_mark_and_blank_lines_are_no_samples(files: dict[str, Path], tmp_path: Path) -> None:
    lines = files["a"].read_bytes().splitlines(keepends=True)
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    one = SampleSet(Mix(samples=str(marked)))
    assert [one[k].id for k in range(len(one))] == [f"a{k}" for k in range(5)]


def test_it_can_be_sent_to_other_processes(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=3, b=1), seed=2, pairs=True)
    before = [mixture.draws(i) for i in range(50)]
    sent = pickle.loads(pickle.dumps(mixture))  # noqa: S301 - our own
    assert [sent.draws(i) for i in range(50)] == before


def test_memory_holds_a_few_orders_only(files: dict[str, Path]) -> None:
    mixture = Mixture(sets(files, a=3, b=1), seed=2)
    seen = {mixture.draws(i) for i in range(40 * mixture.epoch_length)}
    assert len(seen) == 13
    assert len(mixture._orders) <= mixture._kept <= 12
