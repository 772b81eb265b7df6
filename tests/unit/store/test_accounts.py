"""Accounts: passwords, roles, the last admin, throttled logins, the first start."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.security import check_password_hash, generate_password_hash

from fmd_admin import settings
from fmd_admin.errors import AccountError, SettingsError
from fmd_admin.store import accounts as accounts_module
from fmd_admin.store import schema, throttle
from fmd_admin.store.accounts import (
    Account,
    Credentials,
    Throttled,
    accounts,
    authenticate,
    create_user,
    find,
    first_start,
    update_user,
)
from fmd_admin.store.models import LoginFailure, User
from fmd_admin.store.passwords import password_problem, username_problem
from fmd_admin.store.store import Store

from ...cheap_hashes import use_cheap_hashes
from ...support import new_store

GOOD = "correct horse"
NOW = 1_800_000_000_000
real_nobody = accounts_module._NOBODY
ADDRESS = "203.0.113.7"


def login(store: Store, password: str, now_ms: int = NOW, **values: Any) -> Any:
    name = values.get("username", "anna")
    return authenticate(store, name, password, values.get("address", ADDRESS), now_ms)


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cheap_hashes(monkeypatch)


@pytest.fixture
def anna(store: Store) -> Account:
    return create_user(store, "anna", GOOD, "admin")


def test_created_user_can_log_in_and_is_listed(store: Store, anna: Account) -> None:
    assert anna.last_login is None
    found = login(store, GOOD)
    assert isinstance(found, Account)
    assert (found.username, found.role, found.active) == ("anna", "admin", True)
    with store.read() as connection:
        assert [a.username for a in accounts(connection)] == ["anna"]
        again = find(connection, anna.id)
        stored = connection.scalar(select(User.password_hash))
    assert again is not None
    assert again.last_login is not None
    assert stored is not None
    assert GOOD not in stored


def test_wrong_unknown_and_deactivated_are_refused_alike(store: Store, anna: Account) -> None:
    ben = create_user(store, "ben", GOOD, "viewer")
    update_user(store, ben.id, active=False)
    assert login(store, "wrong horse") is None
    assert login(store, GOOD, username="nobody") is None
    assert login(store, GOOD, username="ben") is None
    assert login(store, GOOD, username="an\0na", address=None) is None
    assert login(store, GOOD, username="", address=None) is None
    assert login(store, "x" * 100_000, address=None) is None


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "admin",
        "Password",
        "password123",
        "12345678",
        "87654321",
        "aaaaaaaa",
        "changeme",
        "Adminadmin",
        "FMD_admin2026!",
        "anna-the-admin",
        "x" * 257,
    ],
)
def test_weak_passwords_are_refused_with_the_mend(store: Store, password: str) -> None:
    with pytest.raises(AccountError, match=r"Choose another|Use at (least|most)"):
        create_user(store, "anna-the-admin", password, "viewer")


@pytest.mark.parametrize("password", [GOOD, "Tr0ub4dor&3", "пароль-из-слов", "9" * 5 + "abcd8"])
def test_good_passwords_are_allowed(password: str) -> None:
    assert password_problem("anna", password) is None


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\0b", " a", "\u202eanna"])
def test_usernames_that_are_refused(name: str) -> None:
    assert username_problem(name)


def test_username_is_taken_in_any_case(store: Store, anna: Account) -> None:
    with pytest.raises(AccountError, match="already"):
        create_user(store, "ANNA", GOOD, "viewer")
    with pytest.raises(AccountError, match="Role 'root'"):
        create_user(store, "ben", GOOD, "root")


def test_session_key_changes_with_password_role_and_state(store: Store, anna: Account) -> None:
    ben = create_user(store, "ben", GOOD, "viewer")
    keys = [ben.session_key]
    keys.append(update_user(store, ben.id, password="another horse").session_key)
    keys.append(update_user(store, ben.id, role="admin").session_key)
    keys.append(update_user(store, ben.id, active=False).session_key)
    keys.append(update_user(store, ben.id, active=True).session_key)
    assert len(set(keys)) == 5
    assert update_user(store, ben.id, role="admin", active=True).session_key == keys[-1]
    assert login(store, GOOD, username="ben") is None
    assert isinstance(login(store, "another horse", username="ben"), Account)


def test_user_that_is_gone(store: Store) -> None:
    with pytest.raises(AccountError, match="does not exist"):
        update_user(store, 99, role="viewer")


@pytest.mark.parametrize("change", [{"active": False}, {"role": "viewer"}])
def test_last_admin_stays(store: Store, anna: Account, change: dict[str, Any]) -> None:
    create_user(store, "ben", GOOD, "viewer")
    with pytest.raises(AccountError, match="last active admin"):
        update_user(store, anna.id, **change)
    with store.read() as connection:
        assert find(connection, anna.id) == anna


def in_parallel(*tasks: Callable[[], Any]) -> list[Any]:
    """Run the tasks at the same time; give what each returned or raised."""
    barrier = threading.Barrier(len(tasks))
    results: list[Any] = [None] * len(tasks)

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = tasks[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_admins_cannot_deactivate_each_other_at_once(store: Store, anna: Account) -> None:
    ben = create_user(store, "ben", GOOD, "admin")
    results = in_parallel(
        lambda: update_user(store, anna.id, active=False),
        lambda: update_user(store, ben.id, role="viewer"),
    )
    assert sum(isinstance(r, Account) for r in results) == 1
    assert sum(isinstance(r, AccountError) for r in results) == 1
    with store.read() as connection:
        assert sum(a.active and a.is_admin for a in accounts(connection)) == 1


def test_same_name_at_once_is_made_once(store: Store) -> None:
    results = in_parallel(*[lambda: create_user(store, "ben", GOOD, "viewer")] * 4)
    assert sum(isinstance(r, Account) for r in results) == 1
    assert sum(isinstance(r, AccountError) for r in results) == 3


def test_unknown_names_cost_as_much_as_known_ones() -> None:
    """Both are hashed with the same parameters: those of werkzeug's default."""
    nobody = real_nobody.rsplit("$", 2)[0]
    assert generate_password_hash("x").startswith(nobody + "$")
    assert not check_password_hash(real_nobody, "x")


