"""The inputs that are mutated: small, seeded, every format, and all of them good."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
from affine import Affine
from rasterio.shutil import copy as copy_raster

from fuzzing.shapes import FORMATS, Geometry, write_layer
from fuzzing.trees import to_toml

SHAPE = (96, 128)
"""Height and width of the scenes."""
TILE_SIZE, OVERLAP = 64, 16
COLORS = ([220, 200, 90], [30, 110, 50], [200, 60, 50])
CLASSES = ("field", "wood", "roof")
BANDS = ("red", "green", "blue")
PLACE: dict[str, Any] = {"crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000)}


def contract(name: str = "tiny", **more: object) -> dict[str, Any]:
    """Give the contract of the small networks."""
    classes = [
        {"id": i, "name": name, "color": rgb} for i, (name, rgb) in enumerate(zip(CLASSES, COLORS, strict=True), 1)
    ]
    bands = [{"name": band, "mean": 120.0, "std": 60.0} for band in BANDS]
    return {"name": name, "classes": classes, "bands": bands, "tile_size": TILE_SIZE, "overlap": OVERLAP} | more


def make_inputs(folder: Path) -> None:
    """Write every input into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00.000Z", "CPL_LOG": os.devnull})
    image = draw()
    _write_scenes(folder, image)
    _write_labels(folder, image)
    _write_models(folder)
    _write_chips(folder, image)
    write_config(folder / "train.toml")


