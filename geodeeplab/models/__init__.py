"""Networks and the model file: tensors in, logits out."""

from geodeeplab.models.backbones import BACKBONES, build_backbone
from geodeeplab.models.build import ARCHITECTURES, build_model
from geodeeplab.models.contract import Contract, ModelBand, ModelClass
from geodeeplab.models.deeplabv3 import DeepLabV3Head, SegmentationNetwork
from geodeeplab.models.model_file import (
    DEFAULT_MODEL,
    Model,
    find_model,
    iter_bundled,
    load_model,
    read_contract,
    save_model,
)
from geodeeplab.models.normalise import Normalisation
from geodeeplab.models.pointrend import PointHead, certainty, point_sample, subdivide

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "DEFAULT_MODEL",
    "Contract",
    "DeepLabV3Head",
    "Model",
    "ModelBand",
    "ModelClass",
    "Normalisation",
    "PointHead",
    "SegmentationNetwork",
    "build_backbone",
    "build_model",
    "certainty",
    "find_model",
    "iter_bundled",
    "load_model",
    "point_sample",
    "read_contract",
    "save_model",
    "subdivide",
]
