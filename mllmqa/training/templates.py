"""Conversation templates of ``prompts/train/``: messages in, the text that a model is trained on out.

A stage names one where the published training used another text than the processor's chat template. The template
is Jinja, sandboxed and strict, over ``messages``, ``media``, ``eos`` and ``add_generation_prompt``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field, field_validator

from mllmqa import resources
from mllmqa.errors import DataError, PromptError, UnknownNameError
from mllmqa.models.presets import nearest
from mllmqa.prompts import read_file
from mllmqa.schema import Record

FOLDER = "train"
ROLES = ("system", "user", "assistant")


class ConversationTemplate(Record):
    """One file of ``prompts/train/``."""

    id: str
    version: int = Field(ge=1)
    template: str
    """Jinja over ``messages`` (``role``, and ``content``: parts with ``type`` ``text`` | ``image`` | ``video``, and
    ``text``), ``media``, ``eos`` and ``add_generation_prompt``."""
    eos: str = Field(min_length=1)
    """What ends an answer: the text of the tokenizer's end token."""

    @field_validator("template")
    @classmethod
    def _can_be_read(cls, template: str) -> str:
        from jinja2 import TemplateSyntaxError

        try:
            _compiled(template)
        except TemplateSyntaxError as error:
            raise ValueError(f"line {error.lineno}: {error.message}") from error
        return template

    def render(self, messages: Sequence[Mapping[str, Any]], *, media: str, add_generation_prompt: bool) -> str:
        """Return the text of a conversation.

        Args:
            messages: ``{"role": …, "content": [{"type": "text", "text": …} | {"type": "image" | "video"}]}``,
                at least one.
            media: Placeholder of one picture or clip, as the processor expands it.
            add_generation_prompt: Whether the text ends where an answer begins.

        Raises:
            DataError: There is no message, a role is unknown, or a text holds the placeholder.
            PromptError: The template fails on the messages.
        """
        from jinja2 import TemplateError

        _check(messages, media)
        try:
            text: str = _compiled(self.template).render(
                messages=messages, media=media, eos=self.eos, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, TypeError) as error:
            raise PromptError(f"cannot be rendered: {error}", where=self.id) from error
        return text

    @property
    def digest(self) -> str:
        """SHA-256 of the template and its end: what provenance records."""
        return hashlib.sha256(f"{self.template}\0{self.eos}".encode()).hexdigest()


def template_names() -> list[str]:
    """Return the names of the shipped templates."""
    return sorted(path.stem for path in (resources.folder("prompts") / FOLDER).glob("*.yaml"))


@cache
def load_template(name: str) -> ConversationTemplate:
    """Return the template ``prompts/train/NAME.yaml``.

    Raises:
        UnknownNameError: There is none of this name.
        PromptError: The file is malformed, or its id is not its place.
    """
    known = template_names()
    if name not in known:
        raise UnknownNameError(
            f"no conversation template {name!r}", expected=" | ".join(known), hint=nearest(name, known)
        )
    path = resources.folder("prompts") / FOLDER / f"{name}.yaml"
    found = read_file(path, ConversationTemplate)
    if found.id != f"{FOLDER}/{name}":
        raise PromptError(f"id is {found.id!r}", where=path, expected=repr(f"{FOLDER}/{name}"))
    return found


def _check(messages: Sequence[Mapping[str, Any]], media: str) -> None:
    if not messages:
        raise DataError("a conversation without messages")
    for k, message in enumerate(messages):
        if message["role"] not in ROLES:
            raise DataError(f"message {k} is of the role {message['role']!r}", expected=" | ".join(ROLES))
        if media and any(media in part.get("text", "") for part in message["content"] if part["type"] == "text"):
            raise DataError(
                f"the text of message {k} holds the placeholder {media!r}", expected="media as parts of their own"
            )


@cache
def _compiled(template: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    return environment.from_string(template)
