"""Password hashes that cost little, for tests that ask for hundreds of them."""

from __future__ import annotations

from functools import partial

import pytest
from werkzeug.security import generate_password_hash

METHOD = "scrypt:1024:8:1"


def use_cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code with a hundredth of the work."""
    monkeypatch.setattr(
        "fmd_admin.store.accounts.generate_password_hash",
        partial(generate_password_hash, method=METHOD),
    )
    monkeypatch.setattr("fmd_admin.store.accounts._NOBODY", f"{METHOD}$salt$" + "0" * 128)
