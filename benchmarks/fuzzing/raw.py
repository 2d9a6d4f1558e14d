"""Mutations of bytes, whatever they mean."""

from collections.abc import Callable

import numpy as np

HEAD = 512
"""Half of the mutations hit the first so many bytes, where formats keep their headers."""


def mutate_bytes(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Mutate bytes; give them with the name of the mutation."""
    names = list(MUTATIONS)
    name = names[int(rng.integers(len(names)))]
    return MUTATIONS[name](content, rng), name


def _place(content: bytes, rng: np.random.Generator) -> int:
    limit = len(content) if rng.random() < 0.5 else min(HEAD, len(content))
    return int(rng.integers(max(1, limit)))


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(content, rng)
    return start, start + int(rng.integers(1, max(2, min(len(content) // 4, 4096))))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 4, 32]))):
        if changed:
            changed[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _replace(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.choice([1, 4, 16]))):
        if changed:
            changed[_place(content, rng)] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return bytes(changed)


def _truncate(content: bytes, rng: np.random.Generator) -> bytes:
    ends = [0, 1, len(content) - 1, int(rng.integers(len(content) + 1)), int(rng.integers(len(content) + 1))]
    return content[: max(0, int(rng.choice(ends)))]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.bytes(int(rng.choice([1, 7, 64, 4096]))) + content[start:]


def _splice(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    to = _place(content, rng)
    return content[:to] + content[start:stop] + content[to + (stop - start) * int(rng.integers(2)) :]


def _zero(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    stop = min(stop, len(content))
    return content[:start] + bytes(stop - start) + content[stop:]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _append(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(int(rng.choice([1, 512])))


MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flip": _flip,
    "replace": _replace,
    "truncate": _truncate,
    "insert": _insert,
    "splice": _splice,
    "zero": _zero,
    "cut": _cut,
    "append": _append,
}
