"""What can be refused before torch is loaded, which takes seconds: the first checks of `segment`, by its own functions.

The command line asks for them first. What is refused here would be refused later, in the same words.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from geodeeplab.models import find_model
from geodeeplab.pipeline.outputs import OutputPath, check_outputs, model_paths
from geodeeplab.raster import AoiLike, MaskLike, mask_rasters, paths_in
from geodeeplab.raster.sources.opening import check_is_there

if TYPE_CHECKING:  # its module loads torch
    from geodeeplab.models import ContractLike


def check_early(
    scenes: Sequence[str],
    outputs: Mapping[str, OutputPath | None],
    *,
    model: str,
    contract: "ContractLike | None",
    mask: MaskLike | None,
    aoi: AoiLike | None,
    shards: OutputPath | None,
    overwrite: bool,
) -> None:
    """Check outputs, and that model and scenes are there.

    Args:
        scenes: of one run, as they were named.
        outputs: paths by the arguments of `segment`.
        model: its name or path.
        contract: its contract, as `segment` takes it.
        mask: what hides pixels, as `segment` takes it.
        aoi: the area of interest, as `segment` takes it.
        shards: folder of the label raster in pieces.
        overwrite: outputs may exist.

    Raises:
        OptionError, OutputError, ModelError, SceneError: as `segment` does.
    """
    check_outputs(
        polygons=outputs.get("polygons"),
        label_raster=outputs.get("label_raster"),
        confidence=outputs.get("confidence"),
        probabilities=outputs.get("probabilities"),
        boundary=outputs.get("boundary"),
        shards=shards,
        overwrite=overwrite,
        inputs=[*paths_in(list(scenes), aoi, *mask_rasters(mask)), *model_paths(model, contract)],
    )
    find_model(model)
    for scene in scenes:
        check_is_there(os.fspath(scene))
