"""`segment`: scene → tiles → logits → label raster → polygons."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import geodeeplab
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.inference import CONFIDENCE_NODATA, Device, Engine, RunFacts, pick_device
from geodeeplab.models import DEFAULT_MODEL, Model, Normalisation, load_model
from geodeeplab.models.crf import DenseCRF
from geodeeplab.pipeline.crf import plan_crf
from geodeeplab.pipeline.fit import parse_rescale, rescale_limits, select_bands
from geodeeplab.pipeline.result import Segmentation
from geodeeplab.raster import (
    RASTER_SUFFIXES,
    LabelClass,
    RowSpool,
    Scene,
    atomic_outputs,
    check_distinct,
    check_output,
    classes_tag,
    open_scene,
    scratch_folder,
    write_label_cog,
    write_raster,
)
from geodeeplab.tiling import Lattice
from geodeeplab.vector import POLYGON_SUFFIXES, trace_polygons, write_polygons

MIN_TILE_SIZE = 32
"""Below it a network sees next to nothing, and padding is most of the work; any scene is fine, down to 1 × 1."""

Progress = Callable[[int, int], None]
"""Called with the pixels done and the pixels in all; it may raise to stop the run."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the outputs go."""

    polygons: Path | None
    """Vector file."""
    labels: Path | None
    """Label raster."""
    confidence: Path | None
    """Confidence raster."""

    @property
    def paths(self) -> list[Path]:
        """Those that were asked for."""
        return [path for path in (self.polygons, self.labels, self.confidence) if path is not None]


def segment(
    scene: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    labels: str | os.PathLike[str] | None = None,
    confidence: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | Model = DEFAULT_MODEL,
    bands: Sequence[str | int] | None = None,
    rescale: str | Sequence[float] | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
    blend: str = "hann",
    crf: bool | DenseCRF = False,
    crf_bands: Sequence[str | int] | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Segmentation:
    """Segment a scene into land-cover polygons, a label raster, or both.

    All outputs appear together under their final names at the end, or none does.

    Args:
        scene: a raster file that GDAL reads.
        output: polygons to write, by suffix (.gpkg).
        labels: label raster to write (.tif): uint8 COG, class ids, 0 for nodata.
        confidence: raster to write (.tif) of 100 × the probability of the label, 255 for nodata.
        model: a bundled model's name, a model file, or a loaded model.
        bands: the scene's bands for the model's, by name or 1-based number; by default by the model's names.
        rescale: the scene's values (low, high) that map onto the model's range, or "2%,98%" for percentiles of the
            scene, band by band. Needed where the data types differ.
        tile_size: pixels of a tile along each axis; by default the model's.
        overlap: pixels that neighbouring tiles share, at most half a tile; by default the model's.
        blend: `hann`, `linear` or `none`.
        crf: refine each tile with the dense CRF, on the CPU. Neighbouring tiles then share 2 · sxy pixels or more;
            where half a tile is less, sxy is reduced.
        crf_bands: the bands that guide it, among those that the model reads; by default all up to three, else three
            principal components of the scene.
        batch_size: tiles per forward; by default what suits the device.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        overwrite: replace outputs that exist.
        progress: called with pixels done and pixels in all.

    Raises:
        OptionError, OutputError: before any work, for options and outputs that cannot be.
        SceneError, ContractError, ModelError: for a scene or a model that cannot be used, or not together.
    """
    started = time.perf_counter()
    outputs = _check_outputs(output, labels, confidence, overwrite=overwrite, scene=scene)
    _check_numbers(batch_size, tile_size)
    wanted_rescale, wanted_crf = parse_rescale(rescale), _check_crf(crf, crf_bands)
    chosen = pick_device(device, precision)
    loaded = model if isinstance(model, Model) else load_model(model)
    contract = loaded.contract
    with open_scene(scene) as opened:
        selected = select_bands(opened, contract, bands)
        limits = rescale_limits(selected, contract, wanted_rescale)
        tile_size = contract.tile_size if tile_size is None else tile_size
        plan = None
        if wanted_crf is not None:
            plan = plan_crf(
                wanted_crf, selected, contract, limits=limits, bands=crf_bands, tile_size=tile_size, overlap=overlap
            )
            overlap = plan.overlap
        lattice = Lattice(
            shape=selected.shape,
            tile_size=tile_size,
            overlap=contract.overlap if overlap is None else overlap,
        )
        engine = Engine(
            loaded.network,
            Normalisation(contract, rescale=limits),
            class_ids=[item.id for item in contract.classes],
            device=chosen,
            batch_size=batch_size,
            blend=blend,
            with_confidence=outputs.confidence is not None,
            refine=plan.refine if plan else None,
        )
        facts = _pins(engine, chosen, lattice, loaded) | {"scene": selected.path, "rescale": limits}
        facts |= {"bands": [band.name for band in selected.bands], "crf": plan.facts if plan else None}
        facts |= _run(engine, selected, lattice, outputs, loaded, facts, overwrite=overwrite, progress=progress)
    facts["seconds"]["total"] = time.perf_counter() - started
    facts["outputs"] = [str(path) for path in outputs.paths]
    return Segmentation(
        polygons_path=outputs.polygons, labels_path=outputs.labels, confidence_path=outputs.confidence, facts=facts
    )


def _check_outputs(
    output: str | os.PathLike[str] | None,
    labels: str | os.PathLike[str] | None,
    confidence: str | os.PathLike[str] | None,
    *,
    overwrite: bool,
    scene: str | os.PathLike[str],
) -> Outputs:
    """Check everything about the outputs that can be known before any work."""

    def check(path: str | os.PathLike[str] | None, suffixes: Sequence[str]) -> Path | None:
        return None if path is None else check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=[scene])

    outputs = Outputs(
        polygons=check(output, POLYGON_SUFFIXES),
        labels=check(labels, RASTER_SUFFIXES),
        confidence=check(confidence, RASTER_SUFFIXES),
    )
    if not outputs.paths:
        raise OptionError("nothing to write: give an output such as -o landcover.gpkg, --labels or --confidence")
    check_distinct(outputs.paths)
    return outputs


