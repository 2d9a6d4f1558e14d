"""Dilated depthwise convolutions: what they give, and their gradients, are torch's own."""

import pytest
import torch
import torch.nn.functional as F

from geodeeplab.models.backbones.depthwise import dilated_depthwise


@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"),
    [(3, (2, 2), (2, 2)), (5, (4, 4), (2, 2)), (5, (0, 0), (1, 1)), ((3, 1), (1, 0), (2, 3))],
)
def test_gradients_are_those_of_torch(
    kernel: int | tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    x = torch.randn(2, 6, 9, 11, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, *sides, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, weight, None, 1, padding, dilation, groups=6)
    got = dilated_depthwise(x, weight, padding=padding, dilation=dilation)
    assert torch.equal(got, expected)
    grad = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(got, (x, weight), grad), torch.autograd.grad(expected, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(2, 1, 3, 3, requires_grad=True)
    dilated_depthwise(x, weight, padding=(2, 2), dilation=(2, 2)).sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    x, weight = x.requires_grad_(), weight.detach()
    dilated_depthwise(x, weight, padding=(2, 2), dilation=(2, 2)).sum().backward()
    assert x.grad is not None
    assert weight.grad is None


def test_gradients_under_autocast_have_the_types_of_their_tensors() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(4, 1, 3, 3, requires_grad=True)
    expected = torch.autograd.grad(F.conv2d(x, weight, None, 1, 2, 2, groups=4).square().sum(), (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        result = dilated_depthwise(x, weight, padding=(2, 2), dilation=(2, 2))
        assert result.dtype == torch.bfloat16
        loss = result.float().square().sum()
    got = torch.autograd.grad(loss, (x, weight))
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max()))
