"""What is evaluated: anything that gives items a number. Models stand here; metrics and predictions beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import JsonValue

from mllmqa.errors import MllmqaError, UsageError, error_line
from mllmqa.evaluation.items import Item
from mllmqa.evaluation.runlog import Prediction, ScorerRecord
from mllmqa.schema import Score, Unscored

if TYPE_CHECKING:
    from mllmqa.evaluation.spec import ModelSpec
    from mllmqa.models.api import ApiOptions
    from mllmqa.scoring import Scorer

IsDone = Callable[[str, str | None], bool]
"""Id of an item and SHA-256 of its file → whether its prediction is there already."""


class Judge(Protocol):
    """A scorer of an evaluation, ready to predict."""

    @property
    def record(self) -> ScorerRecord:
        """Who it is."""
        ...

    def predict(self, data: str, items: Sequence[Item], is_done: IsDone) -> Iterator[Prediction]:
        """Give one prediction for each item that is not done, in order.

        Args:
            data: Name of the data set in this run.
            items: Of the data set.
            is_done: Asked with id and SHA-256; those that are done give nothing.
        """
        ...


class ModelJudge:
    """A model behind :mod:`mllmqa.scoring`.

    Args:
        spec: Which model, and how it is asked.
        scorer: Loaded.
    """

    def __init__(self, spec: ModelSpec, scorer: Scorer) -> None:
        from mllmqa.prepare import ScoreOptions

        self._batch, self._price, self._scorer = spec.batch_size, spec.price, scorer
        if spec.prompt is not None:
            self._scorer = with_prompt(scorer, spec.aspect, spec.prompt)
        self._options = ScoreOptions(
            aspect=spec.aspect, frames=spec.frames, view=spec.view, decoder=spec.decoder or "auto"
        )
        plan = self._scorer.plan(self._options)
        info = {key: value for key, value in asdict(plan.info).items() if isinstance(value, str | int | float)}
        about: dict[str, JsonValue] = {
            **info, "preset": plan.preset.name, "prompt_id": plan.image_prompt.id, "view": plan.view.name,
            "frame_rule": plan.rule.name, "title": plan.preset.title,
        }  # fmt: skip
        self._record = ScorerRecord(name=spec.name, kind="model", spec=plan.spec, scale=(1.0, 5.0), about=about)

    @property
    def record(self) -> ScorerRecord:
        """Who it is."""
        return self._record

    @property
    def usage(self) -> str | None:
        """What was spent on a remote model, in one line; None for one on this machine."""
        used = getattr(self._scorer.backend, "usage", None)
        if used is None:
            return None
        from mllmqa.models.api import Price

        return str(used.line(None if self._price is None else Price.parse(self._price)))

    def predict(self, data: str, items: Sequence[Item], is_done: IsDone) -> Iterator[Prediction]:
        """Score the items; see :class:`Judge`."""
        from mllmqa.scoring import Input

        inputs = (Input(Path(item.path), item.id, item.kind) for item in items)
        for result in self._scorer.stream(inputs, self._options, batch_size=self._batch, is_done=is_done):
            yield of_result(result, self._record, data)


def of_result(result: Score | Unscored, scorer: ScorerRecord, data: str) -> Prediction:
    """Return the prediction that a result of ``mllmqa score`` is; the whole result stays in it."""
    sha256 = result.media.sha256 if result.media else None
    made: dict[str, Any] = {"scorer": scorer.name, "data": data, "item": result.source, "spec": scorer.spec}
    if isinstance(result, Unscored):
        return Prediction(**made, reason=result.reason, message=result.message, sha256=sha256, result=result)
    return Prediction(**made, value=result.value, std=result.std, sha256=sha256, result=result)


def unscored(item: Item, scorer: ScorerRecord, error: MllmqaError, sha256: str | None = None) -> Prediction:
    """Return the prediction of an item without a value, and why."""
    return Prediction(
        scorer=scorer.name, data=item.data, item=item.id, spec=scorer.spec, reason=error.code,
        message=error_line(error), sha256=sha256,
    )  # fmt: skip


def spec_hash(*parts: object) -> str:
    """Return a short hash of what decides a scorer's predictions."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def with_prompt(scorer: Scorer, aspect: str, prompt: str) -> Scorer:
    """Return the same model, asked by another prompt of ``prompts/``.

    Raises:
        UnknownNameError: There is no such prompt.
        UsageError: The scorer compares with anchors, or has no such aspect.
    """
    from mllmqa import prompts
    from mllmqa.scoring import Scorer as Plain

    prompts.load(prompt)
    if type(scorer) is not Plain or aspect not in scorer.preset.aspects:
        raise UsageError(
            f"{scorer.preset.name} cannot be asked {prompt!r} about {aspect}", expected="a scorer by level words"
        )
    aspects = {**scorer.preset.aspects, aspect: prompt}
    return Plain(scorer.backend, scorer.preset.model_copy(update={"aspects": aspects}))


def open_model(spec: ModelSpec) -> ModelJudge:
    """Load a model as a specification says.

    Raises:
        MllmqaError: As :func:`mllmqa.loading.load`, and for options that the model does not have.
    """
    from mllmqa.loading import load
    from mllmqa.models.load import LocalOptions

    remote = api_options(spec)
    local = LocalOptions(base=spec.base) if spec.base else None
    if remote is not None and local is not None:
        raise UsageError("a model behind an endpoint has no base", where=spec.model)
    options = remote or local
    how = {"device": spec.device, "dtype": spec.dtype, "quantize": spec.quantize, "anchors": spec.anchors}
    scorer = load(spec.model, options=options, **how)  # type: ignore[arg-type]
    return ModelJudge(spec, scorer)


def api_options(spec: ModelSpec) -> ApiOptions | None:
    """Return the options of an endpoint; None for a model on this machine.

    Raises:
        UsageError: A malformed value, or options of an endpoint for a model on this machine.
    """
    given = (spec.base_url, spec.concurrency, spec.timeout_s, spec.budget, spec.price, spec.readout)
    if not spec.model.startswith("api:"):
        if any(one is not None for one in given):
            raise UsageError("options of an endpoint are given", where=spec.model, expected="api:MODEL with them")
        return None
    from mllmqa.models.api import ApiOptions, Budget, Price

    plain = ApiOptions()
    options = ApiOptions(
        base_url=spec.base_url,
        concurrency=plain.concurrency if spec.concurrency is None else spec.concurrency,
        timeout_s=plain.timeout_s if spec.timeout_s is None else spec.timeout_s,
        budget=plain.budget if spec.budget is None else Budget.parse(spec.budget),
        price=None if spec.price is None else Price.parse(spec.price),
        readout=spec.readout or plain.readout,
    )
    options.check()
    return options
