"""What a row of the table of settings is: how a value is read, checked and explained."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from .errors import SettingsError


@dataclass(frozen=True)
class Spec:
    """One row of the table: how a setting is named, read, checked and explained."""

    name: str
    type: type
    default: Any
    help: str
    runtime: bool
    allowed: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    check: Callable[[Any], bool] | None = None

    def parse(self, value: object, source: str) -> Any:
        """Return ``value`` (text or native) as this setting's type, or raise SettingsError."""
        try:
            parsed = _convert(self.type, value)
        except (TypeError, ValueError):
            raise self.refusal(value, source) from None
        if self.choices and parsed not in self.choices:
            raise self.refusal(value, source)
        if self.check is not None and not self.check(parsed):
            raise self.refusal(value, source)
        return parsed

    def refusal(self, value: object, source: str) -> SettingsError:
        shown = "(hidden)" if self.secret else repr(value)
        return SettingsError(
            f"Setting {self.name} from {source} is {shown}; allowed: {self.allowed}."
        )


def _convert(kind: type, value: object) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        lowered = str(value).strip().lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise ValueError(value)
    if kind is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError(value)
        return int(str(value).strip()) if isinstance(value, str) else int(value)  # type: ignore[call-overload]
    if kind is float:
        if isinstance(value, bool):
            raise ValueError(value)
        number = float(value)  # type: ignore[arg-type]
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError(value)
        return number
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(value)
    text = str(value).strip()
    if "\0" in text:
        # PostgreSQL takes no such text.
        raise ValueError(value)
    return text


def setting(
    default: Any,
    help: str,
    *,
    runtime: bool = False,
    allowed: str,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    check: Callable[[Any], bool] | None = None,
) -> Any:
    """Return a field of Settings with what its row of the table says."""
    extra = {
        "help": help,
        "runtime": runtime,
        "allowed": allowed,
        "choices": choices,
        "secret": secret,
        "check": check,
    }
    return dataclasses.field(default=default, metadata=extra)


def free_text(help: str, *, secret: bool = False) -> Any:
    """Return a field of any text, empty without a value."""
    return setting("", help, allowed="any text", secret=secret)


def choice(default: str, choices: tuple[str, ...], help: str, *, runtime: bool) -> Any:
    """Return a field whose value is one of ``choices``."""
    allowed = "one of " + ", ".join(choices)
    return setting(default, help, runtime=runtime, choices=choices, allowed=allowed)


def number(
    default: float, low: float, high: float, help: str, *, runtime: bool = False, unit: str = ""
) -> Any:
    """Return a field of a number between two others, in ``unit``."""
    kind = "a whole number" if isinstance(default, int) else "a number"
    allowed = f"{kind} from {low} to {high}{' ' + unit if unit else ''}"
    return setting(
        default, help, runtime=runtime, allowed=allowed, check=lambda v: low <= v <= high
    )


def days(default: int, what: str) -> Any:
    """Return a field that says after how many days something is deleted."""
    return setting(
        default,
        f"{what} are deleted after so many days. 0: never.",
        runtime=True,
        allowed="a whole number from 0 to 36500 days",
        check=lambda v: 0 <= v <= 36_500,
    )


def is_zone(name: str) -> bool:
    """Tell whether ``name`` is a time zone that is known here."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def is_link(link: str) -> bool:
    """Tell whether ``link`` is a path that the panel can be mounted at."""
    parts = link.strip("/").split("/")
    return all(
        p
        and p not in {".", ".."}
        and p.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for p in parts
    )
