"""The pages in docs/: their code runs as it stands there, and what they name exists."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from fmd_admin.cli import fmd, manage
from fmd_admin.settings import TABLE

from ..warm import Warm
from .compat.test_import_fmd import VERSION_3
from .test_deployment_page import ROOT, SHOP, Reader

#: Each has a test of its own or is held by others.
ELSEWHERE = {"deployment.md", "pages.md"}
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name not in ELSEWHERE
}
HOME = "/var/lib/shop"


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (name, code)
        for name, text in PAGES.items()
        for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that the pages' commands and files name."""
    for name in ("shop.py", "bookshop.py"):
        (tmp_path / name).write_text(SHOP.format(folder=str(tmp_path)))
    (tmp_path / "config.cfg").write_text("[dashboard]\nAPP_VERSION=1.0\n")
    connection = sqlite3.connect(tmp_path / "flask_monitoringdashboard.db")
    connection.executescript(VERSION_3)
    connection.close()
    return tmp_path


@pytest.fixture
def reader(folder: Path, warm: Warm) -> Reader:
    return Reader(folder, warm)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(folder: Path, reader: Reader, number: int) -> None:
    name, code = blocks("python")[number]
    path = folder / "page.py"
    path.write_text(code.replace(HOME, str(folder)))
    check = "import page; assert page.app.test_client().get('/dashboard/login').status_code == 200"
    reader.python(f"# {name}\n{check}", "-W", "error")


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_commands_run(folder: Path, reader: Reader, number: int) -> None:
    _, command = blocks("sh")[number]
    reader.shell(command.replace(HOME, str(folder)))


@pytest.mark.parametrize("name", PAGES)
def test_what_is_named_exists(name: str) -> None:
    text = PAGES[name]
    assert set(re.findall(r"flask (?:--app \w+ )?fmd ([\w-]+)", text)) <= set(fmd.commands)
    assert set(re.findall(r"manage\.py (?:--\w+ \S+ )*(\w[\w-]*)", text)) <= set(manage.commands)
    for setting in re.findall(r"`FMD_([A-Z_]+)", text):
        assert setting in {*TABLE, "CONFIG"}
    for language in re.findall(r"^```(\w*)$", text, re.MULTILINE):
        assert language in {"python", "sh", "", "ini", "html", "text"}
