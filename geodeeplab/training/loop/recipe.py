"""How a fit goes, in numbers that a run can be repeated by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geodeeplab.errors import OptionError

MONITORS = {"miou": 1, "boundary_iou": 1, "accuracy": 1, "boundary_f1": 1, "loss": -1}
"""What an epoch can be judged by, on the validation chips, and whether more (1) or less (−1) of it is better."""
PATIENCE = 5
"""Epochs without a better one after which early stopping ends a fit."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers of one fit."""

    epochs: int
    """Passes over the training chips."""
    lr: float
    """Peak of the learning rate of the heads."""
    schedule: str = "one_cycle"
    """`one_cycle`, `poly` or `constant`."""
    weight_decay: float = 0.05
    """Of AdamW; norms and biases have none."""
    clip: float = 1.0
    """Greatest norm of the gradients."""
    ema_decay: float = 0.998
    """Of the averaged weights, which are scored and kept; 0 for none."""
    backbone_factor: float = 1.0
    """Learning rate of the backbone to that of the heads."""
    is_frozen: bool = False
    """Whether the backbone is left as it is."""
    fixed_statistics: bool = False
    """Whether the backbone's batch norms keep their statistics."""
    patience: int | None = None
    """Epochs without a better one after which the fit ends; None for no end before the last."""
    monitor: str = "miou"
    """What is better: see `MONITORS`."""
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`."""
    batch_size: int = 1
    """Chips of a step on each device."""
    micro_batch: int | None = None
    """Chips that go through the network at once, a divisor of `batch_size`; None for all of them."""
    seed: int = 0
    """Decides chips, dropout and points."""
    first_epoch: int = 0
    """Epochs that earlier fits did; their chips do not come again."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range.
        """
        rate_factor(0.5, self.schedule)
        if self.epochs < 1 or (self.patience is not None and self.patience < 1):
            raise OptionError(
                f"a fit has 1 epoch or more, and patience for as many, not {self.epochs}, {self.patience}"
            )
        if not 0 < self.lr < float("inf"):
            raise OptionError(f"the learning rate is above 0, such as 0.001, not {self.lr:g}")
        if not (0 <= self.ema_decay < 1 and self.weight_decay >= 0 and self.clip > 0 and 0 < self.backbone_factor <= 1):
            raise OptionError(
                "`ema_decay=` is from 0 to below 1, `weight_decay=` 0 or more, `clip=` above 0, the backbone's factor "
                f"up to 1, not {self.ema_decay:g}, {self.weight_decay:g}, {self.clip:g}, {self.backbone_factor:g}"
            )
        check_monitor(self.monitor)

    @property
    def chips_at_once(self) -> int:
        """Chips that go through the network at once."""
        return self.batch_size if self.micro_batch is None else self.micro_batch

    @property
    def parts(self) -> int:
        """Micro-batches whose gradients make a step."""
        return self.batch_size // self.chips_at_once


def check_monitor(name: str) -> None:
    """Refuse what no epoch is judged by.

    Raises:
        OptionError: for a name that is not in `MONITORS`.
    """
    if name not in MONITORS:
        raise OptionError(f"an epoch is judged by {', '.join(MONITORS)}, not {name!r}: choose one of them")


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What an epoch came to."""

    epoch: int
    """From 1, over all fits."""
    loss: float
    """Mean training loss."""
    val_loss: float | None
    """Loss on the validation chips, without PointRend's points; None where none has a label."""
    miou: float | None
    """Mean IoU on the validation chips over the classes that occur; None likewise."""
    boundary_iou: float | None
    """Mean boundary IoU, chip by chip; likewise."""
    accuracy: float | None
    """Share of the validation pixels with the right class; likewise."""
    iou: tuple[float | None, ...]
    """IoU of each class."""
    lr: float
    """Learning rate of the heads at the end of the epoch."""
    seconds: float
    """Time that the epoch took, validation included."""
    step_losses: tuple[float, ...]
    """Training loss of each step."""
    boundary_f1: float | None = None
    """F1 of the pixels of objects' boundaries; None likewise, and where nobody looks for them."""

    def value(self, monitor: str) -> float:
        """Give what the epoch is judged by, turned so that more is better; −inf where it is not known."""
        value = self.val_loss if monitor == "loss" else getattr(self, monitor)
        return -float("inf") if value is None else MONITORS[monitor] * value

    def to_mapping(self) -> dict[str, Any]:
        """Give plain values, as JSON can hold them."""
        values = asdict(self)
        return values | {"iou": list(self.iou), "step_losses": list(self.step_losses)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "EpochRecord":
        """Read what `to_mapping` gave."""
        return cls(**{**values, "iou": tuple(values["iou"]), "step_losses": tuple(values["step_losses"])})

    def line(self, last_epoch: int) -> str:
        """Say in one line what came out."""
        scores = [("val loss", self.val_loss), ("mIoU", self.miou), ("boundary", self.boundary_iou)]
        if self.boundary_f1 is not None:
            scores.append(("boundary F1", self.boundary_f1))
        texts = [f"{name} {'none' if value is None else format(value, '.3f')}" for name, value in scores]
        return (
            f"epoch {self.epoch}/{last_epoch}: loss {self.loss:.3f}, {', '.join(texts)}, lr {self.lr:.1e}, "
            f"{self.seconds:.1f} s"
        )


def best_epoch(history: Sequence[EpochRecord], monitor: str) -> int | None:
    """Give the position of the best epoch, the first of equals, or the last where none is known; None for no epoch."""
    if not history:
        return None
    if all(record.value(monitor) == -float("inf") for record in history):
        return len(history) - 1
    return max(range(len(history)), key=lambda index: (history[index].value(monitor), -index))


def has_stalled(history: Sequence[EpochRecord], *, monitor: str, patience: int | None) -> bool:
    """Say whether the last `patience` epochs were no better than the best before them."""
    best = best_epoch(history, monitor)
    return patience is not None and best is not None and len(history) - 1 - best >= patience


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
