"""Draw the figures of docs/deeplab-line.md, and write its tables, from the networks as the code builds them.

    python scripts/draw_architectures.py
    python scripts/draw_architectures.py --only pointrend crf

Figures go to docs/images/line-NAME.svg, the same bytes every time (with the matplotlib of constraints.txt); tables
between their markers in the page. With `--only`, the figures named are drawn and the tables left alone.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figures.ideas import draw_atrous, draw_crf, draw_line_of_papers, draw_pointrend
from figures.parts import STYLE, save_svg
from figures.resnet import draw_deeplabv2, draw_deeplabv3, draw_deeplabv3plus, draw_fcn_dilated
from figures.vgg import draw_deeplabv1, draw_dilatednet, draw_fcn
from geodeeplab.errors import ModelError
from geodeeplab.models import ARCHITECTURES, PUBLISHED, build_model, measure_cost
from geodeeplab.models.assembly import OUTPUT_STRIDE

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "deeplab-line.md"
FIGURES: dict[str, Callable[[], Figure]] = {
    "papers": draw_line_of_papers,
    "atrous": draw_atrous,
    "fcn": draw_fcn,
    "fcn-dilated": draw_fcn_dilated,
    "deeplabv1": draw_deeplabv1,
    "deeplabv2": draw_deeplabv2,
    "deeplabv3": draw_deeplabv3,
    "deeplabv3plus": draw_deeplabv3plus,
    "dilatednet": draw_dilatednet,
    "pointrend": draw_pointrend,
    "crf": draw_crf,
}
FAMILIES = {
    "VGG": "vgg16",
    "ResNet": "resnet18",
    "DenseNet": "densenet121",
    "MobileNet": "mobilenet_v3_small",
}
"""One backbone stands for its family. Networks of timm are left to the text: each is tried when it is built."""


CLASSES = 7
CHOICES: dict[str, dict[str, Any]] = {
    "most maps: begin here": {"pointrend": True},
    "the same without PointRend": {},
    "the same at output stride 8": {"output_stride": 8},
    "a CPU, or a large area": {"backbone": "mobilenet_v3_large", "pointrend": True},
    "fine edges without points": {"arch": "deeplabv3plus"},
    "the same, with fewer operations": {"arch": "deeplabv3plus", "separable": True},
    "the fewest operations on a ResNet-50": {"pointrend": True, "keep_dilation": False},
}
"""What each network is for, and the arguments of `build_model` that make it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, metavar="NAME", help="figures to draw: %(choices)s")
    options = parser.parse_args(arguments)
    for name in options.only or FIGURES:
        save_svg(draw(name), figure_path(name))
        print(f"docs/images/{figure_path(name).name}: {figure_path(name).stat().st_size // 1024} KB")
    if not options.only:
        page = PAGE.read_text(encoding="utf-8")
        for name, lay_out in TABLES.items():
            page = fill(page, name, lay_out())
        PAGE.write_text(page, encoding="utf-8")


def draw(name: str) -> Figure:
    """Draw the figure of that name."""
    with mpl.rc_context(STYLE):
        return FIGURES[name]()


def figure_path(name: str) -> Path:
    """Say where the figure of that name lies."""
    return DOCS / "images" / f"line-{name}.svg"


def choices_table() -> str:
    """Lay out what the networks to choose from cost, as Markdown."""
    rows = []
    for use, arguments in CHOICES.items():
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            network = build_model(**arguments, num_classes=CLASSES).eval()
            network(torch.empty(1, 3, 512, 512))
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        call = ", ".join(f"`{key}={value!r}`".replace("'", '"') for key, value in arguments.items())
        rows.append(f"| {use} | {call or 'nothing more'} | {millions:.1f} M | {counter.get_total_flops() / 1e9:.1f} |")
    head = "| for | `gdl.build_model(num_classes=7, …)` | parameters | GFLOPs at 512² |"
    return "\n".join([head, "|---|---|--:|--:|", *rows])


def published_table() -> str:
    """Lay out all published networks, with what they cost and what their authors report, as Markdown."""
    return "\n".join([*PUBLISHED_HEAD, *map(published_row, PUBLISHED)])


PUBLISHED_HEAD = (
    "| `build_published(…)` | parameters | GFLOPs at 512² | output stride | mean IoU as reported |",
    "|---|--:|--:|--:|---|",
)


def published_row(name: str) -> str:
    """Lay out one published network."""
    cost = measure_cost(name)
    return (
        f"| `{name}` | {cost.parameters / 1e6:.2f} M | {cost.gflops:,.1f} | {cost.output_stride} "
        f"| {PUBLISHED[name].mean_iou} |"
    )


def pairs_table() -> str:
    """Lay out which architecture goes with which family of backbones, and with which numbers, as Markdown."""
    head = f"| `arch` | {' | '.join(FAMILIES)} | output strides | rates |"
    rule = f"|---|{':-:|' * len(FAMILIES)}---|---|"
    rows = []
    for arch in ARCHITECTURES:
        exists = ["✓" if builds(arch, backbone) else "–" for backbone in FAMILIES.values()]
        default = OUTPUT_STRIDE[arch]
        strides = [f"**{s}**" if s == default else f"{s}" for s in (8, 16, 32) if builds(arch, "vgg16", s)]
        rows.append(f"| `{arch}` | {' | '.join(exists)} | {', '.join(strides)} | {default_rates(arch)} |")
    return "\n".join([head, rule, *rows])


def builds(arch: str, backbone: str, output_stride: int | None = None) -> bool:
    """Say whether a pair exists."""
    try:
        with torch.device("meta"):
            build_model(arch=arch, backbone=backbone, num_classes=2, output_stride=output_stride)
    except ModelError:
        return False
    return True


def default_rates(arch: str) -> str:
    """List the rates of an architecture's head at its output stride."""
    with torch.device("meta"):
        head = build_model(arch=arch, backbone="vgg16", num_classes=2).classifier
    rates = [m.dilation[0] for m in head.modules() if isinstance(m, torch.nn.Conv2d) and m.dilation[0] > 1]
    return ", ".join(map(str, rates)) or "none"


def fill(page: str, name: str, table: str) -> str:
    """Put a table between its markers in the page."""
    begin, end = markers(name)
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def read_table(page: str, name: str) -> str:
    """Give the table that stands between its markers in the page."""
    begin, end = markers(name)
    return page.partition(begin)[2].partition(end)[0].strip()


def markers(name: str) -> tuple[str, str]:
    """Give the comments before and after a table."""
    return f"<!-- {name}: written by scripts/draw_architectures.py -->", f"<!-- end of {name} -->"


TABLES = {"choices": choices_table, "published": published_table, "pairs": pairs_table}


if __name__ == "__main__":
    main()
