"""From what a user chose in QGIS to files that another program reads."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSink,
    QgsFields,
    QgsGeometry,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from .engine.errors import PluginError


def raster_path(layer: QgsRasterLayer) -> str:
    """Give what GDAL opens for a raster layer.

    Raises:
        PluginError: It is no raster of GDAL's, such as a web map.
    """
    if layer.providerType() != "gdal":
        raise PluginError(
            f"layer '{layer.name()}' comes from the provider '{layer.providerType()}', not from a raster file: save it "
            "as a GeoTIFF first (Export ▸ Save As), or add the web service as GDAL's XML (see the page on WMS and XYZ)"
        )
    return str(layer.source()).partition("|option:")[0]


def file_of(layer: QgsVectorLayer, definition: object) -> str | None:
    """Give the file that holds exactly what a vector layer shows; None where it has to be exported.

    That is so for layers in memory or of databases, for selected features only, for layers with a filter, with edits
    that are not saved or with joins, and for one of several layers in a file.
    """
    is_part = isinstance(definition, QgsProcessingFeatureSourceDefinition) and (
        definition.selectedFeaturesOnly or definition.featureLimit != -1
    )
    is_changed = (
        layer.subsetString()
        or layer.isModified()
        or layer.vectorJoins()
        or layer.fields().count() != (layer.dataProvider().fields().count())
    )
    if is_part or is_changed or layer.providerType() != "ogr" or layer.dataProvider().subLayerCount() != 1:
        return None
    path = QgsProviderRegistry.instance().decodeUri("ogr", layer.source()).get("path") or ""
    return path if Path(path).is_file() else None


def export(source: QgsProcessingFeatureSource, name: str, context: QgsProcessingContext) -> str:
    """Write features into a GeoPackage of their own, in QGIS's temporary folder; give its path.

    Raises:
        PluginError: There are none, or they cannot be written.
    """
    if source.featureCount() == 0:
        raise PluginError(f"'{name}' has no features to read (layer '{source.sourceName()}'): select or draw some")
    path = str(QgsProcessingUtils.generateTempFilename(f"{name.lower()}.gpkg"))
    writer = _writer(path, source.fields(), source.wkbType(), source.sourceCrs(), context)
    for feature in source.getFeatures():
        writer.addFeature(feature, QgsFeatureSink.FastInsert)
    _close(writer, path)
    return path


def export_extent(extent: QgsRectangle, crs: QgsCoordinateReferenceSystem, context: QgsProcessingContext) -> str:
    """Write a rectangle as a layer of one polygon; give its path.

    Raises:
        PluginError: It is empty, or cannot be written.
    """
    if extent.isEmpty():
        raise PluginError("the extent is empty: draw it again")
    path = str(QgsProcessingUtils.generateTempFilename("extent.gpkg"))
    writer = _writer(path, QgsFields(), QgsWkbTypes.Polygon, crs, context)
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(extent))
    writer.addFeature(feature, QgsFeatureSink.FastInsert)
    _close(writer, path)
    return path


def _writer(
    path: str, fields: QgsFields, kind: int, crs: QgsCoordinateReferenceSystem, context: QgsProcessingContext
) -> QgsVectorFileWriter:
    """Open a GeoPackage whose own columns have names that no field has."""
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = "features"
    options.layerOptions = ["FID=geodeeplab_fid", "GEOMETRY_NAME=geodeeplab_geom"]
    writer = QgsVectorFileWriter.create(path, fields, kind, crs, context.transformContext(), options)
    _check(writer, path)
    return writer


def _close(writer: QgsVectorFileWriter, path: str) -> None:
    writer.flushBuffer()
    _check(writer, path)


def _check(writer: QgsVectorFileWriter, path: str) -> None:
    if writer.hasError() != QgsVectorFileWriter.NoError:
        raise PluginError(f"cannot write '{path}': {writer.errorMessage()}")


def check_is_not_open(path: str, project: QgsProject | None) -> None:
    """Refuse an output that a layer of the project shows: it would be replaced under QGIS's hands.

    Raises:
        PluginError: One does.
    """
    for layer in project.mapLayers().values() if project is not None and path else ():
        if _is_of(layer, path):
            raise PluginError(
                f"the layer '{layer.name()}' of this project shows '{path}', which would be replaced: remove the "
                "layer, or choose another file"
            )


def _is_of(layer: QgsMapLayer, path: str) -> bool:
    shown = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source()).get("path") or ""
    return bool(shown) and Path(shown) == Path(path)
