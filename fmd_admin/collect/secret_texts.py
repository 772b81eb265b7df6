"""The secrets of one request, taken out of every text that is kept of it."""

from __future__ import annotations

import re
from contextlib import suppress
from json.encoder import encode_basestring, encode_basestring_ascii
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "[hidden]"
#: Shorter secrets would take pieces out of words that have nothing to do with them.
MIN_SECRET = 4
#: With more of them, in all ways to write them, no text is kept: looking for each in each would
#: hold up the request.
MAX_SECRETS = 600
#: A longer secret is looked for by its beginning; what follows it goes too.
_MAX_LENGTH = 100
#: A character takes up to 12 where it is quoted.
_MARGIN = 12 * _MAX_LENGTH
#: A text may be quoted inside of another that is quoted.
_MAX_QUOTED = 4
#: Written alike everywhere.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
#: They stand under a secret's name often, and everywhere else too.
_COMMON = frozenset({"true", "false", "none", "null", "undefined", "basic", "bearer", "digest"})


class SecretTexts:
    """What was hidden at one place is hidden wherever else it turns up, however it is written."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._beginnings: set[str] = set()
        self._ordered: list[str] | None = None
        self.too_many = False

    def add(self, text: str) -> None:
        """Note a secret."""
        text = text.strip().strip("\"'")
        if len(text) < MIN_SECRET or text == HIDDEN or text.lower() in _COMMON or self.too_many:
            return
        if len(text) > _MAX_LENGTH:
            self._beginnings.update(_forms(text[:_MAX_LENGTH]))
        else:
            self._secrets.update(_forms(text))
        self._ordered = None
        self.too_many = len(self._secrets) + len(self._beginnings) > MAX_SECRETS

    def erase(self, text: str, limit: int) -> str:
        """Return ``text`` without any secret, cut to ``limit`` characters.

        To be called at the very end, when all secrets are known.
        """
        if not text or text == HIDDEN:
            return text
        if self.too_many:
            return HIDDEN
        # A secret that begins before the limit ends before this one.
        text = text[: limit + _MARGIN].encode("utf-8", "replace").decode()
        if self._ordered is None:
            # The longest first: one secret may be a part of another.
            self._ordered = sorted(self._secrets, key=len, reverse=True)
        for secret in self._beginnings:
            found = text.find(secret)
            if found >= 0:
                text = text[:found] + HIDDEN
        for secret in self._ordered:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return HIDDEN if self._is_quoted_in(text) else text[:limit]

    def _is_quoted_in(self, text: str) -> bool:
        """Tell whether a secret is in ``text`` in another quoting than the usual ones."""
        for _ in range(_MAX_QUOTED):
            if "%" not in text and "+" not in text:
                return False
            plain = unquote(text)
            text = unquote_plus(text)
            if self._is_in(plain) or self._is_in(text):
                return True
        return False

    def _is_in(self, text: str) -> bool:
        return any(
            secret in text for found in (self._secrets, self._beginnings) for secret in found
        )


def _forms(text: str) -> set[str]:
    """Return ``text`` as it may be written in a URL, in JSON and in a WSGI environment."""
    if _PLAIN.fullmatch(text):
        return {text}
    forms = {
        text,
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
        encode_basestring_ascii(text)[1:-1],
        encode_basestring(text)[1:-1],
    }
    if not text.isascii():
        forms.add(text.encode("utf-8", "replace").decode("latin-1"))
        with suppress(UnicodeError):
            forms.add(text.encode("latin-1").decode("utf-8"))
    return forms
