import pytest
import torch
import torch.nn.functional as F

from geodeeplab.models.heads.bilinear import BilinearUpsampling, bilinear_kernel


def test_the_kernel_of_factor_two_by_hand() -> None:
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert torch.equal(bilinear_kernel(2), torch.outer(row, row))


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_copies_of_the_kernel_sum_to_one(factor: int) -> None:
    ones = BilinearUpsampling(factor)(torch.ones(1, 1, 5, 5))
    inner = ones[..., factor:-factor, factor:-factor]
    torch.testing.assert_close(inner, torch.ones_like(inner))


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_it_equals_interpolation_in_the_interior(factor: int) -> None:
    x = torch.randn(2, 3, 4, 5)
    ours = BilinearUpsampling(factor)(x)
    assert ours.shape == (2, 3, 5 * factor, 6 * factor)  # (h − 1)·factor + 2·factor
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    half = factor // 2
    torch.testing.assert_close(
        ours[..., factor:-factor, factor:-factor], expected[..., half:-half, half:-half], atol=1e-5, rtol=0
    )


def test_the_kernel_is_neither_learned_nor_stored() -> None:
    upsampling = BilinearUpsampling(4)
    assert list(upsampling.parameters()) == []
    assert upsampling.state_dict() == {}
