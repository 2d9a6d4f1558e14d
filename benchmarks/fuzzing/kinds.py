"""What is mutated, how, and which commands meet it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fuzzing.inputs import CLASSES
from fuzzing.mutations import (
    Mutation,
    mutate_chips,
    mutate_database,
    mutate_file,
    mutate_model,
    mutate_one,
    mutate_toml,
    other_encoding,
    redraw,
)
from fuzzing.raw import mutate_bytes
from fuzzing.remains import mutate_record, mutate_work
from fuzzing.shapes import FORMATS
from fuzzing.tiff import mutate_tiff
from fuzzing.trees import mutate_json, mutate_xml


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, and what is known of its result."""

    name: str
    """The same for all cases with the same unmutated result."""
    argv: tuple[str, ...]
    """Words with `{in}` and `{out}`."""
    check: str = ""
    """The oracle that looks at a result; see `oracles`."""
    about: tuple[str, ...] = ()
    """What the oracle is told: names of files."""
    outputs: tuple[str, ...] = ()
    """Names that may stand in `out` after a result."""
    partial: tuple[str, ...] = ()
    """Names that may stay after a refusal: a training run that can be resumed."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input."""

    name: str
    """As tables show it."""
    files: tuple[str, ...]
    """Files and folders that are laid into `in`."""
    mutate: Mutation
    """Changes them."""
    commands: tuple[Command, ...]
    """One of which is run."""
    weight: int = 1
    """How often it comes up, compared with others."""
    left: str = ""
    """What an interrupted run has left in `out`: its name in `interruptions`."""


PIXEL = ("pixel.onnx", "pixel.json")
RASTERS = ("a.gpkg", "a.tif", "a.tif.aux.xml")
NETWORK = ("--model", "{in}/pixel.onnx", "--contract", "{in}/pixel.json", "--tile-size", "64", "--overlap", "16")
ON_CPU = ("--device", "cpu", "--threads", "1")
TRAIN = (
    *("-o", "{out}/m.safetensors", "--run-folder", "{out}/m-run", "--epochs", "1", "--weights", "none"),
    *("--backbone", "mobilenet_v3_large", "--workers", "0", "--device", "cpu", "--devices", "1", "--precision", "fp32"),
)
INTERRUPTIONS = {
    "blocks": ("block", 4),
    "writing": ("record", 1),
    "swapping": ("moved", 0),
    "half": ("moved", 2),
    "done": ("record", 3),
}
"""When the runs are killed whose remains are mutated; see `inputs.interrupt`."""


def segment(
    scene: str, *options: str, network: Sequence[str] = NETWORK, check: str = "labels", about: Sequence[str] = ()
) -> Command:
    """Give the command that segments a scene into polygons and labels."""
    words = (
        "segment",
        f"{{in}}/{scene}",
        "-o",
        "{out}/a.gpkg",
        "--label-raster",
        "{out}/a.tif",
        *network,
        *ON_CPU,
        *options,
    )
    names = ("segment", scene, *(() if network == NETWORK else network), *options)
    name = " ".join(word.removeprefix("{in}/") for word in names)
    return Command(name=name, argv=words, check=check, about=tuple(about) or (scene,), outputs=RASTERS)


def info(scene: str, *options: str) -> Command:
    """Give the command that shows a scene, and what the model makes of it."""
    words = ("info", f"{{in}}/{scene}", *NETWORK, "--device", "cpu", "--json", *options)
    return Command(name=f"info {scene}", argv=words)


def chips(scene: str, labels: str, *options: str, check: str = "chips") -> Command:
    """Give the command that cuts a scene and labels into chips."""
    words = ("chips", f"{{in}}/{scene}", "--labels", f"{{in}}/{labels}", "-o", "{out}/c", "--tile-size", "32", *options)
    return Command(name=f"chips {scene} {labels}", argv=words, check=check, about=(labels,), outputs=("c",))


