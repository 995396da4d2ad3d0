"""The packages of the extra ``convert``: whether they are there."""

from importlib.util import find_spec

from sdrt.errors import MissingExtraError

__all__ = ["require_packages"]


def require_packages(*names: str) -> None:
    """Raise MissingExtraError unless they are installed; nothing is imported."""
    if missing := [name for name in names if find_spec(name) is None]:
        raise MissingExtraError(f"the converter needs {', '.join(missing)}; install the extra: pip install 'sdrt[convert]'")
