"""Keeps only a part of the rows of some endpoints. All rollups count every request."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sqlalchemy import Connection, select

from ..patterns import Rate, rates, share_of
from ..records import Row
from .aggregate import FIRST_ERROR
from .live import internal_value
from .models import SavedSetting
from .store import Store

#: Set for ever once rows were left out: then there may be fewer rows than requests.
_SAMPLED = "_sampled"


def is_sampled(connection: Connection) -> bool:
    """Tell whether rows of requests were ever left out."""
    query = select(SavedSetting.value).where(SavedSetting.name == _SAMPLED)
    return connection.scalar(query) is not None


class Sampling:
    """Decides which rows a writer keeps. ``keeps`` is None as long as it keeps all of them."""

    def __init__(self, store: Store, setting: Callable[[], str]) -> None:
        self._store = store
        self._setting = setting
        # Of its own: the host may have seeded the one of all.
        self._chance = Random().random  # noqa: S311 - no secret
        self._text = ""
        self._rates: tuple[Rate, ...] = ()
        self._shares: dict[str, float] = {}
        self.keeps: Callable[[Row], bool] | None = None

    def refresh(self) -> None:
        """Take the setting over if it changed. May raise what the database raises."""
        text = self._setting()
        if text == self._text:
            return
        found = rates(text)
        if found:
            # Before the first row is left out: whoever counts rows must know.
            self._store.transact(lambda c: internal_value(c, _SAMPLED, lambda: "yes"))
        self._rates, self._shares = found, {}
        self.keeps = self._keeps if found else None
        self._text = text

    def _keeps(self, row: Row) -> bool:
        share = self._shares.get(row.endpoint)
        if share is None:
            share = self._shares[row.endpoint] = share_of(row.endpoint, self._rates)
        return share >= 1 or row.status >= FIRST_ERROR or self._chance() < share
