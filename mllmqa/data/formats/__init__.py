"""Samples in the formats of others, and back: LLaVA, HF chat messages, ShareGPT, DepictQA, Parquet.

Each format says what it holds; what it cannot hold is named by :func:`lost_fields` and counted by
:func:`export_file`, never dropped silently.
"""

from __future__ import annotations

from mllmqa.data.formats.files import Exported, export_file, import_file
from mllmqa.data.formats.form import Format
from mllmqa.data.formats.loss import lost_fields
from mllmqa.data.formats.names import FORMATS, format_named

__all__ = ["FORMATS", "Exported", "Format", "export_file", "format_named", "import_file", "lost_fields"]
