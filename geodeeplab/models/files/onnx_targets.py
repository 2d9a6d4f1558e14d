"""The programs that an ONNX file may be for: what they feed to it, what they make of its output, what they read in it.

Deepness (a plugin of QGIS) and GeoDeep give a network 8-bit pixels divided by 255 and read how it wants to be run from
its metadata: https://qgis-plugin-deepness.readthedocs.io, "Add metadata to model". Of the channels that it gives they
take the largest, after all below a threshold are set to 0, and of every tile the part that is its own: overlaps are cut
in the middle, not blended.
"""

import json
from typing import Literal, get_args

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.contract import Contract

Target = Literal["plain", "deepness", "geodeep"]
"""Whom an ONNX file is for: any runtime, the plugin Deepness of QGIS, or the program GeoDeep."""
TARGETS: tuple[Target, ...] = get_args(Target)
DIVISOR = 255
"""What those programs divide pixels by before they feed them."""
DIVISOR_KEY = "geodeeplab_divisor"
"""Where an exported file says by what pixels are to be divided for it; without the key they are fed as they are."""
GEODEEP_BANDS = 3


def check_target(contract: Contract, target: Target, *, resolution_cm: float | None = None) -> None:
    """Refuse to export a model for a program that could not run it, or would not know at what pixel size.

    Args:
        contract: of the model.
        target: one of `TARGETS`.
        resolution_cm: centimetres a pixel at which the program shall run it; by default the contract's.

    Raises:
        OptionError: if there is no such program, or nothing says at what resolution to run the model.
        ModelError: if the model reads pixels that the program does not give, or knows one class only.
    """
    if target not in TARGETS:
        raise OptionError(f"a file is for {', '.join(TARGETS)}, not for {target!r}: choose one of them")
    if target == "plain":
        if resolution_cm is not None:
            raise OptionError(
                "a resolution is written into files for deepness or geodeep, not into a plain one: choose another "
                "`target=`, or leave out `resolution_cm=`"
            )
        return
    if contract.dtype != "uint8":
        raise ModelError(
            f"{target} gives a model 8-bit pixels, and '{contract.name}' reads {contract.dtype}: export it as plain"
        )
    if target == "geodeep" and len(contract.bands) != GEODEEP_BANDS:
        raise ModelError(
            f"geodeep gives a model {GEODEEP_BANDS} bands, and '{contract.name}' reads {len(contract.bands)} "
            f"({', '.join(contract.band_names)}): export it for deepness or as plain"
        )
    if len(contract.classes) < 2:
        raise ModelError(
            f"{target} needs a probability of two classes or more, and '{contract.name}' has one: export it as plain"
        )
    if resolution_cm is None and contract.gsd_m is None:
        raise OptionError(
            f"{target} reads the resolution from the file, and '{contract.name}' does not state its own: give the "
            "centimetres a pixel of your scenes as `resolution_cm=`"
        )
    if resolution_cm is not None and not 0 < resolution_cm < 1e8:
        raise OptionError(f"a resolution is centimetres a pixel, above 0, not {resolution_cm:g}: correct it")


def program_overlap(contract: Contract) -> int:
    """Give the overlap in pixels that comes nearest to the contract's among those that the programs can cut."""
    return contract.tile_size * _overlap_percent(contract) // 100


def program_keys(contract: Contract, *, resolution_cm: float | None = None) -> dict[str, str]:
    """Give the metadata that Deepness and GeoDeep read, each value as JSON.

    Classes count from 0, as channels do. The threshold is 0, because what is below one becomes the first class; nothing
    is standardised outside of the graph, which does so itself; no segment is too small. Both names of the tile size are
    given, the one that is documented and the one that is read.

    Args:
        contract: of the model, with the tile size of the graph.
        resolution_cm: centimetres a pixel; by default the contract's, which `check_target` has seen to be there.
    """
    resolution = resolution_cm if resolution_cm is not None else 100 * (contract.gsd_m or 0)
    bands = len(contract.bands)
    values = {
        "model_type": "Segmentor",
        "class_names": {str(channel): item.name for channel, item in enumerate(contract.classes)},
        "resolution": round(resolution, 4),
        "tile_size": contract.tile_size,
        "tiles_size": contract.tile_size,
        "tiles_overlap": _overlap_percent(contract),
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1.0] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _overlap_percent(contract: Contract) -> int:
    """Give the percentage that is nearest; that of its own pixels, rounded down, is the same again."""
    return min(50, -(-100 * contract.overlap // contract.tile_size))
