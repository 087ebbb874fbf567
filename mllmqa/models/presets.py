"""Presets: published scorers described as data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from mllmqa import prompts
from mllmqa.errors import ModelLoadError, UnknownNameError
from mllmqa.schema import Record

DEFAULT_MODEL = "nano"
GENERIC_PRESET = "generic"
API_PRESET = "api"

_FOLDER = Path(__file__).parent / "presets"

VideoMode = Literal["native", "images", "per-frame", "auto"]


class VideoPreset(Record):
    """How a model takes a video."""

    mode: VideoMode
    """``native``: its own video input; ``images``: all frames as images of one prompt; ``per-frame``: each
    frame by itself, distributions averaged; ``auto``: native where the processor has it, else images."""
    frames: str
    """Frame rule (:mod:`mllmqa.media.sample`)."""
    view: str | None = None
    """What the model sees of a frame; None: the view of pictures."""
    slices: bool = False
    """Whether slices of the clip (:mod:`mllmqa.media.slices`) stand behind frames that are shown in one prompt."""


class Licence(Record):
    """Licences of code and weights, as stated by the authors."""

    code: str
    weights: str


class Published(Record):
    """One row of a published table."""

    data: str
    srcc: float
    plcc: float | None = None
    source: str


class AnchoredPreset(Record):
    """How a model is asked to compare an input with anchor images; the defaults serve any model."""

    prompt: str = "compare/second_to_first"
    """Prompt id: it asks how the second image compares with the first."""
    words: str = "comparison"
    """Scale of the answer words (:func:`mllmqa.prompts.word_scale`)."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits of the words; 1 takes the model's own probabilities."""
    link: Literal["normal", "logistic"] = "normal"
    """Of the MAP estimate (:mod:`mllmqa.ranking`)."""
    orders: Literal["anchor-first", "both"] = "both"
    """How an input is shown beside an anchor. ``both`` asks twice and averages, so that a liking for the first or
    second image cancels; a model that was trained with the anchor in front needs only that."""
    images: str | None = None
    """Hub data set with the published anchor images, worst first; it is never fetched by itself."""
    matrix: tuple[tuple[float, ...], ...] | None = None
    """Published preferences among those images, row over column; None: always measured with the model, in both
    orders."""

    @field_validator("matrix")
    @classmethod
    def _is_preferences(cls, matrix: tuple[tuple[float, ...], ...] | None) -> tuple[tuple[float, ...], ...] | None:
        n = len(matrix or ())
        for i, row in enumerate(matrix or ()):
            if len(row) != n or any(not 0 <= p <= 1 for p in row):
                raise ValueError(f"row {i + 1} is not {n} probabilities")
            if any(abs(p + (matrix or ())[j][i] - 1) > 1e-6 for j, p in enumerate(row) if j < i):
                raise ValueError(f"row {i + 1}: a preference and its opposite do not sum to 1")
        return matrix


class JoinedPreset(Record):
    """Weights of what decides a comparison beside the words: log-odds of "the first is better" are their sum."""

    words: float = Field(ge=0, allow_inf_nan=False)
    """Of the log-odds by the words, both orders averaged."""
    score: float = Field(ge=0, allow_inf_nan=False)
    """Per level by which the first scores higher."""
    fidelity: float = Field(ge=0, allow_inf_nan=False)
    """Per level by which the first is nearer to an undistorted picture, by the model's own heads."""
    damage: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Per step of severity by which the first is less distorted, by the same heads, summed over the categories."""


class ComparisonPreset(Record):
    """How a model is asked which of two pictures is better."""

    prompt: str = "compare/better"
    """Prompt id; its text may use ``reference``, whether a reference is shown in front."""
    words: str = "letters"
    """Scale of the answer words, on 0..1."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits of the words; 1 takes the model's own probabilities."""
    favours: Literal["first", "second"] = "first"
    """For which of the two shown pictures the words' value is the preference."""
    joined: JoinedPreset | None = None
    """Whether scores and heads decide, too; only of a model that has heads for fidelity."""
    named: bool = True
    """Whether a name (``prompts/build/layout.yaml``) stands in front of each picture; only then can there be a
    reference."""


