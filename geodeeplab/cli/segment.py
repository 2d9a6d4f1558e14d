"""`geodeeplab segment`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geodeeplab.cli.batch import are_folders, plan_batch, run_batch
from geodeeplab.cli.map_option import check_map, map_option
from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_option, tell_done
from geodeeplab.cli.report import closing_line
from geodeeplab.cli.run_options import run_options
from geodeeplab.errors import GeoDeepLabError

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygons import PolygonOptions
    from geodeeplab.pipeline.run_options import RunOptions


@click.command("segment")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("-o", "--polygons", help="Polygons to write (.gpkg, .parquet, .fgb, .geojson), or a folder for them.")
@click.option("--label-raster", help="Label raster to write (.tif), or a folder.")
@click.option("--output", hidden=True)  # as -o and --label-raster were called before 0.1
@click.option("--labels", hidden=True)
@click.option("--confidence", help="100 × the class's probability (.tif), or a folder.")
@click.option("--probabilities", help="Every class's probability (.tif), or a folder.")
@click.option("--probability-dtype", type=click.Choice(["uint8", "float16"]), default="uint8", show_default=True)
@map_option
@click.option("--shards", type=click.Path(path_type=Path), help="Folder for the label raster in pieces, with a VRT.")
@click.option("--model", default="landcover-aerial", show_default=True, help="Bundled model or model file.")
@run_options
@click.option("--dask", metavar="N|ADDRESS", help="Compute on N local processes, or on a Dask cluster.")
@polygon_options
@click.option("--sieve-labels", is_flag=True, help="Apply the minimum area to the label raster, too.")
@click.option("--resume", is_flag=True, help="Go on with a run that was cut off.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print the run's facts as JSON on stdout.")
@local_only_option
def command(
    scenes: tuple[str, ...],
    polygons: str | None,
    label_raster: str | None,
    output: str | None,
    labels: str | None,
    confidence: str | None,
    probabilities: str | None,
    probability_dtype: str,
    map_path: Path | None,
    shards: Path | None,
    model: str,
    options: "RunOptions",
    dask: str | None,
    polygon_options: "PolygonOptions",
    sieve_labels: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Segment SCENE into polygons (-o), a label raster (--label-raster), or both.

    Several SCENEs are one mosaic, earlier ones on top. Where the outputs are folders, each SCENE, and each raster in a
    SCENE that is a folder, gets results of its own; those that are there already are left out.
    """
    from geodeeplab.models import find_model
    from geodeeplab.pipeline.early import check_early
    from geodeeplab.raster.sources.opening import read_ahead

    outputs = {"polygons": polygons or output, "label_raster": label_raster or labels}
    outputs |= {"confidence": confidence, "probabilities": probabilities}
    is_batch = are_folders(outputs, scenes)
    if is_batch and shards is not None:
        raise click.UsageError("--shards is for the result of one scene: leave it out, or give files as outputs")
    if map_path is not None:
        check_map(map_path, outputs, inputs=scenes, is_batch=is_batch, overwrite=overwrite or resume)
    if is_batch:
        find_model(model)
    else:
        check_early(
            scenes,
            outputs,
            model=model,
            contract=options["contract"],
            aoi=options["aoi"],
            shards=shards,
            overwrite=overwrite or resume,
        )
    read_ahead([str(find_model(model)), *scenes])
    from geodeeplab.cluster import parse_dask  # it and what follows load torch
    from geodeeplab.models import as_model
    from geodeeplab.pipeline.segment import segment

    workers = None if dask is None else parse_dask(dask)
    options["model"] = as_model(model, options.pop("contract")) if is_batch else model  # a batch loads it once
    run = partial(
        segment,
        probability_dtype=probability_dtype,
        shards=shards,
        polygon_options=polygon_options,
        sieve_labels=sieve_labels,
        executor=workers,
        resume=resume,
        overwrite=overwrite,
        **options,
    )

    def run_one(
        scene: str | Sequence[str], paths: Mapping[str, str | Path | None], about: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        with progress_bar("segment", about=about) as progress:
            done = run(
                scene,
                paths.get("polygons"),
                label_raster=paths.get("label_raster"),
                confidence=paths.get("confidence"),
                probabilities=paths.get("probabilities"),
                progress=progress,
            )
        facts = done.facts
        if not as_json:
            click.echo(closing_line(facts))
        if map_path is not None:
            facts["outputs"].append(str(done.explore().save(map_path, overwrite=overwrite or resume)))
        return facts

    facts: dict[str, Any] | list[dict[str, Any]]
    failed: list[str] = []
    with nullcontext() if workers is None else workers:
        if is_batch:
            batch = plan_batch(scenes, outputs)
            facts, failed = run_batch(
                batch, lambda one, about: run_one(one.scene, one.outputs, about), overwrite=overwrite
            )
        else:
            facts = run_one(scenes[0] if len(scenes) == 1 else scenes, outputs)
            finish_undisturbed()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    if failed:
        raise GeoDeepLabError(f"{len(failed)} of {len(batch)} scenes failed: {', '.join(failed)}")
    runs = facts if isinstance(facts, list) else [facts]
    tell_done([path for one in runs for path in one["outputs"]], facts)
