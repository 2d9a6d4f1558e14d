import json
import textwrap
from pathlib import Path

import pytest

import gpu_check
from gpu_parts import fast, right, whole
from gpu_parts.bench import Bench

PRETENDED = """
    import json, sys, time
    part, folder = (sys.argv[sys.argv.index(name) + 1] for name in ("--run", "--folder"))
    with open(f"{folder}/{part}.jsonl", "w") as file:
        file.write(json.dumps({"what": "it", "holds": part != "slots", "facts": {"tiles_per_s": 7}}) + "\\n")
    if part == "waits":
        time.sleep(60)
    if part == "stages":
        sys.exit("a line\\nanother")
    if part == "dask":
        print("pip install it")
        sys.exit(77)
"""


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Parts that do nothing: one takes too long, one fails, one lacks a package."""
    program = tmp_path / "parts.py"
    program.write_text(textwrap.dedent(PRETENDED))
    monkeypatch.setattr(gpu_check, "__file__", str(program))
    monkeypatch.setattr(gpu_check, "PARTS", gpu_check.PARTS | {"waits": ("right", 0.5)})


@pytest.mark.usefixtures("pretended")
def test_each_part_is_cut_off_by_itself_and_what_it_found_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "check.json"
    parts = ["environment", "waits", "slots", "stages", "dask"]
    assert gpu_check.main(["--out", str(out), "--parts", *parts]) == 1
    found = {one["part"]: one for one in json.loads(out.read_text())["parts"]}
    assert [found[part]["status"] for part in parts] == ["done", "cut off", "done", "failed", "left out"]
    assert found["waits"]["why"] == "after 0 s"
    assert found["stages"]["why"] == "another"
    assert all(one["records"][0]["facts"] == {"tiles_per_s": 7} for one in found.values())
    printed = capsys.readouterr().out
    assert "| | it | holds; tiles per s 7 |" in printed
    assert "| | it | **DOES NOT HOLD**; tiles per s 7 |" in printed


@pytest.mark.usefixtures("pretended")
def test_what_is_left_out_is_well(tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    assert gpu_check.main(["--device", "cpu", "--out", str(out), "--parts", "environment", "waits"]) == 0
    assert gpu_check.main(["--limit", "1", "--out", str(out), "--parts", "environment"]) == 1
    assert json.loads(out.read_text())["parts"][0]["why"] == "no time was left"


def test_every_part_is_there_and_the_limit_is_nine_minutes() -> None:
    modules = {"right": right, "fast": fast, "whole": whole}
    assert all(callable(getattr(modules[module], part)) for part, (module, _) in gpu_check.PARTS.items())
    assert gpu_check.parse_arguments([]).limit < 540


def test_a_part_runs_in_the_process_that_it_is_given(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--quick", "--folder", str(tmp_path), "--run"]
    assert gpu_check.main([*arguments, "environment"]) == 0
    first = json.loads((tmp_path / "environment.jsonl").read_text().splitlines()[0])
    assert first["what"] == "software"
    bench = Bench(device="cpu", is_quick=True, folder=tmp_path, part="right")
    path = bench.scene(150)
    labels = bench.labels(bench.engine(bench.network(), precision="fp32", batch_size=1), path)
    assert labels.shape == (150, 150)
