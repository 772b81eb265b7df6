from __future__ import annotations

import base64
import json
import time

import pytest

from fmd_admin.collect.redaction import CUT, MAX_JSON, MAX_VALUES, Redactor, words_of
from fmd_admin.collect.secret_texts import HIDDEN
from fmd_admin.settings import Settings

WORDS = words_of(Settings().redact)
SECRET = "hunter2-SECRET"


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(WORDS)


def kept(redactor: Redactor, key: str, text: str) -> str:
    return redactor.finish(redactor.value(key, text))


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PassWord2",
        "old_passwd",
        "client-secret",
        "access_token",
        "HTTP_X_ACCESS_TOKEN",
        "api_key",
        "sessionid",
        "csrfmiddlewaretoken",
        "Authorization",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_X_API_KEY",
        "SET_COOKIE",
        "HTTP_X_APIKEY",
        "AWS_CREDENTIALS",
        "user[password]",
    ],
)
def test_values_under_a_secrets_name_are_hidden(redactor: Redactor, key: str) -> None:
    assert kept(redactor, key, SECRET) == HIDDEN
    # Nor may they be elsewhere.
    assert kept(redactor, "note", f"it was {SECRET}!") == f"it was {HIDDEN}!"


@pytest.mark.parametrize("key", ["user", "HTTP_ACCEPT", "q", "HTTP_HOST"])
def test_other_values_stay(redactor: Redactor, key: str) -> None:
    assert kept(redactor, key, 'a=1&b=2, c: it\'s 100% "fine" <b>') == (
        'a=1&b=2, c: it\'s 100% "fine" <b>'
    )


def test_some_headers_are_secret_whatever_the_words_are() -> None:
    redactor = Redactor(())
    for key in ("Authorization", "HTTP_COOKIE2_", "X-Api-Key", "Proxy-Authorization", "Set-Cookie"):
        hidden = key != "HTTP_COOKIE2_"
        assert redactor.hides(key) is hidden
    assert redactor.value("password", "x") == "x"


def test_own_words() -> None:
    redactor = Redactor(words_of(" PIN, my_word ,,"))
    assert [redactor.hides(key) for key in ("Pin", "my-word", "MY_WORD", "password")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"token={SECRET}",
        f"a=1&token={SECRET}&b=2",
        f"TOKEN={SECRET}",
        f"token=abc,{SECRET}",
        f"token=abc;{SECRET}",
        f"token=it's-{SECRET}",
        f'token=a"{SECRET}',
        f"token=abc,d={SECRET}",
        f"token=a={SECRET}",
        f"a=1;token={SECRET}",
        f"%74oken={SECRET}",
        f"%2574oken={SECRET}",
        f"x=1&pass%77ord={SECRET}",
        f"next=%2Freset%3Ftoken%3D{SECRET}",
        f"next=%252Freset%253Ftoken%253D{SECRET}",
        f"next=https://u:{SECRET}@host/",
        f"next=https%3A%2F%2Fu%3A{SECRET}%40host%2F",
        f"payload=%7B%22password%22%3A%22{SECRET}%22%7D",
        f"a=b=token={SECRET}",
        f"user[token]={SECRET}",
    ],
)
def test_query_strings(redactor: Redactor, text: str) -> None:
    shown = redactor.finish(redactor.value("QUERY_STRING", text))
    assert SECRET not in shown
    assert HIDDEN in shown or "%5Bhidden%5D" in shown


