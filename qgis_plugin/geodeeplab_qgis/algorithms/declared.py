"""Parameters of dialogs, each with the option of the command that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..engine.command import GO_ON

INPUT = ""
"""In place of an option: the parameter is a positional argument."""
OWN = None
"""In place of an option: the algorithm itself asks for the value."""
RESUME, FURTHER, EXTENT, AOI, MODEL, MODEL_FILE = "RESUME", "FURTHER", "EXTENT", "AOI", "MODEL", "MODEL_FILE"


@dataclass(frozen=True)
class Declared:
    """A parameter and where its value goes."""

    parameter: QgsProcessingParameterDefinition
    """As QGIS shows it."""
    option: str | None
    """Such as `--aoi`, or INPUT or OWN."""


def raster(name: str, label: str, option: str | None, *, optional: bool = False) -> Declared:
    """Ask for a raster layer."""
    return Declared(QgsProcessingParameterRasterLayer(name, label, optional=optional), option)


def polygons(name: str, label: str, option: str | None, *, optional: bool = True, advanced: bool = False) -> Declared:
    """Ask for a layer of polygons, all or those that are selected."""
    kinds = [QgsProcessing.TypeVectorPolygon]
    return _ready(QgsProcessingParameterFeatureSource(name, label, kinds, optional=optional), option, advanced)


def field(name: str, label: str, option: str, *, of: str) -> Declared:
    """Ask for a field of a layer."""
    parameter = QgsProcessingParameterField(name, label, parentLayerParameterName=of, optional=True)
    return Declared(parameter, option)


def text(name: str, label: str, option: str | None, *, advanced: bool = False) -> Declared:
    """Ask for text, which may stay empty."""
    return _ready(QgsProcessingParameterString(name, label, optional=True), option, advanced)


def number(
    name: str,
    label: str,
    option: str,
    *,
    is_whole: bool = False,
    least: float = 0.0,
    most: float = 1e9,
    default: float | None = None,
    advanced: bool = False,
) -> Declared:
    """Ask for a number; where none is given, the command's own default holds."""
    kind = QgsProcessingParameterNumber.Integer if is_whole else QgsProcessingParameterNumber.Double
    parameter = QgsProcessingParameterNumber(
        name, label, kind, defaultValue=default, optional=True, minValue=least, maxValue=most
    )
    return _ready(parameter, option, advanced)


def choice(name: str, label: str, option: str | None, choices: Sequence[str], *, advanced: bool = False) -> Declared:
    """Ask for one of several words; the first holds where none is given."""
    parameter = QgsProcessingParameterEnum(
        name, label, options=list(choices), defaultValue=choices[0], optional=True, usesStaticStrings=True
    )
    return _ready(parameter, option, advanced)


def flag(name: str, label: str, option: str | None, *, advanced: bool = False) -> Declared:
    """Ask whether something is wanted."""
    return _ready(QgsProcessingParameterBoolean(name, label, defaultValue=False, optional=True), option, advanced)


def crs(name: str, label: str, option: str) -> Declared:
    """Ask for a coordinate reference system."""
    return _ready(QgsProcessingParameterCrs(name, label, optional=True), option, True)


def model_file(name: str, label: str, option: str | None) -> Declared:
    """Ask for a model file."""
    files = "Models (*.safetensors *.onnx *.SAFETENSORS *.ONNX)"
    return _ready(QgsProcessingParameterFile(name, label, fileFilter=files, optional=True), option, True)


def vector_output(name: str, label: str, option: str, *, by_default: bool, optional: bool = True) -> Declared:
    """Ask where polygons go."""
    parameter = QgsProcessingParameterVectorDestination(
        name, label, QgsProcessing.TypeVectorPolygon, optional=optional, createByDefault=by_default
    )
    return Declared(parameter, option)


def raster_output(name: str, label: str, option: str, *, by_default: bool) -> Declared:
    """Ask where a raster goes."""
    parameter = QgsProcessingParameterRasterDestination(name, label, optional=True, createByDefault=by_default)
    return Declared(parameter, option)


def file_output(
    name: str, label: str, option: str | None, files: str, *, by_default: bool = False, optional: bool = True
) -> Declared:
    """Ask where another file goes."""
    parameter = QgsProcessingParameterFileDestination(
        name, label, fileFilter=files, optional=optional, createByDefault=by_default
    )
    return Declared(parameter, option)


def area_of_interest() -> list[Declared]:
    """Ask for polygons or an extent to stay within."""
    return [
        polygons(AOI, "Area of interest", "--aoi"),
        Declared(QgsProcessingParameterExtent(EXTENT, "Extent (in place of an area of interest)", optional=True), OWN),
    ]


def shapes() -> list[Declared]:
    """Ask how polygons are to look."""
    return [
        number("TOLERANCE_M", "Simplify lines, within so many metres", "--tolerance-m"),
        number("MIN_AREA_M2", "Merge polygons below so many m² into a neighbour", "--min-area-m2"),
        number("TOLERANCE_PX", "Simplify lines, within so many pixels", "--tolerance-px", advanced=True),
        number("MIN_AREA_PX", "Merge polygons below so many pixels", "--min-area-px", is_whole=True, advanced=True),
        flag("SMOOTH", "Round corners off, within the tolerance", "--smooth", advanced=True),
        text("SQUARE", "Square classes (right angles, straight walls), such as building", "--square", advanced=True),
        number("SQUARE_TOLERANCE_PX", "Keep these within so many pixels of the outline (none: 1.5)",
               "--square-tolerance-px", advanced=True),
        flag("FILL_HOLES", "Let holes of nodata below that area fill up", "--fill-holes", advanced=True),
        choice("CONNECTIVITY", "Pixels of a polygon touch at edges (4) or corners, too (8)", "--connectivity",
               ["4", "8"], advanced=True),
        crs("OUT_CRS", "CRS of the polygons, if another than the raster's", "--out-crs"),
    ]  # fmt: skip


def objects() -> list[Declared]:
    """Ask which objects become polygons of their own."""
    return [
        text("INSTANCES", "Classes whose objects are told apart where they touch, such as building", "--instances",
             advanced=True),
        number("BOUNDARY_THRESHOLD", "Markers of objects are less likely boundaries (none: 0.4)",
               "--boundary-threshold", most=1.0, advanced=True),
        number("MIN_MARKER_PX", "Pixels of a marker, at least (none: 16)", "--min-marker-px", is_whole=True, least=1,
               advanced=True),
    ]  # fmt: skip


def computing() -> list[Declared]:
    """Ask how a network is run."""
    return [
        text("BANDS", "The scene's bands for the model's, such as 4,3,2", "--bands", advanced=True),
        number("TILE_SIZE", "Pixels of a tile along each axis", "--tile-size", is_whole=True, least=1, advanced=True),
        number("BATCH_SIZE", "Tiles that are computed at once", "--batch-size", is_whole=True, least=1, advanced=True),
        text("DEVICE", "Device: auto, cpu, cuda, cuda:N or mps", "--device", advanced=True),
    ]


def further() -> Declared:
    """Ask for all other options, as they are written in a shell."""
    return text(FURTHER, "Other options of the command, such as --tta d4", OWN, advanced=True)


def resume() -> Declared:
    """Ask whether to go on with a run that was cut off."""
    return flag(RESUME, GO_ON, OWN)


def _ready(parameter: QgsProcessingParameterDefinition, option: str | None, advanced: bool) -> Declared:
    if advanced:
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    return Declared(parameter, option)
