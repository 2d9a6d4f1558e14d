"""`geodeeplab segment`."""

import json
from pathlib import Path
from typing import Any

import click

from geodeeplab.cli.options import progress_bar, split_names


@click.command("segment")
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Polygons to write (.gpkg).")
@click.option("--labels", type=click.Path(path_type=Path), help="Label raster to write (.tif).")
@click.option("--confidence", type=click.Path(path_type=Path), help="Raster of 100 × the label's probability (.tif).")
@click.option("--model", default="landcover-aerial", show_default=True, help="Bundled model or model file.")
@click.option("--bands", metavar="B,B,…", help="The scene's bands for the model's: red,green,blue or 4,3,2.")
@click.option("--rescale", metavar="LOW,HIGH", help="Scene values for the ends of the model's range, or 2%,98%.")
@click.option("--tile-size", type=int, help="Pixels of a tile along each axis.  [default: the model's]")
@click.option("--overlap", type=int, help="Pixels that neighbouring tiles share.  [default: the model's]")
@click.option("--blend", type=click.Choice(["hann", "linear", "none"]), default="hann", show_default=True)
@click.option("--crf", is_flag=True, help="Refine each tile with the dense CRF.")
@click.option("--crf-params", metavar="NAME=X,…", help="w1=4,sxy=67,srgb=3,w2=3,sg=1,iterations=10, or some of them.")
@click.option("--crf-bands", metavar="B,B,…", help="Bands that guide it.  [default: up to 3, or 3 components]")
@click.option("--batch-size", type=int, help="Tiles per forward.  [default: what suits the device]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
def command(
    scene: Path,
    output: Path | None,
    labels: Path | None,
    confidence: Path | None,
    model: str,
    bands: str | None,
    rescale: str | None,
    tile_size: int | None,
    overlap: int | None,
    blend: str,
    crf: bool,
    crf_params: str | None,
    crf_bands: str | None,
    batch_size: int | None,
    device: str,
    precision: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Segment SCENE into polygons (-o), a label raster (--labels), or both."""
    from geodeeplab.pipeline.crf import parse_crf
    from geodeeplab.pipeline.segment import segment

    if not crf and (crf_params is not None or crf_bands is not None):
        raise click.UsageError("--crf-params and --crf-bands need --crf")
    with progress_bar() as progress:
        done = segment(
            scene,
            output,
            labels=labels,
            confidence=confidence,
            model=model,
            bands=split_names(bands),
            rescale=rescale,
            tile_size=tile_size,
            overlap=overlap,
            blend=blend,
            crf=crf if crf_params is None else parse_crf(crf_params),
            crf_bands=split_names(crf_bands),
            batch_size=batch_size,
            device=device,
            precision=precision,
            overwrite=overwrite,
            progress=progress,
        )
    click.echo(json.dumps(done.facts, indent=2) if as_json else closing_line(done.facts))


def closing_line(facts: dict[str, Any]) -> str:
    """Say in one line what came out and where the time went."""
    seconds, (height, width) = facts["seconds"], facts["shape"]
    waited = 100 * seconds["waited_for_reads"] / max(seconds["segment"], 1e-9)
    tiles = facts["tiles"]
    skipped = f", {tiles['skipped']} empty" if tiles["skipped"] else ""
    note = f"; {facts['crf']['note']}" if facts["crf"] and facts["crf"]["note"] else ""
    return (
        f"{' '.join(facts['outputs'])}: {width} × {height} px in {seconds['total']:.1f} s "
        f"({facts['mpx_per_s']:.2f} Mpx/s on {facts['device']} {facts['precision']}; "
        f"{tiles['forwarded']} tiles{skipped}; waited {waited:.0f} % for reads{note})"
    )
