"""The one record of all data: media with keys and roles, labels, and messages that were made of the labels.

Everything that mllmqa is trained on or measured on is a :class:`Sample`, one JSON line each: read and written by
:mod:`mllmqa.data.sample_file`, exported and imported by :mod:`mllmqa.data.formats`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from mllmqa.data.flaws import Checked, Flaw, flaws_of, shown
from mllmqa.data.repeated_keys import repeated_key_flaws
from mllmqa.data.sample_labels import Distortion, Key, Labels, Level, Mos, Number, Span, Text, Whole, span_flaws
from mllmqa.errors import DataError

SAMPLE_VERSION: Literal[1] = 1
"""Version of the record; raised when a field changes its meaning."""

START = f'{{"sample_version":{SAMPLE_VERSION},"id":'.encode()
"""How every line of a sample file starts."""

Pixels = Annotated[Whole, Field(ge=1)]
Split = Literal["train", "val", "test"]


class Medium(Checked):
    """One picture or clip of a sample."""

    key: Key
    role: Literal["stimulus", "reference", "distorted"] = "stimulus"
    """``reference``: pristine; ``distorted``: made from a reference; ``stimulus``: as it is found."""
    kind: Literal["image", "video"]
    path: str | None = None
    """Relative to the folder of the sample file (or absolute); None where only the content's hash is known."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the encoded file."""
    width: Pixels | None = None
    """Upright width in pixels."""
    height: Pixels | None = None
    duration_s: Annotated[Number, Field(gt=0)] | None = None
    """Length of the file; None for images and where it is not known."""
    span_s: Span | None = None
    """The part of the file that is meant; None: all of it."""

    def flaws(self) -> Iterator[Flaw]:
        """It can be found, and its times are those of a clip."""
        if self.path is None and self.sha256 is None:
            yield Flaw("path", "missing", "a path, or the sha256 of the content")
        if self.path is not None and (not self.path.strip() or "\0" in self.path):
            yield Flaw("path", shown(self.path), "a path")
        for field, value in (("duration_s", self.duration_s), ("span_s", self.span_s)):
            if self.kind == "image" and value is not None:
                yield Flaw(field, shown(value), "nothing: an image has no time")
        yield from span_flaws("span_s", self.span_s)
        if self.span_s and self.duration_s is not None and self.span_s[1] > self.duration_s:
            yield Flaw("span_s", f"until {self.span_s[1]:g} s", f"an end inside the clip of {self.duration_s:g} s")

    def limits_s(self) -> tuple[float, float | None]:
        """Return between which times of the file it lies; the end is None where it is not known."""
        return self.span_s or (0.0, self.duration_s)


class Part(Checked):
    """One part of a message: a text, or a medium by its key."""

    text: str | None = None
    media: Key | None = None

    def flaws(self) -> Iterator[Flaw]:
        """It is one of the two."""
        if (self.text is None) == (self.media is None):
            yield Flaw("", "both a text and a medium" if self.text is not None else "empty", "a text or a medium")
        elif self.text == "":
            yield Flaw("text", "''", "a text that is not empty")


class Message(Checked):
    """What one side says."""

    role: Literal["system", "user", "assistant"]
    content: tuple[Part, ...] = Field(min_length=1)

    def flaws(self) -> Iterator[Flaw]:
        """It says something, and says it in one text where nothing stands between."""
        for k, (a, b) in enumerate(zip(self.content, self.content[1:], strict=False), 1):
            if a.text is not None and b.text is not None:
                yield Flaw(f"content.{k}", "a second text right after a text", "both in one part")
        if not any(part.media is not None or (part.text or "").strip() for part in self.content):
            yield Flaw("content", "blank", "a text or a medium")

    @property
    def text(self) -> str:
        """The texts, without the media."""
        return "".join(part.text or "" for part in self.content)


class DerivedFrom(Checked):
    """How the messages were made, so that they can be made again."""

    task: Text
    prompts: tuple[Text, ...] = ()
    """Ids and versions of the wordings, e.g. ``build/identify@1``."""
    seed: Whole
    teacher: Text | None = None
    """Model that wrote the answers anew, e.g. ``api:gpt-x``: they cannot be made again from the labels alone."""


