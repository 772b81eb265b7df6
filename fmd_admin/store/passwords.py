"""Which usernames and passwords are allowed, and why others are not."""

from __future__ import annotations

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 256
LONGEST_USERNAME = 64

#: Passwords that everybody tries first. Longer variants with digits at the end count as well.
_WELL_KNOWN = frozenset(
    {
        "1q2w3e4r",
        "1q2w3e4r5t",
        "1qaz2wsx",
        "a1b2c3d4",
        "aa123456",
        "abc12345",
        "abcd1234",
        "abcdefgh",
        "admin",
        "adminadmin",
        "administrator",
        "asdfghjk",
        "asdfghjkl",
        "baseball",
        "change",
        "changeit",
        "changeme",
        "computer",
        "dashboard",
        "default",
        "dragon",
        "flask",
        "flaskadmin",
        "flask-admin",
        "fmd",
        "fmd_admin",
        "fmdadmin",
        "football",
        "guest",
        "hello",
        "iloveyou",
        "internet",
        "letmein",
        "login",
        "master",
        "monitor",
        "monitoring",
        "monkey",
        "p@ssw0rd",
        "p@ssword",
        "pass",
        "passw0rd",
        "password",
        "princess",
        "q1w2e3r4",
        "qazwsxedc",
        "qwer",
        "qwerty",
        "qwertyui",
        "qwertyuiop",
        "root",
        "secret",
        "starwars",
        "sunshine",
        "superman",
        "superuser",
        "test",
        "testtest",
        "trustno1",
        "user",
        "welcome",
        "whatever",
        "zaq12wsx",
        "zxcvbnm",
    }
)
_DIGITS_UP = "01234567890123456789"


def username_problem(username: str) -> str | None:
    """Return why ``username`` is not allowed, with the mend, or None."""
    if (
        not 1 <= len(username) <= LONGEST_USERNAME
        or username != username.strip()
        or not username.isprintable()
    ):
        return (
            f"A user name has 1 to {LONGEST_USERNAME} printable characters and no blank at "
            "either end."
        )
    return None


def password_problem(username: str, password: str) -> str | None:
    """Return why ``password`` is not allowed for ``username``, with the mend, or None."""
    if len(password) < SHORTEST_PASSWORD:
        return f"This password is too short. Use at least {SHORTEST_PASSWORD} characters."
    if _is_well_known(password):
        return "This password is one of those that are tried first. Choose another one."
    if len(password) > LONGEST_PASSWORD:
        return f"This password is too long. Use at most {LONGEST_PASSWORD} characters."
    if password.casefold() == username.casefold():
        return "The password is the user name. Choose another one."
    return None


def _is_well_known(password: str) -> bool:
    folded = password.casefold()
    if len(set(folded)) <= 2:
        return True
    if folded.isdigit() and (folded in _DIGITS_UP or folded[::-1] in _DIGITS_UP):
        return True
    return folded in _WELL_KNOWN or folded.rstrip("0123456789!.") in _WELL_KNOWN
