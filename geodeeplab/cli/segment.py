"""`geodeeplab segment`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geodeeplab.cli.batch import are_folders, plan_batch, run_batch
from geodeeplab.cli.options import progress_bar, split_names
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.report import closing_line
from geodeeplab.errors import GeoDeepLabError

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygons import PolygonOptions


@click.command("segment")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("-o", "--output", help="Polygons to write (.gpkg, .parquet, .fgb, .geojson), or a folder for them.")
@click.option("--labels", help="Label raster to write (.tif), or a folder.")
@click.option("--confidence", help="100 × the class's probability (.tif), or a folder.")
@click.option("--probabilities", help="Every class's probability (.tif), or a folder.")
@click.option("--probability-dtype", type=click.Choice(["uint8", "float16"]), default="uint8", show_default=True)
@click.option("--shards", type=click.Path(path_type=Path), help="Folder for the label raster in pieces, with a VRT.")
@click.option("--model", default="landcover-aerial", show_default=True, help="Bundled model or model file.")
@click.option("--contract", type=click.Path(path_type=Path), help="Contract (.json) of an ONNX file without one.")
@click.option("--bands", metavar="B,B,…", help="The scene's bands for the model's: red,green,blue or 4,3,2.")
@click.option("--rescale", metavar="LOW,HIGH", help="Scene values for the ends of the model's range, or 2%,98%.")
@click.option(
    "--gsd-m", metavar="native|model|METRES", help="Pixel size that the model sees.  [default: see the guide]"
)
@click.option("--grid-crs", metavar="CRS", help="Warp the scenes to this CRS first, such as EPSG:32633.")
@click.option("--aoi", type=click.Path(path_type=Path), help="Vector file with the area of interest, in any CRS.")
@click.option("--classes", metavar="C,C,…", help="Classes to keep; the rest is nodata.")
@click.option("--min-confidence", type=float, default=0.0, help="Least probability (0 to 1) of a class to be kept.")
@click.option("--other", is_flag=True, help="Make what is not kept a class of its own, not nodata.")
@click.option("--tile-size", type=int, help="Pixels of a tile along each axis.  [default: the model's]")
@click.option("--overlap", type=int, help="Pixels that neighbouring tiles share.  [default: the model's]")
@click.option("--blend", type=click.Choice(["hann", "linear", "none"]), default="hann", show_default=True)
@click.option("--tta", type=click.Choice(["none", "flips", "d4"]), default="none", show_default=True)
@click.option("--crf", is_flag=True, help="Refine each tile with the dense CRF.")
@click.option("--crf-params", metavar="NAME=X,…", help="w1=4,sxy=67,srgb=3,w2=3,sg=1,iterations=10, or some of them.")
@click.option("--crf-bands", metavar="B,B,…", help="Bands that guide it.  [default: up to 3, or 3 components]")
@click.option("--batch-size", type=int, help="Tiles per forward.  [default: what suits the device]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--threads", type=int, help="Threads of each forward pass on a CPU.  [default: 1, all if it is large]")
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first (torch.compile).")
@click.option("--dask", metavar="N|ADDRESS", help="Compute on N local processes, or on a Dask cluster.")
@polygon_options
@click.option("--sieve-labels", is_flag=True, help="Apply the minimum area to the label raster, too.")
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
def command(
    scenes: tuple[str, ...],
    output: str | None,
    labels: str | None,
    confidence: str | None,
    probabilities: str | None,
    probability_dtype: str,
    shards: Path | None,
    model: str,
    contract: Path | None,
    bands: str | None,
    rescale: str | None,
    gsd_m: str | None,
    grid_crs: str | None,
    aoi: Path | None,
    classes: str | None,
    min_confidence: float,
    other: bool,
    tile_size: int | None,
    overlap: int | None,
    blend: str,
    tta: str,
    crf: bool,
    crf_params: str | None,
    crf_bands: str | None,
    batch_size: int | None,
    device: str,
    precision: str,
    threads: int | None,
    compiled: bool,
    dask: str | None,
    polygons: "PolygonOptions",
    sieve_labels: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Segment SCENE into polygons (-o), a label raster (--labels), or both.

    Several SCENEs are one mosaic, earlier ones on top. Where the outputs are folders, each SCENE, and each raster in a
    SCENE that is a folder, gets results of its own; those that are there already are left out.
    """
    from geodeeplab.cluster import parse_dask
    from geodeeplab.models import as_model
    from geodeeplab.pipeline.crf import parse_crf
    from geodeeplab.pipeline.segment import segment

    if not crf and (crf_params is not None or crf_bands is not None):
        raise click.UsageError("--crf-params and --crf-bands need --crf")
    outputs = {"output": output, "labels": labels, "confidence": confidence, "probabilities": probabilities}
    is_batch = are_folders(outputs, scenes)
    if is_batch and shards is not None:
        raise click.UsageError("--shards is for the result of one scene: leave it out, or give files as outputs")
    workers = None if dask is None else parse_dask(dask)
    run = partial(
        segment,
        probability_dtype=probability_dtype,
        shards=shards,
        model=as_model(model, contract) if is_batch else model,
        contract=None if is_batch else contract,
        bands=split_names(bands),
        rescale=rescale,
        gsd_m=gsd_m,
        grid_crs=grid_crs,
        aoi=aoi,
        classes=split_names(classes),
        min_confidence=min_confidence,
        other=other,
        tile_size=tile_size,
        overlap=overlap,
        blend=blend,
        tta=tta,
        crf=crf if crf_params is None else parse_crf(crf_params),
        crf_bands=split_names(crf_bands),
        batch_size=batch_size,
        device=device,
        precision=precision,
        threads=threads,
        compiled=compiled,
        executor=workers,
        polygons=polygons,
        sieve_labels=sieve_labels,
        resume=resume,
        overwrite=overwrite,
    )

    def run_one(scene: str | Sequence[str], paths: Mapping[str, str | Path | None]) -> dict[str, Any]:
        with progress_bar() as progress:
            facts = run(
                scene,
                paths.get("output"),
                labels=paths.get("labels"),
                confidence=paths.get("confidence"),
                probabilities=paths.get("probabilities"),
                progress=progress,
            ).facts
        if not as_json:
            click.echo(closing_line(facts))
        return facts

    facts: dict[str, Any] | list[dict[str, Any]]
    failed: list[str] = []
    with nullcontext() if workers is None else workers:
        if is_batch:
            batch = plan_batch(scenes, outputs)
            facts, failed = run_batch(batch, lambda one: run_one(one.scene, one.outputs), overwrite=overwrite)
        else:
            facts = run_one(scenes[0] if len(scenes) == 1 else scenes, outputs)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    if failed:
        raise GeoDeepLabError(f"{len(failed)} of {len(batch)} scenes failed: {', '.join(failed)}")
