"""Keep the Hub's client from writing on the terminal while it fetches: its messages go to sdrt's log, without addresses."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sdrt.forking import ForkLock
from sdrt.log import log
from sdrt.models.hub.masking import masked

__all__ = ["quiet_client"]

_BAR = "huggingface_hub.http_get"
_LOGGERS = ("huggingface_hub.file_download", "huggingface_hub.utils._http")
# Of all its messages the one that tells why nothing happens for a minute.
_WAITS = "Rate limited"


class _Redirect(logging.Filter):
    """Write what the client logs into sdrt's log, and drop it where it was."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = masked(record.getMessage()).replace("\n", "; ")
        log.log(logging.WARNING if text.startswith(_WAITS) else logging.INFO, "the Hub's client: %s", text)
        return False


_REDIRECT = _Redirect()
_lock = ForkLock()
_users = 0


@contextmanager
def quiet_client() -> Iterator[None]:
    """Redirect the client's messages in the ``with`` body, and hide its bars unless its user asked for them."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    hides = constants.HF_HUB_DISABLE_PROGRESS_BARS is not False and not are_progress_bars_disabled(_BAR)
    _redirect(+1)
    if hides:
        disable_progress_bars(_BAR)
    try:
        yield
    finally:
        _redirect(-1)
        if hides:
            enable_progress_bars(_BAR)


def _redirect(change: int) -> None:
    """Count who needs the redirection; it is there as long as somebody does."""
    global _users
    with _lock:
        _users += change
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            if _users:
                logger.addFilter(_REDIRECT)
            else:
                logger.removeFilter(_REDIRECT)
