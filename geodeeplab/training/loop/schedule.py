"""The learning rate over a run, as a factor on its peak."""

import math

from geodeeplab.errors import OptionError

SCHEDULES = ("one_cycle", "poly", "constant")
WARM_UP = 0.1
"""Share of the one cycle in which the rate rises."""
POWER = 0.9
"""Of the papers' polynomial decay (DeepLabV2, section 4.1.2)."""


def rate_factor(spent: float, schedule: str) -> float:
    """Give the factor on the learning rate after a share of the run, from 0 to 1.

    `one_cycle` rises from 4 % to 1 in a tenth of the run, then falls along a cosine to 1 %; `poly` is
    (1 − spent)^0.9; `constant` is 1.

    Raises:
        OptionError: for another schedule.
    """
    if schedule == "one_cycle":
        if spent < WARM_UP:
            return 0.04 + 0.96 * spent / WARM_UP
        return 0.01 + 0.99 * (1 + math.cos(math.pi * (spent - WARM_UP) / (1 - WARM_UP))) / 2
    if schedule == "poly":
        return float((1 - spent) ** POWER)
    if schedule == "constant":
        return 1.0
    raise OptionError(f"the learning rate follows one of {', '.join(SCHEDULES)}, not {schedule!r}: choose one of them")
