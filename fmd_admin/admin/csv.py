"""CSV downloads: streamed in constant memory, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from itertools import islice
from unicodedata import category, normalize

from flask import Response

from ..read.table import Table

#: A text that begins so is a formula to some spreadsheet; wide and small forms are normalized.
FORMULA_STARTS = frozenset("=+-@\N{MINUS SIGN}")
#: Most texts: they begin with a letter or digit and hold nothing that could split them.
_PLAIN = re.compile(r"[^\W_][\w .,:/()<>?&%#!*'-]*", re.ASCII)
#: Where a list separator is not the comma, a formula may begin in the middle of a text.
_INNER_FORMULA = re.compile(r"[;|\t\r\n]\s*[=+\-@]")
#: Rows a piece of the body: some 10 to 30 kB, whatever the length of the list.
ROWS_A_CHUNK = 250
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def cell(value: object) -> object:
    """Return ``value`` as it goes into a cell.

    Numbers stay numbers (a Decimal with all its digits), times become ISO 8601 in UTC, None and
    NaN become empty. A text that a spreadsheet would take for a formula gets an apostrophe in
    front.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return value
    if isinstance(value, float):
        # Six digits behind the point are nanoseconds for durations in ms.
        return round(value, 6) if math.isfinite(value) else ""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return "'" + text if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Tell whether a spreadsheet may take ``text``, or a part that it splits off, for one."""
    if text.startswith(("\t", "\r", "\n")) or _INNER_FORMULA.search(text):
        return True
    for character in text:
        # Blanks, control and invisible characters in front are skipped by some.
        if category(character)[0] not in "ZC":
            return normalize("NFKC", character)[:1] in FORMULA_STARTS
    return False


def lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the file in pieces (RFC 4180: comma, CRLF, quotes doubled), the header at once."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([cell(name) for name in header])
    source = iter(rows)
    try:
        while True:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
            chunk = list(islice(source, ROWS_A_CHUNK))
            if not chunk:
                return
            writer.writerows([cell(value) for value in row] for row in chunk)
    finally:
        # A download that was broken off must give its database connection back.
        close = getattr(source, "close", None)
        if close is not None:
            close()


def file_name(name: str) -> str:
    """Return ``name`` as a harmless file name that ends in .csv."""
    return (_UNSAFE_IN_NAME.sub("-", name).strip("-.")[:100] or "export") + ".csv"


def stream(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Return a download of ``rows``; an iterator is read while it is sent, never as a whole.

    A failure half way breaks the transfer off, so that a cut file does not look complete.
    """
    response = Response(lines(header, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name(name)}"'
    return response


def from_table(table: Table, suffix: str = "") -> Response:
    """Return a download of ``table``, under its column labels; ``suffix`` ends the file's name."""
    name = f"{table.name}-{suffix}" if suffix else table.name
    return stream(name, [column.label for column in table.columns], table.rows)
