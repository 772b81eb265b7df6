"""The tests that come with Flask's tutorial pass with each of its apps bound at level 3."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ..cached_sdist import cached_sdist

ROOT = Path(__file__).parents[2]


def test_flasks_tutorial(tmp_path: Path) -> None:
    flask = cached_sdist("Flask", importlib.metadata.version("Flask"))
    # It makes folders beside its code.
    tutorial = shutil.copytree(flask / "examples" / "tutorial", tmp_path / "tutorial")
    path = os.pathsep.join((str(tutorial), str(ROOT)))
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.integration.monitored_flaskr"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "tests"],
        cwd=tutorial,
        env={**os.environ, "PYTHONPATH": path, "MONITORED_FLASKR": str(found)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) > 20
    counts = json.loads(found.read_text())
    assert counts["stored"] == counts["asked"]
    assert sum(counts["asked"].values()) > 30
