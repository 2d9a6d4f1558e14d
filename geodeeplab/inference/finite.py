"""Logits that are no finite numbers: found where they are computed, told where rows are read back."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.tiling import Shard

NON_FINITE = ("error", "nodata")
"""What becomes of pixels whose logits are not finite: the run ends, or they have no label."""


def check_non_finite(non_finite: str) -> str:
    """Give the name back.

    Raises:
        OptionError: if there is no such choice.
    """
    if non_finite not in NON_FINITE:
        raise OptionError(f"`non_finite=` is {' or '.join(NON_FINITE)}, not {non_finite!r}: choose one of them")
    return non_finite


def mark_lost(logits: Tensor, wanted: Tensor) -> Tensor | None:
    """Find pixels whose logits are not finite, and make all their logits NaN, in place.

    Args:
        logits: (B, K, T, T) float32, on any device.
        wanted: (B, T, T) bool, True where a label is wanted; there, too.

    Returns:
        (B,) bool, True for tiles that lose a pixel that is wanted, where the logits are; None if, on a CPU, all logits
        are finite. On a GPU nobody waits for the answer.
    """
    if logits.device.type == "cpu" and math.isfinite(logits.sum()):  # one pass: a sum is finite only if all terms are
        return None
    finite = logits.isfinite().all(1)
    logits.masked_fill_(~finite.unsqueeze(1), torch.nan)
    return (wanted & ~finite).flatten(1).any(1)


def describe_lost(places: Sequence[Shard], *, precision: str) -> str:
    """Say where logits are not finite, and what to do about it.

    Args:
        places: what the tiles cover of the scene, at least one.
        precision: that of the run.
    """
    one, count = places[0], len(places)
    where = (
        f"the tile of rows {one.row_start}-{one.row_stop - 1}, columns {one.col_start}-{one.col_stop - 1} of the scene"
    )
    more = f" and {count - 1} more" if count > 1 else ""
    advice = (
        "it ran with `precision='fp32'` already, so look there for values that are no measurements, such as an "
        "undeclared nodata value"
        if precision == "fp32"
        else f"{precision} may be too narrow for this network: pass `precision='fp32'`"
    )
    return (
        f"the network gave logits that are not finite in {where}{more}; {advice}, or leave such pixels without a label "
        "with `non_finite='nodata'`"
    )
