"""What Flask-MonitoringDashboard keeps of an outlier as text, read back and redacted."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ..collect.outliers import MAX_STACK, Facts, collect_facts
from ..collect.redaction import Redactor
from ..records import Frame, Outlier, Row

NOTE = "Imported from Flask-MonitoringDashboard, which keeps neither the limit nor the moment."
_TEXT = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
#: A pair of a dict's repr whose value is text, a number or a truth.
_PAIR = re.compile(rf"(?<=[{{ ])({_TEXT}): ({_TEXT}|True|False|-?\d+)(?=[,}}])", re.DOTALL)
_FRAME = re.compile(r'File: "(.*)", line (\d+), in "(.*)": "(.*)"', re.DOTALL)
_AVAILABLE = re.compile(r"\bavailable=(\d+)")
_PERCENT = re.compile(r"\bpercent=([\d.]+)")
_MIB = 1024 * 1024


class SourcedFrame(Frame):
    """A line of code that brings its text along: the file may be another one by now."""

    source: str

    def __new__(cls, frame: Frame, source: str) -> SourcedFrame:
        made = super().__new__(cls, *frame)
        made.source = source
        return made

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SourcedFrame)
            and tuple.__eq__(self, other)
            and self.source == other.source
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.source))


#: Gives the frame of a file, line, function and text.
MakeFrame = Callable[[str, int, str, str], SourcedFrame]


def to_outlier(row: Row, found: Any, frame: MakeFrame, *, words: Iterable[str], ip: str) -> Outlier:
    """Return the outlier of the request ``row`` from a row of FMD's table Outlier.

    ``words`` are those of the setting REDACT, ``ip`` the setting IP.
    """
    facts = facts_of(found, Redactor(words), ip)
    memory = _text(found.memory)
    return Outlier(
        *row.fields(),
        limit_ms=0.0,
        stack=stack(_text(found.stacktrace), frame),
        note=NOTE,
        cpu_percent=_numbers(_text(found.cpu_percent)),
        memory_percent=_number(_PERCENT, memory),
        memory_available_mib=_scaled(_number(_AVAILABLE, memory), _MIB),
        url=facts.url,
        values=facts.values,
        headers=facts.headers,
        environ=facts.environ,
    )


def facts_of(found: Any, redactor: Redactor, ip: str) -> Facts:
    """Return what came with the request of a row of FMD's table Outlier."""
    return collect_facts(_environ(found), None, words=(), ip=ip, with_json=False, redactor=redactor)


def stack(text: str, frame: MakeFrame) -> list[Frame]:
    """Return the frames of a stack trace as it is kept there, outermost first."""
    frames: list[Frame] = []
    for line in text.split("<br />"):
        match = _FRAME.fullmatch(line.strip())
        if match:
            file, number, function, source = match.groups()
            frames.append(frame(file, int(number), function, source))
    return frames[-MAX_STACK:]


def method_of(found: Any) -> str:
    """Return the method of the request of an outlier; empty if it is not known."""
    return _pairs(_text(found.request_environment)).get("REQUEST_METHOD", "")


def _environ(found: Any) -> dict[str, str]:
    """Put environment, headers and URL together as one WSGI environment."""
    environ = _pairs(_text(found.request_environment))
    for line in _text(found.request_header).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            environ.setdefault(_header_key(name.strip()), value.strip())
    url = _text(found.request_url)
    if url and "PATH_INFO" not in environ:
        try:
            parts = urlsplit(url)
        except ValueError:
            return environ
        environ["wsgi.url_scheme"] = parts.scheme or "http"
        environ["PATH_INFO"] = unquote_to_bytes(parts.path).decode("latin-1")
        environ["QUERY_STRING"] = parts.query
        environ.setdefault("HTTP_HOST", parts.netloc.rpartition("@")[2])
    return environ


def _header_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


def _pairs(text: str) -> dict[str, str]:
    """Return what is text in the repr of an environment, which has other things in it as well."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        try:
            key, value = ast.literal_eval(match.group(1)), ast.literal_eval(match.group(2))
        except (ValueError, SyntaxError):
            continue
        # What comes later stands in objects that the environment holds.
        found.setdefault(str(key), value if isinstance(value, str) else str(value))
    return found


def _text(value: Any) -> str:
    """It writes bytes into columns of text, which databases give back as they like."""
    if value is None:
        return ""
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _numbers(text: str) -> list[float]:
    try:
        found = ast.literal_eval(text)
        return [float(number) for number in found]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []


def _number(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    try:
        return None if match is None else float(match.group(1))
    except ValueError:
        return None


def _scaled(number: float | None, unit: float) -> float | None:
    return None if number is None else number / unit
