"""The hls30 chips as training data: Landsat-like scenes of 30 m with ESA WorldCover, split by site.

Chips of 128 px of harmonised Landsat and Sentinel-2 surface reflectance (public domain), with ESA WorldCover (CC BY
4.0); neither is part of the project. Chips of one place are one site and stay on one side.
"""

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from safetensors import safe_open
from safetensors.torch import save_file

from geodeeplab.learner import DeepLab
from geodeeplab.models import ModelBand, ModelClass, build_model, load_pretrained
from geodeeplab.models.pointrend import IMAGE_LEVEL
from geodeeplab.training import Augmentation, TrainingData, prepare_data

Role = Literal["train", "select", "report"]
FINE_LEVELS, PIXELS_PER_POINT = (IMAGE_LEVEL, 0), 2
"""PointRend's: of land cover at 30 m a pixel is an object, so the head reads the image, and half of the pixels."""
SCALES = (0.7, 2.0)
"""Zooms of training: 15 to 43 m."""
DEALT: tuple[Role, ...] = ("train", "select", "train", "report", "train")
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
OPTIONAL_BANDS = ("swir1", "swir2")
"""What 10 m scenes of Sentinel-2 lack, as many others do."""
FIRST_BAND, QA_BAND = 1, 7
"""Channels of the files: coastal comes before the six, quality bits follow them."""
CLOUD_BITS = 0b1010
"""Of HLS: cloud, and its shadow."""
SCALE = 1e-4
"""Reflectance of a file's number; no offset."""
CLOUD_BLUE = 2500
"""Numbers of blue from which a pixel is taken for cloud, whatever the bits say."""
MOST_FLOODED = 0.05
"""Share of a chip that is water by NDWI and not by WorldCover, up to which it is used."""
GSD_M, SIDE = 30, 128
MOSAIC_CHIPS, NODATA = 6, -32768
"""Chips in a row of a mosaic, and what fills its last row."""
CRS = "EPSG:32633"
CLASSES = (
    ModelClass(id=1, name="water", color=(54, 118, 189)),
    ModelClass(id=2, name="trees", color=(38, 110, 52)),
    ModelClass(id=3, name="grass", color=(154, 196, 98)),
    ModelClass(id=4, name="crops", color=(228, 190, 88)),
    ModelClass(id=5, name="built", color=(214, 69, 65)),
    ModelClass(id=6, name="bare", color=(196, 178, 158)),
)
WORLDCOVER = {80: 1, 10: 2, 30: 3, 40: 4, 50: 5, 60: 6}
"""Class ids by WorldCover's values. Shrub (2 % of the pixels), wetland, moss and snow (0.2 % together) are no class and
no label: too little to learn them from, and part of no other."""
NOT_FLOODED = (80, 90, 70)
"""WorldCover's values where water by NDWI is no contradiction."""
SOURCES = (
    "images: Landsat-like surface reflectance of 30 m (HLS), public domain",
    "labels: ESA WorldCover project, CC BY 4.0",
)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A chip of the set."""

    number: int
    """Name of its files."""
    site: int
    """Position of its site in the list."""
    image: NDArray[np.int16]
    """(6, H, W), the bands of `BANDS`, reflectance / `SCALE`."""
    ids: NDArray[np.uint8]
    """(H, W), class ids, 0 where there is no label: no class, cloud, or water that WorldCover does not know."""
    flooded: float
    """Share of such water."""


def read_chips(data: Path) -> list[Chip]:
    """Read all chips that are hardly flooded, site by site; `data` is the folder of all sets."""
    folder, chips = data / "hls30", []
    for site, numbers in enumerate(json.loads((folder / "sites.json").read_text())):
        there = [number for number in numbers if (folder / "images" / f"{number}.tif").exists()]
        chips += [_read_chip(folder, number, site) for number in there]
    return [chip for chip in chips if chip.flooded <= MOST_FLOODED]


def _read_chip(folder: Path, number: int, site: int) -> Chip:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(folder / "images" / f"{number}.tif") as src:
            pixels = src.read()
    image = np.ascontiguousarray(pixels[FIRST_BAND : FIRST_BAND + len(BANDS)])
    cover = np.asarray(Image.open(folder / "worldcover" / f"{number}.png"))
    ids = np.zeros(cover.shape, dtype=np.uint8)
    for value, one in WORLDCOVER.items():
        ids[cover == value] = one
    flooded = (image[1] > image[3]) & ~np.isin(cover, NOT_FLOODED)
    ids[flooded | (pixels[QA_BAND] & CLOUD_BITS > 0) | (image[0] > CLOUD_BLUE)] = 0
    return Chip(number=number, site=site, image=image, ids=ids, flooded=float(flooded.mean()))


def split_sites(chips: Sequence[Chip]) -> dict[int, Role]:
    """Give each site its role: three of five are trained on, one chooses, one is reported.

    Rare classes are dealt out first: sites come in the order of their rarest class's ground, so that each role has
    bare and built ground.
    """
    sites = sorted({chip.site for chip in chips})
    ground = {
        site: np.bincount(
            np.concatenate([chip.ids.ravel() for chip in chips if chip.site == site]), minlength=len(CLASSES) + 1
        )[1:]
        for site in sites
    }
    rarest_first = np.argsort(np.sum(list(ground.values()), axis=0))
    order: list[int] = []
    for number in rarest_first:
        left = [site for site in sites if site not in order]
        order += sorted(
            (site for site in left if ground[site][number] >= 0.02 * SIDE * SIDE), key=lambda one: -ground[one][number]
        )
    order += [site for site in sites if site not in order]
    return {site: DEALT[place % len(DEALT)] for place, site in enumerate(order)}


def write_chip(chip: Chip, folder: Path) -> tuple[Path, Path]:
    """Write a chip and its labels as GeoTIFFs, if they are not there yet.

    The set says nowhere where chips are; each site gets a place of its own, and its chips lie on each other.
    """
    scene_path, labels_path = folder / f"hls{chip.number}.tif", folder / f"hls{chip.number}-labels.tif"
    if not labels_path.exists():
        _write_pair(chip.image, chip.ids, scene_path, labels_path, north=1_000_000 + 10_000 * chip.site)
    return scene_path, labels_path


def held_out(data: Path, folder: Path) -> list[tuple[str, Path, Path]]:
    """Write the chips that choose and those that are reported as one mosaic each, with six bands and with four.

    In tiles of `SIDE` without overlap, each chip is seen by itself.
    """
    found: list[tuple[str, Path, Path]] = []
    chips = read_chips(data)
    roles = split_sites(chips)
    for name, bands in (("hls", len(BANDS)), ("fourbands", len(BANDS) - len(OPTIONAL_BANDS))):
        for role, said in (("select", "selection"), ("report", "report")):
            own = [chip for chip in chips if roles[chip.site] == role]
            blank = -len(own) % MOSAIC_CHIPS
            nothing = np.full((bands, SIDE, SIDE), NODATA, dtype=np.int16)
            image = _mosaic([chip.image[:bands] for chip in own] + [nothing] * blank)
            ids = _mosaic([chip.ids[None] for chip in own] + [np.zeros((1, SIDE, SIDE), dtype=np.uint8)] * blank)[0]
            paths = folder / f"{name}-{said}.tif", folder / f"{name}-{said}-labels.tif"
            _write_pair(image, ids, *paths, north=5_000_000)
            found.append((f"{name}-{said}", *paths))
    return found


def _mosaic(chips: Sequence[NDArray[np.integer]]) -> NDArray[np.integer]:
    """Put chips (C, H, W) side by side, `MOSAIC_CHIPS` in a row."""
    rows = [chips[start : start + MOSAIC_CHIPS] for start in range(0, len(chips), MOSAIC_CHIPS)]
    return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)


def _write_pair(
    image: NDArray[np.integer], ids: NDArray[np.integer], scene_path: Path, labels_path: Path, *, north: float
) -> None:
    """Write an image (C, H, W), the first bands of `BANDS`, and class ids (H, W) as GeoTIFFs."""
    scene_path.parent.mkdir(parents=True, exist_ok=True)
    layout = {"driver": "GTiff", "compress": "deflate", "crs": CRS, "height": ids.shape[0], "width": ids.shape[1]}
    layout |= {"transform": Affine(GSD_M, 0, 500_000, 0, -GSD_M, north)}
    with rasterio.open(scene_path, "w", count=len(image), dtype="int16", nodata=NODATA, **layout) as dst:
        dst.write(image)
        dst.descriptions, dst.scales = BANDS[: len(image)], [SCALE] * len(image)
    with rasterio.open(labels_path, "w", count=1, dtype="uint8", nodata=0, **layout) as dst:
        dst.write(ids, 1)


def prepare_satellite(
    data: Path,
    folder: Path,
    *,
    chip_size: int,
    batch_size: int | None,
    seed: int,
    augmentation: Augmentation | bool = True,
    epoch_chips: int | None = None,
) -> TrainingData:
    """Prepare the sites to train on, and those to choose by."""
    chips = read_chips(data)
    roles = split_sites(chips)
    used = [chip for chip in chips if roles[chip.site] != "report"]
    files = [write_chip(chip, folder) for chip in used]
    return prepare_data(
        scenes=[scene for scene, _ in files],
        labels=[labels for _, labels in files],
        classes=CLASSES,
        val_scenes=[place for place, chip in enumerate(used) if roles[chip.site] == "select"],
        chip_size=chip_size,
        batch_size=batch_size,
        augmentation=augmentation,
        epoch_chips=epoch_chips,
        seed=seed,
        provenance={"sources": list(SOURCES), "sites": dict(Counter(roles.values())), "most_flooded": MOST_FLOODED},
    )


def make_learner(
    data: TrainingData,
    *,
    arch: str,
    backbone: str,
    width: int,
    weights: str | Path | None,
    class_balancing: bool,
    device: str,
    seed: int,
) -> DeepLab:
    """Build a network whose points are pixels, with a learner for it.

    Args:
        data: of `prepare_satellite`.
        arch: `deeplabv3` or `deeplabv3plus`.
        backbone: its name.
        width: channels of ASPP, decoder and points.
        weights: `imagenet`, or weights of the backbone that `convert_csmask_weights.py` made; None for none.
        class_balancing: weigh classes; chips alone cannot balance what is a part of each.
        device: where to learn.
        seed: of what nothing is loaded into.
    """
    torch.manual_seed(seed)
    network = build_model(
        arch=arch,
        backbone=backbone,
        num_classes=len(CLASSES),
        in_channels=len(BANDS),
        pointrend=True,
        fine_levels=FINE_LEVELS,
        pixels_per_point=PIXELS_PER_POINT,
        point_channels=width,
        aspp_channels=width,
        decoder_channels=width if arch == "deeplabv3plus" else None,
    )
    learner = DeepLab(data, network=network, class_balancing=class_balancing, device=device, seed=seed)
    if weights is not None:
        learner.start = load_pretrained(network, weights, bands=BANDS).source
    return learner


def fold_normalisation(weights: Path, bands: Sequence[ModelBand], dst_path: Path) -> Path:
    """Write weights of a backbone for images that are standardised by the statistics of `bands`.

    Weights that were trained on reflectance, standardised in their own way (the file says how), keep what they compute,
    but for a pixel at the borders of images: their first convolution and its batch norm take up the difference.
    """
    with safe_open(weights, framework="pt") as file:
        said = json.loads(file.metadata()["weights"])
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}
    places = [said["bands"].index(band.name) for band in bands]
    theirs = [torch.tensor([said[key][place] for place in places]) for key in ("mean", "std")]
    mean = torch.tensor([band.mean * band.scale + band.offset for band in bands])
    std = torch.tensor([band.std * band.scale for band in bands])
    first = tensors["conv_stem.weight"][:, places] / theirs[1].view(1, -1, 1, 1)
    tensors["conv_stem.weight"] = (first * std.view(1, -1, 1, 1)).contiguous()
    tensors["bn1.running_mean"] -= first.sum((2, 3)) @ (mean - theirs[0])
    save_file(tensors, dst_path, metadata={"weights": json.dumps({**said, "mean": 0.0, "std": 1.0})})
    return dst_path
