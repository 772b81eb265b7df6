"""The section [alerting] of Flask-MonitoringDashboard's config.cfg, as addresses of Apprise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from .settings import Settings

EMAIL, CHAT, ISSUE = "email", "chat", "issue"
SLACK, TEAMS, ROCKET_CHAT = "SLACK", "TEAMS", "ROCKET_CHAT"
PLATFORMS = (SLACK, TEAMS, ROCKET_CHAT)
#: Incoming webhooks that Apprise takes for one of each platform.
_URLS = {
    SLACK: ("https://hooks.slack.com/services/T…/B…/…", r"https://hooks\.slack\.com/services/\S+"),
    TEAMS: ("https://…", r"https://\S+"),
    ROCKET_CHAT: ("https://HOST/hooks/ID/TOKEN", r"https?://\S+/hooks/[^/\s]+/[^/\s]+/?"),
}


@dataclass(frozen=True)
class _Way:
    """A way to alert: the settings that it needs, and its address and what may be shown of it."""

    needs: tuple[str, ...]
    address: Callable[[Settings], str]
    hint: Callable[[Settings], str]


def addresses(values: Settings) -> dict[str, str]:
    """Return the Apprise URL of each way that is turned on and complete. They hold secrets."""
    return {name: _WAYS[name].address(values) for name in _complete(values)}


def hints(values: Settings) -> dict[str, str]:
    """Return what may be shown of each address."""
    return {name: _WAYS[name].hint(values)[:255] for name in _complete(values)}


def problems(values: Settings) -> list[str]:
    """Return what keeps alerts that are turned on from being sent, each with its mend."""
    if not values.alert_enabled:
        return []
    chosen = types(values.alert_type)
    if not chosen:
        return ["ALERT_ENABLED is on without ALERT_TYPE: set it to email, chat or issue."]
    found = []
    for name in chosen:
        missing = [key.upper() for key in _WAYS[name].needs if not getattr(values, key)]
        if missing:
            found.append(
                f"No alerts are sent by {name}, which needs {', '.join(missing)} too. Set what is "
                f"missing, or take {name} out of ALERT_TYPE."
            )
        elif name == CHAT and not _is_hook(values):
            found.append(
                f"No alerts are sent by chat: CHAT_WEBHOOK_URL is none of {values.chat_platform}, "
                f"such as {_URLS[values.chat_platform][0]}. Mend it, or make a target under Alerts "
                "in the panel."
            )
    if _complete(values) and find_spec("apprise") is None:
        found.append(
            "Alerts cannot be sent, as Apprise is not installed. Run: "
            "pip install 'fmd_admin[alerts]'"
        )
    return found


def types(text: str) -> list[str]:
    """Return the names in a list with commas, in lower case."""
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def are_types(text: str) -> bool:
    """Tell whether there are only known names in a list with commas."""
    return set(types(text)) <= set(_WAYS)


def is_port(text: str) -> bool:
    """Tell whether ``text`` is a port, or empty."""
    return not text or (text.isdecimal() and 0 < int(text) < 65_536)


def _complete(values: Settings) -> list[str]:
    if not values.alert_enabled:
        return []
    return [
        name
        for name in dict.fromkeys(types(values.alert_type))
        if all(getattr(values, key) for key in _WAYS[name].needs)
        and (name != CHAT or _is_hook(values))
    ]


def _is_hook(values: Settings) -> bool:
    pattern = _URLS[values.chat_platform][1]
    return re.fullmatch(pattern, values.chat_webhook_url) is not None


def _mail(values: Settings) -> str:
    """As there: STARTTLS always, and a login only where there is a password."""
    login = ""
    if values.smtp_password:
        login = f"{quote(values.smtp_user, safe='')}:{quote(values.smtp_password, safe='')}@"
    recipients = ",".join(part.strip() for part in values.smtp_to.split(",") if part.strip())
    sender = values.smtp_user
    if "@" not in sender:
        sender = f"{sender}@{values.smtp_host}"
    more = urlencode({"mode": "starttls", "from": sender, "to": recipients})
    return f"mailtos://{login}{values.smtp_host}:{values.smtp_port}/?{more}"


def _chat(values: Settings) -> str:
    url = values.chat_webhook_url
    if values.chat_platform != ROCKET_CHAT:
        return url
    parts = urlsplit(url)
    identity, token = parts.path.rstrip("/").rsplit("/", 2)[1:]
    scheme = "rockets" if parts.scheme == "https" else "rocket"
    return f"{scheme}://{quote(identity)}/{quote(token)}@{parts.netloc}/"


def _issue(values: Settings) -> str:
    place = f"{quote(values.repository_owner, safe='')}/{quote(values.repository_name, safe='')}"
    token = quote(values.github_token, safe="")
    return f"github://{token}@{place}/?labels=automated-issue,exception"


_WAYS: Mapping[str, _Way] = {
    EMAIL: _Way(
        ("smtp_host", "smtp_port", "smtp_user", "smtp_to"),
        _mail,
        lambda values: f"{values.smtp_to} by {values.smtp_host}",
    ),
    CHAT: _Way(
        ("chat_platform", "chat_webhook_url"),
        _chat,
        lambda values: f"{values.chat_platform} at {urlsplit(values.chat_webhook_url).hostname}",
    ),
    ISSUE: _Way(
        ("github_token", "repository_owner", "repository_name"),
        _issue,
        lambda values: f"{values.repository_owner}/{values.repository_name}",
    ),
}
