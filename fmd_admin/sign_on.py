"""Ways to say who the host's current user is, for ``FMDAdmin(auth=…)``."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from flask import request

from .errors import SettingsError

#: What a host's ``auth`` may return: None for nobody, False for a user who may not enter, a role,
#: or a pair of the user's name and a role.
Answer = Any


def header_auth(
    header: str,
    *,
    trusted: Iterable[str],
    role: Callable[[str], Answer] = lambda _name: "viewer",
) -> Callable[[], Answer]:
    """Return an ``auth`` that believes a header which a reverse proxy sets.

    It counts only if the request came from one of the addresses or networks ``trusted``; from
    elsewhere anybody could send it. What counts is who is connected to this server, also below
    werkzeug's ProxyFix. ``role`` gives the role of a user's name; False for those who may not
    enter. Raises SettingsError for what is no network.
    """
    networks = [_network(text) for text in trusted]

    def auth() -> Answer:
        before = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
        name = request.headers.get(header, "").strip()
        if not name or not _is_in(before.get("REMOTE_ADDR"), networks):
            return None
        found = role(name)
        return (name, found) if isinstance(found, str) else found

    return auth


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise SettingsError(
            f"trusted has {text!r}, which is no address or network ({error}). "
            "Example: trusted=['127.0.0.1', '10.0.0.0/8']"
        ) from error


def _is_in(
    address: str | None, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False  # A socket in the file system has no address.
    mapped = getattr(found, "ipv4_mapped", None)
    return any(one in network for network in networks for one in (found, mapped) if one is not None)
