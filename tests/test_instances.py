"""A learner that tells objects apart: trained, saved, gone on with, and predicted with."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import torch
from shapely.geometry import box

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.learner import DeepLab
from geodeeplab.models import SegmentationNetwork, build_model, load_model
from geodeeplab.training import TrainingData, prepare_data
from geodeeplab.training.loop.losses import boundary_loss
from geodeeplab.training.loop.objective import Objective
from tests.training.drawn import draw_data, make_network

pytestmark = pytest.mark.xdist_group("learner")
LEAST = {"weights": None, "device": "cpu", "precision": "fp32", "aspp_channels": 8}


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Rows of bright houses that touch, on dark ground."""
    from affine import Affine

    import geodeeplab as gdl

    rng = np.random.default_rng(0)
    image = rng.integers(20, 60, (3, 128, 128)).astype(np.uint8)
    shapes = []
    for row in range(8, 112, 24):
        for col in range(8, 112, 16):
            image[:, row : row + 14, col : col + 15] += 120
            shapes.append(box(500_000 + col, 5_000_000 - row - 14, 500_000 + col + 16, 5_000_000 - row))
    scene = gdl.open_array(image, transform=Affine(1, 0, 500_000, 0, -1, 5_000_000), crs="EPSG:32633")
    return prepare_data(
        scenes=scene,
        labels=gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633"),
        classes=["house", "ground"],
        background="ground",
        chip_size=32,
        batch_size=4,
        epoch_chips=8,
        seed=1,
    )


@pytest.fixture(scope="module")
def fitted(houses: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> DeepLab:
    learner = DeepLab(houses, "mobilenet_v3_small", pointrend=False, instances="house", **LEAST)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="steps in all teach a network little"):
        learner.fit(2, 1e-2, workers=0, folder=tmp_path_factory.mktemp("runs") / "houses", progress=False)
    return learner


@pytest.fixture(scope="module")
def saved(fitted: DeepLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("models") / "houses.safetensors")


def logits_of(network: object, images: torch.Tensor) -> torch.Tensor:
    assert isinstance(network, SegmentationNetwork)
    with torch.inference_mode():
        logits: torch.Tensor = network.eval()(images)
    return logits


def test_boundaries_are_learnt_scored_and_told(fitted: DeepLab, saved: Path, tmp_path: Path) -> None:
    assert fitted.data.instances == ("house",)
    scores = [record.boundary_f1 for record in fitted.history]
    assert all(one is not None and 0 <= one <= 1 for one in scores)
    assert "boundary F1" in fitted.history[0].line(2)
    contract = load_model(saved).contract
    assert contract.instances == ("house",)
    best = max(fitted.history, key=lambda record: record.miou or 0)
    assert contract.metrics["validation"]["boundary_f1"] == pytest.approx(best.boundary_f1)
    assert contract.provenance["data"]["instances"] == {"classes": ["house"], "boundary_px": 2}
    assert "told apart by boundaries of 2 px" in str(fitted.data.describe())
    fitted.show_results(1, tmp_path / "results.png")
    fitted.plot_losses(tmp_path / "losses.png")


def test_a_run_is_gone_on_with_by_the_same_boundaries_only(fitted: DeepLab, houses: TrainingData) -> None:
    other = DeepLab(houses, "mobilenet_v3_small", pointrend=False, instances="house", boundary_px=1, **LEAST)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="its instances is"):
        other.fit(2, 1e-2, workers=0, folder=fitted.folder, resume=True, progress=False)


def test_a_learner_takes_it_back_and_predicts_it(
    fitted: DeepLab, houses: TrainingData, saved: Path, tmp_path: Path, make_raster: Callable[..., Path]
) -> None:
    images, kept = torch.randn(1, 3, 32, 32), load_model(saved).network  # in half precision
    again = DeepLab(houses, "mobilenet_v3_small", pointrend=False, instances=["house"], **LEAST)  # type: ignore[arg-type]
    again.load(saved)
    torch.testing.assert_close(logits_of(again.network, images), logits_of(kept, images))
    on = DeepLab.from_model(saved, houses, device="cpu", precision="fp32")
    assert on.data.instances == ("house",)
    torch.testing.assert_close(logits_of(on.network, images), logits_of(kept, images))
    plain = DeepLab(houses, "mobilenet_v3_small", pointrend=False, **LEAST)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="another architecture"):
        plain.load(saved)
    scene = make_raster(np.full((3, 40, 50), 90, dtype=np.uint8))
    alone = DeepLab.from_model(saved, device="cpu")
    for learner in (fitted, alone):
        learner.predict(scene, label_raster=tmp_path / "labels.tif", overwrite=True)


