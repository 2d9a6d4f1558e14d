"""The exponential average of the weights (EMA): smoother than the last ones, and what is scored and saved."""

import copy

import torch
from torch import nn


def start_average(network: nn.Module) -> nn.Module:
    """Give a copy of a network to average into: in evaluation mode, and without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """Give the decay after `step` steps: short at first, so that the average forgets the initial weights."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics to decay · average + (1 − decay) · network; counters are copied."""
    for kept, fresh in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(fresh.to(kept.dtype), 1 - decay)
        else:
            kept.copy_(fresh)
