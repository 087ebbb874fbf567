"""Pages: filled with escaping, one palette, and no file of others is replaced."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from mllmqa import pages
from mllmqa._version import __version__
from mllmqa.errors import UsageError
from mllmqa.evaluation.report.parts import Page, to_html
from tests.pages_read import checked

EVIL = "</title><script>alert(1)</script>{{ 7 * 7 }}"


def made(title: str = "t") -> str:
    return to_html(Page(title, "s"))


def test_a_template_gets_palette_and_version_and_escapes_texts() -> None:
    page = made(EVIL)
    found = checked(page)
    assert EVIL in "".join(found.texts)
    assert "49" not in found.texts
    assert f'content="mllmqa {__version__}"' in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("--paper: #f4f5f7") == 1


def test_all_pages_share_the_palette() -> None:
    from importlib import resources

    for room, name in (
        ("mllmqa.data.sheet", "sheet.html.j2"),
        ("mllmqa.asking", "explain.html.j2"),
        ("mllmqa.evaluation.report", "report.html.j2"),
    ):
        text = resources.files(room).joinpath(name).read_text(encoding="utf-8")
        assert "{{ palette }}" in text
        assert "--ink:" not in text


def test_what_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.render("mllmqa.evaluation.report", "report.html.j2", cell=Markup)


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    pages.write_page(made("first"), out)
    pages.write_page(made("second"), out)
    assert "second" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    out.write_text("<html>mine</html>")
    with pytest.raises(UsageError, match=r"r\.html: is there already, and no page of mllmqa"):
        pages.write_page(made(), out)
    assert out.read_text() == "<html>mine</html>"


def test_folders_and_missing_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already"):
        pages.check_free(tmp_path)
    pages.check_free(tmp_path / "new.html")
    with pytest.raises(UsageError, match="cannot be written"):
        pages.write_page(made(), tmp_path / "no" / "r.html")
