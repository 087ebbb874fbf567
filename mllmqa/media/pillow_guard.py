"""Pillow without noise: its warnings kept quiet, its many exceptions turned into the errors of mllmqa."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mllmqa.errors import MediaCorruptError, MediaError, MediaLimitError

_quiet_lock = threading.Lock()
_quiet_depth = 0


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Ignore the warnings that Pillow itself raises, in all threads, for as long as anyone is inside.

    :class:`warnings.catch_warnings` alone is not safe when decode workers are threads.
    """
    global _quiet_depth
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            rule = warnings.filters[0]
            _quiet_rule.append(rule)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                rule = _quiet_rule.pop()
                if rule in warnings.filters:
                    warnings.filters.remove(rule)  # type: ignore[attr-defined]


_quiet_rule: list[Any] = []


@contextmanager
def errors_as_media_errors(name: str) -> Iterator[None]:
    """Turn what Pillow and its codecs raise into the errors of mllmqa."""
    from PIL import Image

    try:
        with quiet_pillow():
            yield
    except (MediaError, GeneratorExit):
        raise
    except Image.DecompressionBombError as error:
        size = "".join(c for c in str(error).split("pixels")[0] if c.isdigit())
        raise MediaLimitError(
            f"{int(size or 0):,} pixels are too many", where=name, expected="a smaller picture"
        ) from error
    except MemoryError as error:
        raise MediaLimitError("is too large for the memory", where=name, expected="a smaller picture") from error
    except Exception as error:
        text = str(error)
        if "MAX_TEXT" in text or "too large" in text.lower():
            raise MediaLimitError(
                f"unpacks to too much data ({text})", where=name, expected="an ordinary picture"
            ) from error
        raise MediaCorruptError(
            f"is broken or cut off ({text or type(error).__name__})", where=name, expected="a complete file"
        ) from error
