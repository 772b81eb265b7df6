"""Virtual environments of their own for packages that do not go together with ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def cached_venv(name: str, *requirements: str) -> Path:
    """Return the Python of an environment with ``requirements``; it is made once a machine.

    Safe when several processes do it at once. The user's number keeps others of this machine from
    putting their own code there.
    """
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    base = Path(tempfile.gettempdir())
    folder = base / f"fmd-admin-{name}-{version}-{digest}-{os.getuid()}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=base))
        try:
            # Scripts name the folder that they were made in; nothing but Python itself is called.
            _run(sys.executable, "-m", "venv", str(part))
            _run(
                *(str(part / "bin" / "python"), "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", *requirements),
            )
            (part / "complete").touch()
            part.rename(folder)
        except OSError:
            if not (folder / "complete").exists():  # Otherwise another process was faster.
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to another user; remove it"
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
