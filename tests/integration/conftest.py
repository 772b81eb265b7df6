"""Servers that are forked with their modules, for tests that say so."""

from __future__ import annotations

import pytest

from ..warm import Warm
from . import servers


@pytest.fixture
def warm_servers(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of this test import nothing that takes long: gunicorn's processes neither.

    Each makes its own app all the same. For tests that are not about how processes start.
    """
    monkeypatch.setattr(servers, "start_python", warm.start)
