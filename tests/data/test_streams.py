"""Streams: told apart by every word, the same for ever."""

from __future__ import annotations

from mllmqa.data.streams import stream


def test_streams_depend_on_the_seed_and_every_word_and_on_nothing_else() -> None:
    def first(seed: int, *words: str) -> int:
        return int(stream(seed, *words).integers(2**62))

    assert first(0, "a", "identify") == first(0, "a", "identify")
    keys = [
        (0, "a", "rate"),
        (1, "a", "rate"),
        (0, "b", "rate"),
        (0, "a", "identify"),
        (0, "arate", ""),
        (0, "arate"),
        (0, "", "a"),
        (0,),
    ]
    assert len({first(*key) for key in keys}) == len(keys)  # type: ignore[arg-type]


def test_the_hash_and_the_generator_are_fixed_and_so_are_records() -> None:
    assert stream(7, "photo-17", "identify").integers(2**62) == 249808022931568220
