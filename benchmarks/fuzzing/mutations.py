"""Mutations of the files of a case: of one file by its format, or of a folder by what its files mean to each other."""

import json
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.inputs import join_safetensors, polygons, split_safetensors
from fuzzing.raw import mutate_bytes
from fuzzing.shapes import mutate_geometries, mutate_tables, write_layer
from fuzzing.tiff import mutate_tiff
from fuzzing.trees import TEXTS, dump_json, mutate_json, mutate_tree, to_toml

Mutation = Callable[[Path, np.random.Generator], str]
"""Changes files in a folder with `in` and `out`; gives what it has done."""
Content = Callable[[bytes, np.random.Generator], tuple[bytes, str]]


def mutate_file(name: str, *ways: Content) -> Mutation:
    """Give a mutation of a file in `in`, by one of several ways."""

    def mutate(folder: Path, rng: np.random.Generator) -> str:
        path = folder / "in" / name
        changed, told = ways[int(rng.integers(len(ways)))](path.read_bytes(), rng)
        path.write_bytes(changed)
        return f"{name}: {told}"

    return mutate


def mutate_one(*mutations: Mutation) -> Mutation:
    """Give a mutation that is one of several."""
    return lambda folder, rng: mutations[int(rng.integers(len(mutations)))](folder, rng)


def redraw(folder: Path, rng: np.random.Generator, *, name: str) -> str:
    """Draw the polygons anew, some of them broken, some classes strange."""
    path = folder / "in" / name
    content = {one.name: one.read_bytes() for one in path.parent.glob(f"{path.stem}.*")}
    shapes, classes = polygons()
    changed, told = mutate_geometries(shapes, rng)
    values: list[str | None] = list(classes)
    if rng.random() < 0.25:
        texts = [text for text in TEXTS if text.isprintable()]
        values[int(rng.integers(9))] = None if rng.random() < 0.3 else texts[int(rng.integers(len(texts)))]
        told += ", strange class"
    for one in content:
        (path.parent / one).unlink()
    try:
        write_layer(path, changed, values)
    except Exception as error:  # whatever a writer says to what its format cannot hold
        for other, before in content.items():
            (path.parent / other).write_bytes(before)
        return f"{name}: {told}: not written ({type(error).__name__})"
    return f"{name}: {told}"


def mutate_database(folder: Path, rng: np.random.Generator, *, name: str) -> str:
    """Mutate the tables of a GeoPackage."""
    path = folder / "in" / name
    changed, told = mutate_tables(path.read_bytes(), rng, at=path.with_name("other.gpkg"))
    path.write_bytes(changed)
    return f"{name}: {told}"


def other_encoding(folder: Path, rng: np.random.Generator, *, name: str) -> str:
    """Give the table of a shapefile texts of another encoding than the .cpg says, or none."""
    table = folder / "in" / Path(name).with_suffix(".dbf")
    label = table.with_suffix(".cpg")
    table.write_bytes(
        table.read_bytes().replace(b"wood ", "wöd ".encode("latin-1")).replace(b"roof  ", b"\xff\x81\x8d   ")
    )
    stated = ("UTF-8", "", "ISO-8859-1", "CP1252", "437", "nonsense", "UTF-16", "\x00")[int(rng.integers(8))]
    if stated or rng.random() < 0.5:
        label.write_text(stated)
    else:
        label.unlink()
    return f"{table.name} in another encoding, .cpg {stated!r}"


