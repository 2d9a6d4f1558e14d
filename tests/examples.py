"""How many examples a law is tried on."""

from hypothesis import settings


def examples(count: int) -> int:
    """Give the share of `count` that the profile asks for: all of them under `full`, a quarter under `quick`."""
    return max(5, count * settings().max_examples // 100)


def is_full() -> bool:
    """Tell whether laws are to be tried on all of their examples, and on scenes of full size."""
    return settings().max_examples >= 100
