"""A real HTTP server and a real SMTP server that note what they get."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Hook:
    """What a webhook got; the first ``failures`` calls are answered with 503."""

    url: str = ""
    failures: int = 0
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The alerts of the calls that were answered with 200."""
        return [json.loads(body) for headers, body in self.calls if headers["answer"] == "200"]


@contextmanager
def webhook(failures: int = 0) -> Iterator[Hook]:
    hook = Hook(failures=failures)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                status = 503 if len(hook.calls) < hook.failures else 200
                hook.calls.append(({**self.headers, "answer": str(status)}, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    """What an SMTP server got; the first ``failures`` mails are refused."""

    port: int = 0
    failures: int = 0
    refused: int = 0
    encrypted: int = 0
    mails: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server(failures: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Without ``tls`` it knows no STARTTLS, with it it asks for it."""
    box = Mailbox(failures=failures)

    class Handler:
        async def handle_DATA(self, _server: SMTP, session: Session, mail: Envelope) -> str:
            if box.refused < box.failures:
                box.refused += 1
                return "451 try again later"
            content = mail.content if isinstance(mail.content, bytes) else b""
            found = message_from_bytes(content, policy=policy.default)
            assert isinstance(found, EmailMessage)
            box.mails.append(found)
            box.encrypted += session.ssl is not None
            return "250 OK"

    # It takes no port 0: it looks there whether it is up.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box.port = probe.getsockname()[1]
    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=box.port,
        tls_context=tls,
        require_starttls=tls is not None,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