class Sample(Checked):
    """One record. Unknown fields, NaN and numbers written as texts are errors."""

    sample_version: Literal[1] = SAMPLE_VERSION
    id: Text
    media: tuple[Medium, ...] = Field(min_length=1)
    labels: Labels = Labels()
    messages: tuple[Message, ...] = ()
    derived_from: DerivedFrom | None = None
    """Of the messages."""
    task: str | None = None
    split: Split | None = None
    source: str | None = None
    """The data set that it is from."""
    licence: str | None = None

    def flaws(self) -> Iterator[Flaw]:
        """Every key is one of the media; boxes and times lie inside them."""
        if not self.id.strip() or "\n" in self.id:
            yield Flaw("id", shown(self.id), "one line that is not blank")
        keys = [medium.key for medium in self.media]
        for k, key in enumerate(keys):
            if key in keys[:k]:
                yield Flaw(f"media.{k}.key", f"{key!r} for the second time", "different keys")
        for field, used in self._keys_used():
            if used not in keys:
                yield Flaw(field, shown(used), f"a key of the media: {', '.join(keys)}")
        for k, one in enumerate(self.labels.distortions or ()):
            if one.media in keys:
                yield from _outside(f"labels.distortions.{k}", one, self.medium(one.media))
        for k, stall in enumerate(self.labels.stalls):
            if stall.media in keys:
                clip, start_s = self.medium(stall.media), stall.start_s
                yield from _late(f"labels.stalls.{k}.start_s", start_s, start_s, clip)
        for k, message in enumerate(self.messages):
            if message.role == "system" and k:
                yield Flaw(f"messages.{k}.role", "system", "user or assistant: only the first may be system")
        if self.derived_from is not None and not self.messages:
            yield Flaw("messages", "empty", "the messages that derived_from tells of")

    def _keys_used(self) -> Iterator[tuple[str, str]]:
        labels = self.labels
        yield from ((f"labels.mos.{k}.media", mos.media) for k, mos in enumerate(labels.mos))
        yield from ((f"labels.levels.{k}.media", level.media) for k, level in enumerate(labels.levels))
        yield from ((f"labels.stalls.{k}.media", stall.media) for k, stall in enumerate(labels.stalls))
        yield from ((f"labels.distortions.{k}.media", d.media) for k, d in enumerate(labels.distortions or ()))
        yield from ((f"labels.captions.{k}.media", c.media) for k, c in enumerate(labels.captions) if c.media)
        if labels.preference:
            yield from ((f"labels.preference.among.{k}", key) for k, key in enumerate(labels.preference.among))
        for i, message in enumerate(self.messages):
            for k, part in enumerate(message.content):
                if part.media is not None:
                    yield f"messages.{i}.content.{k}.media", part.media

    def medium(self, key: str) -> Medium:
        """Return the medium with this key.

        Raises:
            DataError: There is none.
        """
        for medium in self.media:
            if medium.key == key:
                return medium
        keys = ", ".join(medium.key for medium in self.media)
        raise DataError(f"no medium {key!r}", where=f"sample {self.id}", expected=keys)

    def mos_of(self, key: str, aspect: str = "quality") -> Mos | None:
        """Return the opinion score of one medium, or None."""
        return next((mos for mos in self.labels.mos if (mos.media, mos.aspect) == (key, aspect)), None)

    def behind(self, level: Level) -> Mos | None:
        """Return the score behind a level: of its aspect, or the one that its method names (pseudo-MOS)."""
        named = (level.method or "").partition(";")[0]
        return self.mos_of(level.media, level.aspect) or self.mos_of(level.media, named)

    def to_json(self) -> str:
        """Return the record as one line of JSON, without fields that have their defaults and without newline."""
        body = self.model_dump_json(exclude_defaults=True)
        return f"{START[: -len(b'id') - 3].decode()}{body[1:]}"


def _outside(field: str, distortion: Distortion, medium: Medium) -> Iterator[Flaw]:
    if distortion.box is not None and medium.width is not None and medium.height is not None:
        _, _, x1, y1 = distortion.box
        if x1 > medium.width or y1 > medium.height:
            size = f"{medium.width}×{medium.height} pixels"
            yield Flaw(f"{field}.box", shown(distortion.box), f"a box inside {size}")
    if distortion.span_s is not None:
        yield from _late(f"{field}.span_s", *distortion.span_s, medium)


def _late(field: str, start_s: float, end_s: float, medium: Medium) -> Iterator[Flaw]:
    low, high = medium.limits_s()
    found = f"{start_s:g} to {end_s:g} s" if end_s > start_s else f"{start_s:g} s"
    if medium.kind == "image":
        yield Flaw(field, found, f"nothing: {medium.key} is an image")
    elif start_s < low or (high is not None and end_s > high):
        until = "" if high is None else f" to {high:g}"
        yield Flaw(field, found, f"a time inside {medium.key}, {low:g}{until} s")


def parse_sample(line: str | bytes, where: object = None) -> Sample:
    """Parse one JSON record.

    Args:
        line: JSON text.
        where: File and line, for the message.

    Raises:
        DataError: Not a valid sample; names the first field that is wrong, what was found and expected.
    """
    try:
        made = Sample.model_validate_json(line)
    except ValidationError as error:
        raise flaws_of(error)[0].error(where) from error
    for flaw in repeated_key_flaws(line):
        raise flaw.error(where)
    return made


def path_of(medium: Medium, folder: Path) -> Path | None:
    """Return where the file of a medium lies, for a sample file in ``folder``; None where no path is known."""
    return None if medium.path is None else folder / medium.path
