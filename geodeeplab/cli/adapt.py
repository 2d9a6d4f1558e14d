"""`geodeeplab adapt`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from geodeeplab.cli.batch import are_folders
from geodeeplab.cli.label_options import label_options
from geodeeplab.cli.map_option import check_map, map_option
from geodeeplab.cli.options import local_only_option, read_metres
from geodeeplab.cli.polygon_options import polygon_options
from geodeeplab.cli.process import finish_undisturbed
from geodeeplab.cli.progress import progress_bar, progress_bars, progress_option, tell, tell_done
from geodeeplab.cli.report import closing_line
from geodeeplab.cli.run_options import run_options_without
from geodeeplab.errors import OptionError

if TYPE_CHECKING:
    from geodeeplab.pipeline.polygon_options import PolygonOptions
    from geodeeplab.pipeline.run_options import RunOptions
    from geodeeplab.pipeline.scenes.tasks import SceneTask

READ_BY = ("bands", "tile_size", "overlap", "batch_size", "device", "precision", "threads")
"""Options of a run that features are read by, too."""


@click.command("adapt")
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@click.option("--labels", multiple=True, required=True, help="Polygons; once for all SCENEs, or once for each.")
@label_options
@click.option("-o", "--polygons", help="Polygons to write (.gpkg, .parquet, .fgb, .geojson), or a folder.")
@click.option("--label-raster", help="Label raster to write (.tif), or a folder.")
@click.option("--confidence", help="100 × the class's probability (.tif), or a folder.")
@click.option("--probabilities", help="Every class's probability (.tif), or a folder.")
@map_option
@click.option("--save", "model_path", type=click.Path(path_type=Path), help="Model file to write (.safetensors).")
@click.option("--suggest", type=click.Path(path_type=Path), help="Layer of where to draw next (.gpkg).")
@click.option(
    "-n", "--suggestions", type=click.IntRange(min=1), default=10, show_default=True, help="How many windows."
)
@click.option("--since", type=click.Path(path_type=Path), help="Model of the round before: tell what has changed.")
@click.option("--model", default="auto", show_default=True, help="Model to adapt; none: ImageNet's features alone.")
@click.option(
    "--gsd-m",
    metavar="native|METRES",
    callback=read_metres,
    help="Pixel size that the model sees.  [default: the scenes', from 5 m on half of it]",
)
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option("--licence", default="", help="Licence of the model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides trees and head.")
@click.option("--no-cache", is_flag=True, help="Keep no features for the next round.")
@run_options_without("contract", "classes", "rescale", "scale", "gsd_m", "grid_crs")
@click.option("--dask", metavar="N|ADDRESS", help="Compute the map on N local processes, or on a Dask cluster.")
@polygon_options
@click.option("--resume", is_flag=True, help="Go on with a map that was cut off.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print report and facts as JSON on stdout.")
@local_only_option
def command(
    scenes: tuple[str, ...],
    labels: tuple[str, ...],
    polygons: str | None,
    label_raster: str | None,
    confidence: str | None,
    probabilities: str | None,
    map_path: Path | None,
    model_path: Path | None,
    suggest: Path | None,
    suggestions: int,
    since: Path | None,
    model: str,
    gsd_m: float | Literal["native"] | None,
    name: str | None,
    licence: str,
    seed: int,
    no_cache: bool,
    label_options: Mapping[str, Any],
    options: "RunOptions",
    dask: str | None,
    polygon_options: "PolygonOptions",
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a map of SCENE from a few polygons of it, in seconds, and a model that maps others.

    Each SCENE is one of its own, and all share the classes. The report says how good the map is, as far as the polygons
    tell: each of them is left out once. With --suggest comes a layer of where to draw next; draw there, and run the
    command again.
    """
    from geodeeplab.pipeline.outputs import model_paths
    from geodeeplab.raster import mask_rasters
    from geodeeplab.raster.sources.opening import check_is_there, read_ahead

    outputs = {"polygons": polygons, "label_raster": label_raster, "confidence": confidence}
    outputs |= {"probabilities": probabilities}
    wanted = {key: value for key, value in outputs.items() if value is not None}
    base = [] if model in ("auto", "none") else model_paths(model, None)
    inputs: list[Any] = [
        *scenes,
        *labels,
        *base,
        *(one for one in (label_options.get("labelled"), since, options.get("aoi")) if one is not None),
        *mask_rasters(options.get("mask")),
    ]
    if map_path is not None:
        is_batch = len(scenes) > 1 or are_folders(wanted, scenes)
        check_map(map_path, wanted, inputs=inputs, is_batch=is_batch, overwrite=overwrite or resume)
    planned = _plan_outputs(scenes, wanted)
    _check_files(planned, model_path, suggest, inputs=inputs, overwrite=overwrite, resume=resume)
    for scene in scenes:
        check_is_there(scene)
    read_ahead(scenes)
    from geodeeplab.adaptation.adapt import adapt  # it and what follows load torch
    from geodeeplab.cluster import parse_dask

    stated: dict[str, Any] = dict(options)
    with progress_bars({"features": "tiles"}) as progress:
        adapted = adapt(
            [one.scene for one in planned] or list(scenes),
            labels[0] if len(labels) == 1 else list(labels),
            **label_options,
            model=None if model == "none" else model,
            gsd_m=gsd_m,
            name=name or ("adapted" if model_path is None else model_path.stem),
            licence=licence,
            seed=seed,
            since=since,
            mask=stated["mask"],
            aoi=stated["aoi"],
            crop=stated["crop"],
            cache=not no_cache,
            progress=progress,
            **{key: stated[key] for key in READ_BY if key != "tile_size"},
            **({} if stated["tile_size"] is None else {"tile_size": stated["tile_size"]}),
        )
    told = [str(adapted.report)] if since is None else [str(adapted.report), adapted.changes()]
    if as_json:
        tell("\n".join(told))
    else:
        click.echo("\n".join(told))
    facts: list[dict[str, Any]] = []
    workers = None if dask is None else parse_dask(dask)
    with nullcontext() if workers is None else workers:
        for number, one in enumerate(planned, start=1):
            about = {"scene": one.scene, "scene_number": number, "scenes": len(planned)}
            with progress_bar("segment", about=about) as bar:
                run = adapted.segment(
                    one.outputs.get("polygons"),
                    label_raster=one.outputs.get("label_raster"),
                    confidence=one.outputs.get("confidence"),
                    probabilities=one.outputs.get("probabilities"),
                    scene=one.scene,
                    polygon_options=polygon_options,
                    executor=workers,
                    resume=resume,
                    overwrite=overwrite,
                    progress=bar,
                    **{key: value for key, value in stated.items() if key not in READ_BY},
                )
            facts.append(run.facts)
            if not as_json:
                click.echo(closing_line(run.facts))
            if map_path is not None:
                run.facts["outputs"].append(str(run.explore().save(map_path, overwrite=overwrite or resume)))
        finish_undisturbed()
    if model_path is not None:
        adapted.save(model_path)
    if suggest is not None:
        found = adapted.suggest(suggestions, suggest, overwrite=overwrite)
        tell(f"{suggest}: {len(found)} windows to look at next")
    all_facts = {"report": adapted.report.to_dict(), "maps": facts}
    if as_json:
        click.echo(json.dumps(all_facts, indent=2))
    tell_done([*(path for each in facts for path in each["outputs"]), model_path, suggest], all_facts)


