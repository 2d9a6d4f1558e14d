"""Features that a network has computed before of the same images come from the cache, to the bit."""

import copy
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from geodeeplab.adaptation.cache import FeatureCache
from geodeeplab.adaptation.samples import CELL
from geodeeplab.models import AdaptedNetwork


def recalling(network: AdaptedNetwork, cache: FeatureCache, *, keeps: bool = False) -> AdaptedNetwork:
    """Give the network, with the same weights, taking its features from a cache where they are there.

    Args:
        network: computes what is not there; its encoders are as they will be.
        cache: where features are.
        keeps: put there what was computed.
    """
    if cache.folder is None:
        return network
    found = copy.copy(network)
    found.recall = Recall(network, cache, keeps=keeps)
    return found


class Recall:
    """A network's features of images, from a cache where they are there.

    They are sought by the images and by all else that they depend on: the frozen weights, the shape of the batch, the
    device, its precision and threads. Law: what is found is what the network would compute, to the bit.
    """

    def __init__(self, network: AdaptedNetwork, cache: FeatureCache, *, keeps: bool) -> None:
        """Take them as `recalling` does."""
        self._cache, self._keeps = cache, keeps
        self._count = network.feature_count
        self._weights = digest_frozen(network)

    def __call__(self, images: Tensor, valid: Tensor | None, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Give features (N, F, h, w), float32, of normalised images (N, C, H, W).

        Where `valid` (N, H, W) has no pixel they may be anything.
        """
        if images.device.type != "cpu" and not self._keeps:  # to look for them would take longer than to compute them
            return compute(images)
        filled = [True] * len(images) if valid is None else valid.flatten(1).any(dim=1).tolist()
        keys = [self._key(images, slot) if is_filled else None for slot, is_filled in enumerate(filled)]
        shape = (self._count, *(-(-side // CELL) for side in images.shape[-2:]))
        found = [None if key is None else self._cache.get(key, shape) for key in keys]
        if all(one is not None or key is None for one, key in zip(found, keys, strict=True)):
            whole = torch.zeros((len(images), *shape))
            for slot, one in enumerate(found):
                if one is not None:
                    whole[slot] = torch.from_numpy(one)
            return whole.to(images.device)
        computed = compute(images)
        if self._keeps:
            values = computed.cpu().numpy()
            for slot, (key, one) in enumerate(zip(keys, found, strict=True)):
                if key is not None and one is None:
                    self._cache.put(key, values[slot])
        return computed

    def _key(self, images: Tensor, slot: int) -> str:
        kind = images.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        said = (tuple(images.shape), kind, str(dtype), torch.get_num_threads(), torch.__version__)
        digest = hashlib.blake2b(self._weights + repr(said).encode(), digest_size=20)
        digest.update(images[slot].float().cpu().contiguous().numpy().data)
        return digest.hexdigest()


def digest_frozen(network: AdaptedNetwork) -> bytes:
    """Give a digest of a network's weights, but for those of its head."""
    digest = hashlib.blake2b(digest_size=20)
    for key, tensor in sorted(network.state_dict().items()):
        if not key.startswith(("head.", "centre", "scale")):
            digest.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
