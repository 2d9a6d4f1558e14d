"""Checks of the plugin that need QGIS: run by its Python, without a screen; each check's failure is told as JSON.

QT_QPA_PLATFORM=offscreen GEODEEPLAB_ENVIRONMENT=.venv /usr/bin/python3 tests/qgis_plugin/in_qgis.py FOLDER
"""

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), "/usr/share/qgis/python/plugins"]

from qgis.core import (  # noqa: E402 - found by the path above
    QgsApplication,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)

LABELS = ROOT / "sample_data" / "rgbn_labels.tif"
ALGORITHMS = ("segment", "adapt", "suggest", "vectorize", "evaluate", "train")


def vectorized(folder: Path) -> Path:
    """Trace the sample's labels once."""
    import processing

    path = folder / "polygons.gpkg"
    if not path.exists():
        processing.run("geodeeplab:vectorize", {"LABELS": str(LABELS), "POLYGONS": str(path)})
    return path


def refusal(name: str, parameters: dict[str, object]) -> str:
    """Run an algorithm that has to fail; give what it tells."""
    import processing

    feedback = QgsProcessingFeedback()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    try:
        processing.run(f"geodeeplab:{name}", parameters, feedback=feedback, context=context)
    except QgsProcessingException as error:
        return f"{error} {feedback.textLog()}"
    raise AssertionError(f"{name} took {parameters}")


def check_results_are_loaded_with_the_classes_colours(folder: Path) -> None:
    import processing

    project = QgsProject.instance()
    polygons = QgsProcessingOutputLayerDefinition(str(folder / "loaded.gpkg"), project)
    processing.runAndLoadResults("geodeeplab:vectorize", {"LABELS": str(LABELS), "POLYGONS": polygons})
    (layer,) = project.mapLayersByName("Polygons")
    assert layer.renderer().type() == "categorizedSymbol", layer.renderer().type()
    assert "water" in [category.label() for category in layer.renderer().categories()]
    told = refusal("vectorize", {"LABELS": str(LABELS), "POLYGONS": str(folder / "loaded.gpkg")})
    assert "would be replaced: remove the layer" in told, told
    project.removeMapLayer(layer.id())


def check_rasters_are_styled(folder: Path) -> None:
    from qgis_plugin.geodeeplab_qgis.results import style_confidence, style_labels

    path = folder / "named.tif"
    shutil.copy(LABELS, path)
    names = "".join(f"<Category>{name}</Category>" for name in ("nodata", "building", "land"))
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    layer = QgsRasterLayer(str(path), "labels")
    style_labels(layer)
    assert [(item.value, item.label) for item in layer.renderer().classes()] == [(1, "building"), (2, "land")]
    style_confidence(layer)
    assert layer.renderer().type() == "singlebandpseudocolor"


def run_command(*arguments: object) -> None:
    """Run the command of the environment."""
    program = Path(os.environ["GEODEEPLAB_ENVIRONMENT"]) / "bin" / "geodeeplab"
    subprocess.run([program, *map(str, arguments), "--progress", "none"], check=True, stdout=subprocess.DEVNULL)


def check_a_raster_of_changes_has_its_classes(folder: Path) -> None:
    path = folder / "changes.tif"
    run_command("change", LABELS, LABELS, "-o", folder / "changes.gpkg", "--label-raster", path)
    layer = QgsRasterLayer(str(path), "changes")
    assert layer.renderer().type() == "paletted", layer.renderer().type()
    names = [item.label for item in layer.renderer().classes()]
    assert {"water", "water → land"} <= set(names), names


def check_a_layer_that_was_appended_to_is_like_any_other(folder: Path) -> None:
    path, scene = folder / "all.gpkg", LABELS.with_name("rgbn.tif")
    options = ("--append", "--model", "landcover-aerial", "--rescale", "2%,98%")
    for name in ("first", "second"):
        run_command("segment", scene, "-o", path, "--scene-name", name, *options)
    layer = QgsVectorLayer(f"{path}|layername=landcover", "all", "ogr")
    assert layer.renderer().type() == "categorizedSymbol", layer.renderer().type()
    assert layer.uniqueValues(layer.fields().indexOf("scene")) == {"first", "second"}
    count = layer.featureCount()
    assert sum(1 for _ in layer.getFeatures(QgsFeatureRequest(layer.extent()))) == count, "the index has all"
    layer.setSubsetString("\"scene\" = 'second'")
    assert layer.featureCount() == count / 2


