"""Recognise a network in a file of tensors by its keys, whatever stands before them and whatever lies beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from geodeeplab.errors import ModelError
from geodeeplab.models.weights.weight_files import Weights

COUNTER = "num_batches_tracked"
"""Batch norm's count of batches: old files lack it, and nothing here reads it."""
FULLY_CONNECTED = {"fc6": "classifier.0", "fc7": "classifier.3"}
"""VGG's two hidden layers after its convolutions, by the papers' names and by torchvision's."""
FLATTENED = re.compile(r"^([a-z]+)_(\d+)\.")
"""timm's networks of features join a stage's name and number, `stages_0`, which its files keep apart: `stages.0`."""


@dataclass(frozen=True, kw_only=True)
class FileTensor:
    """A tensor of a file."""

    key: str
    """Its key in the file."""
    tensor: Tensor
    """Its values, in the network's shape where the file's differs by a reshape only."""


def name_as_network(found: Weights, targets: Mapping[str, Tensor]) -> dict[str, FileTensor]:
    """Give a file's tensors under the names they would have in a network.

    The backbone lies below the prefix under which most of its keys are found; what is left of that prefix without a
    closing `backbone.` is the root of a whole network, whose heads then keep their names. Tensors elsewhere are left
    out.

    Args:
        found: the file.
        targets: the network's state dict.

    Raises:
        ModelError: if less than half of the backbone's keys are found below any one prefix, or as many below several.
    """
    stem = "backbone.body." if any(key.startswith("backbone.body.") for key in targets) else "backbone."
    keys = [key.removeprefix(stem) for key in required(targets) if key.startswith(stem)]
    apart = {FLATTENED.sub(r"\1.\2.", key): key for key in keys}
    prefix = _find_prefix(found, [keys, list(apart)])
    root = re.sub(r"backbone\.(body\.)?$", "", prefix)
    named = {}
    for key, tensor in found.tensors.items():
        if key.startswith(prefix):
            rest = key.removeprefix(prefix)
            named[stem + apart.get(rest, rest)] = FileTensor(key=key, tensor=tensor)
        elif root != prefix and key.startswith(root):
            named[key.removeprefix(root)] = FileTensor(key=key, tensor=tensor)
    if prefix.endswith("features."):
        named |= dict(_fully_connected(found.tensors, targets, root=prefix.removesuffix("features.")))
    return named


def required(targets: Mapping[str, Tensor]) -> list[str]:
    """List the keys that weights must have to be complete."""
    return [key for key in targets if not key.endswith(COUNTER)]


def _find_prefix(found: Weights, spellings: Sequence[list[str]]) -> str:
    """Find what stands before the keys of a backbone in a file, in whichever spelling they have there."""
    counts: dict[str, int] = {}
    for keys in spellings:
        for name in found.tensors:
            if f".{name}".endswith(f".{keys[0]}"):
                prefix = name.removesuffix(keys[0])
                here = sum(prefix + key in found.tensors for key in keys)
                counts[prefix] = max(here, counts.get(prefix, 0))
    keys, most = spellings[0], max(counts.values(), default=0)
    if 2 * most < len(keys):
        there = ", ".join(list(found.tensors)[:3]) or "nothing"
        raise ModelError(
            f"the weights {found.source} are not of this backbone: they begin {there}, its own {', '.join(keys[:3])}: "
            "choose weights of the same backbone"
        )
    best = [prefix for prefix, count in counts.items() if count == most]
    if len(best) > 1:
        raise ModelError(
            f"the weights {found.source} hold this backbone {len(best)} times, below {', '.join(map(repr, best))}: "
            "save the one to load in a file of its own"
        )
    return best[0]


def _fully_connected(
    tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor], *, root: str
) -> Iterator[tuple[str, FileTensor]]:
    """Yield VGG's fully connected layers as the convolutions fc6 and fc7 of a head; none unless all fit.

    A layer on the flattened map (512 · 7 · 7) is a convolution of 7 × 7 (FCN, section 3.1). Not a number are those of
    torchvision's `IMAGENET1K_FEATURES`, which holds the convolutions only.
    """
    layers = {}
    for key in targets:
        layer, _, kind = key.removeprefix("classifier.").removeprefix("fc.").rpartition(".")
        if layer in FULLY_CONNECTED:
            layers[key] = f"{root}{FULLY_CONNECTED[layer]}.{kind}"
    fitting = all(
        source in tensors and tensors[source].numel() == targets[key].numel() and tensors[source].isfinite().all()
        for key, source in layers.items()
    )
    for key, source in layers.items() if fitting else ():
        yield key, FileTensor(key=source, tensor=tensors[source].reshape(targets[key].shape))
