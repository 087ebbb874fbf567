"""A contact sheet of a file of samples: one self-contained HTML page to look at what one trains on."""

from __future__ import annotations

from mllmqa.data.sheet.page import Sheet, look_at, write_sheet

__all__ = ["Sheet", "look_at", "write_sheet"]
