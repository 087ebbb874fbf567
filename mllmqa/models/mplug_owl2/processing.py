"""mPLUG-Owl2's processor: pictures padded to a square, text tokenised piece by piece around the placeholders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mllmqa.errors import InferenceError
from mllmqa.media.pixels import MEAN_COLOR
from mllmqa.media.views import pad_square
from mllmqa.models.mplug_owl2.configuration import IMAGE_TOKEN_ID, MplugOwl2Config
from mllmqa.models.mplug_owl2.tokenizer import from_sentencepiece

from transformers import BatchFeature, ProcessorMixin  # isort: skip  # after our configuration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # isort: skip
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, cached_file  # isort: skip

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}"
    "{% if c['type'] in ('image', 'video') %}<|image|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% if m['role'] == 'assistant' %}</s>{% elif not loop.last or add_generation_prompt %} {% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""For free questions; the published scorers' prompts are layouts of their presets."""


class MplugOwl2ImageProcessor(CLIPImageProcessorPil):  # type: ignore[misc]  # transformers is not typed here
    """CLIP's preprocessing behind padding to a centred square with its mean colour (122, 116, 104).

    Everything becomes RGB first, which the original scorers forget: non-square grey pictures raise there,
    palette pictures get a wrong colour. As in the original evaluation that is Pillow's ``convert("RGB")``, which
    drops alpha (transformers would put white behind it); :mod:`mllmqa.media` composes before it comes here.
    Resizing is Pillow's; torch's filters differ by up to 4 levels.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def process_image(self, image: Any, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
        """Return one picture as uint8 RGB, channels first, square."""
        if isinstance(image, Image.Image):
            image = image.convert("RGB")
        planes = super().process_image(image, *args, **kwargs)
        if len(planes) == 1:
            planes = np.repeat(planes, 3, axis=0)
        return np.moveaxis(pad_square(np.moveaxis(planes[:3], 0, -1), MEAN_COLOR), -1, 0)


class MplugOwl2Processor(ProcessorMixin):  # type: ignore[misc]  # transformers is not typed here
    """Text with ``<|image|>`` placeholders and pictures in, model inputs out.

    Args:
        image_processor: :class:`MplugOwl2ImageProcessor`.
        tokenizer: LLaMA's, from :mod:`mllmqa.models.mplug_owl2.tokenizer`.
        tokens_per_image: Tokens of one picture or frame, ``MplugOwl2Config.tokens_per_image``.
        chat_template: For free questions.
    """

    image_token = "<|image|>"  # noqa: S105 - no password
    takes_videos = True

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        tokens_per_image: int | None = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.tokens_per_image = tokens_per_image
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE, **kwargs)

    @classmethod
    def from_pretrained(cls, location: Any, **kwargs: Any) -> Any:
        """Load from a folder or the hub; the original checkpoints have no processor of their own.

        Those that a training run left have no preprocessor_config.json either: what it would say is given by
        the size of the vision tower's input.
        """
        named = {k: v for k, v in kwargs.items() if k in ("revision", "cache_dir", "local_files_only", "token")}
        absent = {"_raise_exceptions_for_missing_entries": False, **named}
        if cached_file(location, PROCESSOR_NAME, **absent):
            return super().from_pretrained(location, **kwargs)
        config = MplugOwl2Config.from_pretrained(location, **named)
        if cached_file(location, IMAGE_PROCESSOR_NAME, **absent):
            pictures = MplugOwl2ImageProcessor.from_pretrained(location, **named)
        else:
            side = config.input_side
            pictures = MplugOwl2ImageProcessor(
                size={"shortest_edge": side}, crop_size={"height": side, "width": side}
            )
        tokenizer = from_sentencepiece(cached_file(location, "tokenizer.model", **named))
        return cls(pictures, tokenizer, config.tokens_per_image)

    def encode(self, text: str) -> list[int]:
        """Tokenise; every placeholder becomes one :data:`IMAGE_TOKEN_ID`, not yet expanded.

        The text between placeholders is tokenised piece by piece, each with a word mark of its own; BOS
        stands in front once.
        """
        ids = [self.tokenizer.bos_token_id]
        for index, piece in enumerate(text.split(self.image_token)):
            if index:
                ids.append(IMAGE_TOKEN_ID)
            if piece:
                ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    def expand(self, ids: Sequence[int], frames: Sequence[int]) -> list[int]:
        """Repeat each placeholder for all tokens of its picture, or of its video's frames.

        Args:
            ids: From :meth:`encode`.
            frames: Pictures behind each placeholder: 1, or the number of frames.

        Raises:
            InferenceError: There are more or fewer placeholders than entries.
        """
        if ids.count(IMAGE_TOKEN_ID) != len(frames):
            raise InferenceError(
                f"{ids.count(IMAGE_TOKEN_ID)} placeholders {self.image_token} for {len(frames)} pictures or videos"
            )
        counts = iter(frames)
        expanded: list[int] = []
        for token in ids:
            expanded += [token] * (next(counts) * int(self.tokens_per_image or 0)) if token < 0 else [token]
        return expanded

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] = (),
        videos: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Make model inputs.

        Args:
            images: One list of pictures per text (or a flat list for a single text); one placeholder each.
            text: Prompts.
            videos: One video per text instead: frames (T, H, W, 3) or a list of pictures; one placeholder.
            kwargs: ``input_data_format`` of arrays; ``padding_side`` ("left" | "right").

        Returns:
            ``input_ids`` and ``attention_mask`` (B, T), ``pixel_values`` (N, 3, S, S) where there are any.

        Raises:
            InferenceError: Prompts, placeholders and pictures do not agree in number.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise InferenceError("no prompt")
        if images is not None and videos is not None:
            raise InferenceError("images and videos at once", expected="one of them")
        groups = _groups(images, videos, len(texts))
        counts = [[len(group)] if videos is not None else [1] * len(group) for group in groups]
        rows = [self.expand(self.encode(t), n) for t, n in zip(texts, counts, strict=True)]
        inputs = self._padded(rows, kwargs.get("padding_side") or "left")
        pictures = [picture for group in groups for picture in group]
        if pictures:
            layout = kwargs.get("input_data_format")
            made = self.image_processor(pictures, return_tensors="pt", input_data_format=layout)
            inputs["pixel_values"] = made["pixel_values"]
        return BatchFeature(inputs)

    def decode(self, token_ids: Any, **kwargs: Any) -> Any:
        """Turn ids into text; picture tokens, which no vocabulary has, are left out. Batches as in transformers."""
        rows = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if rows and not isinstance(rows[0], int):
            return [self.decode(row, **kwargs) for row in rows]
        return self.tokenizer.decode([token for token in rows if token >= 0], **kwargs)

    def batch_decode(self, sequences: Any, **kwargs: Any) -> Any:
        """Turn rows of ids into texts; see :meth:`decode`."""
        return [self.decode(row, **kwargs) for row in sequences]

    def post_process_image_text_to_text(
        self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
    ) -> Any:
        """Turn what the model generated into texts, for transformers' pipelines."""
        return self.batch_decode(generated_outputs, skip_special_tokens=skip_special_tokens, **kwargs)

    def _padded(self, rows: list[list[int]], side: str) -> dict[str, Any]:
        """Pad with the id 0, which the mask hides."""
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            where = slice(longest - len(row), None) if side == "left" else slice(len(row))
            ids[index, where], mask[index, where] = torch.tensor(row), 1
        return {"input_ids": ids, "attention_mask": mask}

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that it gives."""
        return ["input_ids", "attention_mask", "pixel_values"]


def _groups(images: Any, videos: Any, count: int) -> list[list[Any]]:
    """Return the pictures of each text."""
    given = videos if videos is not None else images
    if given is None:
        return [[] for _ in range(count)]
    given = list(given) if isinstance(given, list | tuple) else [given]
    if videos is None and not isinstance(given[0] if given else None, list | tuple):
        given = [given]
    if len(given) != count:
        raise InferenceError(f"pictures for {len(given)} prompts, but {count} prompts")
    return [list(group) for group in given]
