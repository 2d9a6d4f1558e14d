"""Networks from elsewhere behind our interface: whatever they give becomes logits, one channel a class."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.contract import Contract
from geodeeplab.models.contract_parts import ModelClass
from geodeeplab.models.heads.aspp import resize

OUTPUT_KEYS = ("out", "logits")
"""Where networks that give a dictionary keep their logits: torchvision's, and transformers'."""
BACKGROUND, BACKGROUND_COLOR = "background", (200, 200, 190)
"""The rest, beside the only class of a network of one channel."""
LEAST_PROBABILITY = 1e-7
"""Probabilities are held off 0 and 1 by as much: their logits stay finite, and float32 tells them apart."""
TOLERANCE = 1e-3
"""By how much probabilities, in half precision, may miss their range and their sum."""


@dataclass(frozen=True, kw_only=True)
class OutputForm:
    """What a network from elsewhere gives, and so how it becomes logits."""

    name: str
    """How messages name the model."""
    num_classes: int
    """K, as the contract says."""
    channels: int
    """Channels that it gives: K, or 1 for two classes."""
    is_probability: bool = False
    """Its values are probabilities, of a sigmoid or a softmax, and not logits."""

    def to_logits(self, raw: Tensor, images: Tensor) -> Tensor:
        """Give logits (N, K, H, W), float32, of what a network gives (N, channels, h, w) for images (N, C, H, W).

        One channel z is the second of two classes, whose logits are then 0 and z: their softmax is the sigmoid of z,
        and z > 0 is a probability above a half. Of probabilities p the logarithms are taken, of one channel
        log(p / (1 − p)). Maps of another resolution are upsampled bilinearly.

        Raises:
            ModelError: if it is of another shape.
        """
        self.check(raw, images)
        raw = raw.float()
        if self.is_probability:
            raw = _inverse(raw)
        if raw.shape[2:] != images.shape[2:]:
            raw = resize(raw, images.shape[2:])
        return raw if self.channels == self.num_classes else torch.cat([torch.zeros_like(raw), raw], 1)

    def check(self, raw: Tensor, images: Tensor) -> None:
        """Refuse an output that is no map of these classes.

        Raises:
            ModelError: for such a one.
        """
        if raw.ndim == 4 and raw.shape[:2] == (len(images), self.channels):
            return
        hint = "correct the contract's classes"
        if raw.ndim != 4:
            hint = "let it give a channel a class"
        elif raw.shape[1] == self.num_classes + 1:
            hint += ", which also name the background if the network has it as a class of its own"
        elif raw.shape[1] == 1:
            hint += " (a network of one channel tells one class from the rest, so it has one or two)"
        raise ModelError(
            f"model '{self.name}' has {self.num_classes} classes by its contract, so it gives logits "
            f"({len(images)}, {self.channels}, h, w), not {tuple(raw.shape)}: {hint}"
        )


class ForeignNetwork(nn.Module):
    """A network from elsewhere behind our interface, its output checked in every forward."""

    def __init__(self, module: nn.Module, *, num_classes: int, name: str) -> None:
        """Take the network.

        Args:
            module: is called with images (N, C, H, W), and with `valid` (N, H, W) if its forward has a parameter of
                that name; gives logits (N, K, h, w) of any resolution, or a dictionary with them under `out` or
                `logits`.
            num_classes: K, as the contract says.
            name: how messages name it.
        """
        super().__init__()
        self.module = module
        self.name = name
        self.form = OutputForm(name=name, num_classes=num_classes, channels=num_classes)
        """What the module gives; `as_model` finds it out."""
        self.takes_valid = _takes_valid(module)

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W), upsampled bilinearly.

        Raises:
            ModelError: if the network gives something else than its form says.
        """
        return self.form.to_logits(self.raw(images, valid), images)  # (N, K, H, W)

    def raw(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give what the network gives, (N, channels, h, w).

        Raises:
            ModelError: if that is no floating-point tensor.
        """
        output = self.module(images, valid=valid) if self.takes_valid else self.module(images)
        return _pick_logits(output, self.name)


def settle_output(
    contract: Contract, raw: Tensor, images: Tensor, *, activation: str | None
) -> tuple[Contract, OutputForm]:
    """Find out what a network gives, by what its contract says, its last operation, and what it gave for images.

    A network of one channel is one of two classes; where the contract names the one, the other is `background`, with
    the lowest id that is free. The contract that is given back has both, the one that the channel speaks for last.

    Args:
        contract: as it was stated.
        raw: (N, channels, h, w), what the network gave.
        images: (N, C, H, W) of all kinds of values, for which it gave it.
        activation: `sigmoid` or `softmax` if that was its last operation; None for any other, or where it is unknown.

    Raises:
        ModelError: if output and contract do not agree, or nobody can tell what the values are.
    """
    count = len(contract.classes)
    is_single = raw.ndim == 4 and raw.shape[1] == 1 and count <= 2
    if is_single:
        contract = _with_two_classes(contract)
    elif contract.positive is not None:
        raise ModelError(
            f"positive is said of a network of one channel, and model '{contract.name}' gives {tuple(raw.shape)}: "
            "leave it out of the contract"
        )
    form = OutputForm(name=contract.name, num_classes=len(contract.classes), channels=1 if is_single else count)
    form.check(raw, images)
    if is_probability(contract, raw.float(), activation):
        return replace(contract, output="probabilities"), replace(form, is_probability=True)
    return contract, form


def is_probability(contract: Contract, raw: Tensor, activation: str | None) -> bool:
    """Tell whether values (N, channels, h, w) are probabilities.

    They are if the contract says so, if a sigmoid or softmax made them, or if they add up to 1 over several channels.

    Raises:
        ModelError: if contract and values contradict each other, or one channel's lie within 0 to 1 and nothing says
            what they are.
    """
    name, channels = contract.name, raw.shape[1]
    finite = raw[raw.isfinite()]
    within = bool(((finite >= -TOLERANCE) & (finite <= 1 + TOLERANCE)).all())
    if activation == "softmax" and channels == 1:
        raise ModelError(
            f"model '{name}' ends in a softmax over one channel, which is 1 everywhere: end it in a sigmoid"
        )
    if contract.output == "probabilities" and not within:
        raise ModelError(
            f"model '{name}' gives probabilities by its contract, but values from {finite.min():g} to "
            f'{finite.max():g}: say output "logits"'
        )
    if contract.output == "logits" and activation is not None:
        raise ModelError(
            f"model '{name}' gives logits by its contract, but ends in a {activation}: say output \"probabilities\""
        )
    if contract.output is not None:
        return contract.output == "probabilities"
    if activation is not None or not within:
        return activation is not None
    if channels == 1:
        raise ModelError(
            f"model '{name}' gives one channel of values within 0 to 1, logits or probabilities: say which in the "
            'contract, with output "logits" or "probabilities"'
        )
    is_between = bool(((raw > 0) & (raw < 1)).any())  # a mask of zeros and ones is no softmax
    return is_between and bool(((raw.sum(1) - 1).abs() <= TOLERANCE).all())


def _with_two_classes(contract: Contract) -> Contract:
    """Give the contract with the class that a single channel speaks for last, and the rest before it."""
    if len(contract.classes) == 1:
        (only,) = contract.classes
        name = BACKGROUND if only.name != BACKGROUND else f"not {BACKGROUND}"
        rest = ModelClass(id=2 if only.id == 1 else 1, name=name, color=BACKGROUND_COLOR)
        return replace(contract, classes=(rest, only))
    positive = contract.positive or contract.classes[-1].name
    return replace(contract, classes=tuple(sorted(contract.classes, key=lambda item: item.name == positive)))


def _inverse(probs: Tensor) -> Tensor:
    """Give logits whose sigmoid (of one channel) or softmax (of several) are the probabilities (N, channels, h, w)."""
    if probs.shape[1] == 1:
        probs = probs.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return probs.log() - (1 - probs).log()
    return probs.clamp(min=LEAST_PROBABILITY).log()


def _takes_valid(module: nn.Module) -> bool:
    """Tell whether the network's forward has a parameter `valid`."""
    try:
        return "valid" in inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # compiled code has no signature
        return False


def _pick_logits(output: object, name: str) -> Tensor:
    """Give the logits among what a network gives."""
    found = output
    if isinstance(output, Mapping):
        found = next((output[key] for key in OUTPUT_KEYS if key in output), output)
    elif isinstance(output, tuple) and len(output) == 1:
        (found,) = output
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = f"{found.dtype} tensor" if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(
            f"model '{name}' gives a {kind} where logits are expected (a float tensor, or a dictionary with one under "
            f"{' or '.join(OUTPUT_KEYS)}): wrap the network in one that gives them"
        )
    return found
