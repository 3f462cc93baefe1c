"""Sessions of a storage that may be one and the same for several writes."""

import threading
from typing import Any

from sqlalchemy.orm import Session, scoped_session

__all__ = ["Sessions", "Shared", "is_shared"]


def is_shared(session: Any) -> bool:
    """Whether a session of a storage belongs to a :func:`together`."""
    return isinstance(session, Shared)


class Sessions:
    """Sessions of a storage; inside :func:`together` the same one for everybody."""

    def __init__(self, own: "scoped_session[Session]") -> None:
        self._own = own
        self._of_thread = threading.local()

    @property
    def shared(self) -> "Shared | None":
        """That of the transaction that this thread is in."""
        found: Shared | None = getattr(self._of_thread, "session", None)
        return found

    @shared.setter
    def shared(self, session: "Shared | None") -> None:
        self._of_thread.session = session

    def __call__(self) -> Any:
        """The session of this thread."""
        return self._own() if self.shared is None else self.shared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class Shared:
    """A session that is neither committed nor closed by those who share it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.undone = False

    def commit(self) -> None:
        """Others who share it see what was written; what they hold of it is read anew."""
        self._session.flush()
        self._session.expire_all()

    def rollback(self) -> None:
        """Nothing of the whole is written then."""
        self._session.rollback()
        self.undone = True

    def close(self) -> None:
        """At the end of all."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
