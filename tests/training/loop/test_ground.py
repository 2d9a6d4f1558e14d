"""What training chips look like."""

from geodeeplab.models import Contract, Normalisation
from geodeeplab.models.appearance import measure_window, scene_distance
from geodeeplab.training.loop.ground import CHIPS, describe_ground
from tests.training.drawn import DrawnChips, draw_data


def test_chips_of_the_same_kind_are_near() -> None:
    data = draw_data()
    contract = Contract(name="drawn", classes=data.classes, bands=data.bands)
    normalise = Normalisation(contract)
    found = describe_ground(data.train, contract)
    assert found is not None
    assert found.side == 32
    assert found == describe_ground(data.train, contract)
    windows = []
    for index in range(20):
        chip = DrawnChips(count=20, seed=77).draw(index)
        image = normalise(chip.pixels[None], chip.valid[None])[0].numpy()
        windows.append(measure_window(image, chip.valid.numpy(), required=range(3)))
    there = [one for one in windows if one is not None]
    distance = scene_distance(found, there, bands=contract.band_names, channels=range(3))
    assert distance is not None
    assert distance.verdict == "near"


class Counted(DrawnChips):
    """Notes what is drawn of it."""

    def draw(self, index: int, *, epoch: int = 0) -> object:  # type: ignore[override]
        DRAWN.append((index, epoch))
        return super().draw(index, epoch=epoch)


DRAWN: list[tuple[int, int]] = []


def test_so_many_chips_are_looked_at_whatever_there_is() -> None:
    data = draw_data()
    contract = Contract(name="drawn", classes=data.classes, bands=data.bands)
    describe_ground(Counted(count=5, seed=1), contract)  # type: ignore[arg-type]
    assert len(set(DRAWN)) == CHIPS
    DRAWN.clear()
    describe_ground(Counted(count=1000, seed=1), contract)  # type: ignore[arg-type]
    assert len(DRAWN) == CHIPS
    assert DRAWN[-1][0] > 980
    assert {epoch for _, epoch in DRAWN} == {0}