def test_the_rest_of_a_query_stays(redactor: Redactor) -> None:
    assert redactor.value("QUERY_STRING", f"a=1&token={SECRET}&b=%C5%BE&c") == (
        f"a=1&token={HIDDEN}&b=%C5%BE&c"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"https://host/a?token={SECRET}",
        f"https://host/a?x=1&token={SECRET}#top",
        f"https://host/#access_token={SECRET}",
        f"https://host/a;jsessionid={SECRET}?x=1",
        f"https://anna:{SECRET}@host/a",
        f"postgresql://anna:p@{SECRET}@host/db",
        f"postgresql://anna:p/{SECRET}@host/db",
        f'Digest username="anna", session="a {SECRET}", x="1"',
        f"a=1; token={SECRET}; b=2",
        f"Bearer {SECRET}",
        f"basic {SECRET}",
        f'{{"user": "anna", "password": "{SECRET}"}}',
        f'[{{"a": {{"tokens": ["x", "{SECRET}"]}}}}]',
        f'cut {{"password": "{SECRET}", "a": ',
        f"cut {{'password': '{SECRET}'",
        f'cut {{"password": {{"a": "{SECRET}"}}}}',
    ],
)
def test_texts_with_secrets_in_them(redactor: Redactor, text: str) -> None:
    shown = redactor.finish(redactor.value("HTTP_REFERER", text))
    assert SECRET not in shown
    assert HIDDEN in shown or "%5Bhidden%5D" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"password: {SECRET}", "password: [hidden]"),
        (f"no, password : {SECRET} is wrong", "no, password : [hidden]"),
        (f"password = {SECRET}", "password = [hidden]"),
        (f"password:{SECRET}", "password:[hidden]"),
        (f"user: anna, password: {SECRET}, age: 7", "user: anna, password: [hidden], age: 7"),
        (f"a 'token: x {SECRET}' b", "a 'token: [hidden]"),
        (f"token: 'x, y: {SECRET}'", "token: [hidden]"),
        (f"Host: h\nX-Api-Key: {SECRET}\nAccept: a", "Host: h\nX-Api-Key: [hidden]\nAccept: a"),
        (f"Cookie: theme=dark; x={SECRET}", "Cookie: [hidden]"),
        (f'Authorization: Digest u="a", r="{SECRET}"', "Authorization: [hidden]"),
        (f"user[password]: {SECRET}", "user[password]: [hidden]"),
        (f"spring.password.old: {SECRET}", "spring.password.old: [hidden]"),
        (f"[('a', 'b'), ('password', '{SECRET}')]", "[('a', 'b'), ('password', \"[hidden]\")]"),
        (f"[(b'password', b'x {SECRET}')]", "[(b'password', \"[hidden]\")]"),
        (f"{{b'password': b'x {SECRET}'}}", "{b'password': \"[hidden]\"}"),
        (f"[('token', ['{SECRET}'])]", "[('token', \"[hidden]\""),
    ],
)
def test_sentences_with_secrets_in_them(redactor: Redactor, text: str, shown: str) -> None:
    assert redactor.finish(redactor.inside(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'user'",
        "TokenError: no user",
        "http://keycloak:8080/users",
        "auth-service:8000",
        "auth.py:12: no user",
        "/a?sort=key:asc&page=2",
        "key::text",
        "session not found: 12",
        "the key 'user' is not there",
    ],
)
def test_sentences_without_secrets_stay(redactor: Redactor, text: str) -> None:
    assert redactor.finish(redactor.inside(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}",
        f"password = {SECRET} for anna",
        f"('password', '{SECRET}')",
        f"Bearer {SECRET}",
        f"Basic {base64.b64encode(f'anna:{SECRET}'.encode()).decode()}",
    ],
)
def test_secrets_of_sentences_are_known_then(redactor: Redactor, text: str) -> None:
    redactor.inside(text)
    assert redactor.finish(f"again {SECRET}!") == f"again {HIDDEN}!"


def test_words_of_sentences_take_nothing_out_of_other_texts(redactor: Redactor) -> None:
    for text in ("invalid token: user", "missing key: 'user_id'", "Basic authentication failed"):
        redactor.inside(text)
    assert redactor.finish("user user_id authentication") == "user user_id authentication"


def test_json_web_tokens_show_what_they_are(redactor: Redactor) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    assert redactor.value("HTTP_X_IDENTITY", f"v1 {token};") == f"v1 {HIDDEN};"
    assert redactor.finish(f"again {token}") == f"again {HIDDEN}"


