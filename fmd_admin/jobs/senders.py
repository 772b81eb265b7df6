"""Sends one alert to one target: a signed webhook, or whatever Apprise knows."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any

from ..errors import AlertError
from ..store.alerts import Due

WEBHOOK, APPRISE = "webhook", "apprise"
TIMEOUT_S = 10.0
REPEAT = (
    "This may be a repeat: the process that sent it first ended before it could note whether it "
    "got through."
)
_APPRISE_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


def send(due: Due, address: str) -> None:
    """Deliver it. Raises AlertError with what went wrong, without any part of ``address``."""
    if due.target_kind == WEBHOOK:
        url, _, key = address.partition(" ")
        _post(due, url, key.strip())
    else:
        _notify(due, address)


def _post(due: Due, url: str, key: str) -> None:
    body = json.dumps(
        {
            "id": due.alert_id,
            "rule": due.rule,
            "kind": due.kind,
            "severity": due.severity,
            "title": due.title,
            "body": due.body,
            "fired_at": due.fired_at.isoformat(),
            "repeat": due.is_repeat,
        },
        ensure_ascii=False,
    ).encode("utf-8", "replace")
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "fmd_admin",
        "X-FMD-Timestamp": stamp,
    }
    if key:
        signed = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-FMD-Signature"] = f"sha256={signed}"
    if not url.startswith(("http://", "https://")):
        raise AlertError("The address of a webhook begins with http:// or https://.")
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - checked
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            answer.read(1000)
    except urllib.error.HTTPError as error:
        error.close()
        raise AlertError(f"The webhook answered with {error.code}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise AlertError(f"The webhook cannot be reached: {type(reason).__name__}.") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would be a GET without the alert."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _notify(due: Due, address: str) -> None:
    try:
        import apprise
    except ImportError:
        raise AlertError(
            "Apprise is not installed. Run: pip install 'fmd_admin[alerts]', or use a webhook."
        ) from None
    # The service itself: Apprise's own notify keeps threads, which do not outlive a fork.
    service = apprise.Apprise.instantiate(address)
    if service is None:
        raise AlertError(
            "Apprise does not understand this address. Write it as its documentation says, or "
            "upgrade: pip install -U apprise"
        )
    text = f"{due.body}\n\n{REPEAT}" if due.is_repeat else due.body
    kind = _APPRISE_TYPES.get(due.severity, "info")
    # The log of Apprise says why; it may hold parts of the address, so it is not kept.
    if not service.notify(title=due.title, body=text, notify_type=kind):
        raise AlertError("Apprise could not deliver it; the log of the app says why.")
