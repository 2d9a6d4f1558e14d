"""Networks and the model file: tensors in, logits out.

The names below are loaded on first use: contracts and catalogues need no torch.
"""

from typing import TYPE_CHECKING

from geodeeplab.lazy import lazily

if TYPE_CHECKING:
    from geodeeplab.models.adapted.architecture import AdaptedArchitecture, EncoderNumbers
    from geodeeplab.models.adapted.network import AdaptedNetwork, make_head, round_weights
    from geodeeplab.models.architecture import ARCHITECTURES
    from geodeeplab.models.backbones import BACKBONES, build_backbone
    from geodeeplab.models.build import build_model
    from geodeeplab.models.catalogue import PUBLISHED, Cost, Published, build_published, measure_cost
    from geodeeplab.models.contract import Contract, read_contract_file
    from geodeeplab.models.contract_parts import ModelBand, ModelClass
    from geodeeplab.models.crf import DenseCRF
    from geodeeplab.models.files.any_model import ContractLike, ModelLike, as_model
    from geodeeplab.models.files.export import export_onnx
    from geodeeplab.models.files.foreign import ForeignNetwork
    from geodeeplab.models.files.header import DEFAULT_MODEL, MODEL_SUFFIXES, find_model, iter_bundled, read_contract
    from geodeeplab.models.files.model import Model
    from geodeeplab.models.files.model_file import load_model, save_model
    from geodeeplab.models.files.normalise import Normalisation, RawPixels, ValueMap
    from geodeeplab.models.files.onnx_model import OnnxNetwork
    from geodeeplab.models.files.onnx_targets import TARGETS, Target, check_target
    from geodeeplab.models.files.stac_mlm import write_stac_item
    from geodeeplab.models.heads.deeplabv3 import DeepLabV3Head
    from geodeeplab.models.network import SegmentationNetwork
    from geodeeplab.models.pointrend import PointHead, certainty, point_loss, point_sample, subdivide
    from geodeeplab.models.weights.inflate import inflate_first_convolution
    from geodeeplab.models.weights.loading_report import LoadingReport
    from geodeeplab.models.weights.pretrained import load_pretrained

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "DEFAULT_MODEL",
    "MODEL_SUFFIXES",
    "PUBLISHED",
    "TARGETS",
    "AdaptedArchitecture",
    "AdaptedNetwork",
    "Contract",
    "ContractLike",
    "Cost",
    "DeepLabV3Head",
    "DenseCRF",
    "EncoderNumbers",
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
    "Target",
    "ValueMap",
    "as_model",
    "build_backbone",
    "build_model",
    "build_published",
    "certainty",
    "check_target",
    "export_onnx",
    "find_model",
    "inflate_first_convolution",
    "iter_bundled",
    "load_model",
    "load_pretrained",
    "make_head",
    "measure_cost",
    "point_loss",
    "point_sample",
    "read_contract",
    "read_contract_file",
    "round_weights",
    "save_model",
    "subdivide",
    "write_stac_item",
]

_HOMES = {
    "adapted.architecture": ["AdaptedArchitecture", "EncoderNumbers"],
    "adapted.network": ["AdaptedNetwork", "make_head", "round_weights"],
    "architecture": ["ARCHITECTURES"],
    "backbones": ["BACKBONES", "build_backbone"],
    "build": ["build_model"],
    "catalogue": ["PUBLISHED", "Cost", "Published", "build_published", "measure_cost"],
    "contract": ["Contract", "read_contract_file"],
    "contract_parts": ["ModelBand", "ModelClass"],
    "crf": ["DenseCRF"],
    "files.any_model": ["ContractLike", "ModelLike", "as_model"],
    "files.export": ["export_onnx"],
    "files.foreign": ["ForeignNetwork"],
    "files.header": ["DEFAULT_MODEL", "MODEL_SUFFIXES", "find_model", "iter_bundled", "read_contract"],
    "files.model": ["Model"],
    "files.model_file": ["load_model", "save_model"],
    "files.normalise": ["Normalisation", "RawPixels", "ValueMap"],
    "files.onnx_model": ["OnnxNetwork"],
    "files.onnx_targets": ["TARGETS", "Target", "check_target"],
    "files.stac_mlm": ["write_stac_item"],
    "heads.deeplabv3": ["DeepLabV3Head"],
    "network": ["SegmentationNetwork"],
    "pointrend": ["PointHead", "certainty", "point_loss", "point_sample", "subdivide"],
    "weights.inflate": ["inflate_first_convolution"],
    "weights.loading_report": ["LoadingReport"],
    "weights.pretrained": ["load_pretrained"],
}
__getattr__ = lazily(__name__, _HOMES)