def check_square_classes_and_objects_reach_the_command(folder: Path) -> None:
    import processing
    from osgeo import gdal

    feedback, path, boundary = QgsProcessingFeedback(), folder / "square.gpkg", folder / "boundary.tif"
    src = gdal.Open(str(LABELS))
    dst = gdal.GetDriverByName("GTiff").Create(str(boundary), src.RasterXSize, src.RasterYSize, 1)
    dst.SetGeoTransform(src.GetGeoTransform())
    dst.SetProjection(src.GetProjection())
    del dst  # it is written then
    shape = {"LABELS": str(LABELS), "TOLERANCE_PX": 1.5, "SQUARE": "building", "SQUARE_TOLERANCE_PX": 2}
    objects = {"INSTANCES": "building", "BOUNDARY": str(boundary), "MIN_MARKER_PX": 4}
    processing.run("geodeeplab:vectorize", {**shape, **objects, "POLYGONS": str(path)}, feedback=feedback)
    told = feedback.textLog()
    for option in ("--square=building", "--square-tolerance-px=2", "--instances=building", "--min-marker-px=4"):
        assert option in told, told
    options = ("--tolerance-px", 1.5, "--square", "building", "--square-tolerance-px", 2, "--instances", "building")
    other = folder / "square-by-command.gpkg"
    run_command("vectorize", LABELS, "-o", other, *options, "--boundary", boundary, "--min-marker-px", 4)
    areas = []
    for one in (path, other):
        layer = QgsVectorLayer(f"{one}|layername=landcover", "square", "ogr")
        areas.append([feature.geometry().area() for feature in layer.getFeatures()])
    assert areas[0] == areas[1] != [], areas
    scene = {"SCENE": str(LABELS.with_name("rgbn.tif")), "RESCALE": "2%,98%", "POLYGONS": str(folder / "no.gpkg")}
    told = refusal("segment", {**scene, "TOLERANCE_PX": 1, "SQUARE": "shed"})
    assert "'shed', which is no class" in told, told


def check_only_what_is_no_file_of_its_own_is_exported(folder: Path) -> None:
    from qgis_plugin.geodeeplab_qgis.layers import file_of

    path = vectorized(folder)
    layer = QgsVectorLayer(str(path), "polygons", "ogr")
    assert file_of(layer, layer) in (str(path), None)  # a GeoPackage with its style has two layers
    plain = folder / "plain.geojson"
    import processing

    processing.run("native:savefeatures", {"INPUT": layer, "OUTPUT": str(plain)})
    layer = QgsVectorLayer(str(plain), "plain", "ogr")
    assert file_of(layer, layer) == str(plain)
    assert file_of(layer, QgsProcessingFeatureSourceDefinition(layer.id(), True)) is None
    layer.setSubsetString('"class_id" = 1')
    assert file_of(layer, layer) is None
    layer.setSubsetString("")
    assert file_of(layer, layer) == str(plain)
    assert file_of(layer.materialize(QgsFeatureRequest()), layer) is None
    layer.startEditing()
    layer.deleteFeature(next(layer.getFeatures()).id())
    assert file_of(layer, layer) is None
    layer.rollBack()


def check_selected_polygons_in_memory_and_edits_are_what_is_read(folder: Path) -> None:
    import processing

    file = QgsVectorLayer(str(vectorized(folder)), "polygons", "ogr")
    layer = file.materialize(QgsFeatureRequest())
    layer.setName("drawn")
    QgsProject.instance().addMapLayer(layer)
    layer.selectByExpression("\"class_name\" = 'water'")
    parameters = {"LABELS": str(LABELS), "CLASS_FIELD": "class_name", "REPORT": str(folder / "report.html")}
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    found = processing.run("geodeeplab:evaluate", {**parameters, "TRUTH": selected})
    assert (found["ACCURACY"], found["MIOU"]) == (1, 1), found
    assert "water" in (folder / "report.html").read_text(encoding="utf-8")
    assert "vegetation  " not in (folder / "report.html").read_text(encoding="utf-8").partition("water")[2]
    layer.startEditing()  # the water is called a building, and that is not saved
    field = layer.fields().indexOf("class_name")
    for feature in layer.getSelectedFeatures():
        layer.changeAttributeValue(feature.id(), field, "building")
    found = processing.run("geodeeplab:evaluate", {**parameters, "TRUTH": selected})
    assert found["ACCURACY"] == 0, found
    layer.rollBack()
    layer.removeSelection()
    told = refusal("evaluate", {**parameters, "TRUTH": selected})
    assert "has no features to read" in told, told


def check_an_extent_is_an_area_of_interest(folder: Path) -> None:
    from qgis_plugin.geodeeplab_qgis.layers import export_extent

    labels = QgsRasterLayer(str(LABELS), "labels")
    path = export_extent(QgsRectangle(0, 0, 2, 3), labels.crs(), QgsProcessingContext())
    layer = QgsVectorLayer(path, "extent", "ogr")
    assert [feature.geometry().area() for feature in layer.getFeatures()] == [6]
    assert layer.crs() == labels.crs()