def test_a_model_without_it_keeps_what_it_has_learned(houses: TrainingData, tmp_path: Path) -> None:
    before = DeepLab(houses, "mobilenet_v3_small", pointrend=True, **LEAST)  # type: ignore[arg-type]
    path = before.save(tmp_path / "plain.safetensors")
    learner = DeepLab.from_model(path, houses, instances="house", device="cpu", precision="fp32")
    images, kept = torch.randn(2, 3, 32, 32), load_model(path).network
    logits = logits_of(learner.network, images)
    assert logits.shape == (2, 3, 32, 32)
    torch.testing.assert_close(logits[:, :2], logits_of(kept, images))
    assert torch.isfinite(logits).all()
    back = DeepLab.from_model(learner.save(tmp_path / "both.safetensors"), houses, instances=(), device="cpu")
    torch.testing.assert_close(logits_of(back.network, images), logits_of(kept, images))


@pytest.mark.parametrize("mixup", [False, True])
@pytest.mark.parametrize("options", [{"pointrend": True}, {"arch": "deeplabv2", "pointrend": False}], ids=str)
def test_the_loss_reaches_the_head_of_boundaries(houses: TrainingData, mixup: bool, options: dict[str, object]) -> None:
    from geodeeplab.training.loop.objective import training_loss

    data = houses.separating(["house"])
    backbone = {"backbone": "mobilenet_v3_small", "num_classes": 2, "boundary": True}
    scales = {"scales": (1, 0.5)} if options.get("arch") == "deeplabv2" else {}
    network = build_model(**backbone, **options, **scales)  # type: ignore[arg-type]
    chips = [data.train.draw(index) for index in range(2)]
    labels, boundary = (torch.stack(one) for one in zip(*((c.labels, c.boundary) for c in chips), strict=True))
    images = torch.randn(2, 3, 32, 32)
    objective = Objective(mixup=0.4 if mixup else 0.0)
    training_loss(network.train(), images, labels, objective, boundary=boundary).backward()
    assert network.boundary_head is not None
    gradient = network.boundary_head.predictor.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_the_loss_by_hand() -> None:
    target = torch.tensor([[[1, 0, 255, 255]]], dtype=torch.uint8)
    logits = torch.tensor([[[0.0, 0.0, 50.0, -50.0]]], requires_grad=True)
    loss = boundary_loss(logits, target)
    assert loss.item() == pytest.approx(np.log(2) + 1 - (2 * 0.5 + 1) / (1.0 + 1 + 1))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 2:].tolist() == [0, 0]
    nothing = boundary_loss(logits, torch.full_like(target, 255))
    assert nothing.item() == 0


def test_what_cannot_be_is_refused(houses: TrainingData) -> None:
    with pytest.raises(OptionError, match="no class is called 'roof'"):
        DeepLab(houses, "mobilenet_v3_small", instances="roof", **LEAST)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"`boundary_px=` is the width.*pass `instances=`, too"):
        DeepLab(houses, "mobilenet_v3_small", boundary_px=2, **LEAST)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="weight of the boundaries' loss is above 0"):
        DeepLab(houses, "mobilenet_v3_small", instances="house", boundary_weight=0, **LEAST)  # type: ignore[arg-type]
    network = build_model(backbone="mobilenet_v3_small", num_classes=2)
    with pytest.raises(OptionError, match="told apart by a network that finds their boundaries"):
        DeepLab(houses, network=network, instances="house", device="cpu")
    with pytest.raises(OptionError, match="chips of `prepare_data`"):
        DeepLab(draw_data(), network=make_network(), instances="roof", device="cpu")


def test_objects_of_label_rasters_are_their_components(houses: TrainingData) -> None:
    drawn: npt.NDArray[np.uint8] = np.full((64, 64), 2, dtype=np.uint8)
    drawn[8:40, 8:20] = 1
    drawn[8:40, 22:40] = 1
    data = prepare_data(
        scenes=np.zeros((3, 64, 64), dtype=np.uint8) + drawn,
        labels=drawn[None],
        classes=["house", "ground"],
        chip_size=32,
        block_size=16,
        buffer=0,
        augmentation=False,
        epoch_chips=4,
    ).separating(["house"])
    boundary = data.train.draw(0).boundary
    assert boundary is not None
    assert (boundary == 1).any()
    assert dataclasses.asdict(houses.separating(["house"]).separating([]))["instances"] == ()
