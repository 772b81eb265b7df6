"""The host app's version: the commit of a git work tree, or a text. Read once, at the start."""

from __future__ import annotations

from pathlib import Path

from ..errors import SettingsError

#: Counted under this where neither GIT nor APP_VERSION is set.
UNKNOWN = "unknown"


def host_version(*, app_version: str, git: str) -> str:
    """Return the version that requests are counted under; ``git`` wins over ``app_version``.

    Raises SettingsError if ``git`` is no git folder or has no commit.
    """
    if git:
        return commit(Path(git))
    return app_version or UNKNOWN


def commit(path: Path) -> str:
    """Return the full hash of the checked-out commit.

    ``path`` is a work tree, its .git folder, or the .git file of a linked work tree.
    """
    folder = _git_folder(path)
    head = _first_line(folder / "HEAD")
    if head is None:
        raise _refusal(path, "it has no HEAD")
    if not head.startswith("ref:"):
        return head
    reference = head.removeprefix("ref:").strip()
    # A linked work tree keeps its HEAD for itself and shares the branches.
    common = _first_line(folder / "commondir")
    shared = (folder / common).resolve() if common else folder
    for place in (folder, shared):
        found = _first_line(place / reference)
        if found:
            return found
    for line in _lines(shared / "packed-refs"):
        value, _, name = line.partition(" ")
        if name.strip() == reference:
            return value
    raise _refusal(path, f"its branch {reference} has no commit yet")


def _git_folder(path: Path) -> Path:
    if path.is_dir() and (path / ".git").exists():
        path = path / ".git"
    if path.is_file():
        first = _first_line(path) or ""
        if not first.startswith("gitdir:"):
            raise _refusal(path, "it is a file without a 'gitdir:' line")
        path = (path.parent / first.removeprefix("gitdir:").strip()).resolve()
    return path


def _first_line(path: Path) -> str | None:
    lines = _lines(path)
    return lines[0].strip() if lines else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []


def _refusal(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"Setting GIT is {str(path)!r}, but {why}; allowed: a git work tree with a commit, or its "
        ".git folder."
    )
