"""A run made ready: scene and model opened, fitted to each other, and the engine that takes one through the other."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from rasterio.windows import Window

from geodeeplab.errors import ContractError, OptionError
from geodeeplab.inference import (
    Engine,
    FinishedRows,
    Forward,
    RunFacts,
    Wanted,
    pick_device,
)
from geodeeplab.models import Model, OnnxNetwork, ValueMap, as_model
from geodeeplab.models.files.trial import check_tiles
from geodeeplab.pipeline.crf import CRFPlan, plan_crf
from geodeeplab.pipeline.crop import Crop, area_of, choose_crop, crop_grid
from geodeeplab.pipeline.fit import lacking_note, parse_rescale, parse_scale, select_bands, value_map
from geodeeplab.pipeline.gsd import Magnifier, Zoom, choose_zoom, ground_of
from geodeeplab.pipeline.opening import decide_by, label_classes, network_to_run, open_input, two_views
from geodeeplab.pipeline.pins import pins_of
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import (
    Aoi,
    Grid,
    LabelClass,
    RowReader,
    Scene,
    SpoolLayer,
    local_files_only,
    to_aoi,
)
from geodeeplab.tiling import Lattice, Shard


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything opened and decided; made by `open_plan`."""

    request: Request
    """What was asked for."""
    model: Model
    """The model."""
    scene: Scene
    """The scene with the bands that the model reads, on its own grid; outputs lie on it, or on a window of it."""
    model_scene: Scene
    """The same as the model sees it: `scene`, or its scaled version."""
    zoom: Zoom | None
    """The scale between the two."""
    aoi: Aoi | None
    """Where labels are wanted."""
    area: Shard | None
    """The block of the scene around that."""
    crop: Crop | None
    """The window of the scene that outputs are cropped to; None where they have all of it."""
    lattice: Lattice
    """Tiles of `model_scene`."""
    engine: Engine
    """The network on its device, and what is made of its logits."""
    classes: tuple[LabelClass, ...]
    """The classes of the label raster."""
    crf: CRFPlan | None
    """The CRF as it is fitted to the tiles."""
    values: ValueMap
    """From the scene's numbers to the model's."""

    @cached_property
    def grid(self) -> Grid:
        """The grid of the outputs: the scene's, or a window of it. Shards are counted from its corner."""
        return self.scene.grid if self.crop is None else crop_grid(self.scene.grid, self.crop.extent)

    @property
    def extent(self) -> Shard:
        """The block of the scene that the outputs have."""
        height, width = self.scene.shape
        whole = Shard(row_start=0, row_stop=height, col_start=0, col_stop=width)
        return whole if self.crop is None else self.crop.extent

    @property
    def whole(self) -> Shard:
        """All of the outputs as one shard."""
        height, width = self.grid.shape
        return Shard(row_start=0, row_stop=height, col_start=0, col_stop=width)

    @cached_property
    def magnifier(self) -> Magnifier:
        """The way back from the grid that the model sees to the scene's."""
        return Magnifier(self.scene.shape, self.zoom.factor if self.zoom else (1.0, 1.0))

    @cached_property
    def pins(self) -> dict[str, Any]:
        """All that the pixels depend on, ready for JSON."""
        return pins_of(self)

    @property
    def notes(self) -> list[str]:
        """What the user should be told."""
        told = (
            self.crop and self.crop.note,
            self.zoom and self.zoom.note,
            lacking_note(self.scene, self.model.contract),
            self.values.note,
            self.crf and self.crf.facts["note"],
        )
        return [note for note in told if note]

    def on_scene(self, shard: Shard) -> Shard:
        """Give the block of the scene that a shard is."""
        return shard.shifted(self.extent.row_start, self.extent.col_start)

    def on_model_grid(self, shard: Shard) -> Shard:
        """Give the block of the grid that the model sees that a shard needs."""
        block = self.on_scene(shard)
        return block if self.zoom is None else self.magnifier.scaled_shard(block)

    @property
    def wanted_seen(self) -> Wanted | None:
        """Where labels are wanted on the grid that the model sees; None for everywhere."""
        aoi, grid = self.aoi, self.scene.grid
        if aoi is None:
            return None

        def within(window: Window) -> np.ndarray:
            return aoi.mask(window, grid)

        return within if self.zoom is None else self.magnifier.scaled_wanted(within)

    @property
    def implicit_changes(self) -> list[str]:
        """What is done to the scene that nobody asked for."""
        cropped = None if self.crop is None or self.crop.is_asked_for else self.crop.note
        zoomed = self.zoom.note if self.zoom is not None and self.request.gsd_m is None else None
        return [note for note in (cropped, zoomed, self.values.note) if note]

    @property
    def layers(self) -> list[SpoolLayer]:
        """The rasters that the engine gives."""
        layers = self.engine.decision.layers
        return [SpoolLayer(name=name, dtype=dtype, bands=bands) for name, (dtype, bands) in layers.items()]

    def iter_rows(self, shard: Shard, facts: RunFacts) -> Iterator[FinishedRows]:
        """Yield a shard as its rows are finished, from top to bottom.

        Law: the pixels depend neither on the shard nor on the crop.
        """
        rows = self._iter_block(self.on_scene(shard), facts)
        with closing(rows):  # type: ignore[type-var]  # a generator
            for finished in rows:
                yield replace(finished, row_start=finished.row_start - self.extent.row_start)

    def _iter_block(self, block: Shard, facts: RunFacts) -> Iterator[FinishedRows]:
        """Yield a block of the scene as its rows are finished."""
        wanted = self.wanted_seen
        if self.zoom is None:
            yield from self.engine.iter_rows(self.scene, self.lattice, shard=block, wanted=wanted, facts=facts)
            return
        magnifier = self.magnifier
        rows = self.engine.iter_rows(
            self.model_scene,
            self.lattice,
            shard=magnifier.scaled_shard(block),
            wanted=wanted,
            facts=facts,
            on_scene=magnifier.scene_shard,
        )
        with closing(rows):  # type: ignore[type-var]  # a generator
            if self.scene.is_all_valid and wanted is None:
                yield from magnifier.to_scene(rows, block)
                return
            reader = RowReader(self.scene, col_start=block.col_start, col_stop=block.col_stop)
            for finished in magnifier.to_scene(rows, block):
                yield self._masked(finished, block, reader)

    def _masked(self, finished: FinishedRows, block: Shard, reader: RowReader) -> FinishedRows:
        """Take the labels off pixels of the scene that are invalid, or not wanted."""
        count = len(finished.labels)
        keep = reader.read(finished.row_start, finished.row_start + count).valid
        if self.aoi is not None:
            window = Window(block.col_start, finished.row_start, keep.shape[1], count)
            keep &= self.aoi.mask(window, self.scene.grid)
        for name, pixels in finished.layers.items():
            pixels[..., ~keep] = self.engine.decision.fill(name)
        return finished


