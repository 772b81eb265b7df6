"""Targets and the rule of the app's configuration: made once, sent to, and turned off with it."""

from __future__ import annotations

import ssl
import time
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import insert, select, update

from fmd_admin import fmd_alerting
from fmd_admin.jobs.alerts import STARTING_MS, Configured
from fmd_admin.settings import Settings
from fmd_admin.store.alert_models import AlertRule, AlertTarget
from fmd_admin.store.configured_alerts import RULE
from fmd_admin.store.store import Store

from ...receivers import mail_server, webhook
from .test_alerts import Process, raise_, states, titles

NOW_MS = 1_764_000_000_000
MAIL: dict[str, Any] = {
    "alert_enabled": True,
    "alert_type": "email",
    "smtp_host": "localhost",
    "smtp_user": "app@example.org",
    "smtp_to": "anna@example.org,bob@example.org",
}


def process(store: Store, **values: Any) -> Process:
    """A process with these settings."""
    made = Settings(**values)
    configured = Configured(fmd_alerting.addresses(made), fmd_alerting.hints(made))
    return Process(store, NOW_MS, configured=configured)


def kept(store: Store) -> tuple[list[Any], list[Any]]:
    targets = select(AlertTarget.name, AlertTarget.hint, AlertTarget.secret, AlertTarget.active)
    rules = select(AlertRule.name, AlertRule.targets, AlertRule.active, AlertRule.kind)
    with store.read() as connection:
        return (
            [tuple(row) for row in connection.execute(targets.order_by(AlertTarget.id))],
            [tuple(row) for row in connection.execute(rules)],
        )


@pytest.mark.every_engine
def test_they_are_made_once_whoever_starts_and_how_often(store: Store) -> None:
    settings = {**MAIL, "smtp_port": "25", "smtp_password": "qqpass"}
    for _ in range(3):
        process(store, **settings).alerts.keep_configured()
    targets, rules = kept(store)
    assert targets == [
        (
            "E-mail (configuration)",
            "anna@example.org,bob@example.org by localhost",
            "config:email",
            True,
        )
    ]
    assert rules == [(RULE, "1", True, "new_exception")]
    # Another recipient, another way: the known ones are changed.
    issue = {"github_token": "t", "repository_owner": "anna", "repository_name": "shop"}
    changed = {**settings, **issue, "alert_type": "issue,email", "smtp_to": "eve@example.org"}
    process(store, **changed).alerts.keep_configured()
    targets, rules = kept(store)
    assert [row[0] for row in targets] == [
        "E-mail (configuration)",
        "GitHub issues (configuration)",
    ]
    assert targets[0][1] == "eve@example.org by localhost"
    assert rules == [(RULE, "2,1", True, "new_exception")]


def test_what_is_no_longer_configured_is_not_active(store: Store) -> None:
    process(store).alerts.keep_configured()
    assert kept(store) == ([], [])
    process(store, **MAIL, smtp_port="25").alerts.keep_configured()
    with store.write() as connection:
        connection.execute(update(AlertRule).values(since=5))
        values = {"name": "mine", "kind": "webhook", "secret": "env:X", "hint": "", "active": True}
        connection.execute(insert(AlertTarget).values(**values))
    process(store).alerts.keep_configured()
    targets, [rule] = kept(store)
    assert [(row[0], row[3]) for row in targets] == [
        ("E-mail (configuration)", False),
        ("mine", True),
    ]
    assert rule == (RULE, "1", False, "new_exception")
    # What happened meanwhile is no news once it is on again.
    process(store, **MAIL, smtp_port="25").alerts.keep_configured()
    with store.read() as connection:
        since = connection.scalar(select(AlertRule.since))
    assert since == datetime.fromtimestamp((NOW_MS - STARTING_MS) / 1000, timezone.utc)
    assert [row[3] for row in kept(store)[0]] == [True, True]


def test_what_happens_while_the_app_starts_is_told(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    one = process(store, **MAIL, smtp_port="25")
    one.now_ms = now_ms
    one.__post_init__()
    raise_(store, "pay")
    one.now_ms += 20_000
    one.alerts.keep_configured()
    one.alerts.decide()
    assert titles(store) == ["New exception: ValueError in shop.pay"]


def test_who_takes_over_says_its_own(store: Store) -> None:
    first, second = process(store, **MAIL, smtp_port="25"), process(store)
    first.alerts.keep_configured()
    second.alerts.keep_configured()
    first.alerts.keep_configured()
    assert not kept(store)[0][0][3]
    first.alerts.stop(0.0)
    first.alerts.keep_configured()
    assert kept(store)[0][0][3]


def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's certificate for localhost, in ca.pem too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    return context


def test_a_mail_server_with_starttls_gets_the_mail(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with mail_server(tls=context) as box:
        one = process(store, **MAIL, smtp_port=str(box.port))
        one.alerts.keep_configured()
        raise_(store, "pay")
        one.run()
        one.run()
    assert states(store) == [("sent", 1, 0, None)]
    assert sorted(str(mail["To"]) for mail in box.mails) == ["anna@example.org", "bob@example.org"]
    assert {str(mail["From"]) for mail in box.mails} == {"app@example.org"}
    assert all("ValueError" in str(mail["Subject"]) for mail in box.mails)
    assert box.encrypted == 2


def test_a_chat_gets_it_once(store: Store) -> None:
    with webhook() as hook:
        url = hook.url.replace("/hook", "/hooks/5f3a/Abc9")
        chat = {"alert_type": "chat", "chat_platform": "ROCKET_CHAT", "chat_webhook_url": url}
        one = process(store, alert_enabled=True, **chat)
        one.alerts.keep_configured()
        raise_(store, "pay")
        one.run()
        one.run()
    [told] = hook.accepted
    assert "New exception: ValueError in shop.pay" in told["text"]
    assert titles(store) == ["New exception: ValueError in shop.pay"]


def test_another_configuration_than_the_one_that_decided(store: Store) -> None:
    one, other = process(store, **MAIL, smtp_port="25"), process(store)
    one.alerts.keep_configured()
    raise_(store, "pay")
    one.alerts.decide()
    other.alerts.deliver(1)
    [(state, tries, _, error)] = states(store)
    assert (state, tries) == ("waiting", 1)
    assert "Start all processes with the same one" in (error or "")
