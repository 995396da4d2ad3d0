"""How the Hub is reached: the cache, the token, the revision, and who is told the progress of a download."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError, MissingExtraError
from sdrt.files import user_path

__all__ = ["DEFAULT_ACCESS", "DownloadProgress", "HubAccess", "endpoint", "is_offline", "require_client"]

_TRUE = ("1", "on", "yes", "true")
_TOKEN = re.compile(r"[!-~]{1,500}")


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is.

    Parameters
    ----------
    repo_id : str
    file : str
        The path in the repository of the file that is being fetched.
    done_bytes, total_bytes : int
        Of all the files that this download fetches.
    """

    repo_id: str
    file: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class HubAccess:
    """How repositories of the Hub are fetched.

    Parameters
    ----------
    cache_dir : Path or None
        The folder of the cache; None is the Hub client's own.
    token : str or None
        The Hub access token; None is ``HF_TOKEN``, or the login of the Hub's client. Never shown.
    revision : str or None
        The branch, tag or commit of the model's repository, where its address names none.
    on_download : callable or None
        Called with a `DownloadProgress` before the first byte, with ``done_bytes`` 0, and after each piece; what it raises cancels the
        download.
    """

    cache_dir: Path | None = None
    token: str | None = field(default=None, repr=False)
    revision: str | None = None
    on_download: Callable[[DownloadProgress], Any] | None = None

    def __post_init__(self) -> None:
        # whatever it is, it is not shown
        if self.token is not None and not (isinstance(self.token, str) and _TOKEN.fullmatch(self.token)):
            kind = type(self.token).__name__
            raise ConfigError(f"token must be the text of a Hub access token, got a {kind} that is not one; pass its text, or set HF_TOKEN")

    @property
    def cache(self) -> Path:
        """The folder of the Hub's cache.

        Raises
        ------
        MissingExtraError : the client is not installed
        ConfigError : it is not a path
        """
        if self.cache_dir is not None:
            return user_path("cache_dir", self.cache_dir)
        require_client("the Hub's cache needs the Hub's client")
        from huggingface_hub import constants

        return user_path("HF_HUB_CACHE, or HF_HOME,", constants.HF_HUB_CACHE)


DEFAULT_ACCESS = HubAccess()


def require_client(need: str) -> None:
    """Check that the Hub's client is installed.

    Parameters
    ----------
    need : str
        What the message says before the repair.

    Raises
    ------
    MissingExtraError : it is not
    ConfigError : it cannot read a variable of the environment
    """
    try:
        import huggingface_hub.constants  # noqa: F401
    except ValueError as error:
        raise ConfigError(f"the Hub's client cannot read its variables (HF_...) in the environment: {error}; correct them") from error
    except ImportError as error:
        raise MissingExtraError(f"{need}; install the extra: pip install 'sdrt[hub]'") from error


def endpoint() -> str:
    """Return the Hub's address: ``HF_ENDPOINT`` as it stands now, else the client's."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def is_offline() -> bool:
    """Return whether the client's switch (``HF_HUB_OFFLINE``) forbids every request."""
    from huggingface_hub import constants

    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE or bool(constants.HF_HUB_OFFLINE)
