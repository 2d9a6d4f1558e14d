"""Networks and the model file: tensors in, logits out."""

from geodeeplab.models.any_model import ContractLike, ForeignNetwork, ModelLike, as_model
from geodeeplab.models.backbones import BACKBONES, build_backbone
from geodeeplab.models.build import ARCHITECTURES, build_model
from geodeeplab.models.catalogue import PUBLISHED, Cost, Published, build_published, measure_cost
from geodeeplab.models.contract import Contract, ModelBand, ModelClass, read_contract_file
from geodeeplab.models.crf import DenseCRF
from geodeeplab.models.deeplabv3 import DeepLabV3Head
from geodeeplab.models.export import export_onnx
from geodeeplab.models.inflate import inflate_first_convolution
from geodeeplab.models.loading_report import LoadingReport
from geodeeplab.models.model_file import (
    DEFAULT_MODEL,
    Model,
    find_model,
    iter_bundled,
    load_model,
    read_contract,
    save_model,
)
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.normalise import Normalisation, RawPixels, ValueMap
from geodeeplab.models.onnx_model import OnnxNetwork
from geodeeplab.models.pointrend import PointHead, certainty, point_loss, point_sample, subdivide
from geodeeplab.models.pretrained import load_pretrained

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "DEFAULT_MODEL",
    "PUBLISHED",
    "Contract",
    "ContractLike",
    "Cost",
    "DeepLabV3Head",
    "DenseCRF",
    "ForeignNetwork",
    "LoadingReport",
    "Model",
    "ModelBand",
    "ModelClass",
    "ModelLike",
    "Normalisation",
    "OnnxNetwork",
    "PointHead",
    "Published",
    "RawPixels",
    "SegmentationNetwork",
    "ValueMap",
    "as_model",
    "build_backbone",
    "build_model",
    "build_published",
    "certainty",
    "export_onnx",
    "find_model",
    "inflate_first_convolution",
    "iter_bundled",
    "load_model",
    "load_pretrained",
    "measure_cost",
    "point_loss",
    "point_sample",
    "read_contract",
    "read_contract_file",
    "save_model",
    "subdivide",
]
