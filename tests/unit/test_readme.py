"""The README holds what the code says.

    python -m tests.unit.test_readme

writes the settings table anew.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from examples.screenshots import PICTURES
from fmd_admin.cli import fmd, manage
from fmd_admin.setting_specs import Spec
from fmd_admin.settings import TABLE

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
#: Both have the table of settings between the same two comments.
WITH_TABLE = (README, DOCS / "settings.md")
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def settings_table() -> str:
    """Every setting as a row of a Markdown table."""
    lines = ["| setting | default | allowed | panel | meaning |", "|---|---|---|---|---|"]
    lines += [_row(spec) for spec in TABLE.values()]
    return "\n".join(lines) + "\n"


def _row(spec: Spec) -> str:
    default = spec.default
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    cells = (
        f"`{spec.name}`",
        f"`{shown}`" if shown else "",
        spec.allowed,
        "yes" if spec.runtime else "",
        spec.help,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def with_table(text: str) -> str:
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{settings_table()}{END}{after}"


@pytest.mark.parametrize("page", WITH_TABLE, ids=lambda page: page.name)
def test_settings_table_is_that_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == with_table(text), "run: python -m tests.unit.test_readme"


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name)
def test_files_and_images_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (page.parent / target).is_file()] == []


def test_every_picture_is_taken_and_shown() -> None:
    taken = {f"{picture.name}.png" for picture in PICTURES}
    assert {path.name for path in (DOCS / "images").iterdir()} == taken
    shown = (DOCS / "pages.md").read_text(encoding="utf-8")
    assert set(re.findall(r"images/([\w-]+\.png)", shown)) == taken


def test_extras_and_commands_exist() -> None:
    text = README.read_text(encoding="utf-8")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(re.findall(r"pip install -q -e '\.\[(\w+)\]'", text))
    assert extras == {"demo", "dev"}
    assert extras <= set(setup["options.extras_require"])
    assert set(re.findall(r"`flask fmd ([\w-]+)", text)) <= set(fmd.commands)
    assert set(re.findall(r"manage\.py (?:--\w+ \S+ )*(\w[\w-]*)", text)) <= set(manage.commands)


if __name__ == "__main__":
    for page in WITH_TABLE:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
