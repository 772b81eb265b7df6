"""Templates and styles: nothing inline, files that exist, and colours that can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fmd_admin.resources import folder

TEMPLATES = sorted(folder("templates").rglob("*.html"))
STYLES = sorted(folder("static").rglob("*.css"))
SCRIPTS = sorted(folder("static").rglob("*.js"))
#: The least contrast of WCAG AA: for text, and for the edges of controls and charts.
TEXT, EDGE = 4.5, 3.0


def named(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_template_has_nothing_that_the_policy_forbids(template: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", template.read_text(), flags=re.S)
    assert not re.search(r"<[^>]*\son\w+\s*=", text), "inline handler"
    assert not re.search(r"<[^>]*\sstyle\s*=", text), "style attribute"
    assert "<style" not in text
    assert "javascript:" not in text
    for tag in re.findall(r"<script\b[^>]*>[^<]*", text):
        assert " src=" in tag
        assert not tag.partition(">")[2].strip(), "inline script"


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_template_names_files_that_exist(template: Path) -> None:
    text = template.read_text()
    for name in re.findall(r"asset\('([^']+)'\)", text):
        assert (folder("static") / name).is_file()
    for name in re.findall(r"(?:include|extends|import|from) \"(fmd_admin/[^\"]+)\"", text):
        assert (folder("templates") / name).is_file()


@pytest.mark.parametrize("file", STYLES + SCRIPTS, ids=named)
def test_static_file_loads_nothing_from_elsewhere(file: Path) -> None:
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", file.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_script_makes_no_markup_and_no_code_from_text(script: Path) -> None:
    text = script.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text


def colours() -> dict[str, tuple[str, str]]:
    """Every colour variable with its light and its dark value."""
    text = (folder("static") / "css" / "fmd.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", text)
    return {name: (light, dark) for name, light, dark in found}


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[i : i + 2]) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


SURFACES = ("bg", "surface", "surface-2", "hover")
PAIRS = [
    *((name, on, TEXT) for name in ("text", "muted", "accent", "bad") for on in SURFACES),
    ("on-accent", "accent-fill", TEXT),
    ("accent", "accent-soft", TEXT),
    ("text", "accent-soft", TEXT),
    ("muted", "accent-soft", TEXT),
    *((name, f"{name}-soft", TEXT) for name in ("ok", "warn", "bad")),
    *(("text", f"{name}-soft", TEXT) for name in ("ok", "warn", "bad")),
    *(("border-strong", on, EDGE) for on in ("surface", "surface-2")),
    *((f"series-{number}", "surface", EDGE) for number in range(1, 10)),
    ("series-other", "surface", EDGE),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("name", "on", "least"), PAIRS)
def test_contrast(name: str, on: str, least: float, theme: int) -> None:
    table = colours()
    found = contrast(table[name][theme], table[on][theme])
    assert found >= least, f"{name} on {on} has {found:.2f}"
