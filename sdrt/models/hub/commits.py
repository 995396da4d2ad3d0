"""Commits: which revision is one, and which one a path in the Hub's cache belongs to."""

import re
from pathlib import Path

__all__ = ["SNAPSHOTS", "commit_of", "is_commit"]

# The folder of a repository's cache that has a folder for each commit.
SNAPSHOTS = "snapshots"

_COMMIT = re.compile("[0-9a-f]{40}")


def is_commit(revision: object) -> bool:
    """Return whether a revision is a whole commit hash, which never means another state."""
    return isinstance(revision, str) and _COMMIT.fullmatch(revision) is not None


def commit_of(path: Path) -> str | None:
    """Return the commit that a file or folder of a cache belongs to; None for one elsewhere."""
    return next((each.name for each in (path, *path.parents) if each.parent.name == SNAPSHOTS and is_commit(each.name)), None)
