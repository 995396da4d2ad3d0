"""Remember Hubs that did not answer a moment ago: where the cache will do, each is waited for once, and not for every part of a model.

A firewall that drops what it does not let through costs ten seconds for each request. What is remembered here belongs to the process, as
the client's connections do.
"""

import time

__all__ = ["forget_silence", "note_silence", "recent_silence"]

# How long a Hub is left alone, in seconds.
_PAUSE = 60.0

# When and why, by address.
_silent: dict[str, tuple[float, str]] = {}


def note_silence(endpoint: str, reason: str) -> None:
    """Remember that a Hub did not answer."""
    _silent[endpoint] = (time.monotonic(), reason)


def forget_silence(endpoint: str) -> None:
    """Remember that a Hub answers."""
    _silent.pop(endpoint, None)


def recent_silence(endpoint: str) -> str | None:
    """Return why a Hub need not be asked again yet; None where it may be."""
    since, reason = _silent.get(endpoint, (float("-inf"), ""))
    return reason if time.monotonic() - since < _PAUSE else None
