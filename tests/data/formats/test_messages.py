"""HF chat messages and ShareGPT: rows as processors and LLaMA-Factory read them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mllmqa.data.formats import FORMATS
from mllmqa.data.formats.form import Context
from mllmqa.data.formats.sharegpt import dataset_info
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError
from tests.data.samples_made import medium, plain, said

MESSAGES, SHAREGPT = FORMATS["messages"], FORMATS["sharegpt"]
HERE = Context("x.jsonl, record 2", 2)


def asked(*parts: Any) -> Sample:
    return MESSAGES.parse({"messages": [{"role": "user", "content": list(parts)}]}, HERE)


def test_messages_are_as_processors_take_them() -> None:
    sample = plain(media=(medium(kind="video", path="c.mp4"),))
    assert MESSAGES.row(sample)["messages"] == [
        {
            "role": "user",
            "content": [{"type": "video", "path": "c.mp4"}, {"type": "text", "text": "How good is it?"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Good."}]},
    ]


def test_a_chat_template_of_transformers_takes_an_exported_row() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (
        "{% for m in messages %}{{ m.role }}:{% for c in m.content %}"
        "{{ '<IMG>' if c.type == 'image' else c.text }}{% endfor %};{% endfor %}"
    )
    row = json.loads(json.dumps(MESSAGES.row(plain())))
    (rendered,), _ = render_jinja_template([row["messages"]], chat_template=template)
    assert rendered == "user:<IMG>How good is it?;assistant:Good.;"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "path": "a.png"},
        {"type": "image", "image": "a.png"},
        {"type": "image", "image": "file://a.png"},
        {"type": "image", "url": "a.png"},
        {"type": "image_url", "image_url": {"url": "a.png"}},
    ],
)
def test_media_under_all_their_names(part: dict[str, Any]) -> None:
    found = asked(part, {"type": "text", "text": "How?"}).media[0]
    assert (found.key, found.kind, found.path) == ("A", "image", "a.png")


def test_texts_side_by_side_are_one_and_empty_ones_none() -> None:
    picture = {"type": "image", "path": "a"}
    texts = [{"type": "text", "text": text} for text in ("", "How ", "good?", "")]
    sample = asked(picture, *texts)
    assert [part.text for part in sample.messages[0].content] == [None, "How good?"]
    plain_text = {"messages": [{"role": "user", "content": [picture]}, {"role": "assistant", "content": "Good."}]}
    assert MESSAGES.parse(plain_text, HERE).messages[1].text == "Good."


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image", "path": "https://a/b.png"}, "a part of type image has 'https://a/b.png'"),
        ({"type": "image", "image": "data:image/png;base64,AAAA"}, "a path of a file"),
        ({"type": "image"}, "a part of type image has None"),
        ({"type": "image", "image": {"bytes": "x"}}, "has None"),
        ({"type": "audio", "path": "a"}, "field content holds"),
        ({"type": "text"}, "field text is missing"),
        ("hello", "field content holds 'hello'"),
    ],
)
def test_parts_that_name_no_file_are_refused(part: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        asked(part)
    assert message in str(caught.value)
    assert "x.jsonl, record 2" in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "field messages is missing; expected list"),
        ({"messages": ["hi"]}, "field messages holds 'hi'"),
        ({"messages": [{"role": "user"}]}, "field content is missing"),
        ({"messages": [{"role": "user", "content": "no media"}]}, "field media is ()"),
        ({"messages": [{"content": [{"type": "image", "path": "a"}]}]}, "field messages.0.role is None"),
    ],
)
def test_malformed_rows_of_messages(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        MESSAGES.parse(row, HERE)
    assert message in str(caught.value).replace("[]", "()")


def test_sharegpt_is_as_llama_factory_reads_it() -> None:
    sample = plain(
        media=(medium(), medium("B"), medium("c", kind="video", path="c.mp4")),
        messages=(said("system", "Judge."), said("user", "@A", "@B", "Or ", "@c"), said("assistant", "B.")),
    )
    row = SHAREGPT.row(sample)
    assert row["messages"][0] == {"role": "system", "content": "Judge."}
    assert row["messages"][1] == {"role": "user", "content": "<image><image>\nOr <video>"}
    assert (row["images"], row["videos"]) == (["A.png", "B.png"], ["c.mp4"])
    tags = sum(turn["content"].count("<image>") for turn in row["messages"])
    assert tags == len(row["images"])


def test_sharegpt_with_conversations_and_system() -> None:
    row = {
        "conversations": [{"from": "human", "value": "<image>How?"}, {"from": "gpt", "value": "Good."}],
        "images": ["a.png"],
        "system": "Judge.",
    }
    sample = SHAREGPT.parse(row, HERE)
    assert [(m.role, m.text) for m in sample.messages] == [
        ("system", "Judge."),
        ("user", "How?"),
        ("assistant", "Good."),
    ]
    assert sample.id == "2"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [{"role": "user", "content": "<image>"}]}, "a tag <image> too many"),
        ({"messages": [{"role": "user", "content": "x"}], "images": ["a"]}, "1 images without a tag"),
        ({"messages": [{"role": "user", "content": "x"}], "images": "a"}, "field images is 'a'; expected list"),
        ({"messages": [{"role": "user", "content": "x"}], "images": [b"a"]}, "field images holds"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "field messages holds"),
        ({"messages": ["x"]}, "field messages holds"),
        ({"images": ["a"]}, "field conversations is missing"),
    ],
)
def test_malformed_rows_of_sharegpt(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        SHAREGPT.parse(row, HERE)
    assert message in str(caught.value)


def test_the_entry_of_dataset_info_names_the_columns_that_are_written() -> None:
    entry = dataset_info("mine", "mine.json", videos=True)["mine"]
    assert entry["file_name"] == "mine.json"
    assert entry["formatting"] == "sharegpt"
    assert set(entry["columns"].values()) == {"messages", "images", "videos"}
    assert entry["tags"]["role_tag"] in SHAREGPT.row(plain())["messages"][0]
    assert "videos" not in dataset_info("mine", "mine.json")["mine"]["columns"]