def evaluate(labels: str, truth: str, *options: str) -> Command:
    """Give the command that compares labels with truth."""
    words = ("evaluate", f"{{in}}/{labels}", f"{{in}}/{truth}", "--json", *options)
    return Command(name=f"evaluate {labels} {truth}", argv=words, check="figures", about=(labels, truth))


def iter_kinds() -> list[Kind]:
    """Give all kinds."""
    return [*_scenes(), *_labels(), *_vectors(), *_models(), *_training(), *_interrupted()]


def _scenes() -> list[Kind]:
    ranges = {"u16.tif": ("--rescale", "0,4000"), "float.tif": ("--rescale", "0,1")}
    tags = {"strips.tif": 4, "tiles.tif": 4, "u16.tif": 3, "float.tif": 3, "alpha.tif": 3, "cog.tif": 3}
    kinds = [
        Kind(
            name=f"TIFF {name.removesuffix('.tif')}",
            files=(name, "shapes.gpkg", *PIXEL),
            mutate=mutate_file(name, mutate_bytes, mutate_tiff),
            commands=(
                *[segment(name, *ranges.get(name, ()))] * 4,
                info(name, *ranges.get(name, ())),
                chips(name, "shapes.gpkg", "--class-field", "cls", check=""),
            ),
            weight=weight,
        )
        for name, weight in tags.items()
    ]
    world = ("--bands", "1,2,3")
    return [
        *kinds,
        Kind(
            name="VRT",
            files=("scene.vrt", "strips.tif", "shapes.gpkg", *PIXEL),
            mutate=mutate_file("scene.vrt", mutate_xml, mutate_xml, mutate_bytes),
            commands=(*[segment("scene.vrt")] * 3, info("scene.vrt")),
            weight=4,
        ),
        Kind(
            name="PNG",
            files=("scene.png", "scene.pgw", *PIXEL),
            mutate=mutate_one(*[mutate_file("scene.png", mutate_bytes)] * 3, mutate_file("scene.pgw", mutate_bytes)),
            commands=(*[segment("scene.png", *world)] * 3, info("scene.png", *world)),
            weight=2,
        ),
        Kind(
            name="STAC",
            files=("item.json", "red.tif", "green.tif", "blue.tif", *PIXEL),
            mutate=mutate_file("item.json", mutate_json, mutate_json, mutate_json, mutate_bytes),
            commands=(*[segment("item.json", check="same JSON")] * 3, info("item.json")),
            weight=5,
        ),
    ]


def _labels() -> list[Kind]:
    mutations = [mutate_file("labels.tif", mutate_bytes, mutate_tiff)] * 3
    traced = Command(
        name="vectorize",
        argv=("vectorize", "{in}/labels.tif", "-o", "{out}/v.gpkg"),
        check="traced",
        about=("labels.tif", "v.gpkg"),
        outputs=("v.gpkg",),
    )
    return [
        Kind(
            name="label raster",
            files=("labels.tif", "labels.tif.aux.xml", "strips.tif", "shapes.gpkg"),
            mutate=mutate_one(*mutations, mutate_file("labels.tif.aux.xml", mutate_xml, mutate_bytes)),
            commands=(
                traced,
                evaluate("labels.tif", "shapes.gpkg", "--class-field", "cls"),
                chips("strips.tif", "labels.tif", check=""),
            ),
            weight=5,
        )
    ]


