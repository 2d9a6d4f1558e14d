"""The figures of the networks on ResNet: DeepLabV2, V3 and V3+, with the numbers of the networks as built."""

from matplotlib.figure import Figure

from figures.built import as_published, convolution, draw_branches, draw_image, draw_levels, draw_result, rates_of
from figures.parts import (
    ATROUS,
    CLASSES,
    HEAD,
    MUTED,
    PLAIN,
    SCORES,
    connect,
    draw_arrow,
    draw_box,
    draw_line,
    draw_node,
    draw_slab,
    label_above,
    label_below,
    new_canvas,
    of_map,
    write,
)
from figures.taps import draw_taps


def draw_fcn_dilated() -> Figure:
    """FCN on a dilated backbone, as torchvision has it."""
    figure, ax = new_canvas(1.95)
    name, y = "fcn_resnet50", 1.22
    network = as_published(name)
    stride, between = network.backbone.strides[-1], convolution(name, "0").out_channels
    image = draw_image(ax, 0.12, y)
    label_below(ax, image, "image", "3 ch.")
    levels = draw_levels(ax, 0.9, y, name, step=0.74)
    narrowed = draw_slab(ax, 4.3, y, stride=stride, channels=between, colour=HEAD)
    scores = draw_slab(ax, 5.42, y, stride=stride, channels=CLASSES, colour=SCORES)
    result = draw_result(ax, 6.42, y, 16)
    connect(ax, image, *levels)
    connect(ax, levels[-1], narrowed, text="3 × 3")
    connect(ax, narrowed, scores, text="1 × 1")
    connect(ax, scores, result, text=f"× {stride}")
    at = levels[0].bottom - 0.07
    label_below(ax, narrowed, "narrowed", of_map(stride, between), at=at)
    label_below(ax, scores, "scores", of_map(stride, CLASSES), at=at)
    label_below(ax, result, "labels", at=at)
    return figure


def draw_deeplabv2() -> Figure:
    """DeepLabV2: the summed pyramid above, the fusion of three scales below."""
    figure, ax = new_canvas(4.5)
    network = as_published("deeplabv2_resnet101")
    y = 3.72
    image = draw_image(ax, 0.12, y)
    label_below(ax, image, "image", "3 ch.")
    levels = draw_levels(ax, 0.86, y, "deeplabv2_resnet101", step=0.68)
    connect(ax, image, *levels)
    node = draw_node(ax, 5.6, y, "+")
    scores = draw_slab(ax, 5.92, y, stride=8, channels=CLASSES, colour=SCORES)
    draw_branches(ax, [f"3 × 3, rate {rate}" for rate in rates_of(network.classifier)], x=3.8, y=y, to=node)
    draw_line(ax, (levels[-1].right + 0.03, y), (3.63, y))
    result = draw_result(ax, 6.48, y, 16)
    connect(ax, node, scores, result)
    label_below(ax, scores, "scores", of_map(8, CLASSES))
    label_below(ax, result, "labels", "× 8", at=scores.bottom - 0.07)

    write(ax, 0.12, 2.32, "Three scales, one network: the same weights see them all", ha="left", bold=True)
    maximum = draw_node(ax, 5.5, 1.12, "max")
    for scale, y in zip(network.scales, (1.82, 1.12, 0.42), strict=True):
        small = draw_image(ax, 0.62, y, height=0.62 * scale)
        write(ax, 0.52, y, f"× {scale:g}", ha="right", colour=MUTED)
        box = draw_box(ax, 1.65, y, "the network above", width=1.5, colour=PLAIN)
        coarse = draw_slab(ax, 3.5, y, stride=8, channels=CLASSES, colour=SCORES, height=0.46 * scale)
        connect(ax, small, box, coarse)
        start, side = (coarse.right + 0.03, y), 0.24 if y > maximum.y else -0.24
        ends = [(maximum.left - 0.03, y)] if y == maximum.y else [(maximum.x, y), (maximum.x, maximum.y + side)]
        draw_arrow(ax, start, *ends, text="" if scale == 1 else "to the size of × 1")
    fused = draw_slab(ax, 5.92, 1.12, stride=8, channels=CLASSES, colour=SCORES)
    result = draw_result(ax, 6.48, 1.12, 16)
    connect(ax, maximum, fused, result)
    label_below(ax, fused, "scores", of_map(8, CLASSES))
    label_below(ax, result, "labels", "× 8", at=fused.bottom - 0.07)
    return figure


