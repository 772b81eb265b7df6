from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from fmd_admin.read.search import holds
from fmd_admin.store.models import Group
from fmd_admin.store.store import Store

NAMES = (
    *("Ärger", "ärger", "ÄRGER", "Arger", "ΣΟΦΙΑ", "Straße"),
    *("Ögmundur [1]", "Ögmundur *", "a]b", "x_y%"),
)
FOUND: tuple[tuple[str, set[str]], ...] = (
    ("ärger", {"Ärger", "ärger", "ÄRGER"}),
    ("ÄRG", {"Ärger", "ärger", "ÄRGER"}),
    ("rger", {"Ärger", "ärger", "ÄRGER", "Arger"}),
    ("σοφια", {"ΣΟΦΙΑ"}),
    ("aße", {"Straße"}),
    ("ÖGM", {"Ögmundur [1]", "Ögmundur *"}),
    ("ögmundur [", {"Ögmundur [1]"}),
    ("ögmundur *", {"Ögmundur *"}),
    ("ögmundur ?", set()),
    ("A]B", {"a]b"}),
    ("_", {"x_y%"}),
    ("%", {"x_y%"}),
)


@pytest.mark.every_engine
def test_names_are_found_in_any_case(store: Store) -> None:
    with store.write() as connection:
        connection.execute(insert(Group), [{"name": name} for name in NAMES])
    with store.read() as connection:
        for text, expected in FOUND:
            query = select(Group.name).where(holds(Group.name, text, connection.dialect.name))
            assert set(connection.scalars(query)) == expected, text
