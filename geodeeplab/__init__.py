"""GeoDeepLab: land cover from aerial and satellite imagery, as rasters and as polygons.

The names below are loaded on first use, so that `import geodeeplab` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from geodeeplab.lazy import lazily

if TYPE_CHECKING:
    __version__: str
    from geodeeplab.adaptation.adapt import adapt
    from geodeeplab.adaptation.adaptation import Adaptation
    from geodeeplab.cluster import Dask
    from geodeeplab.errors import (
        ContractError,
        GeoDeepLabError,
        GeoDeepLabWarning,
        ModelError,
        OptionError,
        OutputError,
        SceneError,
    )
    from geodeeplab.learner import DeepLab
    from geodeeplab.maps.web.map import Map
    from geodeeplab.models import (
        Contract,
        DenseCRF,
        as_model,
        build_model,
        build_published,
        load_model,
        load_pretrained,
        save_model,
    )
    from geodeeplab.pipeline.appending import Append
    from geodeeplab.pipeline.changing.change import change
    from geodeeplab.pipeline.changing.result import Change
    from geodeeplab.pipeline.checking.check import check
    from geodeeplab.pipeline.checking.result import LayerCheck
    from geodeeplab.pipeline.evaluating.evaluate import evaluate
    from geodeeplab.pipeline.evaluating.result import Evaluation
    from geodeeplab.pipeline.evaluating.sample import SampleDesign, sample
    from geodeeplab.pipeline.info.preflight import Preflight, preflight
    from geodeeplab.pipeline.polygon_options import PolygonOptions
    from geodeeplab.pipeline.result import Segmentation, Vectorization
    from geodeeplab.pipeline.scenes.many import segment_scenes
    from geodeeplab.pipeline.scenes.result import SceneRun
    from geodeeplab.pipeline.segment import segment
    from geodeeplab.pipeline.vectorize import vectorize
    from geodeeplab.raster import open_array, open_scene, open_stack
    from geodeeplab.training import Augmentation, TrainingData, prepare_data
    from geodeeplab.training.folders.chip_folder import open_chip_folder
    from geodeeplab.training.writing.export_chips import export_chips

__all__ = [
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
]

_HOMES = {
    "adaptation.adapt": ["adapt"],
    "adaptation.adaptation": ["Adaptation"],
    "cluster": ["Dask"],
    "errors": [
        "ContractError",
        "GeoDeepLabError",
        "GeoDeepLabWarning",
        "ModelError",
        "OptionError",
        "OutputError",
        "SceneError",
    ],
    "learner": ["DeepLab"],
    "maps.web.map": ["Map"],
    "models": [
        "Contract",
        "DenseCRF",
        "as_model",
        "build_model",
        "build_published",
        "load_model",
        "load_pretrained",
        "save_model",
    ],
    "pipeline.appending": ["Append"],
    "pipeline.changing.change": ["change"],
    "pipeline.changing.result": ["Change"],
    "pipeline.checking.check": ["check"],
    "pipeline.checking.result": ["LayerCheck"],
    "pipeline.evaluating.evaluate": ["evaluate"],
    "pipeline.evaluating.result": ["Evaluation"],
    "pipeline.evaluating.sample": ["SampleDesign", "sample"],
    "pipeline.polygon_options": ["PolygonOptions"],
    "pipeline.info.preflight": ["Preflight", "preflight"],
    "pipeline.result": ["Segmentation", "Vectorization"],
    "pipeline.scenes.many": ["segment_scenes"],
    "pipeline.scenes.result": ["SceneRun"],
    "pipeline.segment": ["segment"],
    "pipeline.vectorize": ["vectorize"],
    "raster": ["open_array", "open_scene", "open_stack"],
    "training": ["Augmentation", "TrainingData", "prepare_data"],
    "training.folders.chip_folder": ["open_chip_folder"],
    "training.writing.export_chips": ["export_chips"],
}
_load = lazily(__name__, _HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever lives under that name)
    return _version() if name == "__version__" else _load(name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("geodeeplab")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
