"""The language model's parts, and that LLaMA itself stays as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from mllmqa.models.mplug_owl2.language import Multiway, routes

_STOCK_LLAMA = """
import sys, torch
from mllmqa.models.torchvision_shim import ensure_torchvision
ensure_torchvision()
import transformers.models.llama.modeling_llama as llama
from transformers import LlamaConfig, LlamaForCausalLM
torch.set_num_threads(1)
before = {n: (value, dict(vars(value)) if isinstance(value, type) else None) for n, value in vars(llama).items()}
torch.manual_seed(0)
config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                     num_attention_heads=4, num_key_value_heads=2)
stock, ids = LlamaForCausalLM(config).eval(), torch.arange(12).reshape(2, 6)
with torch.inference_mode():
    first, tokens = stock(ids).logits, stock.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0)
from mllmqa.models import mplug_owl2
mplug_owl2.register()
from transformers import AutoModelForImageTextToText
ours = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
with torch.inference_mode():
    ours(torch.tensor([[1, 5] + [-200] * 9 + [7]]), torch.zeros(1, 3, 56, 56))
    assert torch.equal(stock(ids).logits, first)
    assert torch.equal(stock.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0), tokens)
    torch.manual_seed(0)
    assert torch.equal(LlamaForCausalLM(config).eval()(ids).logits, first)
for name, (value, members) in before.items():
    now = vars(llama)[name]
    assert now is value, name
    if members is not None:
        assert {k: v for k, v in vars(now).items() if k in members} == members, name
print("unchanged")
"""


def test_a_stock_llama_in_the_same_process_is_not_touched() -> None:
    """In a fresh process: logits before ours is imported, and after it has run, to the last bit."""
    from tests.models.mplug_owl2.original import FIXTURES

    command = [sys.executable, "-c", _STOCK_LLAMA, str(FIXTURES / "img_mha_q8")]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "unchanged", done.stderr


def _marked(value: float) -> nn.Module:
    layer = nn.Linear(4, 2, bias=True)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, value)
    return layer


def test_every_position_goes_its_way() -> None:
    values = iter([1.0, 2.0])
    switch = Multiway(lambda: _marked(next(values)))
    where = torch.tensor([[False, True, True], [False, False, True]])
    out = switch(torch.randn(2, 3, 4), routes(where, training=False))
    assert out.shape == (2, 3, 2)
    assert torch.equal(out[..., 0], where.float() + 1)
    assert torch.equal(switch(torch.randn(2, 3, 4), None), torch.ones(2, 3, 2))


def test_gradients_reach_only_the_way_that_was_taken() -> None:
    switch = Multiway(lambda: nn.Linear(4, 4))
    x = torch.randn(1, 3, 4, requires_grad=True)
    switch(x, routes(torch.tensor([[False, True, False]]), training=True))[0, 1].sum().backward()
    text, picture = switch.multiway
    assert text.weight.grad.abs().sum() == 0 < picture.weight.grad.abs().sum()
    assert x.grad[0, 0].abs().sum() == 0 < x.grad[0, 1].abs().sum()


def test_routes() -> None:
    where = torch.tensor([[True, False], [False, True]])
    text, picture = routes(where, training=False) or ()
    assert (text.tolist(), picture.tolist()) == ([1, 2], [0, 3])
    none = torch.zeros(1, 2, dtype=torch.bool)
    assert routes(None, training=False) is routes(None, training=True) is routes(none, training=False) is None
    text, picture = routes(none, training=True) or ()
    assert (text.tolist(), picture.tolist()) == ([0, 1], [])
