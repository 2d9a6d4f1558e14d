"""`geodeeplab segment`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geodeeplab.cli.append_options import append_options
from geodeeplab.cli.batch import are_appended, are_folders, tell_runs
from geodeeplab.cli.instance_options import instance_options
from geodeeplab.cli.map_option import check_map, map_option
from geodeeplab.cli.options import local_only_option
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import Told, is_json, progress_bar, progress_option, tell_done
from geodeeplab.cli.report import closing_line
from geodeeplab.cli.run_options import run_options
from geodeeplab.errors import GeoDeepLabError

if TYPE_CHECKING:
    from geodeeplab.pipeline.appending import Append
    from geodeeplab.pipeline.polygon_options import PolygonOptions
    from geodeeplab.pipeline.run_options import RunOptions
    from geodeeplab.pipeline.scenes.result import SceneRun
    from geodeeplab.pipeline.scenes.tasks import SceneTask

MOST_NAMED = 20
"""Of scenes that failed, as many as a line names."""


@click.command("segment")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("-o", "--polygons", help="Polygons to write (.gpkg, .parquet, .fgb, .geojson), or a folder for them.")
@click.option("--label-raster", help="Label raster to write (.tif), or a folder.")
@click.option("--output", hidden=True)  # as -o and --label-raster were called before 0.1
@click.option("--labels", hidden=True)
@click.option("--confidence", help="100 × the class's probability (.tif), or a folder.")
@click.option("--probabilities", help="Every class's probability (.tif), or a folder.")
@click.option("--probability-dtype", type=click.Choice(["uint8", "float16"]), default="uint8", show_default=True)
@click.option("--boundary", help="255 × the probability of objects' boundaries (.tif), or a folder.")
@map_option
@click.option("--shards", type=click.Path(path_type=Path), help="Folder for the label raster in pieces, with a VRT.")
@click.option("--model", default="landcover-aerial", show_default=True, help="Bundled model or model file.")
@run_options
@click.option("--dask", metavar="N|ADDRESS", help="Compute on N local processes, or on a Dask cluster.")
@polygon_options
@instance_options
@append_options
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
    boundary: str | None,
    map_path: Path | None,
    shards: Path | None,
    model: str,
    options: "RunOptions",
    dask: str | None,
    polygon_options: "PolygonOptions",
    append: "Append | None",
    sieve_labels: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Segment SCENE into polygons (-o), a label raster (--label-raster), or both.

    Several SCENEs are one mosaic, earlier ones on top. Where the outputs are folders, each SCENE, each raster in a
    SCENE that is a folder, and each item of a STAC item collection gets results of its own; those that are there
    already are left out, and with --dask each worker takes one at a time. With --append each SCENE is one of its own,
    too, and the polygons of all go to one layer.
    """
    from geodeeplab.models import find_model
    from geodeeplab.pipeline.early import check_early
    from geodeeplab.raster.sources.opening import read_ahead

    outputs = {"polygons": polygons or output, "label_raster": label_raster or labels}
    outputs |= {"confidence": confidence, "probabilities": probabilities, "boundary": boundary}
    is_batch = are_folders(outputs, scenes) if append is None else are_appended(outputs, scenes)
    if is_batch and shards is not None:
        raise click.UsageError("--shards is for the result of one scene: leave it out, or give files as outputs")
    if map_path is not None:
        is_shared = is_batch or append is not None
        check_map(map_path, outputs, inputs=scenes, is_batch=is_shared, overwrite=overwrite or resume)
    if is_batch:
        find_model(model)
    else:
        check_early(
            scenes,
            outputs,
            model=model,
            contract=options["contract"],
            mask=options["mask"],
            aoi=options["aoi"],
            shards=shards,
            overwrite=overwrite or resume or append is not None,
        )
    read_ahead([str(find_model(model)), *scenes])
    from geodeeplab.cluster import parse_dask  # it and what follows load torch
    from geodeeplab.pipeline.segment import segment

    workers = None if dask is None else parse_dask(dask)
    options["model"] = model
    told: dict[str, Any] = {
        "probability_dtype": probability_dtype,
        "polygon_options": polygon_options,
        "append": append or False,
        "sieve_labels": sieve_labels,
    }
    told |= {"executor": workers, "resume": resume, "overwrite": overwrite}

    def tell_facts(facts: dict[str, Any]) -> None:
        if not as_json:
            click.echo(closing_line(facts))

    facts: dict[str, Any] | list[dict[str, Any]]
    failed: list[str] = []
    with nullcontext() if workers is None else workers:
        if is_batch:
            told["options"] = options
            keep = as_json or is_json()
            count, facts, failed = _segment_many(scenes, outputs, told, tell_facts=tell_facts, keep=keep)
        else:
            with progress_bar("segment") as progress:
                done = segment(
                    scenes[0] if len(scenes) == 1 else scenes,
                    outputs["polygons"],
                    label_raster=outputs["label_raster"],
                    confidence=confidence,
                    probabilities=probabilities,
                    boundary=boundary,
                    shards=shards,
                    progress=progress,
                    **told,
                    **options,
                )
            facts = done.facts
            tell_facts(facts)
            if map_path is not None:
                facts["outputs"].append(str(done.explore().save(map_path, overwrite=overwrite or resume)))
            finish_undisturbed()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    if failed:
        more = f" and {len(failed) - MOST_NAMED} more, see the manifest" if len(failed) > MOST_NAMED else ""
        raise GeoDeepLabError(f"{len(failed)} of {count} scenes failed: {', '.join(failed[:MOST_NAMED])}{more}")
    runs = facts if isinstance(facts, list) else [facts]
    tell_done([path for one in runs for path in one["outputs"]], facts)


def _segment_many(
    scenes: Sequence[str],
    outputs: Mapping[str, str | None],
    told: dict[str, Any],
    *,
    tell_facts: Callable[[dict[str, Any]], None],
    keep: bool,
) -> tuple[int, list[dict[str, Any]], list[str]]:
    """Segment scenes into folders; give how many there are, the facts of those that were run, and those that failed.

    Args:
        scenes: as the command got them.
        outputs: folders, by argument of `segment`.
        told: the arguments of `iter_runs`.
        tell_facts: tells the facts of a scene that was run.
        keep: whether the facts are given.
    """
    from geodeeplab.pipeline.scenes.many import iter_runs, takes_scenes
    from geodeeplab.pipeline.scenes.tasks import list_tasks

    append = told["append"]
    tasks = list_tasks(
        scenes,
        outputs,
        append_to=told["polygon_options"].layer_name if append else None,
        scene_name=append.scene_name if append else None,
    )
    runs = iter_runs(tasks, watch=_watch, **told)
    if takes_scenes(told["executor"], tasks):
        runs = _counted(runs, len(tasks))
    return len(tasks), *tell_runs(runs, len(tasks), tell_facts=tell_facts, keep=keep)


def _watch(task: "SceneTask", number: int, count: int) -> AbstractContextManager[Told]:
    """Lend a bar for one scene of many, which says which it is to whoever reads how far it is."""
    return progress_bar("segment", about={"scene": task.name, "scene_number": number, "scenes": count})


def _counted(runs: Iterator["SceneRun"], count: int) -> Iterator["SceneRun"]:
    """Draw a bar of scenes that have ended, where several are computed at once."""
    with progress_bar("segment", unit="scenes") as progress, closing(runs):  # type: ignore[type-var]  # a generator
        try:
            progress(0, count)
            for number, run in enumerate(runs, start=1):
                yield run
                progress(number, count)
        except KeyboardInterrupt as error:
            error.add_note("pass `resume=True` to go on, within scenes that were begun, too")
            raise
