"""Reports of evaluations for people: Markdown, and one self-contained HTML file with charts."""

from __future__ import annotations
