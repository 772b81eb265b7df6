from __future__ import annotations

import pytest
from sqlalchemy import delete, event, insert, update

from fmd_admin.errors import ScopeError
from fmd_admin.read.callgraph import Line, load_lines
from fmd_admin.read.measured import Asked
from fmd_admin.read.profiler import GROUPED, grouped, profile, profiles
from fmd_admin.read.scope import Scope, parse_scope
from fmd_admin.store.models import CodeLine, Profile
from fmd_admin.store.store import Store

from ... import profiles as made
from ...profiles import FIND, VIEW, node, store_batch

NOW_MS = 1_764_000_000_000


def scope(
    store: Store, endpoint_id: int | None = 1, now_ms: int = NOW_MS, **args: list[str]
) -> Scope:
    with store.read() as connection:
        return parse_scope(
            connection,
            args,
            zone=store.timezone,
            default_range="7d",
            now_ms=now_ms,
            endpoint_id=endpoint_id,
        )


def test_list_is_of_one_endpoint_range_and_version(store: Store) -> None:
    store_batch(
        store,
        profiles=[
            made.profile(time_ms=NOW_MS - 1000, duration_ms=1.0),
            made.profile(time_ms=NOW_MS - 9000, duration_ms=2.0),
            made.profile(time_ms=NOW_MS - 40 * 86_400_000, duration_ms=3.0),
            made.profile(time_ms=NOW_MS - 5000, duration_ms=4.0, endpoint="zzz"),
        ],
    )
    store_batch(
        store,
        "w2",
        "3.0",
        profiles=[made.profile(time_ms=NOW_MS - 5000, duration_ms=5.0, group=None, ip=None)],
    )
    with store.read() as connection:
        found = profiles(connection, scope(store), Asked())
        assert [row.request.duration_ms for row in found.rows] == [1.0, 5.0, 2.0]
        assert [row.request.group for row in found.rows] == ["anna", None, "anna"]
        assert found.total == 3
        newer = profiles(connection, scope(store, version=["3.0"]), Asked())
        assert [row.request.duration_ms for row in newer.rows] == [5.0]
        assert newer.rows[0].request.version == "3.0"


def test_list_is_sorted_and_paged(store: Store) -> None:
    many = [made.profile(time_ms=NOW_MS - i, duration_ms=float(i % 7)) for i in range(25)]
    store_batch(store, profiles=many)
    with store.read() as connection:
        seen: list[int] = []
        for page in (1, 2, 3):
            part = profiles(
                connection, scope(store), Asked("duration_ms", True, page, page_size=10)
            )
            assert (part.page, part.pages, part.total) == (page, 3, 25)
            seen += [row.request.id for row in part.rows]
        assert len(set(seen)) == 25
        behind = profiles(connection, scope(store), Asked(page=99, page_size=10))
        assert (behind.page, len(behind.rows)) == (3, 5)
        assert len(profiles(connection, scope(store), Asked(page_size=None)).rows) == 25
        with pytest.raises(ScopeError, match="Cannot sort by 'tree'"):
            profiles(connection, scope(store), Asked("tree"))


def test_one_profile_and_none_of_another_endpoint(store: Store) -> None:
    store_batch(store, profiles=[made.profile(), made.profile(endpoint="zzz")])
    with store.read() as connection:
        found = profile(connection, 1, 1)
        assert found is not None
        assert found.row.samples == 20
        assert found.graph.name == "GET shop.search"
        assert found.graph.total_us == 100_000
        assert next(n.line.source for n in found.graph.nodes()) == "items = find_items(q, page)"
        assert profile(connection, 2, 1) is None
        assert profile(connection, 1, 2) is None
        assert profile(connection, 1, 3) is None


def test_grouped_takes_the_most_recent_ones(store: Store) -> None:
    old = [made.profile([node(FIND, 99)], time_ms=NOW_MS - 90_000_000 - i) for i in range(30)]
    new = [made.profile([node(VIEW, 99)], time_ms=NOW_MS - i) for i in range(GROUPED)]
    store_batch(store, profiles=old + new)
    with store.read() as connection:
        found = grouped(connection, scope(store), "shop.search")
    assert found.total == 130
    assert found.graph.requests == GROUPED
    assert [n.line.function for n in found.graph.nodes()] == ["search"]
    assert found.last is not None
    assert found.first is not None
    assert int(found.last.timestamp() * 1000) == NOW_MS
    assert int(found.first.timestamp() * 1000) == NOW_MS - 99


def test_short_requests_weigh_what_they_took(store: Store) -> None:
    """1,000 requests of 2 ms in FIND, of which a sample meets 2 in 5; and one of 2 s in VIEW."""
    short = [
        made.profile(
            [node(FIND, 2.0, hits=1)] if i % 5 < 2 else [],
            duration_ms=2.0,
            samples=int(i % 5 < 2),
            time_ms=NOW_MS - i,
        )
        for i in range(99)
    ]
    long = made.profile([node(VIEW, 198.0, hits=40)], duration_ms=198.0, samples=40, time_ms=NOW_MS)
    store_batch(store, profiles=[*short, long])
    with store.read() as connection:
        found = grouped(connection, scope(store), "x")
    shares = {n.line.function: n.share for n in found.graph.nodes()}
    assert shares["find_items"] == pytest.approx(0.5, abs=0.01)
    assert shares["search"] == pytest.approx(0.5, abs=0.01)
    assert found.graph.total_us == 99 * 2_000 + 198_000
    assert found.unsampled == 59


