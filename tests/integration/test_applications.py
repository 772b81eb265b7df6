"""The applications under examples/apps answer the same with fmd_admin, and are counted truly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.apps import compare
from examples.apps.journeys import JOURNEYS

pytestmark = pytest.mark.server


@pytest.mark.parametrize("name", JOURNEYS)
def test_answers_and_counts(name: str, tmp_path: Path) -> None:
    assert compare.compare(name, tmp_path) == []


def test_differences_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, *rest = JOURNEYS["pets"]
    monkeypatch.setitem(JOURNEYS, "pets", (replace(first, endpoint="wrong"), *rest[:1]))
    sends = compare.Visitor.send

    def send(visitor: compare.Visitor, step: compare.Step) -> compare.Answer:
        answer = sends(visitor, step)
        answer.body += str(visitor.port).encode()
        return answer

    monkeypatch.setattr(compare.Visitor, "send", send)
    one, two, counts = compare.compare("pets", tmp_path)
    assert "is now" in one
    assert "is now" in two
    assert "'wrong': 1" in counts
