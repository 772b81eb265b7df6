"""Takes secrets out of what came with a request, before it is kept anywhere.

Keys stay and values go. Everything here may be written by an attacker, and it runs while the
host's request waits: the time it takes grows with the length of a text only, and is bounded.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote_plus

from .secret_texts import HIDDEN, SecretTexts

#: Longest kept text of one value, most values of a kind under different keys, and in all.
MAX_TEXT = 1_000
MAX_ITEMS = 100
MAX_VALUES = 200
#: Longest kept JSON body.
MAX_JSON = 10_000
#: No more of a text is looked at, as no more of it could be kept.
_MAX_LOOK = 20_000
#: Deeper and further into JSON than this nothing is kept.
_MAX_DEPTH = 50
_MAX_NODES = 5_000
CUT = "[cut]"
#: A URL in a URL in a URL. What is quoted more often is no text for people.
_MAX_QUOTED = 3

_ALWAYS = frozenset(
    {"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "x-apikey"}
)
# A name begins where nothing of a name is before it: else the search would begin at each letter.
_NAME = re.compile(r"""(?<![^\s?&;,#="'])([^\s?&;,#="']+)=""")
#: In a query only & and # end a value; elsewhere the name of the next one does.
_QUERY_VALUE = re.compile(r"[^&#\r\n]*")
_VALUE = re.compile(
    r"""(?:"[^"\r\n]*"|'[^'\r\n]*'|(?![;,\s]\s{0,3}[^\s?&;,#="']{1,200}=)[^&#\r\n])*"""
)
#: As Python and JSON write a value.
_WRITTEN = r"""[bu]?("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[\[{].*|[^\s,)}\]]+)"""
_QUOTED_NAME = re.compile(
    rf"""((["'])([^"'\\]{{1,200}})\2\s{{0,3}}:\s{{0,3}}){_WRITTEN}""", re.DOTALL
)
_PAIR = re.compile(
    rf"""(\(\s{{0,3}}[bu]?(["'])([^"'\\]{{1,200}})\2\s{{0,3}},\s{{0,3}}){_WRITTEN}""", re.DOTALL
)
#: In sentences and headers: ``password: …``, ``token = …``.
_SPOKEN_NAME = re.compile(
    r"""(?<![\w.\[\]-])([\w.\[\]-]+)(\s{0,3}:\s{0,3}|\s{1,3}=\s{0,3})(?=[^\s=:])"""
)
#: Such a value ends where the name of the next one begins.
_SPOKEN = re.compile(
    r"""(?:"[^"\r\n]*"|'[^'\r\n]*'|(?![;,\s]\s{0,3}[\w.\[\]-]{1,100}\s?[:=])[^\r\n])*"""
)
_LINE = re.compile(r"[^\r\n]*")
#: Behind a colon without a blank: a port, the line of a file, or the rest of a URL.
_ADDRESS = re.compile(r"\d{1,5}(?!\w)|//")
_BEGINS = frozenset("\t\n\r ([{\"',;")
#: ``KeyError: 'user'`` names no secret.
_ERROR_NAME = re.compile(r"(?:Error|Exception|Warning)$")
#: What may stand in any other text as well: a secret like that is not looked for elsewhere.
_WORDLIKE = re.compile(r"[^\W\d](?:[^\W\d]|[-./])*")
_USER_INFO = re.compile(r"//([^/\s]+)@|//([^/\s:@]*:(?!\d+/)[^\s@]{1,200})@")
_BEARER = re.compile(r"(?i)(?<![\w-])(bearer|basic)\s{1,3}([\w+/=.~-]{8,})")
#: JSON web tokens go by many names.
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]+\.[\w-]*")
_WORD = re.compile(r"[^\s&#=?]+")
_LITERAL = (
    r"""[A-Za-z]{0,2}(?:"{3}[^"]*"{0,3}|'{3}[^']*'{0,3}|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""
)
#: A name, and text that is written right behind it: ``token: str = "…"``, ``auth=("…", "…")``.
_LITERAL_NAME = re.compile(
    r"""(?<![\w-])([\w-]+)"""
    r"""(["']?\]?\s{0,3}(?::\s{0,3}[\w.\[\]| ]{1,40})?(?:[=!]?=|:)\s{0,3}[(\[]?)"""
    rf"({_LITERAL}(?:\s{{0,3}},\s{{0,3}}{_LITERAL})*)"
)


class Redactor:
    """Redacts the parts of one request. Keys with one of ``words`` in them lose their value."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(word.lower().replace("_", "-") for word in words)
        self._secrets = SecretTexts()
        self._known: dict[str, bool] = {}
        self._nodes = 0

    def hides(self, key: str) -> bool:
        """Tell whether values under ``key`` are secrets."""
        hidden = self._known.get(key)
        if hidden is None:
            name = _header_name(key)
            hidden = name in _ALWAYS or any(word in name for word in self._words)
            self._known[key] = hidden
        return hidden

    def value(self, key: str, text: str) -> str:
        """Return ``text`` as it may be kept under ``key``."""
        name = _header_name(key)
        if name == "cookie":
            return self._cookies(text)
        if self.hides(key):
            self._hide_header(name, text)
            return HIDDEN
        if key == "QUERY_STRING":
            return self.inside(f"?{text}")[1:]
        return self.inside(text)

    def _hide_header(self, name: str, text: str) -> None:
        self.hide(text)
        if name.endswith("authorization"):
            # The scheme is no secret, what follows it is.
            scheme, _, token = text.strip().partition(" ")
            self.hide(token)
            if scheme.lower() == "basic":
                self.hide(_from_base64(token).partition(":")[2])
        elif name == "set-cookie":
            self._cookies(text)

    def _cookies(self, text: str) -> str:
        names = []
        for part in text.split(";"):
            name, found, value = part.strip().partition("=")
            self.hide(value if found else name)
            self.hide(unquote_plus(value))
            names.append(f"{name}={HIDDEN}" if found else HIDDEN)
        return "; ".join(names)

    def inside(self, text: str, quoted: int = 0) -> str:
        """Return ``text`` without the secrets in it.

        Those are values of ``key=value`` pairs, also in URLs that are quoted in it, of JSON, what
        stands behind ``key:``, the users of URLs, and tokens that show what they are.
        """
        text = text[:_MAX_LOOK]
        if text.lstrip()[:1] in ("{", "["):
            text = self._json_text(text)
        text = _USER_INFO.sub(self._user, text)
        text = _BEARER.sub(self._bearer, text)
        text = _JWT.sub(lambda match: self.hide(match.group()), text)
        text = _QUOTED_NAME.sub(self._quoted_name, text)
        text = _PAIR.sub(self._quoted_name, text)
        if "=" in text:
            text = self._pairs(text)
        text = self._spoken(text)
        if "%" in text:
            text = _WORD.sub(lambda match: self._quoted(match.group(), quoted), text)
        return text

    def source(self, line: str) -> str:
        """Return a line of code without the secrets that are written in it."""
        line = _USER_INFO.sub(self._user, line[:MAX_TEXT])
        line = _BEARER.sub(self._bearer, line)
        return _LITERAL_NAME.sub(self._literal, _JWT.sub(HIDDEN, line))

    def lines(self, text: str) -> str:
        """Return the text of a function without the secrets that are written in it."""
        return "\n".join(map(self.source, text.split("\n")))

    def _literal(self, match: re.Match[str]) -> str:
        name, between, _ = match.groups()
        return f'{name}{between}"{HIDDEN}"' if self.hides(name) else match.group()

    def _user(self, match: re.Match[str]) -> str:
        user = match.group(1) or match.group(2)
        self.hide(user.partition(":")[2])
        return f"//{HIDDEN}@"

    def _quoted_name(self, match: re.Match[str]) -> str:
        before, _, name, value = match.groups()
        if not self.hides(name):
            return match.group()
        self.hide(value)
        return f'{before}"{HIDDEN}"'

    def _bearer(self, match: re.Match[str]) -> str:
        scheme, token = match.groups()
        self._hide_spoken(token)
        if scheme.lower() == "basic":
            self.hide(_from_base64(token).partition(":")[2])
        return f"{scheme} {HIDDEN}"

    def _spoken(self, text: str) -> str:
        kept: list[str] = []
        end = 0
        for match in _SPOKEN_NAME.finditer(text):
            name, between = match.groups()
            start, stop = match.span()
            if start < end or not self.hides(name) or _ERROR_NAME.search(name):
                continue
            if between == ":" and (
                (start and text[start - 1] not in _BEGINS) or _ADDRESS.match(text, stop)
            ):
                continue
            value = (_LINE if _header_name(name) in _ALWAYS else _SPOKEN).match(text, stop)
            if value is None or value.group().strip("\"'") == HIDDEN:
                continue
            self._hide_spoken(value.group())
            kept += text[end:stop], HIDDEN
            end = value.end()
        return "".join(kept) + text[end:]

    def _hide_spoken(self, value: str) -> None:
        """Hide elsewhere what looks like a secret: a sentence may be about anything."""
        for part in (value, *value.split(None, 2)[:2]):
            found = part.strip(" \t.,;:!?()[]{}<>\"'")
            if not _WORDLIKE.fullmatch(found):
                self.hide(found)

    def _pairs(self, text: str) -> str:
        kept: list[str] = []
        end = 0
        for match in _NAME.finditer(text):
            # A name inside of a secret is a part of it.
            if match.start() < end or not self._hides_quoted(match.group(1)):
                continue
            in_query = text[match.start() - 1 : match.start()] in ("?", "&")
            value = (_QUERY_VALUE if in_query else _VALUE).match(text, match.end())
            if value is None:
                continue
            self.hide(value.group())
            self.hide(unquote_plus(value.group()))
            kept += text[end : match.end()], HIDDEN
            end = value.end()
        return "".join(kept) + text[end:]

    def _hides_quoted(self, name: str) -> bool:
        for _ in range(_MAX_QUOTED):
            if self.hides(name):
                return True
            if "%" not in name:
                return False
            name = unquote_plus(name)
        return self.hides(name)

    def _quoted(self, word: str, quoted: int) -> str:
        """Return a quoted text without the secrets in it."""
        if "%" not in word:
            return word
        plain = unquote_plus(word)
        if plain == word:
            return word
        if quoted >= _MAX_QUOTED:
            return HIDDEN
        kept = self.inside(plain, quoted + 1)
        return word if kept == plain else quote(kept, safe="/[]", errors="replace")

    def _json_text(self, text: str) -> str:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            # Cut, or something else.
            return text
        kept = self.json(data)
        return text if kept == data else json.dumps(kept, ensure_ascii=False)

    def values(self, pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
        """Return query or form values by key."""
        kept: dict[str, list[str]] = {}
        number = 0
        for key, value in pairs:
            full = number >= MAX_VALUES or (len(kept) >= MAX_ITEMS and key not in kept)
            if full and self._secrets.too_many:
                break
            if not full:
                number += 1
                kept.setdefault(key, []).append(self.value(key, value))
            elif self.hides(key):
                self.hide(value)
        return kept

    def json(self, data: Any, depth: int = 0) -> Any:
        """Return parsed JSON with everything under a secret's key hidden."""
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            return CUT
        if isinstance(data, dict):
            return {
                str(key): (self._hide_all if self.hides(str(key)) else self.json)(value, depth + 1)
                for key, value in self._first(data.items())
            }
        if isinstance(data, (list, tuple)):
            return [self.json(item, depth + 1) for item in self._first(data)]
        return self.inside(data) if isinstance(data, str) else data

    def _hide_all(self, data: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            return HIDDEN
        if isinstance(data, dict):
            return {str(k): self._hide_all(v, depth + 1) for k, v in self._first(data.items())}
        if isinstance(data, (list, tuple)):
            return [self._hide_all(item, depth + 1) for item in self._first(data)]
        self.hide(data if isinstance(data, str) else json.dumps(data, default=str))
        return HIDDEN

    def _first(self, items: Any) -> Iterable[Any]:
        """Yield items as long as there is room for them."""
        for item in items:
            if self._nodes > _MAX_NODES:
                return
            yield item

    def hide(self, text: str) -> str:
        """Hide ``text`` here and everywhere else."""
        self._secrets.add(text)
        return HIDDEN

    def finish(self, text: str, limit: int = MAX_TEXT) -> str:
        """Return ``text`` without any secret that was met, cut to ``limit`` characters.

        To be called for every text at the very end, when all secrets are known.
        """
        return self._secrets.erase(text, limit)

    def finish_json(self, data: Any) -> str:
        """Return what :meth:`json` gave as text, finished."""
        return json.dumps(self._finished(data), ensure_ascii=False, default=str)[:MAX_JSON]

    def _finished(self, data: Any) -> Any:
        if isinstance(data, dict):
            return {self.finish(k, MAX_JSON): self._finished(v) for k, v in data.items()}
        if isinstance(data, list):
            return [self._finished(item) for item in data]
        if isinstance(data, bool) or data is None:
            return data
        text = data if isinstance(data, str) else str(data)
        kept = self.finish(text, MAX_JSON)
        return data if kept == text else kept


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text + "===").decode("utf-8", "replace")
    except ValueError:
        return ""


def _header_name(key: str) -> str:
    """``HTTP_X_API_KEY`` in an environment is the header ``x-api-key``."""
    return key.lower().removeprefix("http_").replace("_", "-")


def words_of(setting: str) -> tuple[str, ...]:
    """Return the words of the setting REDACT."""
    return tuple(word.strip().lower() for word in setting.split(",") if word.strip())