def _plan_outputs(scenes: tuple[str, ...], outputs: Mapping[str, str]) -> list["SceneTask"]:
    """Give each scene its outputs: as named for one scene, in folders for several.

    Raises:
        OptionError: two scenes would have outputs of one name, or several would have one output.
    """
    from geodeeplab.pipeline.scenes.tasks import SceneTask, list_tasks

    if not outputs:
        return []
    if are_folders(outputs, scenes):
        return list_tasks(scenes, outputs, split_collections=False)
    if len(scenes) > 1:
        raise OptionError("maps of several scenes go into folders: end each output with /, such as -o results/")
    return [SceneTask(name=scenes[0], scene=scenes[0], outputs={key: Path(path) for key, path in outputs.items()})]


def _check_files(
    planned: Sequence["SceneTask"],
    model_path: Path | None,
    suggest: Path | None,
    *,
    inputs: Sequence[str | Path],
    overwrite: bool,
    resume: bool,
) -> None:
    """Refuse outputs that cannot be written, before any work."""
    from geodeeplab.models import MODEL_SUFFIXES
    from geodeeplab.pipeline.outputs import check_outputs
    from geodeeplab.pipeline.scenes.tasks import NAMES
    from geodeeplab.raster import check_distinct, check_output
    from geodeeplab.vector import POLYGON_SUFFIXES

    paths = [path for one in planned for path in one.outputs.values()]
    for one in planned:
        wanted = {key: one.outputs.get(key) for key in NAMES}
        check_outputs(**wanted, shards=None, overwrite=overwrite or resume, inputs=inputs)
    for path, suffixes in ((model_path, MODEL_SUFFIXES), (suggest, POLYGON_SUFFIXES)):
        if path is not None:
            paths.append(check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs))
    check_distinct(paths)
