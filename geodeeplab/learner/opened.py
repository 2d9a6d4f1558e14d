"""A learner of a trained model alone: it predicts, and says what it lacks to do more."""

from dataclasses import dataclass
from typing import NoReturn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import Model, SegmentationNetwork
from geodeeplab.training.data import TrainingData


@dataclass(frozen=True)
class NoChips:
    """The chips of a learner without training data: whoever asks for them is told."""

    name: str
    """The model's."""

    def __len__(self) -> int:
        """Refuse to count.

        Raises:
            OptionError: always.
        """
        self._refuse()

    def draw(self, index: int, *, epoch: int = 0) -> NoReturn:
        """Refuse to draw.

        Raises:
            OptionError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise OptionError(
            f"model '{self.name}' was opened without training data, and so predicts only: to train, score or save it, "
            "pass `data=` to DeepLab.from_model"
        )


def data_without_chips(model: Model) -> tuple[TrainingData, SegmentationNetwork]:
    """Give a model's classes and bands as training data without chips, and its network.

    Raises:
        ModelError: if the network is not one that `build_model` made.
    """
    contract, network = model.contract, model.network
    if not isinstance(network, SegmentationNetwork):
        raise ModelError(
            f"model '{contract.name}' was not made by build_model, and is no learner's: pass it to "
            "`gdl.segment` as its `model=`"
        )
    chips = NoChips(contract.name)
    data = TrainingData(
        classes=contract.classes,
        bands=contract.bands,
        dtype=contract.dtype,
        value_range=contract.value_range,
        gsd_m=contract.gsd_m,
        chip_size=contract.tile_size,
        batch_size=2,
        seed=0,
        augmentation=None,
        class_pixels=(0,) * len(contract.classes),
        train=chips,
        val=chips,
        instances=contract.instances,
        files=() if model.path is None else (str(model.path),),
    )
    return data, network