# Throttling


def test_waits_grow_and_end_at_a_few_minutes() -> None:
    waits = [throttle.wait_ms(n, throttle.LIMITS["pair"]) for n in range(30)]
    assert waits[:6] == [0, 0, 0, 0, 0, 2_000]
    assert all(b == min(2 * a, 300_000) for a, b in pairwise(waits[5:]))
    assert waits[-1] == 300_000


def test_five_wrong_passwords_slow_the_login_down(store: Store, anna: Account) -> None:
    for _ in range(5):
        assert login(store, "wrong horse") is None
    held = login(store, GOOD)
    assert held == Throttled(NOW + 2_000)
    # Trying on does not lengthen the wait.
    assert login(store, GOOD, NOW + 1_000) == Throttled(NOW + 2_000)
    assert isinstance(login(store, GOOD, NOW + 2_000), Account)
    assert login(store, "wrong horse", NOW + 2_001, address="198.51.100.1") is None
    assert isinstance(login(store, GOOD, NOW + 2_002, address="198.51.100.1"), Account)


def test_wait_doubles_with_each_failure(store: Store, anna: Account) -> None:
    now = NOW
    for _ in range(5):
        login(store, "wrong horse", now)
    waits = []
    for _ in range(9):
        held = login(store, GOOD, now)
        assert isinstance(held, Throttled)
        waits.append(held.until_ms - now)
        now = held.until_ms
        assert login(store, "wrong horse", now) is None
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]


def test_throttle_holds_over_two_stores_on_one_file(
    store: Store, anna: Account, tmp_path: Path
) -> None:
    other = new_store(tmp_path)
    try:
        for index in range(5):
            assert login(store if index % 2 else other, "wrong horse") is None
        assert isinstance(login(store, GOOD), Throttled)
        assert isinstance(login(other, GOOD), Throttled)
    finally:
        other.close()


def test_one_address_cannot_try_many_names(store: Store, anna: Account) -> None:
    for number in range(throttle.LIMITS["address"].free_tries):
        assert login(store, GOOD, username=f"name{number}") is None
    held = login(store, GOOD)
    assert isinstance(held, Throttled)
    assert isinstance(login(store, GOOD, address="198.51.100.1"), Account)


def test_nobody_locks_somebody_else_out(store: Store, anna: Account) -> None:
    """Wrong passwords from many addresses do not keep the right one out, up to a high limit."""
    for number in range(50):
        assert login(store, "guess again", address=f"198.51.100.{number}") is None
    assert isinstance(login(store, GOOD), Account)


def test_many_addresses_together_are_slowed_down(store: Store, anna: Account) -> None:
    for number in range(throttle.LIMITS["user"].free_tries):
        assert login(store, "guess again", address=f"198.51.{number}.1") is None
    assert isinstance(login(store, "guess again", address="203.0.113.99"), Throttled)


def test_ones_own_password_is_counted_for_itself(store: Store, anna: Account) -> None:
    for _ in range(6):
        login(store, "guess again")
    assert isinstance(login(store, GOOD), Throttled)
    assert isinstance(authenticate(store, "anna", GOOD, "203.0.113.7", NOW, own=True), Account)
    for _ in range(5):
        assert authenticate(store, "anna", "guess again", None, NOW, own=True) is None
    assert isinstance(authenticate(store, "anna", GOOD, None, NOW, own=True), Throttled)


def test_waiting_tries_leave_no_rows(store: Store, anna: Account) -> None:
    for number in range(throttle.LIMITS["address"].free_tries):
        login(store, GOOD, username=f"name{number}")
    with store.read() as connection:
        before = connection.scalar(select(func.count()).select_from(LoginFailure))
    for number in range(20):
        assert isinstance(login(store, GOOD, username=f"more{number}"), Throttled)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LoginFailure)) == before


