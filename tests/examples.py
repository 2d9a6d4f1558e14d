"""How many examples a law is tried on, and which of them quickly."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings


def examples(count: int) -> int:
    """Give the share of `count` that the profile asks for: all of them under `full`, a seventh under `quick`."""
    return max(5, count * settings().max_examples // 100)


def is_full() -> bool:
    """Tell whether laws are to be tried on all of their examples, and on scenes of full size."""
    return settings().max_examples >= 100


def few(cases: Iterable[Any], count: int) -> list[Any]:
    """Give cases for `parametrize`, of which the first `count` are quick to have and the others are marked slow.

    For cases that say much the same, each of which takes a second.
    """
    return [case if number < count else pytest.param(*_values(case), marks=pytest.mark.slow)
            for number, case in enumerate(cases)]  # fmt: skip


def _values(case: Any) -> tuple[Any, ...]:  # noqa: ANN401 - whatever a test takes
    return case if isinstance(case, tuple) else (case,)
