"""`export_chips`: scenes and labels into a folder of chips."""

import os
from collections.abc import Sequence
from typing import Any

from geodeeplab.raster import AoiLike, local_files_only, paths_in
from geodeeplab.raster.polygons.burn import Overlap
from geodeeplab.training.folders.chip_files import ImageFormat
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping
from geodeeplab.training.scenes.labels import LabelRule, LabelsLike
from geodeeplab.training.scenes.open_labelled import open_labelled_scenes
from geodeeplab.training.scenes.scene_pixels import TrainingSceneLike
from geodeeplab.training.writing.chip_tiles import ChipLattice
from geodeeplab.training.writing.write_chips import ChipOptions, Layout, Progress, write_chips


def export_chips(
    scenes: TrainingSceneLike | Sequence[TrainingSceneLike],
    labels: LabelsLike | Sequence[LabelsLike],
    dst_folder: str | os.PathLike[str],
    *,
    class_field: str | None = None,
    classes: ClassesLike | None = None,
    class_mapping: ClassMapping | None = None,
    ignore_unknown: bool = False,
    background: str | None = None,
    labelled: AoiLike | None = None,
    on_overlap: Overlap = "last",
    all_touched: bool = False,
    layer: str | None = None,
    labels_encoding: str | None = None,
    bands: Sequence[str | int] | None = None,
    gsd_m: float | None = None,
    tile_size: int = 512,
    stride: int | None = None,
    rotation: float = 0.0,
    min_labelled: float = 0.0,
    max_nodata: float = 1.0,
    keep_unlabelled: bool = False,
    layout: Layout = "esri",
    image_format: ImageFormat = "tif",
    local_only: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Cut scenes and their labels into a folder of chips, for programs that want files.

    Training with GeoDeepLab needs no such folder: `prepare_data` reads chips straight from scenes.

    Args:
        scenes: as in `prepare_data`; each is cut for itself.
        labels: as in `prepare_data`: polygons or a label raster, one for all scenes or one for each.
        dst_folder: folder to write; its parent exists. It appears when all chips are written.
        class_field: field of the polygons that names their class; without it they are all of one class.
        classes: which classes there are, in this order; default all that the labels have.
        class_mapping: the class's name for a value of the labels; None: ignore it.
        ignore_unknown: ignore values of the labels that no class has, which are refused by default.
        background: name of the class of ground without a label; by default it has label value 0.
        labelled: polygons of what was labelled; outside of them the label value is 0.
        on_overlap: where polygons overlap, the later one counts ("last"), the smaller one, or none ("ignore").
        all_touched: polygons cover every pixel that they touch, not only those whose centre they hold.
        layer: name of the layer, in vector files of several.
        labels_encoding: of the text in a vector file that does not say it, or says it wrongly, such as cp1252.
        bands: names or 1-based numbers, in order; default all that are not alpha.
        gsd_m: ground sample distance of the chips in metres; default that of the scenes.
        tile_size: height and width of a chip in pixels.
        stride: pixels from one chip to the next; default the tile size, side by side.
        rotation: degrees by which each chip is turned again and again and written, until it has turned once; 0: never.
        min_labelled: least share of a chip's pixels that labels cover.
        max_nodata: greatest share of a chip's pixels without data.
        keep_unlabelled: write chips without any label, too.
        layout: "esri" for its "Classified Tiles" with all text files, "pairs" for images and labels alone.
        image_format: "tif" for any bands, "png" for 1 or 3 of 8 or 16 bits, "jpg" for 1 or 3 of 8 bits, with loss.
            Labels are TIFF beside TIFF, else PNG.
        local_only: see `open_scene`.
        overwrite: replace a folder of chips that is there.
        progress: called with the pixels that are done and all there are.

    Returns:
        Facts, as JSON can hold them: chips written and left out, pixels of each class.

    Warns:
        GeoDeepLabWarning: chips share ground, so a random split of them leaks.

    Raises:
        OptionError: options do not go together, or a format cannot hold the bands.
        SceneError: a scene or label cannot be read, labels have values that no class has, or no chip is left.
        OutputError: the folder cannot be written.
    """
    options = ChipOptions(
        lattice=ChipLattice(tile_size=tile_size, stride=stride, rotation=rotation),
        layout=layout,
        image_format=image_format,
        min_labelled=min_labelled,
        max_nodata=max_nodata,
        keep_unlabelled=keep_unlabelled,
    )
    rule = LabelRule(
        class_field=class_field,
        classes=classes,
        class_mapping=class_mapping,
        ignore_unknown=ignore_unknown,
        background=background,
        labelled=labelled,
        on_overlap=on_overlap,
        all_touched=all_touched,
        layer=layer,
        encoding=labels_encoding,
    )
    with local_files_only(local_only):
        opened = open_labelled_scenes(scenes, labels, rule, bands=bands, gsd_m=gsd_m)
        inputs = [*paths_in(scenes, labels, labelled), *(file for scene in opened.scenes for file in scene.files)]
        return write_chips(
            opened.scenes, opened.classes, dst_folder, options, inputs=inputs, overwrite=overwrite, progress=progress
        )
