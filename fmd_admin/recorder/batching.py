"""Turns measured records into the rows of a batch; runs in the flusher, never in a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ..records import MAX_NAME, Batch, RequestRecord, Row, Texts

#: Where the host's app raised before it sent a status, its server answers with this one.
SERVER_ERROR = 500


def clock_offset_ns() -> int:
    """Return what to add to perf_counter_ns to get UTC nanoseconds since the epoch."""
    return time.time_ns() - time.perf_counter_ns()


def weight_of(records: Iterable[RequestRecord]) -> int:
    """Return what the details of records weigh."""
    details = (detail for _texts, _start_ns, _end_ns, detail, _ticket in records)
    return sum(detail.weight for detail in details if detail is not None)


def fill(
    batch: Batch,
    records: Iterable[RequestRecord],
    offset_ns: int,
    clean_ip: Callable[[str], str | None],
    report: Callable[[str], None],
) -> int:
    """Add finished records to ``batch``; ``clean_ip`` anonymises an address or drops it.

    ``report`` counts a fault. Returns what their details weigh.
    """
    weight = 0
    rows = batch.rows
    known = _Known(clean_ip)
    for texts, start_ns, end_ns, detail, _ in records:
        endpoint, status, method, group, ip = known[texts]
        row = Row(
            (start_ns + offset_ns) // 1_000_000,
            endpoint,
            (end_ns - start_ns) / 1e6,
            status,
            method,
            group,
            ip,
        )
        rows.append(row)
        if detail is not None:
            weight += detail.weight
            try:
                detail.add_to(batch, row)
            except Exception:  # noqa: BLE001 - counted, and logged once
                # The request itself is stored all the same, and so are the others.
                report("making a profile, outlier or exception of what was seen")
    return weight


class _Known(dict[Texts, "tuple[str, int, str, str | None, str | None]"]):
    """Endpoint, status code, method, group and address as they are stored, by texts.

    Made once a batch: the same ones come again and again, and so do parts of new ones.
    """

    def __init__(self, clean_ip: Callable[[str], str | None]) -> None:
        super().__init__()
        self._texts, self._codes = _Once(storable), _Once(status_code)
        self._addresses = _Once(lambda ip: _clean(ip, clean_ip))

    def __missing__(self, texts: Texts) -> tuple[str, int, str, str | None, str | None]:
        endpoint, method, status, group, ip = texts
        found = self[texts] = (
            self._texts[endpoint],
            self._codes[status],
            method,
            None if group is None else self._texts[group],
            None if ip is None else self._addresses[ip],
        )
        return found


class _Once(dict[str, Any]):
    """What ``make`` gives for a text, asked once a batch."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Any:
        found = self[text] = self._make(text)
        return found


def status_code(line: str) -> int:
    """Return the code of a status line such as ``202 ACCEPTED``."""
    code = line[:3]
    # Below 100 is no status: 0 stands for "other" on the pages.
    return int(code) if len(code) == 3 and code.isdecimal() and code >= "100" else SERVER_ERROR


def storable(text: str) -> str:
    """Return ``text`` as every database takes it: not too long, no lone surrogates, no NUL.

    No blanks at its end either: some databases take names that differ in them for the same.
    """
    text = text[:MAX_NAME].rstrip()
    if text.isprintable():
        return text
    return (
        text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def _clean(ip: str, clean_ip: Callable[[str], str | None]) -> str | None:
    cleaned = clean_ip(ip)
    return None if cleaned is None else storable(cleaned)
