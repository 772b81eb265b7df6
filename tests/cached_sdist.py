"""Source distributions of packages, for what is in them only: examples and tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def cached_sdist(name: str, version: str) -> Path:
    """Return the unpacked source distribution of a package; it is fetched once a machine.

    Safe when several processes do it at once. The user's number keeps others of this machine from
    putting their own code there.
    """
    base = Path(tempfile.gettempdir())
    folder = base / f"fmd-admin-sdist-{name}-{version}-{os.getuid()}"
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=base))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-binary", name, "--dest", str(part)]
        try:
            done = subprocess.run([*command, f"{name}=={version}"], capture_output=True, text=True)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            [archive] = part.glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")
            archive.unlink()
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # Otherwise another process was faster.
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to another user; remove it"
    [found] = folder.iterdir()
    return found
