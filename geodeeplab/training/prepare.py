"""`prepare_data`: scenes and labels, or folders of chips, into training data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from geodeeplab.errors import OptionError
from geodeeplab.models.checks import shown
from geodeeplab.raster import AoiLike, Band, local_files_only
from geodeeplab.raster.bands import common_name, find_bands
from geodeeplab.raster.polygons.burn import Overlap
from geodeeplab.training.arcgis_words import PREPARE_DATA, understands
from geodeeplab.training.assemble import ChipPlan, assemble
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.data import TrainingData
from geodeeplab.training.folders.chip_folder import ChipFolder, open_chip_folder
from geodeeplab.training.sampling.split import SplitKind, SplitRule
from geodeeplab.training.scenes.class_table import ClassesLike, ClassMapping
from geodeeplab.training.scenes.labelled import LabelledScene
from geodeeplab.training.scenes.labels import LabelRule, LabelsLike
from geodeeplab.training.scenes.open_labelled import OpenedScenes, open_labelled_scenes
from geodeeplab.training.scenes.pixel_size import choose_pixel_size
from geodeeplab.training.scenes.scene_pixels import TrainingSceneLike
from geodeeplab.training.scenes.zoomed import ZoomedScene


@understands(PREPARE_DATA)
def prepare_data(
    path: str | PathLike[str] | Sequence[str | PathLike[str]] | ChipFolder | None = None,
    class_mapping: ClassMapping | None = None,
    chip_size: int = 256,
    val_split_pct: float = 0.2,
    batch_size: int | None = None,
    *,
    scenes: TrainingSceneLike | Sequence[TrainingSceneLike] | None = None,
    labels: LabelsLike | Sequence[LabelsLike] | None = None,
    class_field: str | None = None,
    classes: ClassesLike | None = None,
    ignore_unknown: bool = False,
    background: str | None = None,
    labelled: AoiLike | None = None,
    on_overlap: Overlap = "last",
    all_touched: bool = False,
    layer: str | None = None,
    labels_encoding: str | None = None,
    bands: Sequence[str | int] | None = None,
    rgb_bands: Sequence[str | int] | None = None,
    gsd_m: float | None = None,
    resize_to: int | None = None,
    micro_batch: int | None = None,
    split: SplitKind | None = None,
    block_size: int | None = None,
    buffer: int | None = None,
    groups: Sequence[str] | None = None,
    val_scenes: Sequence[int | str | PathLike[str]] | None = None,
    stratify: bool = True,
    class_balance: float = 0.5,
    epoch_chips: int | None = None,
    augmentation: Augmentation | bool | None = None,
    memory_gb: float = 1.0,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    local_only: bool = False,
) -> TrainingData:
    """Prepare chips to train and to validate on, from scenes with labels or from folders of chips.

    Scenes are not cut into files: training chips are drawn anywhere in the training ground, at any scale and angle that
    the augmentation says. Scenes and labels are read once for an index of the classes and the band statistics.

    Args:
        path: a folder of chips (Esri's "Classified Tiles" or pairs of images and labels), or several; or what
            `open_chip_folder` gives, which has more options. Or leave it out and give `scenes` and `labels`.
        class_mapping: the class's name for a value of the labels (a number, a text, a colour); None: ignore it.
        chip_size: height and width of a chip in pixels. With 256 the default fit takes less than 45 minutes on two
            cores. Where there is a GPU, or a night, large chips pay: DeepLabV3 lost 10 points of mIoU (77.2 to 67.2)
            when it was trained on crops of 321 instead of 513 pixels (arXiv 1706.05587, table 8), as most weights of
            its wide dilated filters then lie beyond the edge.
        val_split_pct: share of the labelled pixels for validation, above 0 and below 1.
        batch_size: chips of a step, by default 8.
        scenes: what `open_scene` takes, or a list of such things, each a scene of its own (several files as one mosaic:
            a list in the list); or functions that open a scene, such as `functools.partial(gdl.open_stack, files)`.
        labels: one layer for all scenes, or a list with one for each: a vector file or GeoDataFrame of polygons in any
            CRS, or a raster of any integers, which is warped to the scene's grid by nearest. 0 and nodata are ground
            without a label, unless `class_mapping` or the raster's category names name 0. A raster without georeference
            and of the scene's shape lies on it pixel by pixel.
        class_field: field of the polygons that names their class; without it they are all of one class.
        classes: which classes there are, in this order: names, names with colours (red, green, blue), or classes of a
            model. By default all that the labels have. Names for the values 1, 2, ... of a raster that has no names.
        ignore_unknown: ignore values of the labels that no class has; by default they are refused, listed with the
            pixels or polygons that have them.
        background: name of the class of ground without a label; by default such ground is ignored. To learn from
            labels of a single class, it is needed: this class against the rest.
        labelled: polygons of what was labelled; outside of them everything is ignored.
        on_overlap: where polygons overlap, the later one counts ("last"), the smaller one, or none ("ignore").
        all_touched: polygons cover every pixel that they touch, not only those whose centre they hold.
        layer: name of the layer, in vector files of several.
        labels_encoding: of the text in a vector file that does not say it, or says it wrongly, such as cp1252.
        bands: names or 1-based numbers, in the order of the channels; by default all but alpha.
        rgb_bands: those of them that pictures show; by default red, green and blue, or the first three.
        gsd_m: read all scenes at this ground sample distance in metres. By default as they are, but scenes that differ
            from the median by more than a quarter are brought to it, with a warning.
        resize_to: scale scenes so that what was `chip_size` pixels becomes so many, which is then the size of chips.
        micro_batch: chips that go through the network at once, a divisor of `batch_size`; a step adds up their
            gradients. By default the batch that is asked for; without one, what of the 8 fits into half of the free
            memory, as `describe` says, and a learner on another device chooses by its own.
        split: "blocks": blocks of the ground, of all scenes that show it, with a buffer (default); "groups" (default
            where `groups` are given, or folders of chips have some) and "files": whole groups or scenes; "random":
            chips at random, which leaks, and warns.
        block_size: height and width of the blocks in pixels of the first scene; by default twice a chip, in small
            scenes down to half a chip.
        buffer: pixels between validation pixels and all that training reads; by default a quarter of a chip. For
            "blocks" only.
        groups: a name for each scene; scenes of one name stay on one side.
        val_scenes: numbers (from 0), names or paths of the scenes to validate on, instead of a split.
        stratify: give validation its share of every class, and both sides every class that lies in two blocks.
        class_balance: share of training chips that are drawn for a class, each class as often as the others; the rest
            is drawn by area.
        epoch_chips: training chips of an epoch, after which validation follows; by default about as many as cover the
            labelled training ground, and 64 to 640 steps.
        augmentation: random changes of training chips; None or True: those of `Augmentation()`; False: none.
        memory_gb: decoded scenes that are kept in memory, at most; others are decoded chip by chip.
        seed: what the split and the chips are drawn by: the same seed gives the same.
        provenance: what else the model file shall say of the data, such as sources and licences.
        local_only: see `open_scene`.

    Warns:
        GeoDeepLabWarning: the split leaks, or nobody can tell; a class is missing on one side; pixel sizes differ.

    Raises:
        OptionError: options do not go together, nothing is labelled, or a split leaves one side without labels.
        SceneError: a scene or label raster cannot be read, labels have values that no class has, or scenes do not go
            together.
    """
    kind: SplitKind = split or ("groups" if groups is not None else "blocks")
    rule = SplitRule(kind=kind, share=val_split_pct, block_size=block_size, buffer=buffer, stratify=stratify)
    label_rule = LabelRule(
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
    zoom = None if resize_to is None else _zoom(resize_to, chip_size)
    with local_files_only(local_only):
        if path is not None:
            _refuse_with_path(scenes=scenes, labels=labels, labelled=labelled, class_field=class_field, groups=groups)
            opened, facts = _open_folder(path, label_rule, bands=bands, gsd_m=gsd_m, zoom=zoom)
        else:
            opened = open_labelled_scenes(
                scenes, labels, label_rule, bands=bands, gsd_m=gsd_m, zoom=zoom, groups=groups
            )
            facts = {"labels": label_rule.facts()}
    if opened.left_out:
        facts["bands_left_out"] = list(opened.left_out)
    if split is None and groups is None and all(one.group is not None for one in opened.scenes):
        rule = replace(rule, kind="groups")
    if val_scenes is not None:
        rule = replace(rule, val_scenes=_numbers(val_scenes, opened.scenes))
    plan = ChipPlan(
        chip_size=chip_size if resize_to is None else resize_to,
        batch_size=batch_size,
        micro_batch=micro_batch,
        rule=rule,
        augmentation=_augmentation(augmentation),
        class_balance=class_balance,
        epoch_chips=epoch_chips,
        memory_bytes=round(memory_gb * 1e9),
        rgb_channels=_rgb_channels(opened.scenes[0].bands, rgb_bands),
        seed=seed,
    )
    facts = dict(provenance or {}) | facts
    return assemble(opened.scenes, opened.classes, plan, gsd_m=opened.gsd_m, provenance=facts)


def _zoom(resize_to: int, chip_size: int) -> Fraction:
    if resize_to < 1 or chip_size < 1:
        raise OptionError(f"chips have at least 1 pixel along each axis, not {chip_size} resized to {resize_to}")
    return Fraction(resize_to, chip_size)


def _refuse_with_path(**given: Any) -> None:  # noqa: ANN401
    """Refuse options that belong to scenes."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise OptionError(f"a folder of chips has its own scenes and labels: leave out {', '.join(names)}, or the path")


def _open_folder(
    path: str | PathLike[str] | Sequence[str | PathLike[str]] | ChipFolder,
    rule: LabelRule,
    *,
    bands: Sequence[str | int] | None,
    gsd_m: float | None,
    zoom: Fraction | None,
) -> tuple[OpenedScenes, dict[str, Any]]:
    """Open folders of chips at one pixel size; give their facts, too."""
    if not isinstance(path, ChipFolder):
        path = open_chip_folder(
            path,
            class_mapping=rule.class_mapping,
            classes=rule.classes,
            background=rule.background,
            bands=bands,
            ignore_unknown=rule.ignore_unknown,
        )
    elif rule.ignore_unknown or any(
        one is not None for one in (rule.class_mapping, rule.classes, rule.background, bands)
    ):
        raise OptionError(
            "an open folder of chips has its classes and bands: pass `class_mapping=`, `classes=`, `background=`, "
            "`bands=` and `ignore_unknown=` to open_chip_folder"
        )
    size = choose_pixel_size(
        [one.grid for one in path.scenes], [one.name for one in path.scenes], gsd_m=gsd_m, zoom=zoom
    )
    scenes: list[LabelledScene] = [
        one if factor is None else ZoomedScene(one, factor)
        for one, factor in zip(path.scenes, size.factors, strict=True)
    ]
    return OpenedScenes(scenes=scenes, classes=path.classes, gsd_m=size.gsd_m), {"chip_folder": path.facts}


def _augmentation(wanted: Augmentation | bool | None) -> Augmentation | None:
    if isinstance(wanted, Augmentation):
        return wanted
    if not isinstance(wanted, bool | None):
        raise OptionError(
            f"`augmentation=` is True, False or gdl.Augmentation(…), not {shown(wanted)}: say with its numbers what "
            "the transforms do"
        )
    return None if wanted is False else Augmentation()


def _rgb_channels(bands: Sequence[Band], wanted: Sequence[str | int] | None) -> tuple[int, int, int] | None:
    """Give the channels to show: those wanted, or those called red, green and blue if there are."""
    if wanted is None:
        names = [common_name(band.name) for band in bands]
        if {"red", "green", "blue"} <= set(names):
            return names.index("red"), names.index("green"), names.index("blue")
        return None
    if isinstance(wanted, str) or len(wanted) != 3:
        raise OptionError(f"`rgb_bands=` are three bands to show as red, green and blue, not {wanted!r}")
    channels = [_channel(bands, one) for one in wanted]
    return channels[0], channels[1], channels[2]


def _channel(bands: Sequence[Band], wanted: str | int) -> int:
    """Find a band among those that are read, by its name or its number in the file."""
    for channel, band in enumerate(bands):
        if band.number == wanted:
            return channel
    return bands.index(find_bands(bands, [str(wanted)], path="the training scenes")[0])


def _numbers(val_scenes: Sequence[int | str | PathLike[str]], scenes: Sequence[LabelledScene]) -> tuple[int, ...]:
    """Find scenes by number, name or path."""
    numbers = []
    for wanted in val_scenes:
        if isinstance(wanted, int):
            found = [wanted] if 0 <= wanted < len(scenes) else []
        else:
            found = [number for number, scene in enumerate(scenes) if _is_named(scene, fspath(wanted))]
        if not found:
            names = ", ".join(scene.name for scene in scenes[:8])
            raise OptionError(
                f"`val_scenes=` has {wanted!r}, which is no scene: give numbers from 0, or names ({names})"
            )
        numbers += found
    return tuple(dict.fromkeys(numbers))


def _is_named(scene: LabelledScene, name: str) -> bool:
    return name in (scene.name, *scene.files) or Path(name).name == scene.name
