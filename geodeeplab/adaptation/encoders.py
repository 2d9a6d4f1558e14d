"""Which frozen networks the features are of, with their weights, and the principal components of their maps."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from geodeeplab.adaptation.cache import FeatureCache
from geodeeplab.adaptation.normalising import BandFacts, choose_channels, choose_pairs, has_colours, set_inputs
from geodeeplab.adaptation.tiles import digest_tiles, iter_maps
from geodeeplab.errors import OptionError
from geodeeplab.models import (
    DEFAULT_MODEL,
    AdaptedArchitecture,
    AdaptedNetwork,
    Contract,
    EncoderNumbers,
    Model,
    ModelBand,
    ModelLike,
    SegmentationNetwork,
    as_model,
    round_weights,
)
from geodeeplab.models.adapted.encoder import EncoderFeatures
from geodeeplab.models.architecture import Architecture
from geodeeplab.models.files.model_file import Undrawn
from geodeeplab.models.weights.weight_files import BUNDLED_WEIGHTS
from geodeeplab.pipeline.plan import Plan
from geodeeplab.tiling import Tile

BaseModel = ModelLike | Literal["auto"] | None
"""The model to adapt; `auto`: the bundled one where it reads the bands; None: ImageNet and colours alone."""
IMAGENET_BACKBONE = "efficientnet_lite0"
LEAST_DEVIATION = 1e-3


def build_untrained(
    facts: BandFacts, base: Model | None, *, classes: int
) -> tuple[AdaptedNetwork, tuple[ModelBand, ...], list[str]]:
    """Build a network for scenes of these bands, with the encoders' weights.

    Also give its bands, normalised as its features need them (as before, of a model that was adapted before), and name
    what the features are of.

    Raises:
        OptionError: the model reads bands that the scene lacks.
    """
    names = [band.name for band in facts.bands]
    if base is not None and isinstance(base.network, AdaptedNetwork):
        return _adapted_again(base, classes), base.contract.bands, [f"those of model '{base.contract.name}'"]
    encoders = [EncoderNumbers(backbone=IMAGENET_BACKBONE, channels=choose_channels(names))]
    contracts: list[Contract | None] = [None]
    if base is not None:
        encoders.append(
            EncoderNumbers(
                network=Architecture.from_mapping(base.contract.architecture),
                channels=choose_channels(names, base.contract.band_names),
            )
        )
        contracts.append(base.contract)
    numbers = AdaptedArchitecture(
        num_classes=classes, in_channels=len(names), encoders=tuple(encoders), pairs=choose_pairs(names)
    )
    with Undrawn():
        network = AdaptedNetwork(numbers).eval().requires_grad_(False)
    for encoder, contract in zip(network.encoders, contracts, strict=True):
        assert isinstance(encoder, EncoderFeatures)
        _load(encoder.encoder, None if contract is None else base)
    set_inputs(network, facts, contracts)
    round_weights(network)
    return network, facts.bands, ["colour", f"{IMAGENET_BACKBONE} on ImageNet", *([base.contract.name] if base else [])]


def fit_projections(
    network: AdaptedNetwork, plans: Sequence[Plan], tiles: Sequence[Sequence[Tile]], cache: FeatureCache
) -> None:
    """Fit the principal components of each map of each encoder to some tiles of each plan, in place.

    Maps are standardised first, so that no channel counts more for its units. What was fitted to the same pixels before
    comes from the cache.
    """
    layers = [
        (number, level, project)
        for number, encoder in enumerate(network.encoders)
        if isinstance(encoder, EncoderFeatures)
        for level, project in enumerate(encoder.projections)
        if isinstance(project, nn.Conv2d)
    ]
    for _, _, project in layers:  # so that the digest does not depend on what they were
        nn.init.zeros_(project.weight)
        if project.bias is not None:
            nn.init.zeros_(project.bias)
    pairs = list(zip(plans, tiles, strict=True))
    digest = hashlib.blake2b(
        "".join(digest_tiles(plan, network, some) for plan, some in pairs).encode(), digest_size=20
    )
    key = f"projections-{digest.hexdigest()}"
    tensors = [one for _, _, project in layers for one in project.parameters()]
    kept = cache.get(key, (sum(one.numel() for one in tensors),))
    if kept is not None:
        for tensor, values in zip(tensors, torch.from_numpy(kept).split([one.numel() for one in tensors]), strict=True):
            tensor.copy_(values.view_as(tensor))
        return
    groups = [one for plan, some in pairs for one in iter_maps(plan, network, some)]
    for number, level, project in layers:
        cells = torch.cat([group[number][level] for group in groups], dim=1)
        weight, bias = principal_components(cells, project.out_channels)
        project.weight.copy_(weight[..., None, None])
        assert project.bias is not None
        project.bias.copy_(bias)
    round_weights(network)
    cache.put(key, torch.cat([one.flatten() for one in tensors]).numpy())


def principal_components(cells: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give weight (P, C) and bias (P,) of the first components of standardised cells (C, n).

    Law: the same cells give the same, with the largest weight of each component above zero.
    """
    mean = cells.mean(dim=1, dtype=torch.float64).nan_to_num(0.0)  # of no cell, too
    centred = cells.double() - mean[:, None]
    deviation = centred.square().mean(dim=1).sqrt().nan_to_num(1.0) + LEAST_DEVIATION
    standard = centred / deviation[:, None]
    _, vectors = torch.linalg.eigh(standard @ standard.T / max(cells.shape[1], 1))
    first = vectors[:, -count:].flip(1).T  # (P, C)
    largest = first.gather(1, first.abs().argmax(dim=1, keepdim=True))
    weight = first * largest.sign() / deviation
    return weight.float(), -(weight @ mean).float()


