"""Training data: what `prepare_data` gives and a learner takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.chip import ChipSet


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Chips to train on and chips to validate on, with all that a model has to know of the scenes behind them."""

    classes: tuple[ModelClass, ...]
    """Classes in the order of the label indices."""
    bands: tuple[ModelBand, ...]
    """Bands in the order of the channels; mean and standard deviation over the valid training pixels."""
    dtype: str
    """Data type of the scenes."""
    value_range: tuple[float, float]
    """The values that the scenes span: 0 to 255 for uint8, else the least and the greatest of the training pixels."""
    gsd_m: float | None
    """Ground sample distance of the chips in metres; None where it is unknown."""
    chip_size: int
    """Height and width of a chip in pixels."""
    batch_size: int
    """Chips in a batch."""
    seed: int
    """What the split and all chips are drawn by."""
    augmentation: Augmentation | None
    """Random changes of the training chips; None for none. Their geometry is in the chips, their radiometry is not."""
    class_pixels: tuple[int, ...]
    """Labelled and valid training pixels of each class."""
    train: ChipSet
    """Random chips: an epoch has about as many pixels as training ground is labelled, and a batch at least."""
    val: ChipSet
    """Chips side by side at scale 1: every labelled validation pixel has its label in exactly one of them."""
    rgb_channels: tuple[int, int, int] = (0, 1, 2)
    """Channels (from 0) that pictures show as red, green and blue."""
    display_range: tuple[tuple[float, float], ...] = ()
    """Of each band the values that pictures show as black and full light: percentiles 2 and 98 of training pixels."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Sources, split, shares, rule: what `facts` gives, as JSON can hold it."""
