"""Paths on the command line."""

import argparse
from pathlib import Path

__all__ = ["a_model", "a_path"]


def a_path(text: str) -> Path:
    """Return the path that an argument means.

    Raises
    ------
    argparse.ArgumentTypeError : an empty text, as an unset variable of a shell gives it, which would mean the current folder

    >>> a_path("pictures").name
    'pictures'
    """
    if not text:
        raise argparse.ArgumentTypeError("must be a path, got ''; write '.' for the current folder")
    return Path(text)


def a_model(text: str) -> str:
    """Return what names a model: a path, or a repository's address, which is one as text alone.

    Raises
    ------
    argparse.ArgumentTypeError : an empty text, as of `a_path`

    >>> a_model("someone/vae@main")
    'someone/vae@main'
    """
    if not text:
        raise argparse.ArgumentTypeError("must be a path or a repository, got ''; write '.' for the current folder")
    return text
