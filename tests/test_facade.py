"""The public surface."""

import pytest

import geodeeplab as gdl


def test_every_name_resolves() -> None:
    for name in gdl.__all__:
        assert getattr(gdl, name).__name__ == name
    assert set(gdl.__all__) < set(dir(gdl))
    assert gdl.__version__


def test_the_surface_is_pinned() -> None:
    assert gdl.__all__ == sorted(gdl.__all__)
    assert set(gdl.__all__) == {
        "Adaptation",
        "Append",
        "Augmentation",
        "Change",
        "Contract",
        "ContractError",
        "Dask",
        "DeepLab",
        "DenseCRF",
        "Evaluation",
        "GeoDeepLabError",
        "GeoDeepLabWarning",
        "LayerCheck",
        "Map",
        "ModelError",
        "OptionError",
        "OutputError",
        "PolygonOptions",
        "Preflight",
        "SampleDesign",
        "SceneError",
        "SceneRun",
        "Segmentation",
        "TrainingData",
        "Vectorization",
        "adapt",
        "as_model",
        "build_model",
        "build_published",
        "change",
        "check",
        "evaluate",
        "export_chips",
        "load_model",
        "load_pretrained",
        "open_array",
        "open_chip_folder",
        "open_scene",
        "open_stack",
        "preflight",
        "prepare_data",
        "sample",
        "save_model",
        "segment",
        "segment_scenes",
        "vectorize",
    }


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segmentation'"):
        _ = gdl.segmentation


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("SceneError", ValueError),
        ("ContractError", ValueError),
        ("ModelError", ValueError),
        ("OptionError", ValueError),
        ("OutputError", OSError),
    ],
)
def test_errors_derive_from_their_builtin(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(gdl, name), (gdl.GeoDeepLabError, builtin))
