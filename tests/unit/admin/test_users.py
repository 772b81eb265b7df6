"""The page Users: list, create, change, and the admin that has to remain."""

from __future__ import annotations

import pytest

from fmd_admin.store.accounts import Account, accounts, create_user

from ...support import Bound
from .browser import PASSWORD, Browser


def stored(bound: Bound) -> dict[str, Account]:
    with bound.monitor.store.read() as connection:
        return {account.username: account for account in accounts(connection)}


def test_list_shows_everybody(anna: Browser) -> None:
    page = anna.get("/users")
    assert page.status_code == 200
    assert ">anna</a>" in page.text
    assert ">vera</a>" in page.text
    assert ">you<" in page.text


def test_user_is_created_and_can_log_in(bound: Bound, anna: Browser) -> None:
    form = {"username": "ben", "role": "viewer", "password": "another horse"}
    answer = anna.post("/users/new", form)
    assert answer.status_code == 303
    assert "User ben is created" in anna.get("/users").text
    assert stored(bound)["ben"].role == "viewer"
    assert Browser(bound.app).login("ben", "another horse").status_code == 303


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"username": "vera"}, "There is a user &#39;vera&#39; already"),
        ({"username": ""}, "Enter a user name"),
        ({"username": "a\u202eb"}, "printable"),
        ({"password": "benjamin"}, "The password is the user name"),
        ({"password": "x"}, "too short"),
        ({"role": "root"}, "Not a valid choice"),
    ],
)
def test_user_that_is_not_created(
    bound: Bound, anna: Browser, form: dict[str, str], message: str
) -> None:
    good = {"username": "benjamin", "role": "viewer", "password": "another horse"}
    answer = anna.post("/users/new", {**good, **form})
    assert answer.status_code == 400
    assert message in answer.text
    assert set(stored(bound)) == {"anna", "vera"}


def test_role_password_and_state_are_changed(bound: Bound, anna: Browser, vera: Browser) -> None:
    path = f"/users/{stored(bound)['vera'].id}"
    assert "checked" in anna.get(path).text
    form = {"role": "viewer", "active": "y", "password": ""}
    assert anna.post(path, form).status_code == 303
    assert vera.is_in()
    assert anna.post(path, {**form, "password": "another horse"}).status_code == 303
    assert not vera.is_in()
    assert vera.login("vera", "another horse").status_code == 303
    assert anna.post(path, {**form, "role": "admin"}).status_code == 303
    assert not vera.is_in()
    assert anna.post(path, {"role": "admin"}).status_code == 303
    assert "not active" in anna.get("/users").text
    assert vera.login("vera", "another horse").status_code == 401
    # Left out of the form, the password stays.
    assert anna.post(path, {"role": "admin", "active": "y"}).status_code == 303
    assert vera.login("vera", "another horse").status_code == 303


def test_bad_password_changes_nothing_else(bound: Bound, anna: Browser) -> None:
    before = stored(bound)["vera"]
    answer = anna.post(f"/users/{before.id}", {"role": "admin", "active": "y", "password": "x"})
    assert answer.status_code == 400
    assert "too short" in answer.text
    assert stored(bound)["vera"] == before


@pytest.mark.parametrize("form", [{"role": "admin"}, {"role": "viewer", "active": "y"}])
def test_last_admin_remains(bound: Bound, anna: Browser, form: dict[str, str]) -> None:
    before = stored(bound)["anna"]
    answer = anna.post(f"/users/{before.id}", form)
    assert answer.status_code == 400
    assert "Make another user admin first" in answer.text
    assert stored(bound)["anna"].session_key == before.session_key
    assert anna.is_in()


def test_own_account_is_changed_without_logging_out(bound: Bound, anna: Browser) -> None:
    elsewhere = Browser(bound.app)
    elsewhere.login("anna")
    form = {"role": "admin", "active": "y", "password": "another horse"}
    assert anna.post(f"/users/{stored(bound)['anna'].id}", form).status_code == 303
    assert anna.is_in()
    assert not elsewhere.is_in()


def test_admin_may_step_down_if_another_remains(bound: Bound, anna: Browser) -> None:
    create_user(bound.monitor.store, "ben", PASSWORD, "admin")
    form = {"role": "viewer", "active": "y"}
    answer = anna.post(f"/users/{stored(bound)['anna'].id}", form)
    assert answer.status_code == 303
    assert anna.is_in()
    assert anna.get("/users").status_code == 403


def test_users_that_are_not_there(anna: Browser) -> None:
    assert anna.get("/users/99").status_code == 404
    assert anna.post("/users/99", {"role": "viewer"}).status_code == 404
    assert anna.get("/users/x").status_code == 404


def test_hostile_name_is_inert(bound: Bound, anna: Browser) -> None:
    name = '"><script>alert(1)</script>'
    create_user(bound.monitor.store, name, PASSWORD, "viewer")
    account = stored(bound)[name]
    for path in ("/users", f"/users/{account.id}"):
        assert "<script>alert" not in anna.get(path).text
        assert "&lt;script&gt;alert(1)" in anna.get(path).text
    browser = Browser(bound.app)
    browser.login(name)
    assert "<script>alert" not in browser.get("/overview").text
