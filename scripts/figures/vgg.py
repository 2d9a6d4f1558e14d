"""The figures of the networks on VGG: FCN, DeepLabV1 and DilatedNet, with the numbers of the networks as built."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from figures.built import as_published, convolution, draw_image, draw_result, legend
from figures.parts import (
    ATROUS,
    CLASSES,
    HEAD,
    MUTED,
    PLAIN,
    SCORES,
    Placed,
    connect,
    draw_arrow,
    draw_box,
    draw_node,
    draw_slab,
    label_above,
    label_below,
    new_canvas,
    of_map,
    write,
)
from figures.taps import draw_reach, draw_taps
from geodeeplab.models.heads.dilatednet import DILATIONS

Stages = list[tuple[float, str, int, int | str, str, str]]
"""Maps in a row: x, name, stride, channels, colour, and more to say."""


def draw_fcn() -> Figure:
    """FCN-32s, 16s and 8s: the backbone above, scores below, three results."""
    figure, ax = new_canvas(4.05)
    backbone = as_published("fcn8s_vgg16").backbone
    top, low = 2.95, 1.55
    image = draw_image(ax, 0.12, top)
    label_above(ax, image, "image", "3 ch.")
    slabs = [draw_slab(ax, 0.98, top, stride=2, channels=64)]
    for i, x in enumerate((1.86, 2.84, 3.92, 5.0)):
        slabs.append(draw_slab(ax, x, top, stride=backbone.strides[i], channels=backbone.channels[i]))
    fc = draw_slab(ax, 6.02, top, stride=32, channels=4096, colour=HEAD)
    connect(ax, image, *slabs, fc)
    maps = [(2, 64), *zip(backbone.strides, backbone.channels, strict=True)]
    for i, (slab, (stride, channels)) in enumerate(zip(slabs, maps, strict=True)):
        label_above(ax, slab, f"pool{i + 1}", of_map(stride, channels), at=slabs[0].top + 0.08)
    label_above(ax, fc, "fc6, fc7", of_map(32, 4096), at=slabs[0].top + 0.08)

    scores = draw_slab(ax, fc.x - 0.12, low, stride=32, channels=CLASSES, colour=SCORES)
    draw_arrow(ax, (fc.x, fc.bottom - 0.04), (fc.x, scores.top + 0.03), text="1 × 1")
    before: Placed = scores
    for pool, factor in ((slabs[3], 16), (slabs[2], 8)):
        node = draw_node(ax, pool.x, low, "+")
        draw_arrow(ax, (pool.x, pool.bottom - 0.04), (pool.x, node.top + 0.02), text="1 × 1")
        draw_arrow(ax, (before.left - 0.04, low), (node.right + 0.03, low), text="× 2")
        _fcn_result(ax, node, factor)
        before = node
    _fcn_result(ax, scores, 32)
    legend(
        ax,
        0.15,
        1.4,
        (PLAIN, "VGG-16's own maps"),
        (HEAD, "its last layers, as convolutions"),
        (SCORES, f"scores of the {CLASSES} classes"),
    )
    write(ax, 0.15, 0.6, "Tall: many cells. Thick: many\nchannels. Neither is to scale.", ha="left", colour=MUTED)
    return figure


def _fcn_result(ax: Axes, above: Placed, factor: int) -> None:
    result = draw_result(ax, above.x - 0.36, 0.64, 128 // factor, side=0.72)
    draw_arrow(ax, (above.x, above.bottom - 0.03), (above.x, result.top + 0.03), text=f"× {factor}")
    write(ax, above.x, result.bottom - 0.07, f"FCN-{factor}s", va="top", bold=True)


def draw_deeplabv1() -> Figure:
    """DeepLabV1: pools without stride, and the field of view of fc6 below."""
    figure, ax = new_canvas(4.3)
    network = as_published("deeplabv1_vgg16_largefov")
    backbone, fc6 = network.backbone, convolution("deeplabv1_vgg16_largefov", "fc6")
    rate, width = fc6.dilation[0], fc6.out_channels
    (rate5,) = {m.dilation[0] for m in backbone.modules() if isinstance(m, nn.Conv2d)} - {1}
    y = 3.56
    image = draw_image(ax, 0.1, y)
    label_below(ax, image, "image", "3 ch.")
    maps: Stages = [
        (0.86, "pool1", 2, 64, PLAIN, ""),
        *(
            (x, f"pool{i + 2}", backbone.strides[i], backbone.channels[i], ATROUS if i == 3 else PLAIN, extra)
            for i, (x, extra) in enumerate(
                ((1.58, ""), (2.26, ""), (2.92, "\nno stride"), (3.67, f"\nno stride,\nrate {rate5}"))
            )
        ),
        (4.42, "fc6", 8, width, ATROUS, f"\nrate {rate}"),
        (5.18, "fc7", 8, width, HEAD, ""),
        (5.9, "fc8", 8, CLASSES, SCORES, ""),
    ]
    slabs = [draw_slab(ax, x, y, stride=stride, channels=channels, colour=c) for x, _, stride, channels, c, _ in maps]
    for slab, (_, name, stride, channels, _, extra) in zip(slabs, maps, strict=True):
        label_below(ax, slab, name, of_map(stride, channels) + extra, at=slabs[0].bottom - 0.07)
    result = draw_result(ax, 6.48, y, 16)
    connect(ax, image, *slabs, result)
    label_below(ax, result, "labels", "× 8,\nthen the\ndense CRF", at=slabs[0].bottom - 0.07)

    write(ax, 3.6, 1.9, "Three ways to make fc6, on its grid of cells 8 pixels wide", bold=True)
    for x, name in ((0.55, "deeplabv1_vgg16_7x7"), (2.95, "deeplabv1_vgg16"), (5.35, "deeplabv1_vgg16_largefov")):
        _draw_field_of_view(ax, x, name)
    return figure


def _draw_field_of_view(ax: Axes, x: float, name: str) -> None:
    fc6 = convolution(name, "fc6")
    kernel, rate = fc6.kernel_size[0], fc6.dilation[0]
    cells = rate * (kernel - 1) + 1
    millions = sum(parameter.numel() for parameter in as_published(name).parameters()) / 1e6
    draw_taps(ax, x + 0.6, 1.18, rate=rate, cells=25, side=1.1, kernel=kernel)
    write(ax, x + 0.6, 0.56, f"{kernel} × {kernel}, rate {rate}", va="top", bold=True)
    write(ax, x + 0.6, 0.4, f"sees {cells} × {cells} cells\n{millions:.1f} M parameters in all", va="top", colour=MUTED)


def draw_dilatednet() -> Figure:
    """DilatedNet: the front end above; below, what the layers of the context module see."""
    figure, ax = new_canvas(4.2)
    name = "dilatednet_vgg16_basic"
    backbone, fc6 = as_published(name).backbone, convolution(name, "fc.fc6")
    (rate5,) = {m.dilation[0] for m in backbone.modules() if isinstance(m, nn.Conv2d)} - {1}
    y, strides, channels = 3.42, backbone.strides, backbone.channels
    image = draw_image(ax, 0.16, y)
    label_below(ax, image, "image", "mirrored\nborders")
    maps: Stages = [
        (1.02, "pool2", strides[0], channels[0], PLAIN, ""),
        (1.74, "pool3", strides[1], channels[1], PLAIN, ""),
        (2.46, "conv4", strides[2], channels[2], PLAIN, "\nno pool4"),
        (3.22, "conv5", strides[3], channels[3], ATROUS, f"\nno pool5,\nrate {rate5}"),
        (4.0, "fc6, fc7", 8, fc6.out_channels, ATROUS, f"\nrate {fc6.dilation[0]}"),
        (4.86, "scores", 8, CLASSES, SCORES, ""),
        (6.02, "scores", 8, CLASSES, SCORES, ""),
    ]
    slabs = [draw_slab(ax, x, y, stride=stride, channels=width, colour=c) for x, _, stride, width, c, _ in maps]
    for slab, (_, name, stride, width, _, extra) in zip(slabs, maps, strict=True):
        label_below(ax, slab, name, of_map(stride, width) + extra, at=slabs[0].bottom - 0.07)
    context = draw_box(ax, 5.24, y, "context", width=0.64, colour=ATROUS)
    result = draw_result(ax, 6.48, y, 16)
    connect(ax, image, *slabs[:-1], context, slabs[-1], result)
    label_below(ax, result, "labels", "× 8", at=slabs[0].bottom - 0.07)

    write(ax, 3.6, 1.85, "The context module: each 3 × 3 layer sees further, in cells of 8 pixels", bold=True)
    seen, whole, side = 1, 2 * sum(DILATIONS) + 1, 0.84
    for i, rate in enumerate(DILATIONS):
        x, seen = 0.57 + 1.01 * i, seen + 2 * rate
        draw_reach(ax, x, 1.12, rate=rate, seen=seen, whole=whole, side=side)
        write(ax, x, 0.6, f"rate {rate}", va="top", bold=True)
        write(ax, x, 0.44, f"sees {seen}", va="top", colour=MUTED)
        if i:
            draw_arrow(ax, (x - 1.01 + side / 2 + 0.02, 1.12), (x - side / 2 - 0.02, 1.12))
    write(ax, 3.6, 0.13, "Dots: the nine taps of the layer. Square: all that reaches its output.", colour=MUTED)
    return figure
