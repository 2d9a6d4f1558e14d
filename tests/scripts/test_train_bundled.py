from pathlib import Path

import pytest
import torch

import train_bundled
from geodeeplab.models.build import build_model


def test_trains_and_keeps_the_best(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = f"--data {data} --out {tmp_path} --steps 4 --every 2 --batch 2 --crop 32 --synthetic 0"
    monkeypatch.setattr("sys.argv", ["train_bundled.py", *small.split()])
    train_bundled.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" loss")[0] for line in lines] == ["step 2", "step 4"]
    kept, last = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("best", "last"))
    assert (last["step"], last["options"]["crop"]) == (4, 32)
    build_model(**train_bundled.ARCHITECTURE).load_state_dict(kept["weights"])
    average = train_bundled.average_weights([tmp_path / "best.pt", tmp_path / "last.pt"])
    assert average.keys() == kept["weights"].keys()