def draw_deeplabv3() -> Figure:
    """DeepLabV3: the backbone and its multi-grid above; the pyramid, joined and projected, below."""
    figure, ax = new_canvas(4.42)
    name = "deeplabv3_resnet101_paper"
    network, top, low = as_published(name), 3.7, 1.05
    stride, width = network.backbone.strides[-1], 256
    image = draw_image(ax, 0.12, top)
    label_below(ax, image, "image", "3 ch.")
    levels = draw_levels(ax, 0.92, top, name, step=0.72)
    connect(ax, image, *levels)
    blocks = [rates_of(block)[0] for block in network.backbone.get_submodule("layer4").children()]
    write(ax, 5.75, top + 0.55, "The three blocks of layer4: multi-grid", bold=True)
    for x, rate in zip((4.95, 5.75, 6.55), blocks, strict=True):
        draw_taps(ax, x, top + 0.05, rate=rate, cells=2 * max(blocks) + 1, side=0.66)
        write(ax, x, top - 0.36, f"rate {rate}", va="top", colour=MUTED)

    texts = ["1 × 1", *(f"3 × 3, rate {rate}" for rate in rates_of(network.classifier)), "image pooling"]
    joined = draw_slab(ax, 2.42, low, stride=stride, channels=len(texts) * width, colour=HEAD)
    draw_branches(ax, texts, x=0.55, y=low, to=joined)
    away, back = levels[-1].right + 0.25, 0.16
    draw_line(ax, (levels[-1].right + 0.03, top), (away, top), (away, 2.27), (back, 2.27), (back, low), (0.38, low))
    write(ax, 0.55, 2.08, "ASPP: five views of the same map, side by side", ha="left", colour=MUTED)
    projected = draw_slab(ax, 3.78, low, stride=stride, channels=width, colour=HEAD)
    scores = draw_slab(ax, 5.12, low, stride=stride, channels=CLASSES, colour=SCORES)
    result = draw_result(ax, 6.3, low, 8, side=0.72)
    connect(ax, joined, projected, scores, text="1 × 1")
    connect(ax, scores, result, text=f"× {stride}")
    at = joined.bottom - 0.07
    label_below(ax, joined, "joined", of_map(stride, len(texts) * width), at=at)
    label_below(ax, projected, "projected", of_map(stride, width), at=at)
    label_below(ax, scores, "scores", of_map(stride, CLASSES), at=at)
    label_below(ax, result, "labels")
    return figure


def draw_deeplabv3plus() -> Figure:
    """DeepLabV3+: V3's encoder above, the decoder at stride 4 below."""
    figure, ax = new_canvas(4.0)
    name = "deeplabv3plus_resnet101"
    network, top, low = as_published(name), 2.92, 1.05
    stride = network.backbone.strides[-1]
    edges_channels = convolution(name, "low_level.0").out_channels
    joined_channels = convolution(name, "decoder.0.0").in_channels
    image = draw_image(ax, 0.12, top)
    label_above(ax, image, "image", "3 ch.")
    levels = draw_levels(ax, 0.98, top, name, step=0.8, label=label_above)
    aspp = draw_box(ax, 4.3, top, "ASPP of V3", width=0.95, colour=ATROUS)
    encoded = draw_slab(ax, 5.6, top, stride=stride, channels=256, colour=HEAD)
    connect(ax, image, *levels, aspp, encoded)
    label_above(ax, encoded, "context", of_map(stride, 256), at=levels[0].top + 0.08)

    fine = levels[0]
    edges = draw_slab(ax, fine.left + 0.04, low, stride=4, channels=edges_channels, colour=HEAD)
    draw_arrow(ax, (edges.x, fine.bottom + 0.02), (edges.x, edges.top + 0.03), text="1 × 1")
    node = draw_node(ax, 2.35, low, "join")
    joined = draw_slab(ax, 2.95, low, stride=4, channels=joined_channels, colour=HEAD)
    draw_arrow(ax, (encoded.x, encoded.bottom - 0.04), (encoded.x, 1.92), (node.x, 1.92), (node.x, node.top + 0.03))
    write(ax, 4.0, 1.97, "× 4", va="bottom", colour=MUTED)
    connect(ax, edges, node, joined)
    maps = [joined]
    for x, channels, colour in ((3.98, 256, HEAD), (4.92, 256, HEAD), (5.8, CLASSES, SCORES)):
        maps.append(draw_slab(ax, x, low, stride=4, channels=channels, colour=colour))
    result = draw_result(ax, 6.46, low, 32, side=0.66)
    for before, after, text in zip(maps, [*maps[1:], result], ("3 × 3", "3 × 3", "1 × 1", "× 4"), strict=True):
        connect(ax, before, after, text=text)
    titles = ("edges", "joined", "refined", "refined", "scores")
    widths: tuple[int | str, ...] = (edges_channels, joined_channels, 256, 256, CLASSES)
    for slab, title, channels in zip([edges, *maps], titles, widths, strict=True):
        label_below(ax, slab, title, of_map(4, channels))
    label_below(ax, result, "labels", at=joined.bottom - 0.07)
    return figure
