"""Mutations of what an interrupted run has left: the journal, the files of its blocks, the record of its outputs."""

import json
import os
from pathlib import Path

import numpy as np

from fuzzing.inputs import sign_line
from fuzzing.raw import mutate_bytes
from fuzzing.trees import Json, dump_json, mutate_tree


def _work_of(folder: Path) -> Path:
    """Give the folder of the run's work: that with a journal or a record."""
    found = [path.parent for end in ("journal", "json") for path in (folder / "out").glob(f".*/*.{end}")]
    return found[0]


def mutate_work(folder: Path, rng: np.random.Generator) -> str:
    """Mutate the journal, with its sums or without, or files of blocks; remove, swap or link them."""
    work = _work_of(folder)
    journal = next(path for path in work.iterdir() if path.suffix == ".journal")
    files = sorted(path for path in work.rglob("*") if path.is_file() and path != journal)
    what = str(
        rng.choice(["journal", "journal", "forged", "forged", "forged", "file", "file", "remove", "swap", "link"])
    )
    path = files[int(rng.integers(len(files)))]
    told = path.name
    if what == "journal":
        changed, told = mutate_bytes(journal.read_bytes(), rng)
        journal.write_bytes(changed)
    elif what == "forged":
        lines = journal.read_bytes().splitlines()
        which = int(rng.integers(len(lines)))
        tree, told = mutate_tree(json.loads(lines[which]), rng)
        signed = sign_line(tree) if isinstance(tree, dict) else dump_json(tree) + b"\n"
        journal.write_bytes(b"".join(signed if i == which else line + b"\n" for i, line in enumerate(lines)))
        told = f"line {which} {told}"
    elif what == "file":
        changed, told = mutate_bytes(path.read_bytes(), rng)
        path.write_bytes(changed)
    elif what == "remove":
        (journal if rng.random() < 0.3 else path).unlink()
    elif what == "swap":
        other = files[int(rng.integers(len(files)))]
        first, second = path.read_bytes(), other.read_bytes()
        path.write_bytes(second)
        other.write_bytes(first)
    else:
        target = journal if rng.random() < 0.3 else path
        target.unlink()
        others = (folder / "elsewhere" / "user.tif", target, Path("/dev/null"), Path("/nowhere"))
        target.symlink_to(others[int(rng.integers(4))])
    return f"{what}: {told}"


def mutate_record(folder: Path, rng: np.random.Generator) -> str:
    """Mutate the record of outputs: paths of the user's files, other states, other types, damaged bytes."""
    work = _work_of(folder)
    records = sorted(path for path in work.iterdir() if path.suffix == ".json")
    if not records:
        return "no record"
    path = records[0]
    content = json.loads(path.read_bytes())
    what = str(rng.choice(["paths", "paths", "paths", "state", "tree", "tree", "bytes", "link"]))
    told = ""
    if what == "paths":
        told = _forge_paths(content, folder, rng)
        path.write_bytes(dump_json(content))
    elif what == "state":
        told = str(rng.choice(["writing", "committing", "done", "x"]))
        path.write_bytes(dump_json(content | {"state": told}))
    elif what == "tree":
        tree, told = mutate_tree(content, rng)
        path.write_bytes(dump_json(tree))
    elif what == "bytes":
        changed, told = mutate_bytes(path.read_bytes(), rng)
        path.write_bytes(changed)
    else:
        path.unlink()
        path.symlink_to(folder / "elsewhere" / "user.json")
    return f"{what}: {told}"


def _forge_paths(content: Json, folder: Path, rng: np.random.Generator) -> str:
    """Put paths of the user's files in the place of one or all texts that are paths or names."""
    victims = [
        "elsewhere/user.tif",
        "elsewhere/folder",
        "out/keep.txt",
        "out/keep.tif",
        "in/strips.tif",
        "out",
        "out/k",
    ]
    victim = victims[int(rng.integers(len(victims)))]
    spelled = str(folder / victim) if rng.random() < 0.6 else os.path.relpath(folder / victim, folder / "out")
    is_all, told = rng.random() < 0.4, []

    def walk(tree: Json) -> None:
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            if isinstance(value, dict | list):
                walk(value)
            elif isinstance(value, str) and ("a.gpkg" in value or "a.tif" in value) and (is_all or rng.random() < 0.5):
                tree[key] = spelled
                told.append(str(key))

    walk(content)
    return f"{victim} as {','.join(told)}"
