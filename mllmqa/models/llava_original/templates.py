"""Chat templates (Jinja) that give the texts of LLaVA's ``conversation.py``; pictures come before the text.

Each picture is ``<image>`` and a line break, as in LLaVA's own scripts. BOS is put in front by the tokenizer.
"""

from __future__ import annotations

from mllmqa.errors import UnknownNameError

_MESSAGE = (
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] if c['type'] in ('image', 'video') %}{{ '<' + c['type'] + '>\\n' }}{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}{% endif %}"
)
_HEAD = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = SYSTEM %}{% set turns = messages %}{% endif %}"
)

_VICUNA = (
    "{{ system + ' ' }}{% for m in turns %}"
    "{% if m['role'] == 'user' %}USER: MESSAGE{{ ' ' }}{% else %}ASSISTANT: MESSAGE</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_LLAMA_2 = (
    "{% for m in turns %}{% if m['role'] == 'user' %}"
    "{% if not loop.first %}{{ BEGIN }}{% endif %}[INST] "
    "{% if loop.first and system %}{{ '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{% endif %}MESSAGE [/INST]"
    "{% else %} MESSAGE </s>{% endif %}{% endfor %}"
)
_CHATML = (
    "{{ '<|im_start|>system\\n' + system + '<|im_end|>' + BREAK }}{% for m in turns %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' }}MESSAGE{{ '<|im_end|>' + BREAK }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_LLAVA_SYSTEM = (
    "You are a helpful language and vision assistant. "
    "You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)


def _template(body: str, system: str, **words: str) -> str:
    text = (_HEAD + body).replace("MESSAGE", _MESSAGE).replace("SYSTEM", _literal(system))
    for name, word in words.items():
        text = text.replace(name, _literal(word))
    return text


def _literal(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


TEMPLATES = {
    "vicuna_v1": _template(_VICUNA, _VICUNA_SYSTEM),
    "llava_v1": _template(_VICUNA, _VICUNA_SYSTEM.replace("user", "human")),
    "llava_llama_2": _template(_LLAMA_2, _LLAVA_SYSTEM, BEGIN="<s>"),
    "mistral_instruct": _template(_LLAMA_2, "", BEGIN=""),
    "qwen_1_5": _template(_CHATML, "You are a helpful assistant.", BREAK="\n"),
    "chatml_direct": _template(_CHATML, "Answer the questions.", BREAK=""),
}
"""Name in LLaVA's ``conv_templates`` → chat template."""


def template(name: str) -> str:
    """Return the chat template of this name.

    Raises:
        UnknownNameError: No such template.
    """
    if name not in TEMPLATES:
        raise UnknownNameError(f"no prompt template {name!r}", expected=" | ".join(TEMPLATES))
    return TEMPLATES[name]
