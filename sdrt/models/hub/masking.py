"""Take out of text what opens something to whoever reads it: signatures in the addresses of large files, passwords in those of servers."""

import re

__all__ = ["masked"]

# Those of large files hold a signature, which opens them to everybody for a while.
_QUERY = re.compile(r"\?[^\s'\")]*")
_PASSWORD = re.compile(r"(?<=://)[^\s/'\"]*@")


def masked(text: str) -> str:
    """Return a text without the queries of addresses, and without names and passwords in them.

    >>> masked("GET http://ann:secret@hub.local/a/b?signature=1 failed")
    'GET http://hub.local/a/b failed'
    """
    return _PASSWORD.sub("", _QUERY.sub("", text))
