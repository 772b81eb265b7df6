"""What people do in the shop. Each journey is a generator that pauses at its ``yield``s."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from .client import Answer, Browser
from .goods import CATEGORIES, LIMITED_EVERY, NO_WEIGHT_EVERY, PASSWORD, PRODUCTS_PER_CATEGORY

PRODUCTS = len(CATEGORIES) * PRODUCTS_PER_CATEGORY
WORDS = ("tent", "boots", "quiet", "light", "Ember", "map", "kettle", "repaired", "rope")
PROBES = ("/wp-login.php", "/.env", "/admin.php", "/xmlrpc.php", "/api/v2/orders")

Journey = Callable[["Person"], Iterator[None]]


@dataclass
class Person:
    """Somebody who visits the shop. ``name`` is empty for those without an account."""

    name: str
    is_staff: bool
    browser: Browser
    #: The same account's program, which uses the API with a token.
    program: Browser
    dice: random.Random
    is_logged_in: bool = False
    orders: list[int] = field(default_factory=list)

    def product(self) -> int:
        """A product that can be shown and bought; some are asked for much more than others."""
        while True:
            number = 1 + int(PRODUCTS * self.dice.random() ** 2)
            if number % LIMITED_EVERY and number % NO_WEIGHT_EVERY:
                return number

    def log_in(self) -> None:
        if self.name and not self.is_logged_in:
            self.browser.get("/login")
            answer = self.browser.post("/login", name=self.name, password=PASSWORD)
            self.is_logged_in = answer.status == 200


def look_around(person: Person) -> Iterator[None]:
    browser, dice = person.browser, person.dice
    browser.get("/")
    browser.get("/static/shop.css")
    yield
    category = dice.choice(CATEGORIES)
    browser.get(f"/category/{category}?page={dice.randint(1, 3)}")
    browser.get(f"/static/pictures/{category}.svg")
    for _ in range(dice.randint(1, 4)):
        yield
        number = person.product()
        browser.get(f"/product/{number}")
        if dice.random() < 0.25:
            yield
            browser.get(f"/product/{number}/availability")


def find(person: Person) -> Iterator[None]:
    for _ in range(person.dice.randint(1, 3)):
        person.browser.get(f"/search?q={person.dice.choice(WORDS)}")
        yield
    person.browser.get(f"/product/{person.product()}")


def buy(person: Person) -> Iterator[None]:
    browser = person.browser
    person.log_in()
    yield
    for _ in range(person.dice.randint(1, 2)):
        number = person.product()
        browser.get(f"/product/{number}")
        yield
        browser.post("/basket", product=number, quantity=person.dice.randint(1, 2))
        yield
    browser.get("/checkout")
    yield
    declined = person.dice.random() < 0.06
    card = "4000 1234 5678 0000" if declined else "4000 1234 5678 9010"
    number = browser.post("/checkout", card=card).number()
    if number is not None and person.dice.random() < 0.4:
        yield
        browser.get("/account/orders")
        browser.get(f"/download/invoice/{number}.txt")


def use_api(person: Person) -> Iterator[None]:
    program = person.program
    program.get("/api/orders?limit=50")
    yield
    lines = [{"product": person.product(), "quantity": 1}]
    answer = program.send_json("POST", "/api/orders", {"lines": lines, "card": "1"})
    number = answer.number()
    if number is not None:
        yield
        program.get(f"/api/orders/{number}")
        if person.dice.random() < 0.2:
            yield
            program.send("DELETE", f"/api/orders/{number}")


def read_report(person: Person) -> Iterator[None]:
    person.log_in()
    person.browser.get(_follow(person.browser, "/report"))
    yield
    back = date.today().replace(day=1) - timedelta(days=30 * person.dice.randint(1, 9))
    person.browser.get(f"/report/{back.year}/{back.month}")


def take_price_list(person: Person) -> Iterator[None]:
    person.browser.get("/download/price-list.csv")
    yield


def go_wrong(person: Person) -> Iterator[None]:
    """One of the mistakes that people make."""
    browser, program = person.browser, person.program
    mistakes: list[Callable[[], Answer]] = [
        lambda: browser.post("/login", name=person.name or "anna", password="forgotten"),
        lambda: browser.get(f"/product/{PRODUCTS + person.dice.randint(1, 9)}"),
        lambda: browser.get(f"/product/{NO_WEIGHT_EVERY * person.dice.randint(1, 8)}"),
        lambda: browser.post("/basket", product="", quantity=1),
        lambda: program.send_json("POST", "/api/orders", {"lines": "a tent"}),
        lambda: program.send_json(
            "POST", "/api/orders", {"lines": [{"product": LIMITED_EVERY, "quantity": 1}]}
        ),
        lambda: browser.get("/category/kayaks"),
    ]
    person.dice.choice(mistakes)()
    yield


def probe(person: Person) -> Iterator[None]:
    """A robot that looks for holes, and the one that asks whether the shop is up."""
    person.browser.get(person.dice.choice(PROBES))
    yield
    person.browser.get("/health")
    yield
    person.browser.post("/")
    yield
    person.browser.get("/api/status")


def tour(person: Person) -> Iterator[None]:
    """Ask for every route of the shop once, in a few seconds. For a member of the staff."""
    browser, program = person.browser, person.program
    pages = ["/", "/static/shop.css", "/health", "/api/status", "/category/maps", "/search?q=map"]
    pages += ["/product/3", "/product/3/availability", "/login", "/download/price-list.csv"]
    for page in pages:
        browser.get(page)
        yield
    browser.post("/logout")
    browser.post("/login", name=person.name, password=PASSWORD)
    browser.post("/basket", product=3, quantity=1)
    yield
    browser.get("/checkout")
    number = browser.post("/checkout", card="1").number()
    yield
    browser.get("/account/orders")
    browser.get(f"/download/invoice/{number}.txt")
    browser.get(_follow(browser, "/report"))
    yield
    program.get("/api/orders")
    lines = [{"product": 5, "quantity": 1}]
    number = program.send_json("POST", "/api/orders", {"lines": lines}).number()
    yield
    program.get(f"/api/orders/{number}")
    program.send("DELETE", f"/api/orders/{number}")
    person.is_logged_in = True


def empty_month(person: Person) -> Iterator[None]:
    """The report of a month without orders, which release 2.0 cannot make."""
    person.log_in()
    person.browser.get("/report/2020/1")
    yield


def _follow(browser: Browser, path: str) -> str:
    return browser.get(path).location or path


#: Who does what, and how often compared with the others.
VISITOR = {look_around: 5, find: 4, go_wrong: 1, take_price_list: 1}
CUSTOMER = {look_around: 4, find: 4, buy: 4, use_api: 2, go_wrong: 1, take_price_list: 1}
STAFF = {find: 2, read_report: 4, empty_month: 1, use_api: 2, look_around: 2}
ROBOT = {probe: 1}


def next_journey(person: Person, choices: dict[Journey, int]) -> Iterator[None]:
    """Draw what ``person`` does next."""
    journeys = list(choices)
    return person.dice.choices(journeys, weights=[choices[j] for j in journeys])[0](person)
