"""Takes secrets out of what came with a request, before it is kept anywhere.

Keys stay and values go. What was hidden under one key is hidden wherever else it turns up: the
query string is in several places of a WSGI environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

HIDDEN = "[hidden]"
#: Longest kept text of one value, and most values of a kind.
MAX_TEXT = 1_000
MAX_ITEMS = 100
#: Longest kept JSON body.
MAX_JSON = 10_000

_ALWAYS = frozenset(
    {"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "x-apikey"}
)
#: Shorter secrets would take pieces out of words that have nothing to do with them.
_MIN_SECRET = 4
_PAIR = re.compile(r"""([^\s?&;,#="']+)=([^\s&;,#"']*)""")
_USER_INFO = re.compile(r"//[^/@\s]+@")


class Redactor:
    """Redacts the parts of one request. Keys with one of ``words`` in them lose their value."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(word.lower().replace("_", "-") for word in words)
        self._secrets: set[str] = set()

    def hides(self, key: str) -> bool:
        """Tell whether values under ``key`` are secrets."""
        name = _header_name(key)
        return name in _ALWAYS or any(word in name for word in self._words)

    def value(self, key: str, text: str) -> str:
        """Return ``text`` as it may be kept under ``key``."""
        name = _header_name(key)
        if name == "cookie":
            return self._cookies(text)
        if self.hides(key):
            self._hide(text)
            if name.endswith("authorization"):
                # The scheme is no secret, what follows it is.
                self._hide(text.partition(" ")[2])
            return HIDDEN
        return self.inside(text)

    def inside(self, text: str) -> str:
        """Return ``text`` without the values of ``key=value`` pairs and the users of URLs in it."""
        text = _USER_INFO.sub(f"//{HIDDEN}@", text)
        return _PAIR.sub(self._pair, text)

    def _pair(self, match: re.Match[str]) -> str:
        key, value = match.groups()
        if not self.hides(unquote_plus(key)):
            return match.group()
        self._hide(value)
        self._hide(unquote_plus(value))
        return f"{key}={HIDDEN}"

    def _cookies(self, text: str) -> str:
        names = []
        for part in text.split(";"):
            name, found, value = part.strip().partition("=")
            self._hide(value if found else name)
            names.append(f"{name}={HIDDEN}" if found else HIDDEN)
        return "; ".join(names)

    def values(self, pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """Return query or form values by key."""
        kept: dict[str, list[str]] = {}
        for key, value in pairs:
            if len(kept) >= MAX_ITEMS and key not in kept:
                continue
            items = kept.setdefault(key, [])
            if len(items) < MAX_ITEMS:
                items.append(self.value(key, value))
        return kept

    def json(self, data: Any) -> Any:
        """Return parsed JSON with everything under a secret's key hidden."""
        if isinstance(data, dict):
            return {
                str(key): self._hide_all(value) if self.hides(str(key)) else self.json(value)
                for key, value in data.items()
            }
        if isinstance(data, (list, tuple)):
            return [self.json(item) for item in data]
        return self.inside(data) if isinstance(data, str) else data

    def _hide_all(self, data: Any) -> Any:
        if isinstance(data, dict):
            return {str(key): self._hide_all(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self._hide_all(item) for item in data]
        self._hide(data if isinstance(data, str) else json.dumps(data, default=str))
        return HIDDEN

    def hide(self, text: str) -> str:
        """Hide ``text`` here and everywhere else."""
        self._hide(text)
        return HIDDEN

    def _hide(self, text: str) -> None:
        text = text.strip().strip('"')
        if len(text) >= _MIN_SECRET and text != HIDDEN:
            self._secrets.update((text, quote(text, safe=""), quote(text), quote_plus(text)))

    def finish(self, text: str, limit: int = MAX_TEXT) -> str:
        """Return ``text`` without any secret that was met, cut to ``limit`` characters.

        To be called for every text at the very end, when all secrets are known.
        """
        # The longest first: one secret may be a part of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text[:limit]


def _header_name(key: str) -> str:
    """``HTTP_X_API_KEY`` in an environment is the header ``x-api-key``."""
    return key.lower().removeprefix("http_").replace("_", "-")


def words_of(setting: str) -> tuple[str, ...]:
    """Return the words of the setting REDACT."""
    return tuple(word.strip().lower() for word in setting.split(",") if word.strip())
