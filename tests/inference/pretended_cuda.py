"""A pretended CUDA machine: tensors that say `cuda:0` or `cuda:1` and compute on the CPU, with CUDA's rules of order.

Work on a stream is done at once, but counts as done for another stream, or for the host, only once that has waited for
it. Who reads too early reads poison: bytes of 0xAB. What is against the rules without showing in the values is a fault:
memory that is written while another stream may still read it, and memory that is given back so (`record_stream`).
Each time that the host waits for a device is counted, with the line of the package that made it wait.
"""

import collections
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from geodeeplab import stages

POISON = 0xAB
ITEM, INDEX = ("_local_scalar_dense", "equal", "is_nonzero"), ("index", "index_put_", "_index_put_impl_")
COUNTING = (*ITEM, "nonzero", "masked_select", "_unique2", "unique_dim")
"""Operations whose result, or its size, the host has to know."""
NO_KERNEL = ("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "detach", "alias")


class Machine:
    """What two pretended GPUs have done, and what was wrong about it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.here = threading.local()
        self.waits: collections.Counter[str] = collections.Counter()
        """How often the host waited for a device, by what and the line of the package."""
        self.arrivals = 0
        """How often it waited for an event, as for finished rows."""
        self.faults: list[str] = []
        """What is against CUDA's rules of order."""
        self.pinned: list[Tensor] = []
        self.defaults: dict[int, Stream] = {}
        self.streams = 0
        self.memory: int | None = None
        """Bytes of a device; None for as many as are wanted."""
        self.allocated: collections.Counter[int] = collections.Counter()
        self.peak: collections.Counter[int] = collections.Counter()
        self.kept = 0
        """Bytes that the allocator keeps for later, on each device."""
        self.freed_at: list[int] = []
        """Bytes that were allocated, each time that what is kept was given back."""
        self.before: Callable[[str, Sequence[Tensor]], None] = lambda name, tensors: None
        """Called before each operation on a device."""

    def default(self, index: int) -> "Stream":
        """Give the stream that a device has without asking."""
        with self.lock:
            if index not in self.defaults:
                self.defaults[index] = Stream(index)
            return self.defaults[index]

    def current(self, device: object = None) -> "Stream":
        """Give the stream that the thread works on."""
        index = self.index(device)
        found: Stream | None = getattr(self.here, "streams", {}).get(index)
        return found or self.default(index)

    def index(self, device: object = None) -> int:
        """Give a device's number, by default that of the thread's own."""
        if isinstance(device, int):
            return device
        own: int = getattr(self.here, "device", 0)
        found = own if device is None else torch.device(device).index  # type: ignore[call-overload]
        return own if found is None else found

    def wait(self, why: str) -> None:
        """Let the host wait for all devices."""
        self.waits[f"{why} at {_line()}"] += 1
        for stream in list(self.defaults.values()):
            stream.arrive(list(stream.copies))

    def is_pinned(self, tensor: Tensor) -> bool:
        """Tell whether a tensor on the host lies in page-locked memory, as a whole."""
        pointer = tensor.untyped_storage().data_ptr()
        return any(pointer == one.untyped_storage().data_ptr() for one in self.pinned)


machine = Machine()


class Stream:
    """Work in order. `seen` says up to where it has waited for each stream."""

    def __init__(self, device: object = None, priority: int = 0) -> None:
        self.device = torch.device("cuda", machine.index(device))
        machine.streams += 1
        self.number = machine.streams
        self.seen: collections.Counter[int] = collections.Counter()
        self.copies: list[Callable[[], object]] = []
        """Copies to the host that are on their way."""

    def tick(self) -> int:
        self.seen[self.number] += 1
        return self.seen[self.number]

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        for number, tick in event.seen.items():
            self.seen[number] = max(self.seen[number], tick)

    def wait_stream(self, other: "Stream") -> None:
        self.wait_event(other.record_event())

    def synchronize(self) -> None:
        machine.wait("stream")

    def arrive(self, copies: list[Callable[[], object]]) -> None:
        for copy in copies:
            if copy in self.copies:
                self.copies.remove(copy)
                copy()


class Event:
    """A point of a stream."""

    def __init__(self, **_: object) -> None:
        self.seen: collections.Counter[int] = collections.Counter()
        self.stream: Stream | None = None
        self.copies: list[Callable[[], object]] = []

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or machine.current()
        self.seen, self.copies = self.stream.seen.copy(), list(self.stream.copies)

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        machine.arrivals += 1
        assert self.stream is not None
        self.stream.arrive(self.copies)


class Block:
    """Memory of a device: who wrote it, who read it, and on whose account it is."""

    def __init__(self, home: Stream, size: int) -> None:
        self.home, self.size = home, size
        self.allocated, self.faults = machine.allocated, machine.faults  # another test's machine has others
        self.written = (home.number, home.seen[home.number])
        self.used: dict[int, int] = {}
        self.recorded: set[int] = set()
        index = home.device.index
        if machine.memory is not None and machine.allocated[index] + size > machine.memory:
            self.size = 0
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
        machine.allocated[index] += size
        machine.peak[index] = max(machine.peak[index], machine.allocated[index])

    def __del__(self) -> None:
        self.allocated[self.home.device.index] -= self.size
        for number, tick in self.used.items():
            if number not in (self.home.number, *self.recorded) and self.home.seen[number] < tick:
                self.faults.append("memory was given back while another stream may read it")


class Pretended(Tensor):
    """A tensor that says it is on a GPU; `held` is its values."""

    held: Tensor
    block: Block

    @staticmethod
    def __new__(cls: type["Pretended"], inner: Tensor, device: torch.device, block: Block) -> "Pretended":
        made: Pretended = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=device,
            requires_grad=False,
        )
        return made

    def __init__(self, inner: Tensor, device: torch.device, block: Block) -> None:
        self.held, self.block = inner, block

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretended({tuple(self.shape)}, {self.dtype}, {self.device})"

    def record_stream(self, stream: Any) -> None:  # noqa: ANN401 - torch's or ours
        self.block.recorded.add(stream.number)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sends whatever concerns a GPU, or page-locked memory, to the pretended ones; in one thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        device = kwargs.get("device")
        is_ours = any(isinstance(one, Pretended) for one in _leaves((args, kwargs)))
        if is_ours or (device is not None and torch.device(device).type == "cuda"):
            return _run(func, args, kwargs)
        if kwargs.get("pin_memory"):
            made = func(*args, **kwargs | {"pin_memory": False})
            machine.pinned.append(made)
            return made
        return func(*args, **kwargs)


