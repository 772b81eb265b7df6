"""The deployment page: its code runs, its names are there."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fmd_admin.cli import fmd, manage
from fmd_admin.settings import TABLE

from ..support import missing
from ..warm import Warm

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "deployment.md"
#: Where the page has its files.
FOLDERS = ("/var/lib/shop", "/var/backups")
SHOP = """
from flask import Flask
from fmd_admin import FMDAdmin

def create_app():
    app = Flask("shop", instance_path={folder!r})
    FMDAdmin(app)
    return app
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


class Reader:
    """Who does what a page says, in a folder."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self._folder = folder
        self._warm = warm
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{warm.commands}:{os.environ['PATH']}",
            "FMD_USERNAME": "anna",
            "FMD_PASSWORD": "correct horse",
        }

    def python(self, code: str, *options: str) -> None:
        done = self._warm.run([*options, "-c", code], self._folder, self._env)
        assert done.returncode == 0, (code, done.stdout, done.stderr)

    def shell(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.fixture
def reader(tmp_path: Path, warm: Warm) -> Reader:
    return Reader(tmp_path, warm)


def at_home(code: str, folder: Path) -> str:
    for name in FOLDERS:
        code = code.replace(name, str(folder))
    return code


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(tmp_path: Path, reader: Reader, number: int) -> None:
    code = at_home(blocks("python")[number], tmp_path)
    name = "panel" if "panel =" in code else "app"
    code += f"\nassert {name}.test_client().get('/login').status_code in (200, 404)\n"
    reader.python(code, "-W", "error")


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_commands_run(tmp_path: Path, reader: Reader, number: int) -> None:
    (tmp_path / "shop.py").write_text(SHOP.format(folder=str(tmp_path)))
    reader.python("import shop; shop.create_app()")
    (tmp_path / "instance.db").touch()
    command = at_home(blocks("sh")[number], tmp_path).strip()
    if command.startswith("sqlite3"):
        if shutil.which("sqlite3") is None:
            missing("sqlite3's command is not installed", "apt-get install sqlite3")
    elif "gunicorn" in command:
        command = command.replace("gunicorn ", "gunicorn --check-config ", 1)
    reader.shell(command)


def test_config_files_can_be_read() -> None:
    sections = []
    for block in blocks("ini"):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(block)
        sections += parser.sections()
    assert sections == ["uwsgi", "mysqld"]


def test_commands_settings_and_links_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"flask (?:--app \w+ )?fmd ([\w-]+)", text)) <= set(fmd.commands)
    assert set(re.findall(r"manage\.py --database … ([\w-]+)", text)) <= set(manage.commands)
    named = set(re.findall(r"`(?:FMD_)?([A-Z]{2,}(?:_[A-Z]+)*)(?:=\w+)?`", text))
    assert named
    assert named <= {*TABLE, "SIGTERM"}
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / target).exists(), target