class Preset(Record):
    """A scorer as data: where its weights are, how it is asked, what it sees.

    A file with ``extends: NAME`` states only what differs from that preset.
    """

    name: str
    extends: str | None = None
    title: str
    family: str | None = None
    """``model_type`` of its config.json; None: any."""
    family_default: bool = False
    """Whether folders and hub ids of this family without a preset of their own are asked like this one."""
    weights: str | None
    """Hub id, ``package:FOLDER`` inside mllmqa, or None (named by the user)."""
    revision: str | None = None
    base: str | None = None
    """Hub id of the model that ``weights``, an adapter, belongs to."""
    parameters: str
    aspects: dict[str, str]
    """Aspect → prompt id."""
    words: str = "levels"
    """Scale of the answer words (:func:`mllmqa.prompts.word_scale`), on 1..5."""
    words_apart: bool = False
    """Whether the words are tokens by themselves, without a space, put behind an answer start that ends in one."""
    view: str
    """View (:mod:`mllmqa.media.views`); {side} is the side of the model's input in pixels."""
    video: VideoPreset
    layout: str | None = None
    """Whole text of a prompt with {question}, {media} and {answer}, as published; None: the chat template."""
    history: bool = True
    """Whether it can be given earlier questions and answers; models that were trained on single questions are asked
    each by itself. No part of what decides a score, so not of its spec."""
    media_separator: str = ""
    """Between the placeholders of several pictures in ``{media}``."""
    template_arguments: dict[str, bool | str] = Field(default_factory=dict)
    """Given to the chat template, e.g. ``enable_thinking``."""
    answer_separator: str | None = None
    """Between chat template and answer start; None: a space unless the template ends with white space."""
    anchored: AnchoredPreset | None = None
    """For models that score by comparison with anchor images only, and need them."""
    follows: bool = True
    """Whether it can use instructions and readings in a question; nano answers only the wordings that it is trained
    on. It decides no score."""
    comparison: ComparisonPreset | None = None
    """For models that were trained to say which of two is better; None: their scores are compared."""
    licence: Licence
    paper: str | None = None
    published: tuple[Published, ...] = ()
    notes: str = ""

    def prompt_texts(self) -> dict[str, str]:
        """Return what is asked about a picture, by aspect; the picture is ``<image>`` where a layout places it.

        Where the model's own chat template places it, question and answer start stand for the prompt.
        """
        layout = self.layout or "{question} … {answer}"
        media = self.media_separator.join(["<image>"] * (2 if self.anchored else 1))
        texts = {}
        for aspect, name in self.aspects.items():
            prompt = prompts.render(prompts.load(name), medium="image")
            texts[aspect] = lay_out(layout, media=media, question=prompt.question, answer=prompt.answer)
        return texts

    def comparing(self) -> ComparisonPreset | None:
        """Return how the model is asked to compare; what was trained against anchors compares any two so."""
        if self.comparison is not None or self.anchored is None:
            return self.comparison
        a = self.anchored
        return ComparisonPreset(
            prompt=a.prompt, words=a.words, temperature=a.temperature, favours="second", named=False
        )

    def fitted(self, model_type: str, side: int | None) -> Preset:
        """Return this preset for a loaded model; the generic one gives way to the default of the family.

        Raises:
            ModelLoadError: The model is of another family than the preset is for.
        """
        default = [p for p in presets().values() if p.family == model_type and p.family_default]
        chosen = default[0] if default and self.name == GENERIC_PRESET else self
        if chosen.family not in (None, model_type):
            raise ModelLoadError(
                f"the model is of the family {model_type}",
                where=chosen.name,
                expected=str(chosen.family),
            )
        return chosen.model_copy(update={"view": chosen.view.replace("{side}", str(side))})


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name, with what they take over from the presets that they extend.

    Raises:
        ModelLoadError: A preset file is malformed (names file and field).
    """
    raw = {path: _read(path) for path in sorted(_FOLDER.glob("*.yaml"))}
    by_name = {path.stem: fields for path, fields in raw.items()}
    found = {}
    for path, fields in raw.items():
        try:
            preset = Preset.model_validate(_extended(fields, by_name))
        except ValidationError as error:
            raise ModelLoadError(f"malformed preset: {error}", where=path) from error
        if preset.name != path.stem:
            raise ModelLoadError(f"name is {preset.name!r}", where=path, expected=repr(path.stem))
        found[preset.name] = preset
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ModelLoadError(f"malformed preset: {error}", where=path) from error
    if not isinstance(fields, dict):
        raise ModelLoadError("malformed preset", where=path, expected="a mapping of fields")
    return fields


def _extended(fields: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields with those of the preset that they extend; one level."""
    base = fields.get("extends")
    if base is None:
        return fields
    if base not in by_name or by_name[base].get("extends"):
        raise ModelLoadError(f"extends {base!r}", where=fields.get("name"), expected="a preset that extends none")
    return {**by_name[base], "family_default": False, **fields}


def lay_out(layout: str, **parts: str) -> str:
    """Put the parts into a layout; braces inside the parts stay as they are.

    >>> lay_out("USER: {question} {media}", question="{why}?", media="<image>")
    'USER: {why}? <image>'
    """
    return re.sub("|".join(f"{{{name}}}" for name in parts), lambda found: parts[found[0][1:-1]], layout)


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        UnknownNameError: No preset has this name; offers the nearest one.
    """
    if name not in presets():
        raise UnknownNameError(
            f"no preset {name!r}", expected="a name listed by `mllmqa models`", hint=nearest(name, presets())
        )
    return presets()[name]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the question whether the most similar known name was meant; None if none is similar."""
    close = difflib.get_close_matches(name.strip().lower(), known, n=1)
    return f"did you mean {close[0]!r}?" if close else None
