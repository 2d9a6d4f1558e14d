"""Draw the pictures of the page "Gallery" and of the README: real scenes beside what GeoDeepLab makes of them.

    python scripts/draw_gallery.py --data ../shared/data

Writes the scenes and the polygons into `--work`, runs the commands of the page there, and draws crops of what they
wrote into `docs/images`. The data are not part of the project: Dubai tile 6 (Humans in the Loop, CC0 1.0) and Kampala
(OpenAerialMap contributors, CC BY 4.0); nothing that somebody labelled is drawn but the few polygons and the truth.
With `--draw-only` the commands are not run again. The screenshot of a map is `draw_map_shots.py`'s.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import buildings
from dubai import COLOURS
from few_polygons_pairs import CLASS_FIELD, SETS, LabelledScene, draw_polygons, write_polygons, write_scene
from geodeeplab.raster import open_scene, read_classes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COUNTS = (5, 20)
COMMANDS = (
    *(
        f"adapt tile6.tif --labels few-{count}.gpkg --class-field class_name -o map-{count}.gpkg "
        f"--label-raster map-{count}.tif --confidence sure-{count}.tif"
        for count in COUNTS
    ),
    "segment kampala-20-2.vrt -o roofs.gpkg --model buildings-aerial --instances building --boundary-threshold 0.25 "
    "--min-marker-px 144 --min-area-m2 4 --tolerance-m 0.3",
    "segment tile6.tif -o seams.gpkg --overlap 0 --blend none",
    "segment tile6.tif -o blended.gpkg",
)
"""As the page shows them."""
HEAT = ((253, 231, 37), (190, 55, 82), (13, 8, 60))
"""Confidence of 0, 50 and 100 per cent, as on maps in the browser."""
GAP, TITLE, LEGEND = 8, 26, 34
SEAM = slice(560, 980), slice(1180, 1600)
"""Rows and columns where tiles of 768 px meet: in the mangroves, whose fringe the model is not sure about."""
ROOF_ZOOM = 2
"""Pixels of the picture of roofs a pixel of the scene."""
YELLOW = (255, 220, 0)
QUALITY = 75

Image3 = NDArray[np.uint8]
"""(H, W, 3)."""


def main() -> None:
    """Make everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dubai and buildings")
    parser.add_argument("--work", type=Path, default=Path("out/gallery"), help="where scenes and results go")
    parser.add_argument("--draw-only", action="store_true", help="take the results that are there")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    scene = prepare(options.data, options.work)
    if not options.draw_only:
        for command in COMMANDS:
            print("geodeeplab", command, flush=True)
            run(command, options.work)
    draw_all(options.work, scene)


def prepare(data: Path, work: Path) -> LabelledScene:
    """Write the scenes, and a few polygons of each class as `benchmarks/few_polygons.py` draws them with seed 0."""
    scene = SETS["dubai6"](data)
    write_scene(scene, work / "tile6.tif")
    buildings.select_area(data / "buildings", work)
    for count in COUNTS:
        (work / f"few-{count}.gpkg").unlink(missing_ok=True)
        write_polygons(scene, draw_polygons(scene, count, seed=0).polygons, work / f"few-{count}.gpkg")
    return scene


def run(command: str, folder: Path) -> None:
    """Run a command of the page in a folder."""
    program = [sys.executable, "-m", "geodeeplab", *shlex.split(command), "--overwrite"]
    subprocess.run(program, cwd=folder, check=True)


def draw_all(work: Path, scene: LabelledScene) -> None:
    """Draw all pictures from what is in the folder."""
    image = np.ascontiguousarray(np.moveaxis(scene.image, 0, -1))
    maps = {count: read_labels(work / f"map-{count}.tif") for count in COUNTS}
    drawn = {count: outlined(image, *read_layer(work / f"few-{count}.gpkg"), width=8) for count in COUNTS}
    titles = ["scene, and twenty polygons a class", "map"]
    save("tile6", panels([drawn[20], maps[20]], titles, side=620, legend=True))
    truth = palette(scene.classes)[scene.ids]
    few = [drawn[5], maps[5], maps[20], truth]
    titles = ["five polygons a class", "map from five", "map from twenty", "truth"]
    save("gallery-few-polygons", panels(few, titles, side=400, legend=True))
    sure = panels(
        [image, maps[20], heat(work / "sure-20.tif")], ["scene", "map", "confidence: bright is low"], side=520
    )
    save("gallery-confidence", sure)
    with rasterio.open(work / "kampala-20-2.vrt") as src:
        seen = np.moveaxis(src.read([1, 2, 3]), 0, -1).repeat(ROOF_ZOOM, axis=0).repeat(ROOF_ZOOM, axis=1)
        transform = src.transform @ rasterio.Affine.scale(1 / ROOF_ZOOM)
    frame = pyogrio.read_dataframe(work / "roofs.gpkg", layer="landcover", where=f"{CLASS_FIELD} = 'building'")
    roofs = to_pixels(np.asarray(frame.geometry.array), transform)
    save("gallery-buildings", outlined(np.ascontiguousarray(seen), roofs, [""] * len(roofs), width=4))
    seams = [outlined(image, *read_layer(work / f"{name}.gpkg"), width=3)[SEAM] for name in ("seams", "blended")]
    save("gallery-seams", panels(seams, ["tiles side by side", "tiles blended (the default)"], side=600, legend=True))


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def palette(names: Sequence[str]) -> Image3:
    """Give the colours of ids from 1; of 0 grey."""
    return np.array([(160, 160, 160), *(COLOURS[name] for name in names)], dtype=np.uint8)


