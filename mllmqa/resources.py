"""Find the shipped folders: ``prompts``, ``data_builders``, ``train``, ``eval``.

In an installed wheel they lie in ``mllmqa/_shipped``; in a checkout beside ``pyproject.toml``.
"""

from __future__ import annotations

from pathlib import Path

from mllmqa.errors import UnknownNameError

FOLDERS = ("prompts", "data_builders", "train", "eval")
_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder ``name``: the shipped copy, else the one of the checkout.

    Raises:
        UnknownNameError: ``name`` is not one of :data:`FOLDERS`, or the installation lacks it.
    """
    if name not in FOLDERS:
        raise UnknownNameError(f"no shipped folder {name!r}", expected=" | ".join(FOLDERS))
    shipped = _PACKAGE / "_shipped" / name
    if shipped.is_dir():
        return shipped
    checkout = _PACKAGE.parent
    # A stranger's site-packages/prompts must not match: only a folder beside our pyproject.toml does.
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise UnknownNameError(
        f"this installation of mllmqa lacks its folder {name!r}", hint="reinstall mllmqa from its wheel"
    )
