"""What became of pretrained weights: which tensors were loaded, adapted and left out, and what has none."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class LoadingReport:
    """Every tensor of a file of weights and of the network it went into is in `loaded`, `dropped` or `missing`."""

    source: str
    """The weights, and their file."""
    loaded: Mapping[str, str]
    """The network's key of each tensor that was loaded, with the file's key."""
    inflated: Mapping[str, str] = field(default_factory=dict)
    """Those of `loaded` that were adapted to the network's bands, and how."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """The file's key of each tensor that was not used, with the reason."""
    missing: tuple[str, ...] = ()
    """The network's keys that the file has nothing for: they stay as they were initialised."""

    @property
    def has_heads(self) -> bool:
        """Whether more than a backbone was loaded."""
        return any(not key.startswith("backbone.") for key in self.loaded)

    def __str__(self) -> str:
        """Give a few lines, each prefix standing for all the tensors below it, with their number."""
        return "\n".join(f"{title:<9} {text}" for title, text in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "weights", self.source
        yield "loaded", _summary(self.loaded, beside=self.missing)
        for key, how in self.inflated.items():
            yield "inflated", f"{key}: {how}"
        for reason in dict.fromkeys(self.dropped.values()):
            keys = [key for key, why in self.dropped.items() if why == reason]
            others = [key for key, why in self.dropped.items() if why != reason]
            yield "dropped", f"{_summary(keys, beside=[*self.loaded.values(), *others])}: {reason}"
        if self.missing:
            yield "missing", f"{_summary(self.missing, beside=self.loaded)}: as initialised"


def _summary(keys: Iterable[str], *, beside: Iterable[str]) -> str:
    """List the shortest prefixes that hold some of `keys` and nothing `beside` them, with the number of tensors."""
    shared = {prefix for key in beside for prefix in _prefixes(key)}
    groups = Counter(next((p for p in _prefixes(key) if p not in shared), key) for key in keys)
    return ", ".join(f"{prefix} ({count})" for prefix, count in groups.items())


def _prefixes(key: str) -> list[str]:
    """List a key's prefixes, shortest first, the key last: of "a.b.c", "a", "a.b", "a.b.c"."""
    parts = key.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