def test_cookies_keep_their_names(redactor: Redactor) -> None:
    shown = redactor.value("HTTP_COOKIE", f'a="{SECRET}"; theme=dark; bare-{SECRET}')
    assert shown == f"a={HIDDEN}; theme={HIDDEN}; {HIDDEN}"
    assert redactor.finish(f"dark {SECRET}") == f"{HIDDEN} {HIDDEN}"


def test_the_password_of_basic_authorization_is_known_then(redactor: Redactor) -> None:
    code = base64.b64encode(f"anna:{SECRET}".encode()).decode()
    assert redactor.value("HTTP_AUTHORIZATION", f"Basic {code}") == HIDDEN
    assert redactor.finish(f"{code} {SECRET}") == f"{HIDDEN} {HIDDEN}"
    assert redactor.value("HTTP_AUTHORIZATION", "Basic \x00é") == HIDDEN


@pytest.mark.parametrize(
    "written",
    [
        "p%C3%A4ss%20w%2Ford%2B%22",
        "p%c3%a4ss%20w%2ford%2b%22",
        "%70%C3%A4ss+w%2Ford%2B%22",
        "p%25C3%25A4ss%2520w%252Ford%252B%2522",
        'päss w/ord+"'.encode().decode("latin-1"),
        'päss w/ord+\\"',
        'p\\u00e4ss w/ord+\\"',
    ],
)
def test_a_secret_is_found_however_it_is_written(redactor: Redactor, written: str) -> None:
    redactor.value("password", 'päss w/ord+"')
    shown = redactor.finish(f"x {written} y")
    assert written not in shown
    assert HIDDEN in shown


def test_text_with_percent_signs_stays(redactor: Redactor) -> None:
    redactor.value("password", SECRET)
    assert redactor.finish("100%25 a+b %zz") == "100%25 a+b %zz"


def test_short_and_common_values_take_nothing_out_of_other_texts(redactor: Redactor) -> None:
    for value in ("", "1", "abc", "true", "None", "Basic"):
        assert redactor.value("token", value) == HIDDEN
    assert redactor.finish("abc true None Basic 1") == "abc true None Basic 1"


def test_a_secret_at_the_cut_is_not_kept_in_part(redactor: Redactor) -> None:
    redactor.value("token", SECRET)
    for start in range(95, 100):
        shown = redactor.finish("x" * start + SECRET, 100)
        assert len(shown) == 100
        assert "h" not in shown.replace(HIDDEN[: 100 - start], "")


def test_a_long_secret_is_found_by_its_beginning(redactor: Redactor) -> None:
    secret = "".join(chr(97 + number % 26) for number in range(5_000))
    redactor.value("token", secret)
    assert redactor.finish(f"a {secret} b") == f"a {HIDDEN}"
    assert redactor.finish("b" + secret[:50]) == "b" + secret[:50]


def test_with_too_many_secrets_only_names_are_kept(redactor: Redactor) -> None:
    shown = redactor.values([(f"token{i}", f"secret-number-{i}") for i in range(1_000)])
    assert set(shown) == {f"token{i}" for i in range(100)}
    assert redactor.finish("secret-number-999") == HIDDEN


def test_values_are_capped_and_all_are_looked_at(redactor: Redactor) -> None:
    pairs = [(f"k{i}x", "v") for i in range(150)] + [("token", SECRET)]
    shown = redactor.values(pairs)
    # "k0x" has no secret's name; there was no room for the token.
    assert len(shown) == 100
    assert "token" not in shown
    assert redactor.finish(SECRET) == HIDDEN
    many = redactor.values([("a", str(i)) for i in range(1_000)])
    assert len(many["a"]) == MAX_VALUES


def test_several_values_of_a_key(redactor: Redactor) -> None:
    assert redactor.values([("a", "1"), ("token", SECRET), ("a", "2"), ("token", "x")]) == {
        "a": ["1", "2"],
        "token": [HIDDEN, HIDDEN],
    }


