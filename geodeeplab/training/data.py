"""Training data: what `prepare_data` gives and a learner takes."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelBand, ModelClass
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.batch import epoch_steps
from geodeeplab.training.chip import Chip, ChipSet
from geodeeplab.training.data_facts import Description
from geodeeplab.training.sampling.separation import BOUNDARY_PX, separation_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_COLUMNS = 4
"""Chips in a row of a picture."""


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
    """Chips of a step."""
    micro_batch: int | None = None
    """Chips that go through the network at once, a divisor of `batch_size`; None for all of them."""
    batch_device: str | None = None
    """Device by whose free memory the micro-batch was chosen; None where it was asked for. A learner on another device
    chooses by its own."""
    seed: int
    """What the split and all chips are drawn by."""
    augmentation: Augmentation | None
    """Random changes of the training chips; None for none. Their geometry is in the chips, their radiometry is not."""
    class_pixels: tuple[int, ...]
    """Labelled and valid training pixels of each class."""
    train: ChipSet
    """Random chips: an epoch has about as many pixels as training ground is labelled, and 64 batches at least."""
    val: ChipSet
    """Chips side by side at scale 1: every labelled validation pixel has its label in exactly one of them."""
    rgb_channels: tuple[int, int, int] = (0, 1, 2)
    """Channels (from 0) that pictures show as red, green and blue."""
    display_range: tuple[tuple[float, float], ...] = ()
    """Of each band the values that pictures show as black and full light: percentiles 2 and 98 of training pixels."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Sources, split, shares, rule: what `facts` gives, as JSON can hold it."""
    instances: tuple[str, ...] = ()
    """Classes whose objects are told apart: chips have their boundaries as a target; see `separating`."""
    files: tuple[str, ...] = ()
    """Files of scenes and labels, which no output may be."""

    @property
    def chips_at_once(self) -> int:
        """Chips that go through the network at once."""
        return self.batch_size if self.micro_batch is None else self.micro_batch

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch on one device."""
        return epoch_steps(len(self.train), self.batch_size)

    def separating(self, names: Sequence[str], *, boundary_px: int = BOUNDARY_PX) -> "TrainingData":
        """Give the data with the boundaries of objects as a target beside the labels, or, without names, without it.

        Polygons are objects, each by itself; in a label raster pixels of one class that hang together are one.

        Args:
            names: of the classes whose objects are told apart.
            boundary_px: width of a boundary in pixels of a chip; see `boundary_target`.

        Raises:
            OptionError: there is no such class, the width cannot be, or the chips are none of `prepare_data`.
        """
        from geodeeplab.training.sampling.chip_sets import RandomChips, SideBySideChips

        separation = separation_of(self.classes, names, boundary_px=boundary_px) if names else None
        train, val = self.train, self.val
        if not isinstance(train, RandomChips) or not isinstance(val, SideBySideChips):
            raise OptionError("objects are told apart in chips of `prepare_data`: make the data with it")
        facts = {key: value for key, value in self.provenance.items() if key != "instances"}
        if separation is not None:
            facts["instances"] = {"classes": list(names), "boundary_px": boundary_px}
        return dataclasses.replace(
            self,
            train=train.separating(separation),
            val=val.separating(separation),
            instances=tuple(names),
            provenance=facts,
        )

    def describe(self) -> Description:
        """Give what there is to know of the data: print it as a table, or take its facts."""
        return Description(self.provenance)

    def show_batch(
        self,
        rows: int = 2,
        alpha: float | None = None,
        *,
        val: bool = False,
        epoch: int = 0,
        dst_path: str | PathLike[str] | None = None,
    ) -> "Figure":
        """Draw chips as training sees them, with their labels below.

        Bands are stretched between the 2nd and the 98th percentile of all training pixels, not of each chip.

        Args:
            rows: rows of four chips.
            alpha: draw the labels over the chips, with this opacity from 0 to 1, and not alone.
            val: draw validation chips, spread over all of them, which are not augmented.
            epoch: whose training chips.
            dst_path: write the figure there, too, e.g. a PNG.

        Raises:
            OptionError: there are no rows, the opacity cannot be, or matplotlib is not installed.
        """
        from geodeeplab.maps.chips import draw_chips, stretch
        from geodeeplab.maps.figures import save_figure
        from geodeeplab.raster import LabelClass

        if rows < 1:
            raise OptionError(f"a picture has at least 1 row of chips, not {rows}")
        count = min(rows * SHOWN_COLUMNS, len(self.val if val else self.train))
        chips = [self._shown(number, count, val, epoch) for number in range(count)]
        figure = draw_chips(
            [
                stretch(
                    chip.pixels.numpy(),
                    chip.valid.numpy(),
                    channels=self.rgb_channels,
                    display_range=self.display_range,
                )
                for chip in chips
            ],
            [chip.labels.numpy() for chip in chips],
            [LabelClass(id=item.id, name=item.name, color=item.color) for item in self.classes],
            columns=SHOWN_COLUMNS,
            alpha=alpha,
            title=f"{'validation' if val else 'training'} chips of {self.chip_size} px",
        )
        return save_figure(figure, dst_path, dpi=110, is_tight=False, inputs=self.files)

    def _shown(self, number: int, count: int, val: bool, epoch: int) -> Chip:
        """Give a chip to show."""
        from geodeeplab.training.sampling.radiometry import radiometry_of

        if val:
            return self.val.draw(number * len(self.val) // count)
        chip = self.train.draw(number, epoch=epoch)
        change = radiometry_of(self, seed=self.seed)
        return chip if change is None else change(chip, epoch=epoch, index=number)
