"""What a scorer needs of a model: requests in, logits of the level words out.

Every back end (transformers, API, synthetic observer) speaks this protocol, so scoring, chat and
evaluation do not know which one they talk to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import MllmqaError
from mllmqa.prompts import Prompt
from mllmqa.schema import Readout

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema

ImageHWC = NDArray[np.uint8]
"""One picture as the model shall see it: uint8 RGB, shape (H, W, 3)."""


@dataclass(frozen=True)
class Clip:
    """Times of a video's frames, for models with a video input of their own.

    Attributes:
        timestamps_s: Presentation time of each frame, in order.
        duration_s: Length of the source.
    """

    timestamps_s: tuple[float, ...]
    duration_s: float


@dataclass(frozen=True)
class EncodedImage:
    """One picture as a file, for models that are asked over the network.

    Attributes:
        data: The bytes of the file.
        mime: ``image/png``, ``image/jpeg``, ``image/webp`` or ``image/gif``.
        original: Whether these are the user's own bytes; else a lossless PNG of the view.
    """

    data: bytes = field(repr=False)
    mime: str
    original: bool

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class ChatMessage:
    """What one side says in a conversation.

    Attributes:
        role: Who says it.
        content: Texts, and None where the next picture of the request stands (of a clip: all its frames).
    """

    role: Literal["system", "user", "assistant"]
    content: tuple[str | None, ...]


@dataclass(frozen=True)
class Request:
    """One question about one or more pictures.

    Attributes:
        prompt: Question and start of the answer.
        images: Views, uint8 RGB (H, W, 3), in the order in which the model shall read them.
        clip: Given when ``images`` are frames for the model's own video input; None for still images.
        encoded: The same pictures as files, one each, for a remote model (``ModelInfo.remote``); else None.
        labels: Text right in front of each picture (``Image A:``), empty for none; or () where no picture has any.
        messages: The whole conversation up to the answer, where texts stand between pictures or questions came
            before; it says what ``prompt.question`` says. None: the question behind the pictures.
        repeat: Which asking of the same question: 0 for the first; each one is kept by itself.
    """

    prompt: Prompt
    images: tuple[ImageHWC, ...]
    clip: Clip | None = None
    encoded: tuple[EncodedImage, ...] | None = None
    labels: tuple[str, ...] = ()
    messages: tuple[ChatMessage, ...] | None = None
    repeat: int = 0


@dataclass(frozen=True)
class Turn:
    """One turn of a talk.

    Attributes:
        role: Who speaks.
        content: Texts and pictures, uint8 RGB (H, W, 3), in their order. A chat template that puts all pictures
            of a turn in front (LLaVA's) does so here, too, as it did in training.
        encoded: The turn's pictures as files, one each, for a remote model (``ModelInfo.remote``); else None.
    """

    role: Literal["user", "assistant"]
    content: tuple[ImageHWC | str, ...]
    encoded: tuple[EncodedImage, ...] | None = None

    @property
    def pictures(self) -> tuple[ImageHWC, ...]:
        """The pictures, in order."""
        return tuple(part for part in self.content if not isinstance(part, str))


@dataclass(frozen=True)
class Spoken:
    """What a model said.

    Attributes:
        text: The answer behind its forced start, white space included: ``start + text`` is the whole answer.
        logprobs: Natural logarithm of the probability of each token, the end mark not among them; None where an
            endpoint does not give them. Of a model on this machine that is held to a schema: among the tokens that
            the schema allows.
        finished: ``stop``: the model ended its answer; ``length``: cut off by the limit of tokens;
            ``cancelled``: by the caller.
        held_by: What held it to a schema, e.g. ``llguidance 1.9.1``; ``response_format``: the endpoint was told to;
            None: nothing.
    """

    text: str
    logprobs: tuple[float, ...] | None
    finished: Literal["stop", "length", "cancelled"]
    held_by: str | None = None


@dataclass(frozen=True)
class LevelLogits:
    """Logits at the answer position.

    Attributes:
        logits: Float32, shape (L,): one per level word. ``-inf``: a word that the model did not report.
        log_z: Log-sum-exp over the whole vocabulary there; None where the endpoint does not tell.
        readout: How they were read.
    """

    logits: NDArray[np.float32]
    log_z: float | None
    readout: Readout = "logits"


@dataclass(frozen=True)
class ModelInfo:
    """Identity of a loaded model, for provenance.

    Attributes:
        device: Where it runs; ``api`` for a remote one.
        base_url: Of the endpoint, without credentials; None for a model on this machine.
        readout: How level scores are read, e.g. ``logits``, ``logprobs:prefilled``, ``text``.
    """

    model: str
    revision: str | None
    weights_sha256: str | None
    settings_sha256: str | None
    dtype: str
    device: str
    image_processor: str | None = None
    quantization: str | None = None
    adapter_sha256: str | None = None
    base_url: str | None = None
    readout: str = "logits"

    @property
    def remote(self) -> bool:
        """Whether pictures are sent to it as files."""
        return self.base_url is not None


@dataclass(frozen=True)
class Diagnosis:
    """What a model's own heads find of one category of distortion.

    Attributes:
        category: Its name.
        probability: That it is there.
        severity: 1 (slight) .. 5 (catastrophic), if it is.
    """

    category: str
    probability: float
    severity: float


@dataclass(frozen=True)
class Examined:
    """What a model's own heads find in a picture.

    Attributes:
        found: All categories in the order of :data:`mllmqa.data.distortions.CATEGORIES`.
        fidelity: 1..5, how near the picture is to what it was before any distortion: a pseudo-MOS of
            full-reference metrics (:class:`mllmqa.data.fullref.PseudoMos`), estimated without the reference. It is
            no opinion: an undistorted photo of a dull scene has 5.
    """

    found: tuple[Diagnosis, ...]
    fidelity: float


@dataclass(frozen=True)
class ExaminedInTime:
    """What a model's own heads find of one category of distortion in the time of a clip.

    Attributes:
        found: Category (of :data:`mllmqa.data.video_distortions.IN_TIME`), probability, severity.
        rows: Probability at each moment: one for each row of the slices.
    """

    found: Diagnosis
    rows: tuple[float, ...]


@runtime_checkable
class Examiner(Protocol):
    """A model that may have heads for distortions."""

    @property
    def examines(self) -> bool:
        """Whether it has heads for distortions of pictures."""
        ...

    def examine(self, images: Sequence[ImageHWC]) -> list[Examined]:
        """Return what is found in each picture; only where :attr:`examines`."""
        ...

    @property
    def examines_time(self) -> bool:
        """Whether it has heads for what happens in the time of a clip."""
        ...

    def examine_in_time(self, slices: ImageHWC) -> list[ExaminedInTime]:
        """Return what is found in one picture of slices (:mod:`mllmqa.media.slices`), all categories in order.

        Only where :attr:`examines_time`.
        """
        ...


class Backend(Protocol):
    """A model that can be asked."""

    info: ModelInfo
    native_video: bool
    """Whether requests with a ``clip`` are understood."""

    def check_words(self, prompt: Prompt, words: Sequence[str]) -> None:
        """Raise LevelTokenError unless ``words`` are distinct single tokens after this prompt."""
        ...

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        """Return one entry per request: the logits of ``words`` as next token, or why there are none."""
        ...

    def generate(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[str]:
        """Continue each request's answer greedily and return the new text."""
        ...

    def talk(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        start: str = "",
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        schema: AnswerSchema | None = None,
    ) -> Spoken:
        """Answer the last turn greedily.

        Args:
            turns: User and assistant in turn; a user's is first and last.
            max_new_tokens: Limit of the answer's length.
            start: How the answer begins; said by us, not by the model.
            on_text: Given each new piece of text once it is whole; the pieces join to :attr:`Spoken.text`.
            cancelled: Asked between tokens; once it is true, what was said so far is returned.
            schema: What the answer is held to while it is decoded; then it has no start. An answer that is cut off
                is not whole, and an endpoint may ignore it: see :meth:`~mllmqa.answer_schema.AnswerSchema.parsed`.

        Raises:
            UsageError: The turns are not such, or a schema and a start are given.
            MissingExtraError: A package is needed to hold the answer to the schema.
            MediaLimitError: Pictures and texts are longer than the model has positions for.
            ModelError: There is no answer.
        """
        ...