def draw(seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw an image (3, H, W) of squares of random values, with noise."""
    rng, (height, width) = np.random.default_rng(seed), SHAPE
    coarse = rng.integers(30, 220, (3, -(-height // 12), -(-width // 12)))
    image = coarse.repeat(12, axis=1).repeat(12, axis=2)[:, :height, :width]
    return (image + rng.integers(-25, 26, image.shape)).astype(np.uint8)


def polygons() -> tuple[list[Geometry], list[str]]:
    """Give nine squares of the scene's ground with their classes, in the scene's coordinates."""
    shapes: list[Geometry] = []
    for row in range(3):
        for col in range(3):
            left, top = 500_006 + 40 * col, 4_999_996 - 30 * row
            ring = [[left, top], [left + 30, top], [left + 30, top - 22], [left, top - 22], [left, top]]
            shapes.append({"type": "Polygon", "coordinates": [[[float(x), float(y)] for x, y in ring]]})
    return shapes, [CLASSES[i % 3] for i in range(9)]


def write_raster(path: Path, array: np.ndarray[Any, Any], *, names: tuple[str, ...] = (), **options: object) -> None:
    """Write an array (C, H, W) at `PLACE`."""
    profile = {"driver": "GTiff", "count": len(array), "height": array.shape[1], "width": array.shape[2]}
    with rasterio.open(path, "w", **profile | {"dtype": array.dtype} | PLACE | options) as dst:
        if names:
            dst.descriptions = names
        dst.write(array)


def _write_scenes(folder: Path, image: np.ndarray[Any, Any]) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    write_raster(folder / "strips.tif", image, photometric="rgb", blockysize=16)
    write_raster(folder / "tiles.tif", image, photometric="rgb", compress="deflate", predictor=2, **tiles)
    write_raster(folder / "u16.tif", image.astype(np.uint16) * 16, names=BANDS, compress="lzw", **tiles)
    floats = image.astype(np.float32) / 255
    floats[:, :20, :30] = -9999
    write_raster(folder / "float.tif", floats, names=BANDS, nodata=-9999.0, compress="deflate", predictor=3, **tiles)
    alpha = np.full((1, *SHAPE), 255, dtype=np.uint8)
    alpha[:, 70:, 90:] = 0
    write_raster(folder / "alpha.tif", np.concatenate([image, alpha]), photometric="rgb", alpha="yes", **tiles)
    copy_raster(folder / "strips.tif", folder / "cog.tif", driver="COG", blocksize=64, compress="deflate")
    copy_raster(folder / "strips.tif", folder / "scene.png", driver="PNG")
    (folder / "scene.png.aux.xml").unlink(missing_ok=True)
    (folder / "scene.pgw").write_text("1\n0\n0\n-1\n500000.5\n4999999.5\n")
    copy_raster(folder / "strips.tif", folder / "scene.vrt", driver="VRT")
    text = (folder / "scene.vrt").read_text()
    (folder / "scene.vrt").write_text(text.replace(str(folder) + "/", ""))
    assets: dict[str, Any] = {}
    for number, band in enumerate(BANDS):
        write_raster(folder / f"{band}.tif", image[number : number + 1], compress="deflate")
        more = {"nodata": 0, "raster:scale": 1.0, "raster:offset": 0.0}
        assets[band] = {
            **{"href": f"./{band}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]},
            **{"eo:bands": [{"name": f"B{number}", "common_name": band}], "raster:bands": [more]},
        }
    bounds = [15.0, 45.15, 15.01, 45.16]
    corners = [[15.0, 45.15], [15.01, 45.15], [15.01, 45.16], [15.0, 45.16], [15.0, 45.15]]
    item = {
        **{"type": "Feature", "stac_version": "1.0.0", "id": "tiny", "bbox": bounds, "links": []},
        **{"properties": {"datetime": "2024-01-01T00:00:00Z", "proj:epsg": 32633, "gsd": 1.0}},
        **{"geometry": {"type": "Polygon", "coordinates": [corners]}, "assets": assets},
    }
    (folder / "item.json").write_text(json.dumps(item, indent=1))


def _write_labels(folder: Path, image: np.ndarray[Any, Any]) -> None:
    labels = (1 + image[:1] // 86).astype(np.uint8)
    labels[:, 40:50, 40:60] = 0
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    write_raster(folder / "labels.tif", labels, nodata=0, compress="deflate", **tiles)
    names = "".join(f"<Category>{name}</Category>" for name in ("nodata", *CLASSES))
    (folder / "labels.tif.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    )
    shapes, classes = polygons()
    for suffix in FORMATS:
        write_layer(folder / f"shapes{suffix}", shapes, classes)


def _write_models(folder: Path) -> None:
    import torch

    from geodeeplab.models import Contract, build_model, save_model

    write_onnx(folder)
    architecture: dict[str, Any] = {
        "arch": "deeplabv3",
        "backbone": "mobilenet_v3_large",
        "num_classes": 3,
        "in_channels": 3,
    }
    architecture |= {"aspp_channels": 16}
    torch.manual_seed(0)
    stated = Contract.from_mapping(contract(architecture=architecture, licence="CC0-1.0", gsd_m=1.0))
    save_model(build_model(**architecture).eval(), stated, folder / "tiny.safetensors")


def write_onnx(folder: Path) -> None:
    """Write a network that labels each pixel by itself, `pixel.onnx`, and its contract, `pixel.json`."""
    weights = np.array([[1, -1, 0], [-1, 1, 0], [0, -0.5, 1]], np.float32)
    (folder / "pixel.onnx").write_bytes(_convolution(weights, np.array([0, 0, -0.1], np.float32)))
    (folder / "pixel.json").write_text(json.dumps(contract("pixel"), indent=1))


def _convolution(weights: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> bytes:
    """Write an ONNX file of one 1 × 1 convolution: the label of a pixel depends on that pixel alone."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["logits"], kernel_shape=[1, 1])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w_"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3, "h", "w_"])],
        [numpy_helper.from_array(weights.reshape(3, 3, 1, 1), "w"), numpy_helper.from_array(bias, "b")],
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return content


