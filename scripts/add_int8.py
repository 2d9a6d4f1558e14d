"""Prepare a bundled model for int8: measure what its convolutions read on its training scenes, and say so in its file.

    for name in landcover-aerial buildings-aerial landcover-satellite; do
        python scripts/add_int8.py geodeeplab/bundled/$name.safetensors --data ../shared/data --folder out/data
    done

Land cover reads Dubai's training tiles, buildings the training places and areas, the satellites' model its training
sites; models that `DeepLab.save(int8=True)` writes need none of this. The weights stay as they are, to the bit.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save

import buildings
import dubai
import satellite
from aerial_data import TRAIN_TILES
from geodeeplab.atomic import write_output
from geodeeplab.models import Contract, SegmentationNetwork, load_model
from geodeeplab.models.contract import HEADER_KEY
from geodeeplab.training import TrainingData
from geodeeplab.training.loop.int8 import measure_chips


def training_chips(contract: Contract, data: Path, folder: Path, *, seed: int) -> TrainingData:
    """Prepare the training scenes of a bundled model, as chips of the size of its tiles or scenes, unchanged."""
    common: dict[str, Any] = {"batch_size": 2, "epoch_chips": 64, "seed": seed, "augmentation": False}
    if len(contract.bands) == len(satellite.BANDS):
        return satellite.prepare_satellite(data, folder, chip_size=satellite.SIDE, **common)
    common["chip_size"] = contract.tile_size
    if len(contract.classes) == len(buildings.CLASSES):
        return buildings.prepare_buildings(data, folder, **common)
    return dubai.prepare_dubai(data / "dubai", folder, tiles=TRAIN_TILES, **common)


def main() -> None:
    """Measure, and write the file anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the model file, which is replaced")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--folder", type=Path, required=True, help="where pairs of scenes and labels are written")
    parser.add_argument("--seed", type=int, default=0, help="of the chips")
    told = parser.parse_args()

    model = load_model(told.model)
    assert isinstance(model.network, SegmentationNetwork), "bundled models are built here"
    told.folder.mkdir(parents=True, exist_ok=True)
    chips = training_chips(model.contract, told.data, told.folder, seed=told.seed).train
    ranges = measure_chips(model.network, chips, model.contract)
    contract = dataclasses.replace(model.contract, int8_ranges=ranges)
    with safe_open(told.model, framework="pt") as file:
        weights = {key: file.get_tensor(key).clone() for key in file.keys()}
    write_output(told.model, save(weights, metadata={HEADER_KEY: contract.to_json()}))
    print(f"{told.model}: {len(ranges)} convolutions on {len(chips)} chips")


if __name__ == "__main__":
    main()
