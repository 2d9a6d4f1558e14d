"""Warnings that are none for the user, left out without touching what anybody else set."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


@contextmanager
def ignore_warnings(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Within a `with` statement, ignore warnings of a category whose text begins with `message`, a regular expression.

    Unlike `warnings.catch_warnings`, which puts back the whole list of filters as it was, this takes away nothing but
    the one that it added: blocks of several threads may begin and end in any order, and none is left behind. As there,
    all threads ignore such warnings meanwhile.
    """
    pattern = re.compile(message, re.IGNORECASE) if message else None
    ours = ("ignore", pattern, category, None, 0)  # as `warnings.filterwarnings` writes it
    before = _filters()
    before.insert(0, ours)
    try:
        yield
    finally:
        for filters in (before, _filters()):  # somebody's `catch_warnings` may have put a copy in its place
            _remove(ours, filters)


def _filters() -> list[Any]:
    return cast(list[Any], warnings.filters)


def _remove(ours: object, filters: list[Any]) -> None:
    for index, one in enumerate(filters):
        if one is ours:
            del filters[index]
            return