def _write_chips(folder: Path, image: np.ndarray[Any, Any]) -> None:
    """Cut chips of both layouts from a scene of four times the size."""
    import geodeeplab as gdl

    scene = np.tile(image, (1, 2, 2))
    write_raster(folder / "large.tif", scene, photometric="rgb")
    write_raster(folder / "large_labels.tif", (1 + scene[:1] // 86).astype(np.uint8), nodata=0)
    for layout in ("esri", "pairs"):
        gdl.export_chips(
            [str(folder / "large.tif")],
            str(folder / "large_labels.tif"),
            folder / layout,
            classes=list(CLASSES),
            tile_size=32,
            layout=layout,
            image_format="tif" if layout == "esri" else "png",
        )


def write_config(path: Path) -> None:
    """Write a configuration of `train` that has many of its keys."""
    data = {
        **{"class_field": "cls", "classes": list(CLASSES), "ignore_unknown": False, "on_overlap": "last"},
        **{"all_touched": False, "bands": [1, 2, 3], "chip_size": 32, "batch_size": 2, "val_split_pct": 0.3},
        **{"block_size": 32, "buffer": 0, "stratify": True, "class_balance": 0.5, "epoch_chips": 4},
        **{
            "augmentation": {"flips": True, "scale": [0.9, 1.1], "strength": 0.5},
            "memory_gb": 0.1,
            "seed": 0,
            "provenance": {"a": 1},
        },
    }
    learner: dict[str, Any] = {
        "label_smoothing": 0.05,
        "focal_loss": False,
        "class_balancing": True,
        "dice_loss_fraction": 0.1,
    }
    learner |= {"ignore_classes": [], "output_stride": 16, "aspp_channels": 16, "mixup": False, "freeze": False}
    fit = {"lr": 0.001, "one_cycle": True, "weight_decay": 0.05, "ema_decay": 0.9, "clip": 1.0, "monitor": "miou"}
    fit |= {"early_stopping": 2, "tensorboard": False}
    model = {"name": "fuzzed", "licence": "CC0-1.0"}
    path.write_bytes(to_toml({"data": data, "learner": learner, "fit": fit, "model": model}))


INTERRUPTED = """
import os, sys
from geodeeplab.cli import main
how, count, out, *argv = sys.argv[1:]
left, replace, append = [int(count)], os.replace, os.fsync
def counted(source, target, **options):
    name, parent = os.path.basename(target), os.path.dirname(os.path.abspath(target))
    is_wanted = {
        "block": name.endswith(".journal") or (parent != out and name.endswith(".tif")),
        "record": parent != out and name.endswith(".json"),
        "moved": parent == out and not name.startswith("."),
    }[how]
    left[0] -= is_wanted
    if left[0] < 0 or (how != "moved" and left[0] == 0 and is_wanted):
        if how != "moved":
            replace(source, target, **options)
        os._exit(9)
    return replace(source, target, **options)
os.replace = counted
sys.argv = ["geodeeplab", *argv]
main()
"""
"""`geodeeplab` that ends at the n-th file of a block, at the n-th state of the record, or before the n-th move."""


def interrupt(out: Path, how: str, count: int, *argv: object) -> None:
    """Leave in a folder what a run leaves that was killed at that moment.

    Raises:
        RuntimeError: the run came to its end before.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, "-c", INTERRUPTED, how, str(count), str(out), *map(str, argv)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 9:
        raise RuntimeError(f"no run was interrupted at {how} {count}: {done.returncode} {done.stderr[-2000:]}")


def sign_line(record: dict[str, Any]) -> bytes:
    """Write a line of a journal with the sum that its reader wants, as a forger would."""
    rest = {key: value for key, value in record.items() if key != "check"}
    return json.dumps(rest | {"check": zlib.crc32(json.dumps(rest).encode())}).encode() + b"\n"


def split_safetensors(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Give the header and the tensors' bytes of a safetensors file."""
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join_safetensors(header: bytes, rest: bytes) -> bytes:
    """Write a safetensors file."""
    return struct.pack("<Q", len(header)) + header + rest
