"""Profiles, outliers and code lines on their way into the store, and out of it again."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fmd_admin.records import Frame
from fmd_admin.store import live, outlier_detail, trees
from fmd_admin.store import profiles as stored_profiles
from fmd_admin.store.code_lines import CodeLines, source_line
from fmd_admin.store.models import (
    CodeLine,
    Endpoint,
    Outlier,
    OutlierSkipped,
    Profile,
    Request,
    Version,
)
from fmd_admin.store.store import Store
from fmd_admin.store.writer import BatchWriter

from ... import profiles
from ...profiles import DO_EXECUTE, FIND, VIEW, node, outlier, profile, source, store_batch
from .test_writer import batch, row


def count(store: Store, table: type) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_a_profile_keeps_everything(store: Store) -> None:
    store_batch(store, profiles=[profile(time_ms=1_764_000_000_123, status=404, method="PUT")])
    with store.read() as connection:
        found = connection.execute(
            select(
                Profile.time,
                Profile.duration_ms,
                Profile.status,
                Profile.method,
                Profile.samples,
                Profile.period_ms,
                Profile.tree,
            )
        ).one()
        lines = {row.id: row for row in connection.execute(select(CodeLine.__table__))}
        assert connection.scalars(select(Endpoint.name)).all() == ["shop.search"]
        assert connection.scalars(select(Version.name)).all() == ["2.0"]
    assert int(found.time.timestamp() * 1000) == 1_764_000_000_123
    assert found[1:6] == (100.0, 404, "PUT", 20, 5.0)
    seen = [(r.depth, lines[r.line_id].source, r.total_us) for r in trees.decode(found.tree)]
    assert seen == [
        (0, "items = find_items(q, page)", 95_000),
        (1, "rows = db.session.scalars(stmt).all()", 70_000),
        (2, "return meth(self, distilled_parameters)", 60_000),
        (3, "cursor.execute(statement, parameters)", 50_000),
        (2, "obj, end = self.raw_decode(s)", 5_000),
        (1, "return sorted(rows, key=score)", 10_000),
    ]
    (line,) = [line for line in lines.values() if line.function == "find_items"]
    assert (line.file, line.line, line.own) == ("shop/catalog.py", 41, True)


def test_an_outlier_keeps_everything(store: Store) -> None:
    made = outlier(json='{"a": 1}')
    store_batch(store, outliers=[made])
    with store.read() as connection:
        found = connection.execute(select(Outlier.limit_ms, Outlier.detail)).one()
    detail = outlier_detail.decode(found.detail)
    assert found.limit_ms == made.limit_ms
    assert [frame[:4] for frame in detail.stack] == [tuple(frame) for frame in made.stack]
    assert [frame.source for frame in detail.stack] == [source(frame) for frame in made.stack]
    for name in outlier_detail.Detail.__slots__:
        if name != "stack":
            assert getattr(detail, name) == getattr(made, name), name


def test_what_was_left_out_is_counted(store: Store) -> None:
    store_batch(store, left_out={"shop.search": 37, "shop.index": 0})
    with store.read() as connection:
        rows = connection.execute(
            select(Endpoint.name, OutlierSkipped.hits).join(
                Endpoint, Endpoint.id == OutlierSkipped.endpoint_id
            )
        ).all()
    assert [tuple(row) for row in rows] == [("shop.search", 37)]


def test_profiles_without_samples_are_those_of_their_requests(store: Store) -> None:
    made = batch(1, [row(duration_ms=3.25, ip="10.0.0.1"), row(), row(method="PUT", status=404)])
    made.unsampled = [(0, 5.0), (2, 20.0)]
    BatchWriter(store, lambda: 3).write(made)
    of_request = [Request.__table__.c[name] for name in stored_profiles.REQUEST]
    of_profile = [Profile.__table__.c[name] for name in stored_profiles.REQUEST]
    seen = (Profile.samples, Profile.period_ms, Profile.tree)
    with store.read() as connection:
        first, _, last = connection.execute(select(*of_request).order_by(Request.id)).all()
        found = connection.execute(select(*of_profile, *seen).order_by(Profile.id)).all()
    assert [tuple(one) for one in found] == [
        (*first, 0, 5.0, trees.EMPTY),
        (*last, 0, 20.0, trees.EMPTY),
    ]


def test_a_batch_is_stored_once_with_all_it_has(store: Store) -> None:
    for _ in range(3):
        store_batch(store, profiles=[profile()], outliers=[outlier()], left_out={"x": 1})
    assert [count(store, table) for table in (Profile, Outlier, OutlierSkipped)] == [1, 1, 1]


def test_a_line_is_stored_once_by_all_processes(store: Store) -> None:
    asked: list[Frame] = []

    def read(frame: Frame) -> str:
        asked.append(frame)
        return source(frame)

    writer = BatchWriter(store, lambda: 1, read)
    for sequence in (1, 2, 3):
        made = batch(sequence, [row()])
        made.profiles = [profile()]
        writer.write(made)
    assert len(asked) == len(set(asked)) == len(profiles.SOURCES)
    store_batch(store, "another process", profiles=[profile()])
    assert count(store, CodeLine) == len(profiles.SOURCES)


def test_a_line_whose_text_changed_is_another_one(store: Store) -> None:
    old = CodeLines(store, lambda _: "a = 1").resolve([VIEW])
    assert CodeLines(store, lambda _: "a = 1").resolve([VIEW]) == old
    assert CodeLines(store, lambda _: "a = 2").resolve([VIEW]) != old


def test_many_lines_at_once(store: Store) -> None:
    frames = [Frame("a.py", line, "f", True) for line in range(1_234)]
    ids = CodeLines(store, source).resolve(frames)
    assert len(set(ids.values())) == 1_234
    assert CodeLines(store, source).resolve(frames) == ids


def test_texts_that_a_database_refuses_do_not_cost_the_batch(store: Store) -> None:
    frame = Frame("dir\udcff/" + "x" * 600, 3, "f" * 300, True)
    writer = BatchWriter(store, lambda: 1, lambda _: "a\0b \ud800" + "y" * 2_000)
    made = batch(1, [row()])
    made.profiles = [profile([node(frame, 5)])]
    made.outliers = [outlier(stack=[frame], headers=[("X", "\udcff")])]
    writer.write(made)
    assert (count(store, Request), count(store, Profile), count(store, Outlier)) == (1, 1, 1)
    with store.read() as connection:
        line = connection.execute(select(CodeLine.file, CodeLine.function, CodeLine.source)).one()
    assert [len(text) for text in line] == [500, 255, 1_000]
    assert line.source.startswith("ab ?")


def test_source_is_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    return 1  # one\n")
    assert source_line(Frame(str(file), 2, "f", True)) == "return 1  # one"
    assert source_line(Frame(str(file), 9, "f", True)) == ""
    assert source_line(Frame("<string>", 1, "f", True)) == ""
    assert source_line(Frame("json/decoder.py", 1, "f", False)) != ""


def test_they_go_with_their_endpoint_and_version(store: Store) -> None:
    made = {
        "profiles": [profile(), profile(endpoint="other")],
        "outliers": [outlier(), outlier(endpoint="other")],
        "left_out": {"shop.search": 1, "other": 1},
    }
    store_batch(store, **made)
    store_batch(store, "w2", version="3.0", **made)
    with store.write() as connection:
        id = connection.scalar(select(Endpoint.id).where(Endpoint.name == "shop.search"))
        live.delete_endpoints(connection, [id])
    assert [count(store, table) for table in (Profile, Outlier, OutlierSkipped)] == [2, 2, 2]
    with store.write() as connection:
        live.delete_versions(
            connection, [connection.scalar(select(Version.id).where(Version.name == "3.0"))]
        )
    assert [count(store, table) for table in (Profile, Outlier, OutlierSkipped)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("table", "delete"), [(Profile, live.delete_profiles), (Outlier, live.delete_outliers)]
)
def test_single_ones_can_be_deleted(store: Store, table: type, delete: object) -> None:
    store_batch(store, profiles=[profile()] * 2, outliers=[outlier()] * 2)
    with store.write() as connection:
        assert delete(connection, [1, 999]) == 1  # type: ignore[operator]
    assert count(store, table) == 1


def test_sizes_are_small(store: Store) -> None:
    store_batch(
        store,
        profiles=[profile(profiles.broad_tree(5_000))],
        outliers=[outlier(stack=[VIEW, FIND, DO_EXECUTE])],
    )
    with store.read() as connection:
        tree = connection.scalar(select(Profile.tree))
        detail = connection.scalar(select(Outlier.detail))
    assert tree is not None
    assert detail is not None
    assert len(tree) < 60_000
    assert len(detail) < 1_000
    assert json.loads(zlib.decompress(detail))["note"] == ""
