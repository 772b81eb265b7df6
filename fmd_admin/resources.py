"""Finds templates/, static/ and migrations/, in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

from .errors import FMDError


def folder(name: str) -> Path:
    """Return the folder ``name`` ("templates", "static" or "migrations").

    An installed wheel has them inside the package. A checkout and an editable install have them
    beside it, where setup.cfg stands. Raises FMDError if neither is there.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    if inside.is_dir():
        return inside
    beside = package.parent / name
    if beside.is_dir() and (package.parent / "setup.cfg").is_file():
        return beside
    raise FMDError(
        f"fmd_admin's folder {name!r} is neither in {package} nor beside it: the installation "
        "is incomplete. Reinstall it with: pip install --force-reinstall fmd_admin"
    )