def _leaves(value: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield what lists, tuples and dictionaries hold; torch's own way to do it takes longer than the arithmetic."""
    if isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def _map(function: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401
    """Give the same with the function of each leaf."""
    if isinstance(value, list | tuple):
        found = [_map(function, one) for one in value]
        return found if isinstance(value, list) else tuple(found)
    if isinstance(value, dict):
        return {key: _map(function, one) for key, one in value.items()}
    return function(value)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever torch's operations take and give
    name = func.name().split("::")[-1].split(".")[0]
    if name in ("to", "cpu", "type_as"):
        with _Mode():
            found = func.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
    with machine.lock:
        if name == "_to_copy":
            return _to_copy(func, args[0], kwargs)
        if name == "copy_" and not isinstance(args[0], Pretended):
            return _to_host(args[0], args[1], (*args, kwargs.get("non_blocking", False))[2])
        return _kernel(func, name, args, kwargs)


def _to_copy(func: Any, source: Tensor, kwargs: dict[str, Any]) -> Tensor:  # noqa: ANN401
    target = source.device if kwargs.get("device") is None else torch.device(kwargs["device"])
    rest = {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking", "pin_memory")}
    if target.type == "cpu":
        assert isinstance(source, Pretended)
        machine.wait("copy to the host")
        copied: Tensor = func(_read(source, machine.current(source.device)).clone(), **rest)
        return copied
    stream = machine.current(target)
    if isinstance(source, Pretended):
        return _wrap(func(_read(source, stream).clone(), **rest), stream)
    is_whole = source.is_contiguous() or (source.dim() == 4 and source.is_contiguous(memory_format=torch.channels_last))
    if not (kwargs.get("non_blocking") and machine.is_pinned(source) and is_whole):
        machine.wait("copy to the device")
    return _wrap(func(source.clone(), **rest), stream)


def _to_host(target: Tensor, source: Pretended, non_blocking: bool) -> Tensor:
    """Copy to a tensor on the host; to page-locked memory it takes until somebody has waited for it."""
    stream = machine.current(source.device)
    values = _read(source, stream).clone()
    stream.tick()
    if not (non_blocking and machine.is_pinned(target)):
        machine.wait("copy to the host")
        return target.copy_(values)
    _poison(target)
    stream.copies.append(lambda: target.copy_(values))
    return target


def _kernel(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """Run an operation on a device: on the thread's stream there, once it is known what it may read."""
    leaves = list(_leaves((args, kwargs)))
    ours = [one for one in leaves if isinstance(one, Pretended)]
    machine.before(name, ours)
    devices = {one.device for one in ours}
    assert len(devices) <= 1, f"{name} of tensors on {devices}"
    strangers = [one for one in leaves if isinstance(one, Tensor) and not isinstance(one, Pretended) and one.dim()]
    if strangers and name in (*INDEX, "copy_"):
        machine.wait(f"{name} of a tensor on the host")
    else:
        assert not strangers, f"{name} of tensors on a GPU and on the host"
    is_masked = name in INDEX and any(
        one.dtype in (torch.bool, torch.uint8) for one in _leaves(args[1]) if one is not None
    )
    if name in COUNTING or is_masked:
        machine.wait(name)
    stream = machine.current(ours[0].device if ours else kwargs.get("device", "cuda"))
    is_in_place = (name.endswith("_") and not name.endswith("__")) or "out" in kwargs
    changed = kwargs.get("out", args[0]) if is_in_place else None
    inner = {id(one): _read(one, stream) if one is not changed else one.held for one in ours}
    plain = _map(lambda one: inner[id(one)] if isinstance(one, Pretended) else one, (args, kwargs))
    here = {"device": "cpu"} if "device" in kwargs else {}
    found = func(*plain[0], **plain[1] | here | ({"pin_memory": False} if "pin_memory" in kwargs else {}))
    if isinstance(changed, Pretended):
        _write(changed, stream)
        return changed
    blocks = {one.held.untyped_storage().data_ptr(): one.block for one in ours}
    return _map(lambda one: _wrap(one, stream, blocks, name) if isinstance(one, Tensor) else one, found)


def _wrap(values: Tensor, stream: Stream, blocks: dict[int, Block] | None = None, name: str = "copy") -> Pretended:
    """Give a tensor on the stream's device: a view if its memory is known, else with memory of its own."""
    storage = values.untyped_storage()
    block = (blocks or {}).get(storage.data_ptr())
    if block is None:
        if name not in NO_KERNEL:
            stream.tick()
        block = Block(stream, storage.nbytes())
    return Pretended(values, stream.device, block)


def _read(source: Pretended, stream: Stream) -> Tensor:
    """Give the values that a stream reads: poison where it has not waited for who wrote them."""
    number, tick = source.block.written
    source.block.used[stream.number] = stream.seen[stream.number] + 1
    if stream.seen[number] >= tick:
        return source.held
    machine.faults.append(f"read before it was written at {_line()}")
    return _poison(source.held.clone())


def _write(target: Pretended, stream: Stream) -> None:
    """Note that a stream writes: after whoever wrote, and reads."""
    block = target.block
    if any(
        stream.seen[number] < tick for number, tick in (block.written, *block.used.items()) if number != stream.number
    ):
        machine.faults.append(f"written while another stream may read it at {_line()}")
    block.written = (stream.number, stream.tick())
    block.used[stream.number] = stream.seen[stream.number]


def _poison(tensor: Tensor) -> Tensor:
    tensor.copy_(
        torch.full((tensor.element_size(),), POISON, dtype=torch.uint8).view(tensor.dtype).expand(tensor.shape)
    )
    return tensor


def _line() -> str:
    """Name the line of the package that called."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/geodeeplab/" in path and "/tests/" not in path:
            return f"{path.rsplit('/geodeeplab/', 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


@contextmanager
def _on(stream: Stream) -> Iterator[None]:
    here = machine.here
    before = dict(getattr(here, "streams", {})), getattr(here, "device", 0)
    here.streams, here.device = before[0] | {stream.device.index: stream}, stream.device.index
    try:
        yield
    finally:
        here.streams, here.device = before


def _tensor(data: Any, *, dtype: Any = None, device: Any = None, make: Any = torch.tensor) -> Tensor:  # noqa: ANN401
    made: Tensor = make(data, dtype=dtype)  # on the host first, then copied, as torch does it
    return made if device is None or torch.device(device).type == "cpu" else made.to(device)


def _in_mode(run: Callable[[Any], None]) -> Callable[[Any], None]:
    def within(stage: Any) -> None:  # noqa: ANN401
        with _Mode():
            run(stage)

    return within


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Give the machine, fresh, with all that the package asks torch for in its place."""
    machine.__init__()  # type: ignore[misc]
    total = 1 << 34
    instead: dict[str, Any] = {
        "Stream": Stream,
        "Event": Event,
        "stream": _on,
        "current_stream": machine.current,
        "current_device": lambda: machine.index(),
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_name": lambda device=None: "a pretended GPU",
        "get_device_capability": lambda device=None: (7, 5),
        "synchronize": lambda device=None: machine.wait("device"),
        "empty_cache": lambda: machine.freed_at.append(sum(machine.allocated.values())),
        "memory_allocated": lambda device=None: machine.allocated[machine.index(device)],
        "memory_reserved": lambda device=None: machine.allocated[machine.index(device)] + machine.kept,
        "max_memory_allocated": lambda device=None: machine.peak[machine.index(device)],
        "reset_peak_memory_stats": lambda device=None: machine.peak.update(
            {(i := machine.index(device)): machine.allocated[i] - machine.peak[i]}
        ),
        "mem_get_info": lambda device=None: (
            (machine.memory or total) - machine.allocated[machine.index(device)] - machine.kept,
            machine.memory or total,
        ),
        "_lazy_init": lambda: None,
    }
    for name, value in instead.items():
        monkeypatch.setattr(torch.cuda, name, value)
    torch._C._ensureCUDADeviceGuardSet()
    monkeypatch.setattr(torch, "tensor", _tensor)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # its tensors take no wrappers
    monkeypatch.setattr(stages.Stage, "_run", _in_mode(stages.Stage._run))
    enabled, swapped = torch.backends.cudnn.enabled, torch.__future__.get_overwrite_module_params_on_conversion()
    torch.backends.cudnn.enabled = False
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Mode():
            yield machine
    finally:
        torch.backends.cudnn.enabled = enabled
        torch.__future__.set_overwrite_module_params_on_conversion(swapped)
