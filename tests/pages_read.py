"""Pages as tests read them: tags, attributes and texts, and whether all is closed and nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Elements(HTMLParser):
    """Tags, attributes and texts of a page; tags that are not closed."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(page: str) -> Elements:
    """Return the elements of a page that is whole, has no script, and asks for nothing from a network."""
    found = Elements(page)
    assert found.open == []
    assert page.startswith("<!doctype html>")
    assert not {tag for tag, _ in found.found} & {"script", "iframe", "object", "link", "embed"}
    for _, attributes in found.found:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "data", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import", page)
    policy = dict(found.found[3][1])
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return found