def test_late_samples_stand_for_more(store: Store) -> None:
    """80 ms of calculation, met by 5 late samples, and 20 ms of waiting, met by 5 in time."""
    roots = [node(FIND, 80.0, hits=5), node(VIEW, 20.0, hits=5)]
    one = made.profile(roots, duration_ms=100.0, samples=10, period_ms=10.0, time_ms=NOW_MS)
    store_batch(store, profiles=[one])
    with store.read() as connection:
        found = grouped(connection, scope(store), "x")
    shares = {n.line.function: n.share for n in found.graph.nodes()}
    assert shares == {"find_items": pytest.approx(0.8), "search": pytest.approx(0.2)}


def test_grouped_without_samples_or_requests(store: Store) -> None:
    store_batch(store, profiles=[made.profile([], samples=0)] * 3, left_out={"zzz": 1})
    with store.read() as connection:
        found = grouped(connection, scope(store, range=["30d"]), "x")
        # The requests are of now, which lies behind the scope's end.
        assert (found.total, found.graph.requests, found.first) == (0, 0, None)
    store_batch(store, "w2", profiles=[made.profile([], samples=0, time_ms=NOW_MS)] * 3)
    with store.read() as connection:
        found = grouped(connection, scope(store), "x")
    assert (found.total, found.unsampled, list(found.graph.nodes())) == (3, 3, [])
    assert found.graph.unseen_us == 300_000


def test_what_is_kept_of_a_merged_tree_is_of_the_same_profiles(store: Store) -> None:
    def found() -> tuple[int, int, list[tuple[str, int, int]]]:
        with store.read() as connection:
            graph = grouped(connection, scope(store), "shop.search").graph
        return (
            graph.requests,
            graph.total_us,
            [(n.line.file, n.samples, n.total_us) for n in graph.nodes()],
        )

    store_batch(store, profiles=[made.profile(time_ms=NOW_MS - 3000, duration_ms=10.0)])
    first = found()
    assert found() == first
    store_batch(store, "w2", profiles=[made.profile(time_ms=NOW_MS - 2000, duration_ms=10.0)])
    both = found()
    assert both[0] == 2
    assert both[1] == 2 * first[1]
    assert both[2] == [(file, 2 * samples, 2 * us) for file, samples, us in first[2]]
    with store.write() as connection:
        connection.execute(update(Profile).values(duration_ms=20.0))
    assert found()[1] == 2 * both[1]
    with store.write() as connection:
        connection.execute(update(Profile).values(duration_ms=10.0))
        connection.execute(delete(Profile).where(Profile.time == NOW_MS - 2000))
    assert found() == first


def test_trees_are_read_once(store: Store) -> None:
    """Which profiles they are is read each time, their trees where one is new."""
    seen: list[str] = []
    event.listen(
        store.engine, "before_cursor_execute", lambda _c, _cursor, sql, *_rest: seen.append(sql)
    )

    def trees_read() -> int:
        seen.clear()
        with store.read() as connection:
            grouped(connection, scope(store), "shop.search")
        wanted = [sql for sql in seen if "tree" in sql.replace("length(fmd_profile.tree)", "")]
        return len(wanted)

    store_batch(store, profiles=[made.profile(time_ms=NOW_MS - 3000)])
    assert [trees_read(), trees_read()] == [1, 0]
    store_batch(store, "w2", profiles=[made.profile(time_ms=NOW_MS - 2000)])
    assert [trees_read(), trees_read()] == [1, 0]


@pytest.mark.parametrize("step", [1, 2, 300])
def test_lines_are_found_near_each_other_and_far_apart(store: Store, step: int) -> None:
    made_lines = [
        {
            "id": 1_000 + step * number,
            "digest": f"{number:040}",
            "file": f"m{number}.py",
            "line": number,
            "function": "f",
            "source": "x = 1",
            "own": number % 2 == 0,
        }
        for number in range(1_200)
    ]
    with store.write() as connection:
        connection.execute(insert(CodeLine), made_lines)
    wanted = [one["id"] for one in made_lines if one["line"] != 700][::-1]
    with store.read() as connection:
        found = load_lines(connection, wanted)
        assert load_lines(connection, []) == {}
        assert load_lines(connection, [1_000]) == {1_000: Line("m0.py", 0, "f", "x = 1", True)}
    assert set(found) >= set(wanted)
    for one in made_lines:
        if one["line"] != 700:
            line = found[one["id"]]
            assert (line.file, line.line, line.own) == (one["file"], one["line"], one["own"])
            assert isinstance(line.own, bool)
