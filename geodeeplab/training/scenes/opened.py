"""Things that are opened on first use, anew in every process and thread."""

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Opened = TypeVar("Opened")


class OpenedHere(Generic[Opened]):
    """What a function opens, once for each thread of each process; can be pickled if the function can.

    A process that was forked does not touch what its parent opened: two processes that share a file's position, or
    GDAL's handle, read each other's bytes.
    """

    def __init__(self, opener: Callable[[], Opened]) -> None:
        """Take a function that opens something."""
        self._opener = opener
        self._here = threading.local()

    def get(self) -> Opened:
        """Give what is open here; open it if nothing is."""
        if getattr(self._here, "pid", None) != os.getpid():
            self._here.value, self._here.pid = self._opener(), os.getpid()
        value: Opened = self._here.value
        return value

    def pop(self) -> Opened | None:
        """Forget what is open here, and give it to be closed; None if nothing is."""
        value: Opened | None = self._here.value if getattr(self._here, "pid", None) == os.getpid() else None
        self._here = threading.local()
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"opener": self._opener}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._opener = state["opener"]
        self._here = threading.local()
