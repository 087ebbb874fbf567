"""mPLUG-Owl2 (Ye et al., CVPR 2024) for transformers 5, with the parameter names of the original."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mllmqa.errors import InferenceError
from mllmqa.models.mplug_owl2.abstractor import AbstractorAttention, VisualAbstractor
from mllmqa.models.mplug_owl2.configuration import IMAGE_TOKEN_ID, MplugOwl2Config
from mllmqa.models.mplug_owl2.language import MplugOwl2Attention, MplugOwl2DecoderLayer, routes
from mllmqa.models.mplug_owl2.vision import VisionModel

from transformers import GenerationMixin, PreTrainedModel  # isort: skip  # after our configuration
from transformers import initialization as init  # isort: skip
from transformers.cache_utils import Cache, DynamicCache  # isort: skip
from transformers.masking_utils import create_causal_mask  # isort: skip
from transformers.modeling_outputs import (  # isort: skip
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.modeling_utils import slice_logits_to_keep  # isort: skip
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding  # isort: skip
from transformers.utils import can_return_tuple  # isort: skip
from transformers.utils.deprecation import deprecate_kwarg  # isort: skip
from transformers.utils.generic import merge_with_config_defaults  # isort: skip
from transformers.utils.output_capturing import capture_outputs  # isort: skip


class MplugOwl2PreTrainedModel(PreTrainedModel):  # type: ignore[misc]  # transformers is not typed here
    """What all parts share; stock ``from_pretrained`` reads the original checkpoints."""

    config_class = MplugOwl2Config
    base_model_prefix = "model"
    input_modalities = ("image", "video", "text")
    supports_gradient_checkpointing = True
    # The abstractor and the embeddings have parameters of their own beside modules: one device each.
    _no_split_modules: ClassVar[list[str]] = [
        "MplugOwl2DecoderLayer",
        "VisionEmbeddings",
        "VisionLayer",
        "VisualAbstractor",
    ]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs: ClassVar[dict[str, Any]] = {
        "hidden_states": MplugOwl2DecoderLayer,
        "attentions": MplugOwl2Attention,
    }
    # A converter of the original writes the rotary frequencies and leaves out the position codes.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_emb\.inv_freq$"]
    _keys_to_ignore_on_load_missing: ClassVar[list[str]] = [r"crossattention\.attention\.[qk]_pos_embed$"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Only through transformers' functions: they leave alone what was loaded from a file."""
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, AbstractorAttention):
            init.copy_(module.q_pos_embed, module.query_codes())
            init.copy_(module.k_pos_embed, module.key_codes())
        for name in ("cls_token", "position_embedding", "query_embeds", "vit_eos"):
            if isinstance(parameter := getattr(module, name, None), nn.Parameter):
                init.normal_(parameter, std=std)


