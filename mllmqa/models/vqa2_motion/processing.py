"""Inputs of VQA²: key frames, all frames, and a text that states how many there are of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mllmqa.errors import InferenceError, ModelLoadError, UnknownNameError
from mllmqa.models.llava_original.processor import VIDEO
from mllmqa.models.llava_original.templates import template
from mllmqa.models.vqa2_motion.slowfast import SLOW_STRIDE

FILE = "vqa2_processor.json"
"""Settings of a saved processor, beside the files of its tokenizer and image processor."""
MOTION = "<motion>"
KEY_COUNT, FRAME_COUNT = "<key_frames>", "<all_frames>"
"""In a text: replaced by the number of key frames, and of the frames that the motion branch sees."""

_ANNOUNCED = (
    f"You will receive {KEY_COUNT} distinct frames that have been uniformly sampled in each second from a video"
    " sequence, arranged in the same temporal order as they appear in the video. In addition, you will also obtain"
    f" motion features extracted from all {FRAME_COUNT} frames of the the video.  Please analyze these images and"
    f" answer the questions based on your observations.\\nThe video frames:{VIDEO}\\nThe video motion features:"
    f"{MOTION}\\n."
)
LAYOUTS = {"assistant": _ANNOUNCED, "scorer": f"{VIDEO}{MOTION}"}
"""What stands in front of the question: as the assistants are asked, and as the scorers are."""


def chat_template(layout: str) -> str:
    """Return the chat template of a layout.

    Raises:
        UnknownNameError: No such layout.
    """
    if layout not in LAYOUTS:
        raise UnknownNameError(f"no layout {layout!r}", expected=" | ".join(LAYOUTS))
    return template("qwen_1_5").replace("{{ '<' + c['type'] + '>\\n' }}", "{{ '" + LAYOUTS[layout] + "' }}")


def key_frames(count: int, fps: float) -> range:
    """Return the numbers of the key frames: every round(fps)-th.

    >>> list(key_frames(50, 23.98))
    [0, 24, 48]
    """
    return range(0, count, max(1, round(fps)))


def motion_frames(count: int) -> list[int]:
    """Return the frames of the motion branch: all, cut to a multiple of 4; fewer than 4: the last one again.

    >>> motion_frames(6), motion_frames(1)
    ([0, 1, 2, 3], [0, 0, 0, 0])
    """
    if count < SLOW_STRIDE:
        return [min(i, count - 1) for i in range(SLOW_STRIDE)]
    return list(range(count // SLOW_STRIDE * SLOW_STRIDE))


class Vqa2Processor:
    """Videos (all frames) or single pictures and texts in, model inputs out.

    Args:
        image_processor: SigLIP's, PIL back end.
        tokenizer: Qwen2's with ``<image>``, ``<video>`` and ``<motion>``.
        tokens_per_frame: Tokens of a key frame after 2 × 2 pooling.
        layout: One of :data:`LAYOUTS`.
        repeat_motion: Put the motion tokens behind the key frames and once more at their own place, as the
            published inference code of the assistants does (the training code does not).
    """

    takes_videos = True
    image_token = VIDEO

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        *,
        tokens_per_frame: int,
        layout: str = "assistant",
        repeat_motion: bool = False,
    ) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.tokens_per_frame = tokens_per_frame
        self.layout = layout
        self.chat_template = chat_template(layout)
        self.repeat_motion = repeat_motion

    def save_pretrained(self, folder: Path | str) -> None:
        """Write what :meth:`from_pretrained` reads."""
        settings = {name: getattr(self, name) for name in ("tokens_per_frame", "layout", "repeat_motion")}
        self.tokenizer.save_pretrained(folder)
        self.image_processor.save_pretrained(folder)
        (Path(folder) / FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, location: str, **hub: Any) -> Vqa2Processor:
        """Read what :meth:`save_pretrained` wrote.

        Args:
            location: Folder or hub id.
            hub: ``revision`` and the like.

        Raises:
            ModelLoadError: Its settings are malformed.
            OSError: A file is not there.
        """
        from transformers import AutoTokenizer, SiglipImageProcessorPil
        from transformers.utils import cached_file

        file = Path(cached_file(location, FILE, revision=hub.get("revision")))
        try:
            settings = json.loads(file.read_text(encoding="utf-8"))
            images = SiglipImageProcessorPil.from_pretrained(location, **hub)
            return cls(images, AutoTokenizer.from_pretrained(location, **hub), **settings)
        except (ValueError, TypeError) as error:
            raise ModelLoadError(f"malformed: {error}", where=file) from error

    def apply_chat_template(self, messages: Any, *, layout: str | None = None, **arguments: Any) -> Any:
        """Return the text of a talk, with placeholders; ``layout`` takes the place of the processor's own.

        Raises:
            UnknownNameError: No such layout.
        """
        chosen = chat_template(layout) if layout else self.chat_template
        return self.tokenizer.apply_chat_template(messages, chat_template=chosen, **arguments)

    def expand(self, text: str, keys: int, frames: int) -> str:
        """Fill in the counts and repeat the placeholders.

        Args:
            text: With one ``<video>`` and one ``<motion>``.
            keys: Key frames.
            frames: Frames of the motion branch.

        Raises:
            InferenceError: The text has not exactly one of each placeholder.
        """
        for token in (VIDEO, MOTION):
            if text.count(token) != 1:
                raise InferenceError(f"{text.count(token)} placeholders {token} in a prompt", expected="one")
        text = text.replace(KEY_COUNT, str(keys)).replace(FRAME_COUNT, str(frames))
        motion = MOTION * frames
        tokens = VIDEO * (keys * self.tokens_per_frame + 1) + (motion if self.repeat_motion else "")
        return text.replace(MOTION, motion).replace(VIDEO, tokens)

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] = (),
        videos: Sequence[Any] | None = None,
        video_metadata: Sequence[dict[str, Any]] | None = None,
        **arguments: Any,
    ) -> Any:
        """Make model inputs.

        Args:
            images: One list with one picture per text: one key frame, repeated four times for the motion.
            text: Prompts.
            videos: Instead: all frames of one video per text, (T, H, W, 3) uint8.
            video_metadata: Per video ``fps`` and ``frames_indices`` at that rate.
            arguments: ``input_data_format`` of arrays, ``add_special_tokens``.

        Returns:
            BatchFeature with ``input_ids`` and ``attention_mask`` (B, L), padded on the left;
            ``pixel_values_frames`` (K, 3, S, S), ``pixel_values_motion`` (F, 3, S, S), ``frame_counts`` (B, 2).

        Raises:
            InferenceError: Not one video or picture per text.
        """
        import torch
        from transformers import BatchFeature

        texts = [text] if isinstance(text, str) else list(text)
        clips, rates = _clips(images, videos, video_metadata)
        if len(clips) != len(texts):
            raise InferenceError(f"{len(clips)} videos or pictures for {len(texts)} prompts", where="VQA²")
        keys = [list(key_frames(len(clip), rate)) for clip, rate in zip(clips, rates, strict=True)]
        motion = [motion_frames(len(clip)) for clip in clips]
        encoded = self._encoded(texts, keys, motion, special=arguments.get("add_special_tokens", False))
        pixels = [self._pixels(clip, arguments.get("input_data_format")) for clip in clips]
        return BatchFeature(
            {
                **encoded,
                "pixel_values_frames": _chosen(pixels, keys),
                "pixel_values_motion": _chosen(pixels, motion),
                "frame_counts": torch.tensor([[len(k), len(m)] for k, m in zip(keys, motion, strict=True)]),
            }
        )

    def _encoded(
        self, texts: list[str], keys: list[list[int]], motion: list[list[int]], *, special: bool
    ) -> dict[str, Any]:
        expanded = [self.expand(t, len(k), len(m)) for t, k, m in zip(texts, keys, motion, strict=True)]
        encoded = self.tokenizer(
            expanded, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=special
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def _pixels(self, frames: Any, layout: str | None) -> Any:
        made = self.image_processor(list(frames), return_tensors="pt", input_data_format=layout)
        return made["pixel_values"]


def _chosen(pixels: list[Any], numbers: list[list[int]]) -> Any:
    import torch

    return torch.cat([clip[some] for clip, some in zip(pixels, numbers, strict=True)])


def _clips(images: Any, videos: Any, metadata: Any) -> tuple[list[Any], list[float]]:
    """Return the frames of each clip and their rate."""
    if videos is None:
        groups = [group if isinstance(group, list | tuple) else [group] for group in images or ()]
        if any(len(group) != 1 for group in groups):
            raise InferenceError("several pictures in a prompt", where="VQA²", expected="one picture, or a video")
        return groups, [1.0] * len(groups)
    if metadata is None or len(metadata) != len(videos):
        raise InferenceError("videos without times", where="VQA²", expected="fps and frames_indices of each")
    return list(videos), [_rate(entry) for entry in metadata]


def _rate(entry: dict[str, Any]) -> float:
    """Return frames per second."""
    numbers = entry["frames_indices"]
    span = numbers[-1] - numbers[0]
    return float(entry["fps"]) * (len(numbers) - 1) / span if span > 0 else 1.0