@contextmanager
def open_plan(request: Request, *, processes_per_device: int = 1) -> Iterator[Plan]:
    """Open scene and model, check that they fit, and get the engine ready.

    Args:
        request: what is asked for.
        processes_per_device: processes that will compute on one GPU at once.

    Raises:
        OptionError: for options that cannot be.
        SceneError, ContractError, ModelError: for a scene or a model that cannot be used, or not together.
    """
    wanted_rescale, stated_scale = parse_rescale(request.rescale), parse_scale(request.scale)
    model = as_model(request.model, request.contract)
    # The CRF takes a core a tile, so tiles go side by side with it.
    threads = 1 if request.threads is None and request.crf is not None else request.threads
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    precision = model.settle_precision(request.precision)
    device = pick_device(request.device, precision, threads=threads, parameters=parameters)
    contract = model.contract
    if request.compiled and isinstance(model.network, OnnxNetwork):
        raise OptionError("an ONNX file is run by its own runtime, which has compiled it: leave out `compiled=True`")
    network = network_to_run(model, device, request, precision=precision)
    classes = label_classes(contract, request)
    with ExitStack() as stack:
        stack.enter_context(local_files_only(request.local_only))
        scene = select_bands(stack.enter_context(open_input(request, contract)), contract, request.bands)
        if model.input == "raw" and len(scene.bands) < len(contract.bands):
            raise ContractError(
                f"{lacking_note(scene, contract)} as a model file only, not exported: choose the model file, or a "
                f"scene with {', '.join(contract.band_names)}"
            )
        aoi = None if request.aoi is None else to_aoi(request.aoi, crs=scene.crs)
        area = None if aoi is None else area_of(aoi, scene.grid, path=scene.path)
        crop = choose_crop(scene.grid, area, request.crop)
        zoom = choose_zoom(ground_of(scene.grid, area), contract, request.gsd_m)
        scene, seen = (scene, scene) if zoom is None else two_views(scene, zoom)
        values = value_map(seen, contract, wanted_rescale, stated_scale)
        tile_size = model.settle_tile_size(request.tile_size)
        overlap, crf = request.overlap, None
        if request.crf is not None:
            crf = plan_crf(
                request.crf,
                seen,
                contract,
                limits=values.limits,
                bands=request.crf_bands,
                tile_size=tile_size,
                overlap=overlap,
                threads=1 if device.lanes > 1 else torch.get_num_threads(),  # lanes refine their tiles side by side
            )
            overlap = crf.overlap
        if overlap is None:
            overlap = min(contract.overlap, tile_size // 2)
        lattice = Lattice(shape=seen.shape, tile_size=tile_size, overlap=overlap)
        forward = Forward(
            network,
            model.preparation(values),
            device=device,
            batch_size=model.settle_batch_size(request.batch_size),
            tta=request.tta,
            refine=crf.refine if crf else None,
            compiled=request.compiled,
            is_batch_fixed=model.fixed_batch is not None,
            num_classes=len(contract.classes) if request.with_boundary else None,
        )
        check_tiles(model, tile_size=tile_size, batch=model.settle_batch_size(request.batch_size) or 1)
        if request.batch_size is None and model.fixed_batch is None and not request.compiled:
            forward.find_batch_size(len(scene.bands), tile_size, sharing=processes_per_device)
        decision = decide_by(contract, request, classes)
        engine = Engine(forward, decision, blend=request.blend, non_finite=request.non_finite)
        yield Plan(
            request=request,
            model=model,
            scene=scene,
            model_scene=seen,
            zoom=zoom,
            aoi=aoi,
            area=area,
            crop=crop,
            lattice=lattice,
            engine=engine,
            classes=classes,
            crf=crf,
            values=values,
        )
