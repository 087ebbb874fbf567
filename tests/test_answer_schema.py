"""Schemas of answers: what is refused, by name; what an answer has to be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mllmqa.answer_schema import DEEPEST, ENFORCED, AnswerSchema, Broken, read_schema, require
from mllmqa.errors import UsageError

LEVEL: dict[str, Any] = {
    "type": "object",
    "properties": {"level": {"enum": ["good", "bad"]}, "n": {"type": "number", "minimum": 1}},
    "required": ["level"],
    "additionalProperties": False,
}


def _with(**keywords: Any) -> dict[str, Any]:
    """An object with one property, which has these keywords."""
    return {"type": "object", "properties": {"a": keywords}, "required": ["a"], "additionalProperties": False}


# ------------------------------------------------------------------ schemas


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], r"mine\.json: is no JSON Schema; expected a JSON object"),
        ({"type": "array"}, "its top is no object"),
        ({}, "its top is no object"),
        (_with(type="strin"), "is no JSON Schema: /properties/a/type: 'strin' is not valid"),
        ({"type": "object", "properties": 3}, "is no JSON Schema: /properties: 3 is not of type 'object'"),
        (_with(**{"$ref": "#/$defs/x"}), r"Pointer '/\$defs/x' does not exist"),
        (_with(**{"$ref": "http://x/y"}), r"\$ref to another document at /properties/a"),
        (_with(**{"$ref": 3}), r"\$ref to another document at /properties/a"),
        (_with(type="string", pattern="("), r"pattern '\(' at /properties/a: "),
        (_with(type="string", pattern="(?=a)"), "decoding cannot be held to it: .*look-around"),
        ({"type": "object", "required": ["b"], "additionalProperties": False}, "required property 'b'"),
    ],
)
def test_bad_schemas_are_one_clear_line(body: object, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        AnswerSchema.of(body, "mine.json")
    assert str(raised.value).startswith("mine.json: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("keywords", "keyword", "instead"),
    [
        ({"oneOf": []}, "oneOf", "anyOf"),
        ({"type": "string", "format": "date"}, "format", "pattern"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems", "maxItems"),
        ({"not": {}}, "not", "enum"),
        ({"type": "object", "patternProperties": {}}, "patternProperties", "properties"),
        ({"type": "string", "contentEncoding": "base64"}, "contentEncoding", "among "),
        ({"x-guidance": {"lenient": True}}, "x-guidance", "among "),
    ],
)
def test_unsupported_keywords_are_named_with_their_place(
    keywords: dict[str, Any], keyword: str, instead: str
) -> None:
    with pytest.raises(UsageError, match=f"the keyword '{keyword}' at /properties/a; expected {instead}"):
        AnswerSchema.of(_with(**keywords))
    deep = _with(type="array", items={"anyOf": [{"type": "null"}, _with(**keywords)]})
    with pytest.raises(UsageError, match=f"'{keyword}' at /properties/a/items/anyOf/1/properties/a"):
        AnswerSchema.of(deep)
    defined = {**LEVEL, "$defs": {"x": keywords}}
    with pytest.raises(UsageError, match=rf"'{keyword}' at /\$defs/x"):
        AnswerSchema.of(defined)


def test_names_of_properties_and_values_are_no_keywords() -> None:
    body = {
        "type": "object",
        "properties": {"oneOf": {"const": {"not": 1}}, "if": {"enum": [{"format": 1}], "default": {"x": 1}}},
        "required": ["oneOf"],
        "additionalProperties": False,
    }
    assert isinstance(AnswerSchema.of(body).parsed('{"oneOf": {"not": 1}}'), dict)


def test_every_keyword_that_is_said_to_be_enforced_is_accepted() -> None:
    properties = {
        "word": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]+$"},
        "number": {"type": "number", "minimum": 1, "maximum": 5, "multipleOf": 0.5},
        "inner": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
        "list": {"type": "array", "prefixItems": [{"const": 1}], "items": {"enum": ["a", None]}},
        "few": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "boolean"}},
        "either": {"anyOf": [{"$ref": "#/$defs/x"}, {"allOf": [{"type": "string"}, {"maxLength": 2}]}]},
    }
    body = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "all",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": {"x": {"type": "null", "description": "nothing"}},
    }
    found = AnswerSchema.of(body)
    assert all(f'"{keyword}":' in found.text for keyword in ENFORCED)
    good = {"word": "ab", "number": 1.5, "inner": 3, "list": [1, "a"], "few": [True], "either": None}
    assert found.parsed(json.dumps(good)) == good
    for key, wrong in {"word": "abcd", "number": 1.2, "inner": 9, "list": [2], "few": [], "either": "abc"}.items():
        assert isinstance(found.parsed(json.dumps({**good, key: wrong})), Broken), key


def test_hash_and_label() -> None:
    one, other = AnswerSchema.of(LEVEL, "a b/müll & Co.json"), AnswerSchema.of(dict(LEVEL), "x")
    assert one.sha256 == other.sha256 != AnswerSchema.of(_with(type="null")).sha256
    turned = {**LEVEL, "properties": dict(reversed(LEVEL["properties"].items()))}
    assert AnswerSchema.of(turned).sha256 != one.sha256  # an answer has the order of its schema
    assert (one.label, other.label) == ("m_ll_Co", "x")
    assert AnswerSchema.of(LEVEL, "é.json").label == "answer"
    assert len(AnswerSchema.of(LEVEL, "x" * 99).label) == 64


# ------------------------------------------------------------------ files


def test_a_schema_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "level.json"
    file.write_text(json.dumps(LEVEL), encoding="utf-8")
    found = read_schema(file)
    assert (found.name, found.label, found.body) == (str(file), "level", LEVEL)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "the schema is no JSON"),
        (b"\xff{}", "the schema is no JSON"),
        (b'{"type": "object", "type": "object"}', "a key twice"),
        (b" " * (1 << 20) + b"{}", "a schema of 1048578 bytes"),
        (b"[" * 100_000, "the schema is no JSON"),
    ],
)
def test_files_that_are_none(raw: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "level.json"
    file.write_bytes(raw)
    with pytest.raises(UsageError, match=f"level.json: .*{said}"):
        read_schema(file)
    with pytest.raises(UsageError, match="the schema cannot be read: No such file"):
        read_schema(tmp_path / "none.json")
    with pytest.raises(UsageError, match="the schema cannot be read: Is a directory"):
        read_schema(tmp_path)


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the answer is no JSON: ''"),
        ("Sure! Here it is: {}", "is no JSON: 'Sure! Here it is: {}'"),
        ('```json\n{"level": "good"}\n```', "is no JSON"),
        ('{"level": "good"} and so on', "is no JSON"),
        ('{"level": "good", "n": NaN}', "is no JSON"),
        ('{"level": "good", "n": 1e999}', "is no JSON"),
        ('{"level": "bad", "level": "good"}', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('["good"]', "is JSON, but no object"),
        ('{"level": "fair"}', "does not follow its schema: /level: 'fair' is not one of"),
        ('{"level": "good", "n": 0.5}', "does not follow its schema: /n: 0.5 is less than the minimum"),
        ('{"n": 2}', "does not follow its schema: the answer: 'level' is a required property"),
        ('{"level": "good", "more": 1}', "Additional properties"),
        ('{"level": "\\ud800"}', "is no JSON"),
    ],
)
def test_what_is_no_answer_is_never_guessed_at(text: str, said: str) -> None:
    found = AnswerSchema.of(LEVEL).parsed(text)
    assert isinstance(found, Broken)
    assert found.kind == "unparsed"
    assert said in found.problem
    assert "\n" not in found.problem


def test_answers_are_only_so_deep() -> None:
    body = {**_with(type="array", items={"$ref": "#/properties/a"}), "required": []}
    schema = AnswerSchema.of(body)
    for levels, ok in ((DEEPEST - 1, True), (DEEPEST, False)):
        found = schema.parsed('{"a": ' + "[" * levels + "]" * levels + "}")
        assert isinstance(found, dict) is ok
    loop = AnswerSchema.of(_with(**{"$ref": "#/properties/a"})).parsed('{"a": 1}')
    assert isinstance(loop, Broken)
    assert "a $ref leads back to itself" in loop.problem


def test_half_an_answer_is_truncated() -> None:
    schema = AnswerSchema.of(LEVEL)
    assert schema.parsed('{"level": "go', truncated=True) == Broken(
        "truncated", "the answer was cut off within its JSON, after 13 characters"
    )
    assert schema.parsed('{"level": "good"}', truncated=True) == {"level": "good"}
    assert schema.parsed(' {"n": 2,\n"level": "good"} ') == {"n": 2, "level": "good"}


@pytest.mark.parametrize("package", ["jsonschema", "llguidance"])
def test_without_the_packages_the_extra_is_named(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from mllmqa.answer_schema import require\n"
        "from mllmqa.errors import MissingExtraError\n"
        "try: require()\n"
        "except MissingExtraError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"an answer by a JSON Schema needs the package {package}" in out
    assert 'pip install "mllmqa[json]"' in out
    require()