def test_json(redactor: Redactor) -> None:
    data = {
        "user": {"name": "anna", "Password": SECRET, "confirm": SECRET},
        "tokens": [1234567, {"deep": [SECRET]}, None, True],
        "items": [{"api_key": "k" * 20, "number": 1234567}, 3, None, True],
        "url": f"/x?token={SECRET}",
    }
    shown = json.loads(redactor.finish_json(redactor.json(data)))
    assert shown == {
        "user": {"name": "anna", "Password": HIDDEN, "confirm": HIDDEN},
        "tokens": [HIDDEN, {"deep": [HIDDEN]}, HIDDEN, HIDDEN],
        "items": [{"api_key": HIDDEN, "number": HIDDEN}, 3, None, True],
        "url": f"/x?token={HIDDEN}",
    }


def test_json_with_quotes_and_letters_of_the_world(redactor: Redactor) -> None:
    secret = 'pä"ss\\word'
    shown = redactor.finish_json(redactor.json({"password": secret, "again": f"<{secret}>"}))
    assert json.loads(shown) == {"password": HIDDEN, "again": f"<{HIDDEN}>"}


def test_half_characters_do_no_harm(redactor: Redactor) -> None:
    shown = redactor.finish_json(redactor.json({"token": "\ud800abcd", "x": "\ud800", "\udfff": 1}))
    assert json.loads(shown) == {"token": HIDDEN, "x": "?", "?": 1}
    assert redactor.finish(redactor.inside("a%41=\ud800&token=\udfffabcd")) == (
        f"a%41=?&token={HIDDEN}"
    )


def test_deep_and_large_json_is_cut(redactor: Redactor) -> None:
    deep: object = SECRET
    for _ in range(900):
        deep = [deep]
    shown = redactor.finish_json(redactor.json({"a": deep, "password": deep}))
    assert CUT in shown
    assert SECRET not in shown
    large = redactor.finish_json(redactor.json(["x" * 10] * 100_000))
    assert len(large) <= MAX_JSON


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('password = "x y"', 'password = "[hidden]"'),
        ("connect(user='u', password='x')", "connect(user='u', password=\"[hidden]\")"),
        ('h = {"Authorization": "Bearer x"}', 'h = {"Authorization": "[hidden]"}'),
        ('token: str = f"x"', 'token: str = "[hidden]"'),
        ('get(u, auth=("anna", "x"))', 'get(u, auth=("[hidden]"))'),
        ('os.environ["DB_PASSWORD"] = "x"', 'os.environ["DB_PASSWORD"] = "[hidden]"'),
        ('SECRET = """x', 'SECRET = "[hidden]"'),
        ('if password == "x":', 'if password == "[hidden]":'),
        ('open("db://u:x@h/")', 'open("db://[hidden]@h/")'),
        ('token = request.args.get("token")', 'token = request.args.get("token")'),
        ('sorted(a, key=lambda r: r["n"])', 'sorted(a, key=lambda r: r["n"])'),
        ('session["user"] = "anna"', 'session["user"] = "anna"'),
        ("rows = db.session.scalars(stmt).all()", "rows = db.session.scalars(stmt).all()"),
    ],
)
def test_lines_of_code(redactor: Redactor, line: str, shown: str) -> None:
    assert redactor.source(line) == shown


PIECES = (
    'a|=a|//a:b|"|\'"|-eyJ|%41|a=%41&|;| a|token=a;|{|{"a":|bearer |token="|%25|a=|%2525252541|'
    "token=|\\|'a':|eyJaaaa.|@//:|token: |key : |a, |a:|('token', |('a', |password = 'a "
    "|key:a\n|a.a[|Cookie: |token: a; |token: a, b: "
)


@pytest.mark.parametrize("piece", PIECES.split("|"))
def test_no_text_holds_up_a_request(redactor: Redactor, piece: str) -> None:
    # No figure of this machine: 16 times the text may take 16 times as long, and not 256 times.
    def least_s(length: int) -> float:
        text = (piece * length)[:length]
        times = []
        for _ in range(3):
            start = time.thread_time()
            redactor.inside(text)
            times.append(time.thread_time() - start)
        return min(times)

    assert least_s(16_000) < 64 * max(least_s(1_000), 20e-6)
