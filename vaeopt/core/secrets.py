"""Passwords never appear in what is shown or stored."""

import re
from urllib.parse import unquote

__all__ = ["masked", "remember_secrets"]

_IN_URL = re.compile(r"(://[^\s:/?#@'\"]*):([^\s@/]*|[^\s@'\"]*)@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword|passfile)=)([^&\s'\"]*)")
_SHORTEST = 4  # a shorter one would take half of every message with it
_known: set[str] = set()


def remember_secrets(url: str) -> None:
    """Mask the passwords of this URL from now on, also where they stand without it."""
    for pattern in (_IN_URL, _IN_QUERY):
        for _, secret in pattern.findall(url):
            _known.update(s for s in (secret, unquote(secret)) if len(s) >= _SHORTEST)


def masked(text: str) -> str:
    """The text without the password of any URL.

    >>> masked("postgresql://me:secret@host/x is away")
    'postgresql://me:***@host/x is away'
    """
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _IN_QUERY.sub(r"\1***", _IN_URL.sub(r"\1:***@", text))
