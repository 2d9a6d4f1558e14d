"""What makes a host wait for its device: found on the meta device, whose tensors have a place but no numbers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount", "equal", "is_nonzero"}
"""Operations whose outcome, or its shape, is read from the device."""
META = torch.device("meta")


class Waits(TorchDispatchMode):
    """Counts the operations that a host would wait for a device by: numbers read from it, and copies either way.

    Attributes:
        seen: how often each of them was met.
        operations: all operations met.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()
        self.operations = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever it gives
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if tensor.device == META]
        self.operations += 1
        if there and (name in READS or (name in ("index", "index_put_") and _has_mask(args[1]))):
            self.seen[name] += 1
        if name == "_to_copy" and torch.device(kwargs.get("device") or args[0].device) != args[0].device:
            self.seen[f"copy to {kwargs['device']}"] += not kwargs.get("non_blocking", False)
        if name == "copy_" and len({tensor.device for tensor in tensors}) > 1:
            self.seen["copy_"] += 1
        if there and any(tensor.device != META and tensor.ndim > 0 for tensor in tensors) and "copy" not in name:
            self.seen[f"a host's tensor in {name}"] += 1
        return func(*args, **kwargs)


class Made(TorchFunctionMode):
    """Counts tensors that are made of a host's numbers on the device: these are copied there, and waited for."""

    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - a function of torch
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever it gives
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == META:
            self.seen["numbers made into a tensor"] += 1
        return func(*args, **kwargs)


def count_waits(call: Callable[[], object]) -> tuple[Counter[str], int]:
    """Count what waits in a call, and the operations in all; a call that needs a number from the device ends there."""
    with Waits() as waits, Made(waits.seen):
        try:
            call()
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error).lower():
                raise
            waits.seen[f"ended: {str(error)[:80]}"] += 1
    return +waits.seen, waits.operations


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)
