"""Mutated inputs: none ends badly; and what would end badly is seen."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fuzz import line_of, run_cases, table
from fuzzing.cases import GOOD, Bench
from fuzzing.inputs import sign_line
from fuzzing.kinds import Command, Kind, iter_kinds
from fuzzing.oracles import changed_ground
from fuzzing.raw import MUTATIONS, mutate_bytes
from fuzzing.shapes import Geometry, to_wkb, write_layer
from fuzzing.tiff import read_entries
from fuzzing.trees import iter_places, mutate_json, mutate_xml, to_toml

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched in /proc")

PLANTED = """
import os, sys, threading
from pathlib import Path
def main():
    source, out = map(Path, sys.argv[1:])
    what = source.read_text()
    if what == "traceback":
        {}["key"]
    elif what == "thread":
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    elif what == "hang":
        while True:
            pass
    elif what == "memory":
        held = bytearray(400_000_000)
    elif what == "crash":
        os.kill(os.getpid(), 11)
    elif what == "file":
        (out / "b.tif").touch()
    elif what == "hidden":
        (out / ".a.tif.part").touch()
        sys.exit("error: no")
    elif what == "gone":
        (out / "keep.txt").unlink()
    elif what == "changed":
        source.write_text("x")
    elif what == "elsewhere":
        (out.parent / "elsewhere" / "user.tif").write_text("x")
    elif what == "lines":
        sys.stderr.write("error: one\\nerror: two\\n")
        sys.exit(1)
    elif what == "refused":
        sys.stderr.write("warning: mind\\nerror: refused: take another\\n")
        sys.exit(1)
"""
WANTED = {
    **{"traceback": "traceback", "thread": "traceback", "hang": "hang", "memory": "memory", "crash": "crash"},
    **{"file": "leftover", "hidden": "leftover", "gone": "leftover", "changed": "leftover", "elsewhere": "leftover"},
    **{"lines": "unclear", "refused": "refused", "fine": "result"},
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program that does what its input says, in the place of the command line."""
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "x.txt").write_text("fine")
    return tmp_path


@pytest.mark.slow
def test_what_ends_badly_is_seen(planted: Path) -> None:
    words = list(WANTED)

    def plant(folder: Path, rng: np.random.Generator) -> str:
        (folder / "in" / "x.txt").write_text(words[len(seen)])
        return words[len(seen)]

    seen: dict[str, str] = {}
    command = Command(name="planted", argv=("{in}/x.txt", "{out}"))
    kind = Kind(name="planted", files=("x.txt",), mutate=plant, commands=(command,))
    limits = {"limit_s": 2.0, "limit_bytes": 200e6}
    bench = Bench(planted / "inputs", planted / "bench", seed=0, kinds=[kind], entry="planted:main", **limits)
    try:
        for number, word in enumerate(words):
            outcome = bench.run(number)
            seen[word] = outcome.outcome
    finally:
        bench.close()
    assert seen == WANTED


def test_a_result_that_cannot_be_read_is_wrong(planted: Path) -> None:
    command = Command(name="planted", argv=("{in}/x.txt", "{out}"), check="resumed")
    kind = Kind(name="planted", files=("x.txt",), mutate=lambda folder, rng: "", commands=(command,))
    bench = Bench(planted / "inputs", planted / "bench", seed=0, kinds=[kind], entry="planted:main")
    try:
        outcome = bench.run(0)
    finally:
        bench.close()
    assert (outcome.outcome, outcome.verdict) == ("wrong", "wrong")
    assert "| planted | 1 | 0 | 0 |" in table([outcome])


def test_a_case_is_decided_by_seed_and_number() -> None:
    content = bytes(range(256)) * 8
    for number in range(200):
        first, second = (mutate_bytes(content, np.random.default_rng([3, number])) for _ in range(2))
        assert first == second
    names = Counter(mutate_bytes(content, np.random.default_rng([3, number]))[1] for number in range(200))
    assert set(names) == set(MUTATIONS)
    assert mutate_bytes(b"", np.random.default_rng(0))[0] is not None


def test_kinds_have_names_of_their_own() -> None:
    names = [kind.name for kind in iter_kinds()]
    assert len(set(names)) == len(names) > 20


def test_trees_change_and_are_written() -> None:
    content = b'{"a": {"b": [1, 2.5, null, "x"]}, "c": true}'
    assert len(list(iter_places({"a": {"b": [1, 2]}, "c": 0}))) == 5
    for number in range(300):
        changed, told = mutate_json(content, np.random.default_rng(number))
        assert told
        assert isinstance(changed, bytes)
    xml = b'<a x="1"><b y="2">text</b></a>'
    assert {mutate_xml(xml, np.random.default_rng(number))[0] for number in range(50)} > {xml}


def test_toml_is_what_was_meant() -> None:
    import tomllib

    tables = {"a": {"x": [1, {"y": "é\n"}], "z": float("inf"), "none": None}, "b": {}}
    assert tomllib.loads(to_toml(tables).decode()) == {"a": {"x": [1, {"y": "é\n"}], "z": float("inf")}, "b": {}}


def test_geometries_are_well_known_binary() -> None:
    import shapely

    ring = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 0.0]]
    shapes: list[Geometry] = [
        {"type": "Polygon", "coordinates": [ring]},
        {"type": "MultiPolygon", "coordinates": [[ring], [ring]]},
        {"type": "LineString", "coordinates": [[*point, 7.0] for point in ring]},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1.0, 2.0]}]},
    ]
    for shape in shapes:
        assert shapely.from_wkb(to_wkb(shape)).equals(shapely.geometry.shape(shape))


@pytest.mark.filterwarnings("ignore:Non closed ring")
def test_the_ground_of_an_open_ring_may_change(tmp_path: Path) -> None:
    ring = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 0.0]]
    moved = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [-30.0, 50.0]]
    for name, points in (("a.geojson", ring), ("b.geojson", moved)):
        shapes: list[Geometry] = [{"type": "Polygon", "coordinates": [one]} for one in (points, ring)]
        write_layer(tmp_path / name, shapes, ["field", "wood"])
    boxes = changed_ground(tmp_path / "b.geojson", tmp_path / "a.geojson")
    assert boxes is not None
    assert sorted(boxes) == [(-30.0, 0.0, 2.0, 50.0), (0.0, 0.0, 2.0, 1.0)]


def test_tags_are_found(tmp_path: Path) -> None:
    from fuzzing.inputs import write_raster

    write_raster(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8))
    entries, links = read_entries((tmp_path / "a.tif").read_bytes())
    assert {256, 257, 258, 259, 273, 279, 33550} <= {entry.tag for entry in entries}
    assert len(links) == 2


def test_a_forged_line_has_the_journal_s_sum(tmp_path: Path) -> None:
    from geodeeplab.raster.spool.journal import read_journal

    path = tmp_path / "blocks.journal"
    path.write_bytes(sign_line({"version": 2}) + sign_line({"rows": [0, 64]}))
    journal = read_journal(path)
    assert journal is not None
    assert (journal.header, journal.records, journal.is_whole) == ({"version": 2}, [{"rows": [0, 64]}], True)


@pytest.mark.slow
def test_mutated_inputs_end_well(tmp_path: Path) -> None:
    outcomes = run_cases(tmp_path, range(150), seed=1)
    print(table(outcomes))
    bad = [line_of(outcome) for outcome in outcomes if outcome.outcome not in GOOD]
    assert not bad, "\n".join(bad)
    assert sum(outcome.verdict == "checked" for outcome in outcomes) > 10