def mutate_model(folder: Path, rng: np.random.Generator) -> str:
    """Mutate the header of a model file by key and type, its contract likewise, or bytes of it."""
    path = folder / "in" / "tiny.safetensors"
    content = path.read_bytes()
    way = str(rng.choice(["architecture", "contract", "contract", "header", "bytes", "not finite", "as text"]))
    header, rest = split_safetensors(content)
    stated = json.loads(header["__metadata__"]["geodeeplab"])
    if way == "bytes":
        changed, told = mutate_bytes(content, rng)
    elif way == "header":
        tree, told = mutate_tree(header, rng)
        changed = join_safetensors(dump_json(tree), rest)
    elif way == "not finite":
        at = int(rng.integers(len(rest) // 2)) * 2
        count = int(rng.choice([1, 1000]))
        told = f"{count} weights"
        changed = join_safetensors(dump_json(header), rest[:at] + b"\x00\x7e" * count + rest[at + 2 * count :])
    else:
        if way == "architecture":
            stated["architecture"] |= _strange_architecture(rng)
            told = str(stated["architecture"])
            text = json.dumps(stated)
        elif way == "contract":
            stated, told = mutate_tree(stated, rng)
            text = json.dumps(stated)
        else:
            raw, told = mutate_json(json.dumps(stated).encode(), rng)
            text = raw.decode(errors="surrogateescape")
        header["__metadata__"]["geodeeplab"] = text
        changed = join_safetensors(json.dumps(header).encode(), rest)
    path.write_bytes(changed)
    return f"{way}: {told}"


def _strange_architecture(rng: np.random.Generator) -> dict[str, Any]:
    values: dict[str, Sequence[object]] = {
        "arch": ("deeplabv3", "fcn", "fcn8s", "x", None, 3, ["fcn"]),
        "backbone": ("resnet50", "vgg16", "timm:resnet18", "timm:", "timm:../../x", 5, None, {}),
        "num_classes": (2, 255, 256, 10**9, -1, 3.0, "3", True),
        "in_channels": (1, 4, 10**6, 10**12, 0, "3", [3]),
        "aspp_channels": (0, -1, 1, 10**7, 10**12, 1.5, "x"),
        "atrous_rates": ([], [0], [-1, 2, 3], [10**9] * 3, [1] * 5000, "abc", 7),
        "pointrend": (True, "yes", 1, []),
        "point_channels": (0, 10**9, -5, "x"),
        "fine_levels": ([], [9], [0, 0], "0", 0, [[0]]),
        "multi_grid": ([1, 2, 4], [0, 0, 0], [10**9] * 3, "abc", 2),
        "scales": ([], [1, 0.5], [1, 1e-9], ["a"], 5, [1] * 1000, [1, float("nan")]),
        "output_stride": (7, 8, 0, "16", 10**9),
        "weights": ("DEFAULT", "/etc/passwd", "x.pth", "strips.tif"),
        "bands": (["red"], 5, "abc"),
        "keep_dilation": (False, "no"),
        "separable": (True, "no", 3),
        "fc_channels": (10**8, "x"),
        "__class__": ("x",),
        "": (1,),
    }
    keys = [list(values)[int(rng.integers(len(values)))] for _ in range(int(rng.choice([1, 1, 2])))]
    return {key: values[key][int(rng.integers(len(values[key])))] for key in keys}


def mutate_toml(folder: Path, rng: np.random.Generator) -> str:
    """Mutate a configuration: what it holds, or its bytes."""
    path = folder / "in" / "train.toml"
    content = path.read_bytes()
    if rng.random() < 0.25:
        changed, told = mutate_bytes(content, rng)
    else:
        tables, told = mutate_tree(tomllib.loads(content.decode()), rng)
        changed = to_toml(tables) if isinstance(tables, dict) else b"[]"
    path.write_bytes(changed)
    return told


def mutate_chips(folder: Path, rng: np.random.Generator, *, layout: str) -> str:
    """Mutate, remove, double or rename a file of a folder of chips."""
    root = folder / "in" / layout
    files = sorted(path for path in root.rglob("*") if path.is_file())
    side = [path for path in files if path.suffix in (".json", ".emd", ".txt")]
    path = (side if rng.random() < 0.6 else files)[int(rng.integers(len(side)))]
    what = str(rng.choice(["content"] * 5 + ["remove", "rename", "double", "folder", "link"]))
    told = ""
    if what == "content":
        is_json = path.suffix in (".json", ".emd") and rng.random() < 0.75
        way = mutate_json if is_json else mutate_tiff if path.suffix == ".tif" and rng.random() < 0.5 else mutate_bytes
        changed, told = way(path.read_bytes(), rng)
        path.write_bytes(changed)
    elif what == "remove":
        path.unlink()
    elif what == "rename":
        path.rename(path.with_name(f"x{path.name}"))
    elif what == "double":
        shutil.copy(path, path.with_name(f"{path.stem} 2{path.suffix}"))
    else:
        path.unlink()
        path.mkdir() if what == "folder" else path.symlink_to(path.name)
    return f"{what} {path.relative_to(root)} {told}"
