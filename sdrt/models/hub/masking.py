"""Remove secrets from addresses in a text: the signatures of large files, and the passwords of servers."""

import re

__all__ = ["masked"]

# The query of a large file's address holds a signature, with which anybody can read the file for a while.
_QUERY = re.compile(r"\?[^\s'\")]*")
_PASSWORD = re.compile(r"(?<=://)[^\s/'\"]*@")


def masked(text: str) -> str:
    """Return a text without the queries of addresses, and without names and passwords in them.

    >>> masked("GET http://ann:secret@hub.local/a/b?signature=1 failed")
    'GET http://hub.local/a/b failed'
    """
    return _PASSWORD.sub("", _QUERY.sub("", text))
