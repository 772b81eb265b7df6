"""The first panel of a process has Python look through everything that was imported for it."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

import fmd_admin.admin

from ..support import Bound

SITE = "fmd_admin.admin.site"


def full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmd_admin.admin, "site", importlib.import_module(SITE))
    monkeypatch.delitem(sys.modules, SITE, raising=False)


@pytest.fixture
def none_by_itself() -> Iterator[None]:
    """Python begins a collection of all only when there were many of the young."""
    thresholds = gc.get_threshold()
    gc.set_threshold(thresholds[0], thresholds[1], 1_000_000)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("first", "none_by_itself")
def test_the_first_panel_collects_garbage_once(
    bind: Callable[..., Bound], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = full_collections()
    bind()
    assert full_collections() == before + 1
    bind(Flask("other", instance_path=str(tmp_path_factory.mktemp("other"))))
    assert full_collections() == before + 1


@pytest.mark.usefixtures("first", "none_by_itself")
def test_a_host_that_collects_none_is_left_alone(bind: Callable[..., Bound]) -> None:
    before = full_collections()
    gc.disable()
    try:
        bind()
    finally:
        gc.enable()
    assert full_collections() == before