def choose_base(facts: BandFacts, model: BaseModel) -> Model | None:
    """Give the model to adapt to scenes of these bands; None for none.

    Raises:
        OptionError: the model is one from elsewhere, or reads other bands.
    """
    if model is None:
        return None
    names = [band.name for band in facts.bands]
    if model == "auto":
        return as_model(DEFAULT_MODEL) if facts.is_8_bit and has_colours(names) else None
    base = as_model(model)
    if not isinstance(base.network, SegmentationNetwork | AdaptedNetwork):
        raise OptionError(
            f"model '{base.contract.name}' is from elsewhere, and only a GeoDeepLab model file can be adapted: "
            "leave out `model=`"
        )
    if isinstance(base.network, AdaptedNetwork):
        own, theirs = (facts.dtype, len(names)), (base.contract.dtype, len(base.contract.bands))
        if own != theirs:
            raise OptionError(
                f"model '{base.contract.name}' reads {theirs[1]} bands of {theirs[0]}, and the scenes have {own[1]} of "
                f"{own[0]}: choose as many with `bands=`, or leave out `model=`"
            )
    return base


def _load(encoder: nn.Module, base: Model | None) -> None:
    """Load an encoder's weights: those of a model but for PointRend's, or ImageNet's."""
    if base is None:
        weights = load_file(BUNDLED_WEIGHTS[IMAGENET_BACKBONE])
    else:
        weights = {key: one for key, one in base.network.state_dict().items() if not key.startswith("point_head.")}
    own = encoder.state_dict()
    lacking = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    assert not lacking, f"weights lack {lacking[0]}"
    encoder.load_state_dict({key: weights[key].float() for key in own if key in weights}, strict=False)


def _adapted_again(base: Model, classes: int) -> AdaptedNetwork:
    """Give a network with the features of an adapted one, and a fresh head; projections are fitted anew."""
    assert isinstance(base.network, AdaptedNetwork)
    before = base.network.numbers
    numbers = AdaptedArchitecture(
        num_classes=classes, in_channels=before.in_channels, encoders=before.encoders, pairs=before.pairs
    )
    with Undrawn():
        network = AdaptedNetwork(numbers).eval().requires_grad_(False)
    kept = {key: one for key, one in base.network.state_dict().items() if key.startswith(("encoders.", "colour."))}
    network.load_state_dict(kept, strict=False)
    return network
