"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file beside its place and move it there; texts as UTF-8, what cannot be encoded with backslashes.

    Raises:
        OSError: It cannot be written; nothing is left then.
    """
    made = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(made)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
