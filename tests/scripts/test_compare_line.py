import json
from pathlib import Path

import pytest

import compare_line
from aerial_data import REPORT_TILE, read_dubai_parts


def options(data: Path, out: Path, *more: str) -> list[str]:
    small = "--archs deeplabv3 --steps 4 --batch 2 --crop 64 --width 8 --device cpu --workers 0".split()
    return ["--data", str(data), "--out", str(out), *small, *more]


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("what is there is not done again")


@pytest.mark.slow
def test_trains_scores_and_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_line.main(options(data, tmp_path, "--no-crf"))
    (tmp_path / "deeplabv3-pointrend-seed1.json").unlink()
    plain = json.loads((tmp_path / "deeplabv3-seed1.json").read_text())
    assert [each["step"] for each in plain["tried"]] == [1, 2, 3, 4]
    assert plain["tried"][plain["choice"]] == max(plain["tried"], key=lambda each: each["mIoU"])
    assert "| DeepLabV3 + PointRend |" in (tmp_path / "comparison.md").read_text()

    compare_line.main(options(data, tmp_path))  # trains the one whose file is gone, adds the CRF to both
    for name in ("train", "refine", "measure"):
        monkeypatch.setattr(compare_line, name, refuse)
    compare_line.main(options(data, tmp_path))
    done = json.loads((tmp_path / "comparison.json").read_text())
    assert [each["pointrend"] for each in done] == [False, True]
    assert {name: done[0][name] for name in plain if name != "ms"} | {"ms": plain["ms"]} == plain
    for each in done:
        assert len(each["crf"]["tried"]) == len(compare_line.CRFS)
        assert 0 <= each["crf"]["report"]["boundary"] <= each["crf"]["report"]["mIoU"] + 1
    names = [line.split("|")[1].strip() for line in (tmp_path / "comparison.md").read_text().splitlines()[4:]]
    assert names == ["DeepLabV3", "DeepLabV3 + CRF", "DeepLabV3 + PointRend", "DeepLabV3 + PointRend + CRF"]

    with pytest.raises(SystemExit, match="choose another --out"):
        compare_line.main(options(data, tmp_path, "--lr", "0.1"))


@pytest.mark.slow
def test_networks_of_a_seed_begin_with_the_same_backbone(data: Path, tmp_path: Path) -> None:
    args = compare_line.parse_arguments(options(data, tmp_path))
    first, *others = [
        compare_line.build(arch, pointrend, 1, args) for arch in compare_line.LINE for pointrend in (False, True)
    ]
    for other in others:
        for one, same in zip(first.backbone.parameters(), other.backbone.parameters(), strict=True):
            assert one.equal(same)


def test_scores_of_the_truth_are_one(data: Path) -> None:
    parts = read_dubai_parts(data, REPORT_TILE)
    scores = compare_line.score([truth for _, truth in parts], parts)
    assert (scores["mIoU"], scores["boundary"]) == (1, 1)


def test_several_seeds_give_a_spread() -> None:
    assert compare_line.spread([0.5]) == "0.500"
    assert compare_line.spread([0.4, 0.6]) == "0.500 ± 0.141"
