"""Texts with tags in the place of media, as LLaVA and LLaMA-Factory have them: ``<image>\\nHow good is it?``.

A medium that is followed by text has one line break after its tag; it belongs to the tag, not to the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mllmqa.data.formats.form import Context, Row, refuse
from mllmqa.data.sample import Message, Sample
from mllmqa.errors import DataError

TAG = re.compile(r"<image>|<video>|<\|image\|>|<\|video\|>|<img\d*>")
"""What stands for a medium: LLaVA's tags, mPLUG-Owl2's, Co-Instruct's numbered ones."""


def tagged(message: Message, sample: Sample) -> str:
    """Return a message as text with tags.

    Raises:
        DataError: A text holds what would be read as a tag.
    """
    pieces: list[str] = []
    for k, part in enumerate(message.content):
        if part.media is not None:
            pieces.append(f"<{sample.medium(part.media).kind}>")
            if message.content[k + 1 : k + 2] and message.content[k + 1].text is not None:
                pieces.append("\n")
        elif part.text is not None:
            if clash := TAG.search(part.text):
                raise refuse(sample, f"a text holds the tag {clash[0]}", "texts without tags: media are parts")
            pieces.append(part.text)
    return "".join(pieces)


def media_in_order(messages: Sequence[Message], sample: Sample, kind: str) -> list[str]:
    """Return the keys of all media of a kind as they are mentioned, with repetitions: one per tag."""
    mentioned = [part.media for message in messages for part in message.content if part.media is not None]
    return [key for key in mentioned if sample.medium(key).kind == kind]


class Untagger:
    """Turns texts with tags into parts, taking one medium for each tag.

    Args:
        keys: Of the media, by kind, in the order of their tags. An entry ``video`` without any ``image`` also
            serves image tags: VQA² and Q-Align write them for clips.
    """

    def __init__(self, keys: Mapping[str, Sequence[str]], context: Context) -> None:
        self._left = {kind: list(some) for kind, some in keys.items()}
        self._context = context
        self._only_video = not self._left["image"] and bool(self._left["video"])
        self._one_clip = self._only_video and len(self._left["video"]) == 1
        self._frames_of: str | None = None

    def parts(self, text: str) -> list[Row]:
        """Return the parts of one text.

        Raises:
            DataError: More tags than media.
        """
        found: list[Row] = []
        position = 0
        for tag in TAG.finditer(text):
            if before := text[position : tag.start()]:
                found.append({"text": before})
            repeated = tag.start() == position and self._frames_of == tag[0] and bool(found)
            position = tag.end()
            if repeated:
                continue
            found.append({"media": self._take(tag[0])})
            if text[position : position + 1] == "\n":
                position += 1
        if rest := text[position:]:
            found.append({"text": rest})
        return found

    def _take(self, tag: str) -> str:
        kind = "video" if "video" in tag or self._only_video else "image"
        # Q-Align writes <|image|> once for each of eight frames of a clip.
        self._frames_of = tag if self._one_clip and tag == "<|image|>" else None
        if not self._left[kind]:
            raise DataError(f"a tag {tag} too many", where=self._context.where, expected="one medium for each tag")
        return self._left[kind].pop(0)

    def finish(self) -> None:
        """Check that no medium is left.

        Raises:
            DataError: More media than tags.
        """
        for kind, left in self._left.items():
            if left:
                raise DataError(
                    f"{len(left)} {kind}s without a tag in the texts",
                    where=self._context.where,
                    expected="one tag for each medium",
                )


def messages_of(texts: Sequence[tuple[str, str]], untag: Untagger) -> list[Row]:
    """Return messages of (role, text with tags), and check that tags and media agree."""
    found: list[Row] = [{"role": role, "content": untag.parts(text)} for role, text in texts]
    untag.finish()
    return found