def test_own_logins_do_not_clear_the_address(store: Store, anna: Account) -> None:
    """Who has an account must not reset the count by logging in between guesses."""
    create_user(store, "mallory", GOOD, "viewer")
    for number in range(throttle.LIMITS["address"].free_tries):
        assert login(store, "guess again", username=f"name{number}") is None
        if number % 10 == 0:
            assert isinstance(login(store, GOOD, username="mallory"), Account)
    assert isinstance(login(store, GOOD, username="mallory"), Throttled)


def test_many_tries_at_once_do_not_slip_through(store: Store, anna: Account) -> None:
    results = in_parallel(*[lambda: login(store, "wrong horse")] * 12)
    assert sum(r is None for r in results) == 5
    assert sum(isinstance(r, Throttled) for r in results) == 7


def test_failures_are_forgotten_after_a_while(store: Store, anna: Account) -> None:
    for _ in range(5):
        login(store, "wrong horse")
    later = NOW + throttle.FORGET_AFTER_MS
    assert login(store, "wrong horse", later) is None
    assert isinstance(login(store, GOOD, later), Account)


def test_clock_that_was_set_back_does_not_lock_out(store: Store, anna: Account) -> None:
    for _ in range(5):
        login(store, "wrong horse", NOW)
    held = login(store, GOOD, NOW - 86_400_000)
    assert isinstance(held, Throttled)
    assert held.until_ms <= NOW - 86_400_000 + 2_000


def test_names_of_unknown_users_are_not_kept(store: Store, anna: Account) -> None:
    """A password typed into the wrong field must not end up in the table; old rows go."""
    login(store, "x", username="my secret password")
    with store.read() as connection:
        subjects = connection.scalars(select(LoginFailure.subject)).all()
    assert len(subjects) == 3
    assert not any("secret" in subject for subject in subjects)
    login(store, "x", NOW + throttle.KEEP_MS + 1, username="other", address="198.51.100.1")
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LoginFailure)) == 3


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.7", "address:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
        ("::ffff:203.0.113.7", "address:203.0.113.7"),
        ("203.0.113.7:5123", "address:203.0.113.7"),
        ("[2001:db8:1:2::5]:5123", "address:2001:db8:1:2::/64"),
        (None, "address:unknown"),
        ("", "address:unknown"),
        ("unix:", "address:unknown"),
    ],
)
def test_subject_of_an_address(address: str | None, subject: str) -> None:
    assert throttle.address_subject(address) == subject


# First start


def values(**code: Any) -> settings.Settings:
    return settings.load(environ={}, code=code).values


def test_first_start_gives_a_password_once(store: Store) -> None:
    given = first_start(store, values(), False)
    assert isinstance(given, Credentials)
    assert given.username == "admin"
    assert first_start(store, values(), False) is None
    found = login(store, given.password, username="admin")
    assert isinstance(found, Account)
    assert found.is_admin


def test_processes_that_start_at_once_make_one_login(tmp_path: Path) -> None:
    stores = [new_store(tmp_path) for _ in range(6)]
    schema.migrate(stores[0])
    try:
        given = in_parallel(*[lambda s=s: first_start(s, values(), False) for s in stores])
        found = [g for g in given if g is not None]
        assert len(found) == 1, given
        account = login(stores[0], found[0].password, username="admin")
        assert isinstance(account, Account)
    finally:
        for store in stores:
            store.close()


def test_first_start_with_a_login_from_the_settings(store: Store) -> None:
    assert first_start(store, values(username="anna", password=GOOD), False) is None
    assert isinstance(login(store, GOOD), Account)


@pytest.mark.parametrize(
    "code",
    [
        {"username": "admin", "password": "admin"},
        {"password": "password"},
        {"username": "bernadette", "password": "bernadette"},
    ],
)
def test_weak_login_in_the_settings_stops_the_start(store: Store, code: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="remove USERNAME and PASSWORD") as raised:
        first_start(store, values(**code), False)
    assert "bernadette" not in str(raised.value)
    with store.read() as connection:
        assert accounts(connection) == []


def test_weak_login_is_refused_with_users_there_too(store: Store, anna: Account) -> None:
    """It may be the login that was made while debugging."""
    with pytest.raises(SettingsError):
        first_start(store, values(username="admin", password="admin"), False)


def test_weak_login_is_allowed_in_debug_with_a_warning(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fmd_admin"):
        assert first_start(store, values(username="admin", password="admin"), True) is None
    assert "weak password" in caplog.text
    assert isinstance(login(store, "admin", username="admin"), Account)


def test_bad_username_in_the_settings_stops_the_start(store: Store) -> None:
    with pytest.raises(SettingsError, match="USERNAME"):
        first_start(store, values(username="x" * 70), False)