def check_what_cannot_be_read_is_told_in_one_line(folder: Path) -> None:
    web = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png", "web", "wms")
    web_options = {"SCENE": web, "POLYGONS": str(folder / "no.gpkg")}
    cases = [
        ("segment", web_options, "not from a raster file: save it"),
        ("segment", {"SCENE": str(LABELS), "POLYGONS": None}, "no output is asked for"),
        ("segment", {"SCENE": str(LABELS), "POLYGONS": str(folder / "no.gpkg"), "BANDS": "9"}, "band"),
        ("evaluate", {"LABELS": str(LABELS), "REPORT": str(folder / "no.html")}, "truth: give a raster or polygons"),
        ("train", {"SCENES": [str(LABELS)], "MODEL": str(folder / "no.safetensors")}, "labels: give polygons or"),
        ("vectorize", {"LABELS": str(LABELS), "BAND": 7, "POLYGONS": str(folder / "no.gpkg")}, "band"),
    ]
    for name, parameters, words in cases:
        told = refusal(name, parameters)
        assert words in told, (name, told)
        assert "Traceback" not in told, told


def check_it_works_inside_of_a_model(folder: Path) -> None:
    model = QgsProcessingModelAlgorithm("trace", "tests")
    model.addModelParameter(
        QgsProcessingParameterRasterLayer("RASTER", "Raster"), QgsProcessingModelParameter("RASTER")
    )
    child = QgsProcessingModelChildAlgorithm("geodeeplab:vectorize")
    source = QgsProcessingModelChildParameterSource
    child.addParameterSources("LABELS", [source.fromModelParameter("RASTER")])
    child.addParameterSources("TOLERANCE_PX", [source.fromStaticValue(1)])
    out = QgsProcessingModelOutput("out")
    out.setChildOutputName("POLYGONS")
    child.setModelOutputs({"out": out})
    identifier = model.addChildAlgorithm(child)
    out.setChildId(identifier)
    model.childAlgorithm(identifier).setModelOutputs({"out": out})
    model.updateDestinationParameters()
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    path = folder / "model.gpkg"
    (output,) = model.destinationParameterDefinitions()
    results, is_fine = model.run({"RASTER": str(LABELS), output.name(): str(path)}, context, feedback)
    assert is_fine, feedback.textLog()
    assert QgsVectorLayer(str(path), "out", "ogr").featureCount() > 0, results


def check_dialogs_open_alone_and_in_batch(folder: Path) -> None:
    from processing.gui.AlgorithmDialog import AlgorithmDialog
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    from qgis_plugin.geodeeplab_qgis.settings_dialog import SettingsDialog

    for name in ALGORITHMS:
        algorithm = QgsApplication.processingRegistry().algorithmById(f"geodeeplab:{name}")
        for kind in (AlgorithmDialog, BatchAlgorithmDialog):
            dialog = kind(algorithm.create())
            dialog.show()
            QgsApplication.processEvents()
            dialog.close()
    settings = SettingsDialog()
    assert "geodeeplab" in settings.state.text()
    settings.requirement.setText("a requirement")
    settings.accept()
    again = SettingsDialog()
    assert again.requirement.text() == "a requirement"


def check_features_without_geometry_do_no_harm(folder: Path) -> None:
    import processing

    layer = QgsVectorLayer("Polygon?crs=EPSG:32632&field=fid:integer&field=class_name:string", "empty", "memory")
    box = QgsRasterLayer(str(LABELS), "labels").extent().buffered(-50)
    features = []
    for geometry in (QgsGeometry(), QgsGeometry.fromRect(box)):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([1, "water"])  # a field of the name that GeoPackages number features by, twice the same
        feature.setGeometry(geometry)
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    parameters = {"LABELS": str(LABELS), "TRUTH": layer, "CLASS_FIELD": "class_name"}
    found = processing.run("geodeeplab:evaluate", {**parameters, "REPORT": str(folder / "empty.html")})
    assert 0 < found["ACCURACY"] < 1, found


def checks() -> dict[str, Callable[[Path], None]]:
    """List the checks by name."""
    return {name[6:]: check for name, check in sorted(globals().items()) if name.startswith("check_")}


def main() -> None:
    """Run all checks; print what failed."""
    application = QgsApplication([b"tests"], True)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    from qgis_plugin.geodeeplab_qgis.provider import GeoDeepLabProvider

    provider = GeoDeepLabProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    kept: list[QgsProcessingAlgorithm] = provider.algorithms()
    failed: dict[str, str] = {"algorithms": ""} if len(kept) == len(ALGORITHMS) else {"algorithms": "not all there"}
    for name, check in checks().items():
        try:
            check(Path(sys.argv[1]))
            failed[name] = ""
        except Exception:
            failed[name] = traceback.format_exc()
    print(json.dumps(failed), flush=True)
    QgsProject.instance().clear()
    os._exit(0)  # QGIS's own end, after dialogs without a window, may crash


if __name__ == "__main__":
    main()