class MplugOwl2Model(MplugOwl2PreTrainedModel):
    """Vision tower, abstractor and language model, without the head."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(MplugOwl2DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config)
        self.vision_model = VisionModel(config)
        self.visual_abstractor = VisualAbstractor(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Encode pictures or frames.

        Args:
            pixel_values: (N, 3, S, S), normalised; a fourth leading axis (B, N, 3, S, S) is flattened.

        Returns:
            ``last_hidden_state``: vision tokens (N, T, width); ``pooler_output``: a list of N tensors
            (tokens per image, language width), what takes the place of the picture tokens.
        """
        pixels = pixel_values.flatten(0, -4).to(self.vision_model.post_layernorm.weight.dtype)
        # A CPU's caches hold one picture's activations: one by one is faster there than all at once. Not under
        # ZeRO-3 (parameters with a ds_id): processes with unequal numbers of pictures would wait for each other.
        sharded = hasattr(self.vision_model.post_layernorm.weight, "ds_id")
        at_once = 1 if pixels.device.type == "cpu" and not sharded else len(pixels)
        tokens = [self.vision_model(part) for part in torch.split(pixels, at_once)]
        features = [self.visual_abstractor(part) for part in tokens]
        return BaseModelOutputWithPooling(
            last_hidden_state=torch.cat(tokens), pooler_output=list(torch.cat(features))
        )

    def _embed(self, input_ids: Tensor, features: list[Tensor] | None) -> tuple[Tensor, Tensor | None]:
        """Put picture tokens in their places; the embeddings (B, T, C) and where the pictures are (B, T)."""
        is_image = input_ids == IMAGE_TOKEN_ID
        embeds = self.embed_tokens(input_ids.masked_fill(is_image, 0))
        given = 0 if features is None else sum(len(feature) for feature in features)
        wanted = int(is_image.sum())
        if wanted != given:
            raise InferenceError(
                f"{wanted} picture tokens in the prompts, {given} from the pictures",
                expected=f"{self.config.tokens_per_image} per picture; let the processor expand the placeholders",
            )
        if features is None:
            return embeds, None
        joined = torch.cat(features).to(embeds.device, embeds.dtype)
        return embeds.masked_scatter(is_image[..., None], joined), is_image

    @deprecate_kwarg("past_key_values", "5.40.0", new_name="cache")  # type: ignore[untyped-decorator]
    @merge_with_config_defaults  # type: ignore[untyped-decorator]
    @capture_outputs  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the model; see :class:`MplugOwl2ForConditionalGeneration` for the arguments."""
        is_image = kwargs.pop("is_image", None)
        encoded = (kwargs.pop("mm_encoder_outputs", None) or {}).get("image")
        if pixel_values is not None and (encoded is not None or inputs_embeds is not None):
            raise InferenceError("pixel_values beside mm_encoder_outputs or inputs_embeds", expected="one of them")
        if inputs_embeds is None:
            if input_ids is None:
                raise InferenceError("neither input_ids nor inputs_embeds were given")
            if pixel_values is not None:
                encoded = self.get_image_features(pixel_values)
            inputs_embeds, is_image = self._embed(input_ids, encoded.pooler_output if encoded else None)
        elif input_ids is not None:
            raise InferenceError("input_ids beside inputs_embeds", expected="one of them")
        if use_cache and cache is None:
            cache = DynamicCache(config=self.config)
        if position_ids is None:
            past = cache.get_seq_length() if cache is not None else 0
            position_ids = torch.arange(past, past + inputs_embeds.shape[1], device=inputs_embeds.device)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            cache=cache,
            position_ids=position_ids,
        )
        if is_image is None and self.training:
            is_image = torch.zeros(inputs_embeds.shape[:2], dtype=torch.bool, device=inputs_embeds.device)
        ways = routes(is_image, self.training)
        hidden, rotary = inputs_embeds, self.rotary_emb(inputs_embeds, position_ids=position_ids)
        for layer in self.layers:
            hidden = layer(
                hidden, ways, attention_mask=mask, position_embeddings=rotary, cache=cache, **kwargs
            )  # fmt: skip
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden), cache=cache)


class MplugOwl2ForConditionalGeneration(MplugOwl2PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """mPLUG-Owl2 with its head; ``model_type`` "mplug_owl2" of the published scorers.

    Forward arguments, beside those of every transformers model:
        input_ids: Long (B, T). A picture is ``config.tokens_per_image`` times -200, a
            video that many per frame; :class:`~mllmqa.models.mplug_owl2.processing.MplugOwl2Processor`
            writes them so.
        pixel_values: Float (N, 3, S, S): all pictures and frames of the batch in the order of their tokens.
        mm_encoder_outputs: ``{"image": …}`` of :meth:`get_image_features` instead of ``pixel_values``.
        is_image: Bool (B, T), beside ``inputs_embeds``: which of them are picture tokens.
        logits_to_keep: Number of last positions, or a long tensor (B, K) of positions; only their logits
            are computed.
        labels: Long (B, T), -100 where there is none: mean next-token cross entropy, or its sum over
            ``num_items_in_batch`` where the Trainer gives it (gradient accumulation).

    Positions count from 0 in each row of the batch, padding included; with the mask, the side of the
    padding changes results by float noise only (rotary positions are relative).
    """

    vision_parts: ClassVar[tuple[str, ...]] = ("model.vision_model", "model.visual_abstractor")
    """Names of the modules that see; all the rest is the language model."""
    _tp_plan: ClassVar[dict[str, str]] = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__(config)
        self.model = MplugOwl2Model(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """See :meth:`MplugOwl2Model.get_image_features`."""
        return self.model.get_image_features(pixel_values, **kwargs)

    @deprecate_kwarg("past_key_values", "5.40.0", new_name="cache")  # type: ignore[untyped-decorator]
    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """See the class."""
        items = kwargs.pop("num_items_in_batch", None)
        out = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(out.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, num_items_in_batch=items
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            cache=out.cache,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )
