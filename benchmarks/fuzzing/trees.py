"""Mutations of what JSON, TOML and XML hold: keys dropped and renamed, values of other types, ranges and alphabets."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

Json = Any
"""Whatever JSON holds, or a key or an index in it."""
Container = dict[str, Any] | list[Any]
Place = tuple[Container, Json]
"""A container and the key or index in it."""

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 256, 65_536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**9, -(2**63)),
    *(10**30, -(10**400), 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308, 3.0000001),
)
TEXTS = (
    *("", " ", "x", "a\x00b", "\x00", "a\x01b", "\ud800", "\udcff", "é", "e\u0301", "🛰", "\u202eabc", "﻿red", "NaN"),
    *(
        "none",
        "None",
        "null",
        "../../x",
        "x/y",
        "x" * 5000,
        "-1",
        "1e999",
        "%s%n{0}",
        "'; DROP TABLE t;--",
        "red\nblue",
    ),
)
STRANGE: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": {}}, [None], [0], ["x"], {"a": 1})


def mutate_tree(tree: Json, rng: np.random.Generator) -> tuple[Json, str]:
    """Change one or a few places of a tree; give the new tree with the names of the mutations and their places."""
    tree = copy.deepcopy(tree)
    told = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        places = list(iter_places(tree))
        if not places:
            return STRANGE[int(rng.integers(len(STRANGE)))], "other root"
        container, key = places[int(rng.integers(len(places)))]
        names = list(MUTATIONS)
        name = names[int(rng.integers(len(names)))]
        MUTATIONS[name](container, key, rng)
        told.append(f"{name} {str(key)[:40]}")
    return tree, ", ".join(told)


def iter_places(tree: Json) -> Iterator[Place]:
    """Yield every place in a tree, outer ones first."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from iter_places(value)


def _drop(container: Container, key: Json, rng: np.random.Generator) -> None:
    del container[key]


def _retype(container: Container, key: Json, rng: np.random.Generator) -> None:
    value = container[key]
    as_text = json.dumps(value, default=str)[:1000]
    choices = [as_text, [value], {"x": value}, len(as_text), float(len(as_text)), *STRANGE]
    container[key] = copy.deepcopy(choices[int(rng.integers(len(choices)))])


def _number(container: Container, key: Json, rng: np.random.Generator) -> None:
    container[key] = NUMBERS[int(rng.integers(len(NUMBERS)))]


def _not_finite(container: Container, key: Json, rng: np.random.Generator) -> None:
    container[key] = float(rng.choice([math.nan, math.inf, -math.inf]))


def _text(container: Container, key: Json, rng: np.random.Generator) -> None:
    container[key] = TEXTS[int(rng.integers(len(TEXTS)))]


def _nest(container: Container, key: Json, rng: np.random.Generator) -> None:
    for _ in range(int(rng.choice([1, 3, 200]))):
        container[key] = [container[key]] if rng.random() < 0.5 else {"a": container[key]}


def _duplicate(container: Container, key: Json, rng: np.random.Generator) -> None:
    value = copy.deepcopy(container[key])
    if isinstance(container, list):
        container[key:key] = [value] * int(rng.choice([1, 1, 300]))
    else:
        container[f"{key}2"] = value


def _rename(container: Container, key: Json, rng: np.random.Generator) -> None:
    if isinstance(container, list):
        container.reverse()
        return
    names = (str(key).upper(), f"{key} ", "", "x", *TEXTS[:12])
    container[names[int(rng.integers(len(names)))]] = container.pop(key)


def _exchange(container: Container, key: Json, rng: np.random.Generator) -> None:
    keys: list[Json] = list(container) if isinstance(container, dict) else list(range(len(container)))
    other = keys[int(rng.integers(len(keys)))]
    container[key], container[other] = container[other], container[key]


MUTATIONS: dict[str, Callable[[Container, Json, np.random.Generator], None]] = {
    "drop": _drop,
    "retype": _retype,
    "number": _number,
    "not finite": _not_finite,
    "text": _text,
    "nest": _nest,
    "duplicate": _duplicate,
    "rename": _rename,
    "exchange": _exchange,
}


def mutate_json(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Mutate a JSON text: mostly what it holds, now and then how it is written."""
    kind = rng.random()
    if kind < 0.04:
        return (b'{"a":' if rng.random() < 0.5 else b"[") * 100_000, "deep JSON"
    if kind < 0.08:
        encoding = str(rng.choice(["utf-8-sig", "utf-16", "utf-32", "latin-1"]))
        return content.decode().encode(encoding, errors="replace"), f"JSON in {encoding}"
    if kind < 0.12:
        text = content.decode()
        at = int(rng.integers(len(text)))
        junk = ("//", "\x00", "\ud800", "NaN", "}", '"', "\\u12")[int(rng.integers(7))]
        return (text[:at] + junk + text[at:]).encode(errors="surrogatepass"), "junk in JSON"
    tree, told = mutate_tree(json.loads(content), rng)
    return dump_json(tree), told


def dump_json(tree: Json) -> bytes:
    """Write JSON; lone surrogates as escapes, numbers that are not finite as JavaScript names them."""
    return json.dumps(tree, indent=1, default=str).encode()


def to_toml(tables: dict[str, Any]) -> bytes:
    """Write tables as TOML; None is left out, tables within tables stand on their line."""
    lines: list[str] = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            lines.insert(0, f"{json.dumps(name)} = {_toml(table)}")
            continue
        lines.append(f"[{json.dumps(name)}]")
        lines += [f"{json.dumps(key)} = {_toml(value)}" for key, value in table.items() if value is not None]
    return ("\n".join(lines) + "\n").encode(errors="surrogatepass")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        items = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value if item is not None) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{value:+}"
    return json.dumps(value, default=str)


def mutate_xml(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Mutate a text of XML: elements dropped, doubled, renamed and nested; attributes and texts replaced."""
    root = ElementTree.fromstring(content)
    told = []
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        parents = [(parent, child) for parent in root.iter() for child in parent]
        if not parents:
            break
        parent, child = parents[int(rng.integers(len(parents)))]
        name = str(rng.choice(["drop", "double", "rename", "nest", "text", "attribute", "attribute"]))
        value = str(NUMBERS[int(rng.integers(len(NUMBERS)))]) if rng.random() < 0.7 else _xml_text(rng)
        if name == "drop":
            parent.remove(child)
        elif name == "double":
            parent.append(copy.deepcopy(child))
        elif name == "rename":
            child.tag = f"{child.tag}x"
        elif name == "nest":
            child.append(copy.deepcopy(parent))
        elif name == "attribute" and child.attrib:
            key = list(child.attrib)[int(rng.integers(len(child.attrib)))]
            child.set(key, value)
        else:
            child.text = value
        told.append(f"{name} {child.tag}")
    return ElementTree.tostring(root), ", ".join(told)


def _xml_text(rng: np.random.Generator) -> str:
    texts = ("", "x", "é", "nan", "inf", "Float64", "CFloat32", "Int64", "/nowhere.tif", "scene.vrt", "1, 2", "EPSG:0")
    return texts[int(rng.integers(len(texts)))]