def _vectors() -> list[Kind]:
    kinds = []
    for suffix in FORMATS:
        name = f"shapes{suffix}"
        files = [name] if suffix != ".shp" else [f"shapes{end}" for end in (".shp", ".dbf", ".shx", ".prj", ".cpg")]
        mutations: list[Mutation] = [partial(redraw, name=name)] * 4
        mutations += [mutate_file(one, mutate_bytes) for one in files]
        if suffix == ".geojson":
            mutations += [mutate_file(name, mutate_json)] * 2
        if suffix == ".gpkg":
            mutations += [partial(mutate_database, name=name)] * 2
        if suffix == ".shp":
            mutations += [partial(other_encoding, name=name)]
        area = segment("strips.tif", "--no-crop", "--aoi", f"{{in}}/{name}", check="aoi", about=(name,))
        kinds.append(
            Kind(
                name=f"vector {suffix}",
                files=(*files, "strips.tif", "labels.tif", "labels.tif.aux.xml", *PIXEL),
                mutate=mutate_one(*mutations),
                commands=(
                    area,
                    chips("strips.tif", name, "--class-field", "cls"),
                    evaluate("labels.tif", name, "--class-field", "cls"),
                ),
                weight=6,
            )
        )
    return kinds


def _models() -> list[Kind]:
    trained = ("--model", "{in}/tiny.safetensors")
    return [
        Kind(
            name="model file",
            files=("tiny.safetensors", "strips.tif"),
            mutate=mutate_model,
            commands=(
                *[segment("strips.tif", network=trained, check="model", about=("tiny.safetensors",))] * 4,
                Command(name="models", argv=("models", "{in}/tiny.safetensors")),
            ),
            weight=12,
        ),
        Kind(
            name="ONNX",
            files=("strips.tif", *PIXEL),
            mutate=mutate_file("pixel.onnx", mutate_bytes),
            commands=(segment("strips.tif", check="same bytes", about=("pixel.onnx",)),),
            weight=6,
        ),
        Kind(
            name="contract",
            files=("strips.tif", *PIXEL),
            mutate=mutate_file("pixel.json", mutate_json, mutate_json, mutate_json, mutate_bytes),
            commands=(segment("strips.tif", check="same JSON", about=("pixel.json",)),),
            weight=10,
        ),
    ]


def _training() -> list[Kind]:
    table = Command(
        name="train --config",
        argv=("train", "{in}/strips.tif", "--labels", "{in}/shapes.gpkg", "--config", "{in}/train.toml", *TRAIN),
        outputs=("m.safetensors", "m-run"),
        partial=("m-run",),
    )
    written = Command(
        name="train --write-config",
        argv=("train", "--config", "{in}/train.toml", "--write-config", "{out}/w.toml"),
        outputs=("w.toml",),
    )
    kinds = [
        Kind(
            name="TOML",
            files=("train.toml", "strips.tif", "shapes.gpkg"),
            mutate=mutate_toml,
            commands=(table, table, table, written),
            weight=8,
        )
    ]
    for layout in ("esri", "pairs"):
        sizes = ("--chip-size", "32", "--batch-size", "4", "--lr", "0.001", "--classes", ",".join(CLASSES))
        command = Command(
            name=f"train --chips {layout}",
            argv=("train", "--chips", f"{{in}}/{layout}", *TRAIN, *(sizes if layout == "esri" else sizes[:6])),
            outputs=("m.safetensors", "m-run"),
            partial=("m-run",),
        )
        kinds.append(
            Kind(
                name=f"chips {layout}",
                files=(layout,),
                mutate=partial(mutate_chips, layout=layout),
                commands=(command,),
                weight=5,
            )
        )
    return kinds


def _interrupted() -> list[Kind]:
    kinds = []
    for left, weight in (("blocks", 10), ("writing", 3), ("swapping", 3), ("half", 3), ("done", 3)):
        resumed = segment("strips.tif", "--resume", check="resumed")
        again = segment("strips.tif", "--overwrite", check="resumed")
        plain = segment("strips.tif", check="resumed")
        kinds.append(
            Kind(
                name="journal and spool" if left == "blocks" else f"record {left}",
                files=("strips.tif", *PIXEL),
                mutate=mutate_work if left == "blocks" else mutate_record,
                commands=(resumed, resumed, resumed, again, plain),
                weight=weight,
                left=left,
            )
        )
    return kinds
