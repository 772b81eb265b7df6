from __future__ import annotations

from fmd_admin.store.kept import Kept


def test_what_was_asked_for_is_not_computed_again() -> None:
    kept, made = Kept(100), []

    def find(key: bytes) -> str:
        def make() -> str:
            made.append(key)
            return key.decode()

        return kept.find(key, make, len)

    assert [find(b"a"), find(b"b"), find(b"a")] == ["a", "b", "a"]
    assert made == [b"a", b"b"]


def test_it_holds_no_more_than_its_limit_and_what_is_asked_for_stays() -> None:
    kept, made = Kept(10), []

    def find(key: int) -> int:
        return kept.find(key, lambda: made.append(key) or key, lambda _: 1)  # type: ignore[func-returns-value]

    for key in range(1, 100):
        find(0)
        find(key)
        assert len(kept._new) + len(kept._old) <= 10
    assert made.count(0) == 1
    find(1)
    assert made.count(1) == 2


def test_what_is_too_large_is_not_kept() -> None:
    kept, made = Kept(10), []
    for _ in range(2):
        kept.find("large", lambda: made.append(1) or "large", lambda _: 6)  # type: ignore[func-returns-value]
    assert len(made) == 2


def test_what_is_missing_is_made_at_once() -> None:
    kept, made = Kept(12), []

    def find(text: str) -> list[str]:
        def make(missing: list[int]) -> list[str]:
            made.append([text[number] for number in missing])
            return [text[number].upper() for number in missing]

        return kept.find_all(list(text), make, lambda _: 1)

    assert find("") == []
    assert find("abc") == ["A", "B", "C"]
    assert find("cab") == ["C", "A", "B"]
    assert find("adbe") == ["A", "D", "B", "E"]
    assert made == [["a", "b", "c"], ["d", "e"]]
    for letter in "fghijkl":
        assert find(f"a{letter}") == ["A", letter.upper()]
    assert sum("a" in letters for letters in made) == 1
    assert len(kept._new) + len(kept._old) <= 12
    assert find("b") == ["B"]
    assert made[-1] == ["b"]
