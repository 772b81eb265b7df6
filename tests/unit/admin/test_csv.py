"""CSV downloads: harmless cells, the format, and memory that does not grow."""

from __future__ import annotations

import csv as stdlib_csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from fmd_admin.admin import csv
from fmd_admin.read.table import Column, Table


def read(pieces: Iterator[str]) -> list[list[str]]:
    return list(stdlib_csv.reader(io.StringIO("".join(pieces), newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"])
def test_formula_gets_an_apostrophe(start: str) -> None:
    text = start + 'HYPERLINK("http://evil.example")'
    assert csv.cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "shop.index", "'quoted", "1-2", "a=b", "ünïcode"])
def test_other_text_is_left_alone(text: str) -> None:
    assert csv.cell(text) == text


def test_numbers_stay_numbers() -> None:
    assert [csv.cell(value) for value in (-3, 0, 2**63, -1.5)] == [-3, 0, 2**63, -1.5]
    assert csv.cell(0.1 + 0.2) == 0.3


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_no_value_is_empty(value: object) -> None:
    assert csv.cell(value) == ""


def test_booleans_and_times() -> None:
    moment = datetime(2026, 11, 22, 14, 3, 21, 402_000, timezone(timedelta(hours=1)))
    assert csv.cell(True) == "true"
    assert csv.cell(False) == "false"
    assert csv.cell(moment) == "2026-11-22T13:03:21.402+00:00"


def test_other_objects_are_made_harmless_too() -> None:
    class Name:
        def __str__(self) -> str:
            return "=cmd"

    assert csv.cell(Name()) == "'=cmd"


def test_header_cells_are_made_harmless() -> None:
    pieces = csv.lines(["=1+1", "Day"], [("a", 1)])
    assert read(pieces) == [["'=1+1", "Day"], ["a", "1"]]


def test_what_comes_out_can_be_read_back() -> None:
    rows = [("comma, and", 'quote "', "line\r\nbreak"), ("ünï", "", "x")]
    text = "".join(csv.lines(["a", "b", "c"], rows))
    assert text.startswith('a,b,c\r\n"comma, and","quote ""","line\r\nbreak"\r\n')
    assert [tuple(row) for row in read(iter([text]))[1:]] == rows


def test_empty_list_is_a_header() -> None:
    assert "".join(csv.lines(["a", "b"], [])) == "a,b\r\n"


def test_header_comes_before_any_row_is_read() -> None:
    def rows() -> Iterator[tuple[int]]:
        raise AssertionError("a row was read")
        yield (1,)

    assert next(csv.lines(["a"], rows())) == "a\r\n"


def test_memory_does_not_grow_with_the_list() -> None:
    rows = ((number, "shop.product", 12.25, "x" * 40) for number in range(60_000))
    tracemalloc.start()
    try:
        length = sum(len(piece) for piece in csv.lines(["id", "endpoint", "ms", "text"], rows))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length > 3_000_000
    assert peak < 1_000_000


def test_broken_off_download_closes_its_source() -> None:
    closed = []

    def rows() -> Iterator[tuple[int]]:
        try:
            while True:
                yield (1,)
        finally:
            closed.append(True)

    pieces = csv.lines(["a"], rows())
    next(pieces)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_failure_half_way_is_not_hidden() -> None:
    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        list(csv.lines(["a"], rows()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("overview-2026-11-16--2026-11-22", "overview-2026-11-16--2026-11-22.csv"),
        ('a"; filename="x.exe', "a-filename-x.exe.csv"),
        ("../../etc/passwd\r\nX: y", "etc-passwd-X-y.csv"),
        ("(unmatched)", "unmatched.csv"),
        ("ü", "export.csv"),
        ("x" * 300, "x" * 100 + ".csv"),
    ],
)
def test_file_name_is_safe(name: str, expected: str) -> None:
    assert csv.file_name(name) == expected


def test_table_becomes_a_download() -> None:
    table = Table("api", (Column("name", "Endpoint"), Column("hits", "Hits", "count")), [("=x", 2)])
    response = csv.from_table(table, "today")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="api-today.csv"'
    assert response.get_data(as_text=True) == "Endpoint,Hits\r\n'=x,2\r\n"
    assert csv.from_table(table).headers["Content-Disposition"].endswith('"api.csv"')


@pytest.mark.parametrize(
    "text",
    [
        " =1+1",
        "\N{NO-BREAK SPACE}=1",
        "\x0b=1",
        "\N{ZERO WIDTH SPACE}=1",
        "\N{ZERO WIDTH NO-BREAK SPACE}@a",
        "\N{SMALL EQUALS SIGN}1",
        "\N{MINUS SIGN} 1",
        "a;=1+1",
        "a|+1",
        "a\t-1",
    ],
)
def test_disguised_formulas_are_disarmed_as_well(text: str) -> None:
    assert csv.cell(text) == "'" + text
