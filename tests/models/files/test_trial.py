"""Networks that do not take every tile."""

import pytest
import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import Contract, ModelBand, ModelClass, as_model
from geodeeplab.models.files.trial import check_tiles


def make_contract(tile_size: int = 64) -> Contract:
    return Contract(
        name="picky",
        classes=tuple(ModelClass(id=i, name=f"class {i}", color=(i, i, i)) for i in (1, 2)),
        bands=(ModelBand(name="grey", mean=100.0, std=50.0),),
        tile_size=tile_size,
        overlap=8,
    )


class Picky(nn.Module):
    """Takes sides of which `divisor` is a divisor, or one size; and so many images at once at most."""

    def __init__(self, divisor: int = 1, *, size: int | None = None, most: int = 99) -> None:
        super().__init__()
        self.divisor, self.size, self.most = divisor, size, most

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.divisor or self.size not in (None, x.shape[-1]) or len(x) > self.most:
            raise RuntimeError(f"no {tuple(x.shape)}")
        return torch.cat([x, -x], 1)


@pytest.mark.parametrize(
    ("module", "asked", "good"), [(Picky(32), 50, 64), (Picky(14), 97, 98), (Picky(size=64), 512, 64)]
)
def test_another_size_is_tried_before_work_and_the_next_good_one_is_named(
    module: nn.Module, asked: int, good: int
) -> None:
    model = as_model(module, make_contract(64 if good == 64 else 28))
    check_tiles(model, tile_size=good, batch=1)
    with pytest.raises(
        OptionError, match=rf"{asked} px \(RuntimeError: no .*\): the next size that it takes is {good}"
    ):
        check_tiles(model, tile_size=asked, batch=1)


def test_the_contracts_own_size_is_tried_too() -> None:
    with pytest.raises(ModelError, match=r"does not take \(1, 1, 48, 48\) .*: the next size that it takes is 64"):
        as_model(Picky(32), make_contract(48))


def test_a_batch_that_it_does_not_take() -> None:
    with pytest.raises(OptionError, match=r"does not take 4 tiles of 64 px at once .*: choose a batch size of 1"):
        check_tiles(as_model(Picky(most=2), make_contract()), tile_size=64, batch=4)


def test_a_network_without_a_finite_number_is_refused() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, x], 1) * torch.nan

    with pytest.raises(ModelError, match="no finite number"):
        as_model(Broken(), make_contract())


def test_where_memory_runs_out_the_engine_decides() -> None:
    class Greedy(Picky):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 1:
                raise MemoryError("out of memory")
            return super().forward(x)

    check_tiles(as_model(Greedy(), make_contract()), tile_size=64, batch=8)