def _check_numbers(batch_size: int | None, tile_size: int | None) -> None:
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"a batch has at least one tile, not {batch_size}: choose 1 or more")
    if tile_size is not None and tile_size < MIN_TILE_SIZE:
        raise OptionError(f"a tile has at least {MIN_TILE_SIZE} pixels a side, not {tile_size}: choose a larger one")


def _check_crf(crf: bool | DenseCRF, bands: Sequence[str | int] | None) -> DenseCRF | None:
    """Give the CRF's parameters, or None if there is none."""
    if bands is not None and not crf:
        raise OptionError("bands for the CRF need the CRF: pass crf=True, too")
    return crf if isinstance(crf, DenseCRF) else DenseCRF() if crf else None


def _run(
    engine: Engine,
    scene: Scene,
    lattice: Lattice,
    outputs: Outputs,
    model: Model,
    pins: dict[str, Any],
    *,
    overwrite: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """Spool the finished rows, then write every output from the spool."""
    contract, run = model.contract, RunFacts()
    classes = [LabelClass(id=item.id, name=item.name, color=item.color) for item in contract.classes]
    tags = {"GEODEEPLAB": json.dumps(pins, default=str), **classes_tag(classes)}
    clock, polygons = _Clock(), None
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(outputs.paths[0]))
        temporary = stack.enter_context(atomic_outputs(outputs.paths, overwrite=overwrite))
        labels, confidence = _spool(engine, scene, lattice, folder, run, progress)
        clock.lap("segment")
        if not run.class_pixels.any():
            raise SceneError(f"scene '{scene.path}' has no valid pixel in these bands: check its nodata value or mask")
        if outputs.labels is not None:
            write_label_cog(labels, temporary[outputs.labels], grid=scene.grid, classes=classes, tags=tags)
            clock.lap("labels")
        if outputs.confidence is not None and confidence is not None:
            path = temporary[outputs.confidence]
            write_raster(confidence, path, grid=scene.grid, nodata=CONFIDENCE_NODATA, tags=tags)
            clock.lap("confidence")
        if outputs.polygons is not None:
            batches = trace_polygons((rows for _, rows in labels.iter_rows()), transform=scene.transform)
            polygons = write_polygons(
                batches, temporary[outputs.polygons], crs=scene.crs, classes=classes, metadata=tags
            )
            clock.lap("polygons")
    return {
        "tiles": {"forwarded": run.tiles_forwarded, "skipped": run.tiles_skipped},
        "pixels": {item.name: int(run.class_pixels[item.id]) for item in classes},
        "polygons": polygons,
        "mpx_per_s": lattice.shape[0] * lattice.shape[1] / 1e6 / clock.seconds["segment"],
        "seconds": clock.seconds
        | {"waited_for_reads": run.waited_for_reads_s, "waited_for_writes": run.waited_for_writes_s},
    }


def _spool(
    engine: Engine, scene: Scene, lattice: Lattice, folder: Path, run: RunFacts, progress: Progress | None
) -> tuple[RowSpool, RowSpool | None]:
    """Run the engine over the scene, row by row onto the disk."""
    height, width = lattice.shape
    labels = RowSpool(folder, lattice.shape)
    confidence = RowSpool(folder, lattice.shape, name="confidence") if engine.with_confidence else None
    if progress is not None:
        progress(0, height * width)
    for rows in engine.iter_rows(scene, lattice, facts=run):
        labels.append(rows.labels)
        if confidence is not None and rows.confidence is not None:
            confidence.append(rows.confidence)
        if progress is not None:
            progress(labels.row_count * width, height * width)
    return labels, confidence


def _pins(engine: Engine, device: Device, lattice: Lattice, model: Model) -> dict[str, Any]:
    """List what the label raster's bits depend on."""
    return {
        "geodeeplab": geodeeplab.__version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "model": model.contract.name,
        "device": _device_name(device.torch_device),
        "precision": device.precision,
        "batch_size": engine.batch_size,
        "threads": torch.get_num_threads(),
        "tile_size": lattice.tile_size,
        "overlap": lattice.overlap,
        "blend": engine.blend,
        "shape": list(lattice.shape),
    }


def _device_name(device: torch.device) -> str:
    """Name the device by what decides its arithmetic: the GPU's model, the CPU's vector units."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap on a name."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now
