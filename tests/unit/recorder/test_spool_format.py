"""The bytes of texts, and what is known of them."""

from __future__ import annotations

import pytest

from fmd_admin.recorder import spool_format


def test_new_combinations_ask_for_an_address_once() -> None:
    asked: list[str] = []

    def clean(ip: str) -> str | None:
        asked.append(ip)
        return None if ip == "off" else ip.upper()

    texts = spool_format.Encoder(clean)
    addresses = ["a", "bb", "off", None]
    combinations: list[spool_format.Texts] = [
        (endpoint, method, status, group, ip)
        for endpoint in ("index", "päge\0", "")
        for method in ("GET", "PROPFIND")
        for status in ("200 OK", "404 NOT FOUND", "")
        for group in ("anna", "", None)
        for ip in addresses
    ]
    for _ in range(2):
        for endpoint, method, status, group, ip in combinations:
            data, known = texts[endpoint, method, status, group, ip]
            assert known == (endpoint, method, status, group, ip)
            assert texts[endpoint, method, status, group, ip][1] is known
            assert len(data) % 8 == 0
            code = status[:3] or "500"
            cleaned = None if ip in (None, "off") else str(ip).upper()
            read = (endpoint.replace("\0", "\N{REPLACEMENT CHARACTER}"), method, code)
            assert spool_format.decode_texts(data) == (*read, group, cleaned)
    assert asked == ["a", "bb", "off"]
    texts.forget()
    assert texts[combinations[0]]
    assert asked[3:] == ["a"]


def test_what_is_known_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_format, "_MAX_KNOWN", 50)
    monkeypatch.setattr(spool_format, "_MAX_ADDRESSES", 50)
    texts = spool_format.Encoder(str)
    for number in range(1_000):
        name = str(number)
        data, _known = texts[name, name, "200 OK", name, name]
        read = spool_format.decode_texts(data)
        assert read == (name, name, "200", name, name)
    for known in (texts, texts._places, texts._groups, texts._addresses):
        assert 0 < len(known) <= 50