def read_labels(path: Path) -> Image3:
    """Read a label raster in the colours of its classes, which are found by their names."""
    with open_scene(path, allow_palette=True) as scene:
        colors = np.zeros((256, 3), dtype=np.uint8)
        for one in read_classes(scene):
            colors[one.id] = COLOURS[one.name]
        found: Image3 = colors[scene.read(Window(0, 0, scene.shape[1], scene.shape[0])).array[0]]
    return found


def heat(path: Path) -> Image3:
    """Read confidence as a heat map."""
    with rasterio.open(path) as src:
        percent = src.read(1)
    bands = [np.interp(percent, (0, 50, 100), [color[one] for color in HEAT]) for one in range(3)]
    return np.dstack(bands).astype(np.uint8)


def read_layer(path: Path) -> tuple[NDArray[np.object_], list[str]]:
    """Read polygons on tile 6, in pixels of it, and their classes."""
    frame = pyogrio.read_dataframe(path, layer=pyogrio.list_layers(path)[0][0])
    with rasterio.open(path.with_name("tile6.tif")) as src:
        return to_pixels(np.asarray(frame.geometry.array), src.transform), list(frame[CLASS_FIELD])


def to_pixels(polygons: NDArray[np.object_], transform: rasterio.Affine) -> NDArray[np.object_]:
    """Bring polygons from a CRS to columns and rows."""
    inverse = ~transform
    matrix, offset = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]]), (inverse.c, inverse.f)
    found: NDArray[np.object_] = shapely.transform(polygons, lambda points: points @ matrix.T + offset)
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Drawing


def outlined(image: Image3, polygons: NDArray[np.object_], names: Sequence[str], *, width: int) -> Image3:
    """Draw polygons' outlines, in their classes' colours with a dark rim, yellow where a class has none."""
    picture = Image.fromarray(image.copy())
    draw = ImageDraw.Draw(picture)
    for rim in (True, False):
        for name, part in zip(names, polygons, strict=True):
            color = (20, 20, 20) if rim else COLOURS.get(name, YELLOW)
            for ring in shapely.get_rings(part):
                points = [tuple(point) for point in shapely.get_coordinates(ring).tolist()]
                draw.line(points, fill=color, width=width + 3 if rim else width, joint="curve")
    return np.asarray(picture)


def panels(images: Sequence[Image3], titles: Sequence[str], *, side: int, legend: bool = False) -> Image3:
    """Put pictures beside each other, each `side` px wide, with titles above and the classes below."""
    font = ImageFont.load_default(size=15)
    width = len(images) * (side + GAP) - GAP
    canvas = Image.new("RGB", (width, TITLE + side + (LEGEND if legend else 0)), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (image, title) in enumerate(zip(images, titles, strict=True)):
        left = number * (side + GAP)
        canvas.paste(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS), (left, TITLE))
        draw.text((left + 2, 4), title, fill="black", font=font)
    x, y = 2, TITLE + side + 10
    for name, color in COLOURS.items() if legend else ():
        draw.rectangle((x, y, x + 16, y + 16), fill=color, outline="black")
        draw.text((x + 22, y - 1), name, fill="black", font=font)
        x += 40 + round(draw.textlength(name, font=font))
    return np.asarray(canvas)


def save(name: str, picture: Image3) -> None:
    """Write a picture into the documentation."""
    path = IMAGES / f"{name}.jpg"
    Image.fromarray(picture).save(path, quality=QUALITY, optimize=True, progressive=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
