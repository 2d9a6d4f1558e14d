import dataclasses

import pytest
import torch

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelBand
from geodeeplab.training import Augmentation, Chip
from geodeeplab.training.sampling.radiometry import Radiometry, chip_seed


def make_chip(bands: int, *, mean: float = 100.0, std: float = 40.0) -> Chip:
    rng = torch.Generator().manual_seed(0)
    pixels = mean + std * torch.randn(bands, 32, 32, generator=rng)
    valid = torch.ones(32, 32, dtype=torch.bool)
    valid[:8, :8] = False
    pixels[:, :8, :8] = torch.nan
    return Chip(pixels=pixels, valid=valid, labels=torch.ones(32, 32, dtype=torch.uint8))


def make_radiometry(
    bands: int, *, strength: float = 1.0, scale: float = 1.0, clip: bool = False, recolour_share: float = 0.0
) -> Radiometry:
    stats = [ModelBand(name=f"b{i}", mean=100.0 * scale, std=40.0 * scale) for i in range(bands)]
    limits = (0.0, 255.0) if clip else None
    return Radiometry(stats, strength=strength, clip=limits, seed=3, recolour_share=recolour_share)


@pytest.mark.parametrize("bands", [1, 2, 3, 7])
def test_valid_pixels_change_and_nothing_else(bands: int) -> None:
    chip, radiometry = make_chip(bands), make_radiometry(bands)
    for index in range(20):  # every transform is among them
        changed = radiometry(chip, epoch=0, index=index)
        assert changed.pixels.shape == chip.pixels.shape
        assert changed.pixels.dtype == torch.float32
        assert changed.pixels[:, chip.valid].isfinite().all()
        assert not torch.allclose(changed.pixels[:, chip.valid], chip.pixels[:, chip.valid])
        assert changed.pixels[:, ~chip.valid].isnan().all()
        assert changed.labels is chip.labels
        assert changed.valid is chip.valid


def test_a_chip_follows_from_seed_epoch_and_index_alone() -> None:
    chip, radiometry = make_chip(3), make_radiometry(3)
    first = radiometry(chip, epoch=1, index=2).pixels
    torch.rand(100)
    state = torch.random.get_rng_state()
    assert torch.equal(make_radiometry(3)(chip, epoch=1, index=2).pixels[:, chip.valid], first[:, chip.valid])
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's random numbers are left alone
    for epoch, index in ((1, 3), (2, 2), (2, 1)):
        other = radiometry(chip, epoch=epoch, index=index).pixels
        assert not torch.equal(other[:, chip.valid], first[:, chip.valid])
    assert len({chip_seed(seed, epoch=a, index=b) for seed in (0, 1) for a in (0, 1) for b in (0, 1)}) == 8


def test_changes_scale_with_the_statistics() -> None:
    chip = make_chip(2)
    large = dataclasses.replace(chip, pixels=1000 * chip.pixels)
    for index in range(10):
        small = make_radiometry(2)(chip, epoch=0, index=index).pixels
        ours = make_radiometry(2, scale=1000)(large, epoch=0, index=index).pixels
        torch.testing.assert_close(ours[:, chip.valid] / 1000, small[:, chip.valid], rtol=1e-4, atol=1e-2)


def test_a_nodata_value_does_not_bleed_into_its_neighbours() -> None:
    chip = make_chip(1)
    chip.pixels[:, ~chip.valid] = -9999.0
    for index in range(60):  # blur is among them
        changed = make_radiometry(1)(chip, epoch=0, index=index).pixels
        assert changed[:, chip.valid].min() > -500
        assert (changed[:, ~chip.valid] == -9999.0).all()


def test_whole_numbers_stay_in_the_range_of_the_sensor() -> None:
    chip = make_chip(3, mean=230.0, std=60.0)
    values = make_radiometry(3, clip=True)(chip, epoch=0, index=1).pixels[:, chip.valid]
    assert values.min() >= 0
    assert values.max() <= 255


def test_no_strength_changes_nothing() -> None:
    chip = make_chip(3)
    assert make_radiometry(3, strength=Augmentation(strength=0).strength)(chip, epoch=0, index=0) is chip


def test_recoloured_bands_are_mixtures_of_all_bands() -> None:
    chip, radiometry = make_chip(3), make_radiometry(3, strength=0, recolour_share=1)
    seen, valid = chip.pixels[:, chip.valid].T, chip.valid
    for index in range(5):
        changed = radiometry(chip, epoch=0, index=index).pixels[:, valid].T
        weights = torch.linalg.lstsq(seen, changed).solution
        torch.testing.assert_close(seen @ weights, changed, rtol=0, atol=1e-2)
        torch.testing.assert_close(weights.sum(dim=0), torch.ones(3), rtol=0, atol=1e-3)  # grey stays as it is
        assert weights.min() > -1e-3
        assert not torch.allclose(weights, torch.eye(3), atol=0.05)


def test_a_share_of_the_chips_is_recoloured() -> None:
    chip, radiometry = make_chip(3), make_radiometry(3, strength=0, recolour_share=0.5)
    changed = [radiometry(chip, epoch=0, index=index).pixels[:, chip.valid] for index in range(100)]
    as_before = sum(torch.allclose(one, chip.pixels[:, chip.valid], atol=1e-3) for one in changed)
    assert 30 < as_before < 70


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(OptionError, match=r"`recolour_share=` is a share from 0 to 1, not 1\.5"):
        Augmentation(recolour_share=1.5)


def test_a_share_of_the_chips_has_the_means_of_all_optional_bands() -> None:
    bands = [ModelBand(name=f"b{i}", mean=100.0, std=40.0, is_optional=i > 0) for i in range(3)]
    chip, changes = make_chip(3), Radiometry(bands, strength=0.0, clip=None, seed=3, optional_share=0.3)
    lacking = 0
    for index in range(200):
        changed = changes(chip, epoch=0, index=index)
        assert torch.allclose(changed.pixels[0, chip.valid], chip.pixels[0, chip.valid], rtol=1e-5)
        assert changed.pixels[:, ~chip.valid].isnan().all()
        others = changed.pixels[1:, chip.valid]
        lacking += bool((others == 100.0).all())
        assert (others == 100.0).all() or torch.allclose(others, chip.pixels[1:, chip.valid], rtol=1e-5)
    assert 40 <= lacking <= 80
