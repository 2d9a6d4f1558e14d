"""`segment`: scene → tiles → logits → label raster → polygons."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from geodeeplab.errors import OptionError
from geodeeplab.models import DEFAULT_MODEL
from geodeeplab.pipeline.appending import Append, plan_append
from geodeeplab.pipeline.executor import Executor, InThisProcess
from geodeeplab.pipeline.outputs import OutputPath, check_outputs, model_paths, stored_batch_size
from geodeeplab.pipeline.plan import Plan, open_plan
from geodeeplab.pipeline.polygon_options import PolygonOptions, with_instances
from geodeeplab.pipeline.polygons import class_id_of, plan_polygons
from geodeeplab.pipeline.result import Segmentation
from geodeeplab.pipeline.run_options import RunOptions, make_request, take_former_names, with_run_options
from geodeeplab.pipeline.running import Clock, Progress, run_plan
from geodeeplab.raster import (
    NODATA_LABEL,
    SceneLike,
    check_not_inputs,
    mask_rasters,
    paths_in,
)


@with_run_options
def segment(
    scene: SceneLike,
    polygons: OutputPath | None = None,
    *,
    label_raster: OutputPath | None = None,
    confidence: OutputPath | None = None,
    probabilities: OutputPath | None = None,
    probability_dtype: str = "uint8",
    boundary: OutputPath | None = None,
    shards: OutputPath | None = None,
    polygon_options: PolygonOptions | None = None,
    instances: str | Sequence[str] = (),
    append: bool | Append = False,
    sieve_labels: bool = False,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[RunOptions],
) -> Segmentation:
    """Segment a scene into land-cover polygons, rasters, or both.

    All outputs appear together under their final names at the end, or none does. Finished rows are kept on the disk
    meanwhile: a run that was cut off goes on where it was with `resume`, and gives the same pixels.

    Args:
        scene: a raster file or URL, several of them as one mosaic (earlier ones lie on top), a STAC item or item
            collection, an array, a DataArray, or an open scene.
        polygons: polygons to write, by suffix (.gpkg, .parquet, .fgb, .geojson).
        label_raster: label raster to write (.tif): uint8 COG, class ids, 0 for nodata.
        confidence: raster to write (.tif) of 100 × the probability of the most likely class, 255 for nodata.
        probabilities: raster to write (.tif) of every class's probability, one band a class.
        probability_dtype: `uint8` (100 × the probability, 255 for nodata) or `float16` (NaN for nodata).
        boundary: raster to write (.tif) of 255 × the probability that a pixel lies on the boundary of an object, 0
            where there is no data; of a model that was trained with `instances`.
        shards: folder to write the label raster to in pieces, with a VRT of them: those that the executor computes, or
            squares of 8192 px.
        polygon_options: what the polygons look like: tolerance, minimum area and so on; by default the pixels'
            outlines.
        instances: classes whose objects become polygons of their own where they touch, with a model that separates
            them; the same as in `polygon_options`.
        append: add the polygons to the layer that is in `polygons`, a GeoPackage that need not exist yet, in one
            transaction: it has all of them or none, with the scene's name in a column. A scene that is there already is
            refused, and replaced with `overwrite`; `Append` says how scene and column are called.
        sieve_labels: apply the minimum area to the label raster, too.
        executor: who computes; by default this process.
        resume: go on with a run of these outputs that was cut off; with nothing to resume it starts afresh.
        overwrite: replace outputs that exist.
        progress: called with pixels done and pixels in all; it may raise to cancel.
        options: what decides the pixels:

            - `model`: a bundled model's name, a model file (.safetensors or .onnx), a network, or a loaded model.
            - `contract`: the contract of a model that carries none, or a JSON file with it.
            - `bands`: the scene's bands for the model's, by name or 1-based number; by default by the model's names.
            - `rescale`: the scene's values (low, high) that map onto the model's range, or "2%,98%" for percentiles of
              the scene, band by band. Needed where the data types differ.
            - `gsd_m`: the ground sample distance that the model sees: `native`, `model`, or metres. By default the
              model's, where it and the scene's are known and differ by more than a quarter. Outputs stay on the
              scene's grid.
            - `grid_crs`: warp the scene to this coordinate reference system first; outputs lie on the warped grid.
            - `mask`: what hides pixels, as clouds do; they are nodata in all outputs. A raster on any grid, and which
              values count: `clouds.tif` (all but 0), `clouds.tif:1,2`, `qa.tif:bit3,bit4`; a band of the scene or an
              asset of a STAC item, such as `scl:3,8,9,10`; a preset, `sentinel-2`, `landsat` or `hls`; an array; or a
              list of these. `{folder}` and `{name}` in a path stand for each scene's own.
            - `aoi`: where labels are wanted: a vector file in any CRS, or a geometry in the scene's.
            - `crop`: put outputs on the window of the scene's grid around that area, and not on all of it; the labels
              are the same. By default where the window has less than 1 % of the scene's pixels.
            - `classes`: names of the classes that are wanted; the rest is nodata, or `other`.
            - `min_confidence`: the least probability, 0 to 1, with which a class is given; the rest likewise.
            - `other`: make the rest a class of its own, `other`.
            - `tile_size`: pixels of a tile along each axis; by default the model's.
            - `overlap`: pixels that neighbouring tiles share, at most half a tile; by default the model's.
            - `blend`: `hann`, `linear` or `none`.
            - `tta`: test-time augmentation: `none`, `flips` (4 forward passes) or `d4` (8).
            - `crf`: refine each tile with the dense CRF, on the CPU. Neighbouring tiles then share 2 · sxy pixels or
              more; where half a tile is less, sxy is reduced.
            - `crf_bands`: the bands that guide it, among those that the model reads; by default all up to three, else
              three principal components of the scene.
            - `batch_size`: tiles per forward; by default what suits the device.
            - `device`: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            - `precision`: `auto`, `fp32`, `bf16`, `fp16`, or `int8` (a CPU, the extra `openvino`, a model that is
              prepared for it).
            - `non_finite`: what becomes of pixels whose logits are not finite, as where half precision overflows:
              `error` ends the run and names the tile, `nodata` leaves them without a label, with a warning.
            - `threads`: threads of each forward pass on a CPU, where passes run side by side on the rest; by default
              1, or all where the network has more than 100 MB of weights.
            - `compiled`: compile the network first (torch.compile).
            - `local_only`: read files on disk only, and none outside the folders of those that are named, whatever a
              VRT or a STAC item says.

    Raises:
        OptionError, OutputError: before any work, for options and outputs that cannot be.
        SceneError, ContractError, ModelError: for a scene or a model that cannot be used, or not together.
    """
    clock, executor = Clock(), executor or InThisProcess()
    former = take_former_names(options)
    polygons, label_raster = former.get("polygons", polygons), former.get("label_raster", label_raster)
    if isinstance(polygons, PolygonOptions):
        raise OptionError(
            "`polygons=` is the path of the file to write: what they look like goes into `polygon_options=`"
        )
    looks = with_instances(polygon_options, instances)
    if looks.instance_classes and polygons is None:
        raise OptionError("objects are told apart in polygons: give `polygons=`, too, or leave out `instances=`")
    appending = plan_append(append, polygons, scene, looks, overwrite=overwrite, resume=resume)
    outputs = check_outputs(
        polygons=polygons if appending is None else appending.part,
        label_raster=label_raster,
        confidence=confidence,
        probabilities=probabilities,
        boundary=boundary,
        shards=shards,
        overwrite=overwrite or resume,
        inputs=[
            *paths_in(scene, options.get("aoi"), *mask_rasters(options.get("mask"))),
            *model_paths(options.get("model", DEFAULT_MODEL), options.get("contract")),
        ],
    )
    if appending is not None:
        check_not_inputs([appending.target.path], outputs.inputs)
        outputs = replace(outputs, appended=appending.record)
    if options.get("threads") is None:
        options["threads"] = executor.threads_per_pass
    request = make_request(
        scene,
        options,
        with_confidence=confidence is not None or polygons is not None,  # each polygon has one
        probabilities=probability_dtype if probabilities is not None else None,
        with_boundary=boundary is not None or bool(looks.instance_classes),
    )
    if resume and request.batch_size is None:  # what fits has been found before; now other memory may be free
        request = replace(request, batch_size=stored_batch_size(outputs.paths[0]))
    with open_plan(request, processes_per_device=executor.processes_per_device) as plan:
        layer = plan_polygons(
            looks,
            grid=plan.grid,
            classes=plan.classes,
            nodata=NODATA_LABEL,
            dst_path=outputs.polygons or Path("none.gpkg"),
            scene=None if appending is None else appending.column,
        )
        _check_instances(looks, plan)
        if appending is not None:
            appending.check_layer(layer)
        if sieve_labels and layer.minimum is None:
            raise OptionError(
                "`sieve_labels=` applies the minimum area to the labels: give `min_area_px=` or `min_area_m2=`"
            )
        facts = run_plan(
            plan,
            outputs,
            layer,
            executor,
            clock,
            appending=appending,
            sieve_labels=sieve_labels,
            resume=resume,
            overwrite=overwrite,
            progress=progress or _no_progress,
        )
    return Segmentation(
        polygons_path=outputs.polygons if appending is None else appending.finish(facts),
        label_raster_path=outputs.label_raster,
        confidence_path=outputs.confidence,
        probabilities_path=outputs.probabilities,
        boundary_path=outputs.boundary,
        facts=facts,
        scene=scene,
        appended_as=None if appending is None else appending.column,
    )


def _check_instances(looks: PolygonOptions, plan: Plan) -> None:
    """Check that the model finds the boundaries of the objects that are told apart.

    Raises:
        OptionError: if it was trained to separate others.
    """
    contract = plan.model.contract
    known = {item.id for item in plan.classes if item.name in contract.instances}
    for name in looks.instance_classes:
        if class_id_of(name, plan.classes) not in known:
            raise OptionError(
                f"model '{contract.name}' separates objects of {', '.join(contract.instances)}, not of {name}: "
                "leave that out, or train a model for it"
            )


def _no_progress(done: int, total: int) -> None:
    """Say nothing."""
