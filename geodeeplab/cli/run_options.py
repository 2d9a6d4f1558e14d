"""The options that say how a scene is segmented, which several commands have."""

from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from geodeeplab.cli.options import argument_of, split_names

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option("--contract", type=click.Path(path_type=Path), help="Contract (.json) of an ONNX file without one."),
    click.option("--bands", metavar="B,B,…", help="The scene's bands for the model's: red,green,blue or 4,3,2."),
    click.option(
        "--rescale", metavar="LOW,HIGH", help="Scene values for the ends of the model's range, or 2%,98%."
    ),
    click.option("--scale", metavar="SCALE[,OFFSET]", help="Scale and offset of the scene's numbers, to reflectance."),
    click.option(
        "--gsd-m", metavar="native|model|METRES", help="Pixel size that the model sees.  [default: see the guide]"
    ),
    click.option("--grid-crs", metavar="CRS", help="Warp the scenes to this CRS first, such as EPSG:32633."),
    click.option(
        "--mask", multiple=True, metavar="RASTER[:V,…]|PRESET",
        help="Pixels to leave out, as clouds: clouds.tif:1,2, qa_pixel:bit3, scl:3,8, sentinel-2, landsat or hls.",
    ),
    click.option("--aoi", type=click.Path(path_type=Path), help="Vector file with the area of interest, in any CRS."),
    click.option(
        "--crop/--no-crop", default=None,
        help="Outputs on the window around that area.  [default: where it is under 1 % of the grid]",
    ),
    click.option("--classes", metavar="C,C,…", help="Classes to keep; the rest is nodata."),
    click.option(
        "--min-confidence", type=float, default=0.0, help="Least probability (0 to 1) of a class to be kept."
    ),
    click.option("--other", is_flag=True, help="Make what is not kept a class of its own, not nodata."),
    click.option("--tile-size", type=int, help="Pixels of a tile along each axis.  [default: the model's]"),
    click.option("--overlap", type=int, help="Pixels that neighbouring tiles share.  [default: the model's]"),
    click.option("--blend", type=click.Choice(["hann", "linear", "none"]), default="hann", show_default=True),
    click.option("--tta", type=click.Choice(["none", "flips", "d4"]), default="none", show_default=True),
    click.option("--crf", is_flag=True, help="Refine each tile with the dense CRF."),
    click.option(
        "--crf-params", metavar="NAME=X,…", help="w1=4,sxy=67,srgb=3,w2=3,sg=1,iterations=10, or some of them."
    ),
    click.option("--crf-bands", metavar="B,B,…", help="Bands that guide it.  [default: up to 3, or 3 components]"),
    click.option("--batch-size", type=int, help="Tiles per forward.  [default: what suits the device]"),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    click.option(
        "--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]), default="auto", show_default=True,
        help="16-bit where the device is fast at it, else fp32; int8 on a CPU, by OpenVINO.",
    ),
    click.option(
        "--non-finite", type=click.Choice(["error", "nodata"]), default="error", show_default=True,
        help="What becomes of pixels whose logits are not finite.",
    ),
    click.option(
        "--threads", type=int, help="Threads of each forward pass on a CPU.  [default: 1, all if it is large]"
    ),
    click.option("--compile", "compiled", is_flag=True, help="Compile the network first (torch.compile)."),
)  # fmt: skip


def run_options(command: Command) -> Command:
    """Give a command these options; it takes them as one argument, `options`, the keywords of `segment`."""
    return run_options_without()(command)


def run_options_without(*left_out: str) -> Callable[[Command], Command]:
    """Give a command these options but for some, named as arguments, that it has in another sense or not at all."""
    return lambda command: _with_options(command, left_out)


def _with_options(command: Command, left_out: Collection[str]) -> Command:
    @wraps(command)
    def with_options(**arguments: Any) -> Any:  # noqa: ANN401 - click passes what the command declares
        from geodeeplab.pipeline.run_options import RunOptions

        others = ("crf", "model", *left_out)
        names = [name for name in RunOptions.__annotations__ if name in arguments and name not in others]
        crf, parameters = arguments.pop("crf"), arguments.pop("crf_params")
        if not crf and (parameters is not None or arguments["crf_bands"] is not None):
            raise click.UsageError("--crf-params and --crf-bands need --crf")
        stated: dict[str, Any] = {name: arguments.pop(name) for name in names}
        stated |= {name: split_names(stated[name]) for name in ("bands", "classes", "crf_bands") if name in stated}
        if "mask" in stated:
            stated["mask"] = list(stated["mask"]) or None
        options: RunOptions = {**stated, "crf": crf if parameters is None else _parse_crf(parameters)}  # type: ignore[typeddict-item]
        return command(options=options, **arguments)

    for option in reversed(OPTIONS):
        if argument_of(option) not in left_out:
            with_options = option(with_options)
    return with_options  # type: ignore[return-value]  # the same command, with other arguments


def _parse_crf(text: str) -> Any:  # noqa: ANN401 - a DenseCRF, whose module loads torch
    from geodeeplab.pipeline.crf import parse_crf

    return parse_crf(text)
