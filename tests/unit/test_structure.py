"""The borders between the parts, and the packages that a wheel must hold."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fmd_admin"

LEAVES = {
    "errors",
    "faults",
    "fmd_alerting",
    "fmd_config",
    "lifecycle",
    "patterns",
    "records",
    "resources",
    "setting_specs",
    "settings",
    "sign_on",
    "version",
}
#: Who may import whom, itself included.
ALLOWED = {
    **dict.fromkeys(LEAVES, LEAVES),
    "collect": LEAVES | {"collect"},
    "recorder": LEAVES | {"recorder"},
    "store": LEAVES | {"store"},
    "read": LEAVES | {"store", "read"},
    "jobs": LEAVES | {"store", "read", "jobs"},
    "admin": LEAVES | {"store", "read", "jobs", "admin"},
    "opening": LEAVES | {"store", "opening"},
    "standalone": LEAVES | {"recorder", "store", "jobs", "admin", "opening", "standalone"},
    "monitor": LEAVES
    | {"opening"}
    | {"collect", "recorder", "store", "read", "jobs", "admin", "monitor"},
    "extension": LEAVES | {"store", "jobs", "admin", "monitor", "extension"},
    # It brings requests over as measured ones are stored, outliers redacted as new ones are.
    "compat": LEAVES | {"collect", "recorder", "store", "jobs", "admin", "extension", "compat"},
    "cli": LEAVES
    | {"store", "read", "jobs", "opening", "standalone", "extension", "compat", "cli"},
    "__init__": LEAVES | {"extension", "compat", "standalone"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(module: Path) -> str:
    """The part a file belongs to: ``store/lease.py`` → ``store``."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(module: Path) -> set[str]:
    """Dotted names that a file imports, inside functions too, relative ones made absolute."""
    names = set()
    package = ["fmd_admin", *module.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            names.update(f"{prefix}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(module: Path) -> None:
    for name in imported(module):
        parts = name.split(".")
        if parts[0] != "fmd_admin" or len(parts) == 1:
            continue
        target = (
            parts[1]
            if (PACKAGE / parts[1]).exists() or (PACKAGE / f"{parts[1]}.py").exists()
            else "__init__"
        )
        assert target in ALLOWED[part(module)], f"{part(module)} must not import {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in {"collect", "recorder"}])
def test_the_requests_path_knows_no_database(module: Path) -> None:
    assert not [name for name in imported(module) if name.startswith("sqlalchemy")]


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "read"])
def test_reading_knows_no_web(module: Path) -> None:
    web = ("flask", "werkzeug", "jinja2", "markupsafe", "wtforms")
    assert not [name for name in imported(module) if name.startswith(web)]


def test_setup_cfg_lists_every_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    on_disk = {
        ".".join(init.parent.relative_to(ROOT).parts) for init in PACKAGE.rglob("__init__.py")
    }
    assert listed == on_disk | {
        f"fmd_admin.{name}" for name in ("templates", "static", "migrations")
    }
    folders = {path.parent for path in MODULES}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_no_module_is_too_big_to_live_in() -> None:
    sizes = {str(m.relative_to(ROOT)): len(m.read_text().splitlines()) for m in MODULES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
