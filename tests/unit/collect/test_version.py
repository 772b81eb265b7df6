from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fmd_admin.collect.version import host_version
from fmd_admin.errors import SettingsError


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init")
    git(folder, "commit", "--allow-empty", "-m", "first")
    return folder


def test_app_version_and_its_absence() -> None:
    assert host_version(app_version="2.1", git="") == "2.1"
    assert host_version(app_version="", git="") == "unknown"


def test_git_wins_from_work_tree_and_git_folder(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert host_version(app_version="2.1", git=str(repository)) == commit
    assert host_version(app_version="", git=str(repository / ".git")) == commit


def test_packed_refs(repository: Path) -> None:
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    assert host_version(app_version="", git=str(repository)) == git(repository, "rev-parse", "HEAD")


def test_a_linked_work_tree(repository: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-b", "feature/x", str(linked))
    git(linked, "commit", "--allow-empty", "-m", "second")
    commit = git(linked, "rev-parse", "HEAD")
    assert host_version(app_version="", git=str(linked)) == commit
    assert host_version(app_version="", git=str(linked / ".git")) == commit
    git(repository, "pack-refs", "--all")
    assert host_version(app_version="", git=str(linked)) == commit


def test_a_detached_head(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--detach")
    assert host_version(app_version="", git=str(repository)) == commit


def test_what_is_no_repository_is_refused(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(SettingsError, match="GIT"):
        host_version(app_version="", git=str(tmp_path))
    git(repository, "checkout", "--orphan", "empty")
    with pytest.raises(SettingsError, match="no commit yet"):
        host_version(app_version="", git=str(repository))
