"""The recipes of docs/security.md with the real libraries: an admin, a plain user, nobody."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fmd_admin.extension import of

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
Recipe = Callable[[str], Flask]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recipe]:
    """Run the block of the page that has a text in it; return its app."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMD_USERNAME", "anna")
    monkeypatch.setenv("FMD_PASSWORD", "correct horse")
    made: list[Flask] = []

    def run(text: str) -> Flask:
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        [code] = [block for block in blocks if text in block]
        names: dict[str, Any] = {"__name__": "recipe"}
        with warnings.catch_warnings():
            # What their libraries are told is deprecated.
            warnings.simplefilter("ignore")
            exec(code, names)
        made.append(names["app"])
        return made[-1]

    yield run
    for app in made:
        of(app).close()
        if "sqlalchemy" in app.extensions:
            with app.app_context():
                app.extensions["sqlalchemy"].engine.dispose()


def test_flask_login(recipe: Recipe) -> None:
    app = recipe("flask_login")
    client = app.test_client()
    assert is_asked(client)
    client.post("/login/anna")
    page = client.get("/dashboard/users")
    assert page.status_code == 200
    assert 'aria-label="Account anna"' in page.text
    client.post("/logout")
    assert is_asked(client)
    client.post("/login/paul")
    assert client.get("/dashboard/overview").status_code == 403
    monitor = of(app)
    monitor.recorder.flush()
    assert monitor.faults.total() == 0


def is_asked(client: FlaskClient) -> bool:
    answer = client.get("/dashboard/users")
    return answer.status_code == 302 and answer.location.startswith("/dashboard/login")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_flask_security(recipe: Recipe) -> None:
    app = recipe("flask_security")
    client = app.test_client()
    assert is_asked(client)
    for email, status in (("paul@example.org", 403), ("anna@example.org", 200)):
        client = app.test_client()
        login(client, email)
        assert client.get("/dashboard/users").status_code == status
    assert "anna@example.org" in client.get("/dashboard/overview").text
    assert client.post("/logout").status_code == 302
    assert is_asked(client)


def login(client: FlaskClient, email: str) -> None:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
    assert found is not None
    form = {"email": email, "password": "correct horse", "csrf_token": found[1]}
    answer = client.post("/login", data=form)
    assert answer.status_code == 302, answer.text


@pytest.mark.parametrize(
    ("address", "name", "status"),
    [
        ("127.0.0.1", "anna", 200),
        ("10.9.8.7", "anna", 200),
        ("127.0.0.1", "vera", 403),
        ("127.0.0.1", "paul", 403),
        ("127.0.0.1", None, 302),
        ("192.0.2.7", "anna", 302),
    ],
)
def test_a_proxys_header(recipe: Recipe, address: str, name: str | None, status: int) -> None:
    client = recipe("header_auth").test_client()
    headers = {"X-Remote-User": name} if name else {}
    answer = client.get("/dashboard/users", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    if name == "vera":
        page = client.get("/dashboard/overview", headers=headers)
        assert page.status_code == 200
