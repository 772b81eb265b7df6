"""The made-up goods, customers, reviews and orders that the shop opens with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta

CATEGORIES = ("tents", "packs", "stoves", "boots", "lamps", "maps")

#: Name, is staff. Everybody's password is PASSWORD.
CUSTOMERS = (
    ("anna", True),
    ("bart", False),
    ("chidi", False),
    ("dora", False),
    ("emil", False),
    ("farah", False),
    ("goro", False),
    ("hanna", False),
)
PASSWORD = "outdoor-2026"

PRODUCTS_PER_CATEGORY = 40
REVIEWS = 20_000
ORDERS = 4_000
MONTHS_OF_ORDERS = 12

#: Every so many products one has no weight yet, and one is sold out for good.
NO_WEIGHT_EVERY = 29
LIMITED_EVERY = 37

_MAKES = (
    "Alder",
    "Birch",
    "Cairn",
    "Delta",
    "Ember",
    "Fjell",
    "Grove",
    "Heath",
    "Inlet",
    "Juniper",
)
_SORTS = {
    "tents": ("Solo tent", "Two-person tent", "Family tent", "Tarp"),
    "packs": ("Day pack", "Trekking pack", "Dry bag", "Duffel"),
    "stoves": ("Gas stove", "Wood stove", "Kettle", "Cook set"),
    "boots": ("Hiking boots", "Trail shoes", "Winter boots", "Sandals"),
    "lamps": ("Head lamp", "Lantern", "Torch", "String light"),
    "maps": ("Hiking map", "Road atlas", "Map case", "Compass"),
}
_PRAISE = ("light", "sturdy", "quiet", "warm", "compact", "simple", "bright", "dry")
_REVIEWS = (
    "Does what it says.",
    "Used it for a week in the rain, still fine.",
    "Good for the price.",
    "Smaller than I thought.",
    "A strap came off on the second day.",
    "Would buy it again.",
)


def products() -> Iterator[tuple[int, str, str, int, str, int | None, int, bool]]:
    """Yield (id, name, category, price_cents, description, weight_g, stock, is_limited)."""
    dice = random.Random(1)
    number = 0
    for category in CATEGORIES:
        for index in range(PRODUCTS_PER_CATEGORY):
            number += 1
            make = _MAKES[index % len(_MAKES)]
            sort = _SORTS[category][index // len(_MAKES)]
            praise = dice.sample(_PRAISE, 2)
            description = (
                f"A {praise[0]} and {praise[1]} {sort.lower()} by {make}. "
                "Made to be repaired: all parts can be ordered one by one."
            )
            weight_g = None if number % NO_WEIGHT_EVERY == 0 else dice.randrange(80, 4_000, 10)
            is_limited = number % LIMITED_EVERY == 0
            stock = 0 if is_limited else dice.randrange(20, 90)
            price_cents = dice.randrange(900, 32_000, 50)
            name = f"{make} {sort.lower()}"
            yield number, name, category, price_cents, description, weight_g, stock, is_limited


def reviews() -> Iterator[tuple[int, int, int, str]]:
    """Yield (product_id, customer_id, stars, text)."""
    dice = random.Random(2)
    goods = len(CATEGORIES) * PRODUCTS_PER_CATEGORY
    for _ in range(REVIEWS):
        text = dice.choice(_REVIEWS)
        yield (
            1 + dice.randrange(goods),
            1 + dice.randrange(len(CUSTOMERS)),
            dice.choice((3, 4, 4, 5, 5)),
            text,
        )


def orders(today: date) -> Iterator[tuple[int, int, str, list[tuple[int, int]]]]:
    """Yield (order_id, customer_id, ISO day, [(product_id, quantity), …]), oldest first."""
    dice = random.Random(3)
    goods = len(CATEGORIES) * PRODUCTS_PER_CATEGORY
    first = today - timedelta(days=30 * MONTHS_OF_ORDERS)
    for index in range(ORDERS):
        day = first + timedelta(days=index * 30 * MONTHS_OF_ORDERS // ORDERS)
        lines = [
            (product_id, dice.randint(1, 3))
            for product_id in dice.sample(range(1, goods + 1), dice.randint(1, 4))
        ]
        yield index + 1, 1 + dice.randrange(len(CUSTOMERS)), day.isoformat(), lines
