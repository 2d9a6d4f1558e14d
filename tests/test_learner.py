"""The learner, on chips that are drawn and for a few steps: that it works together, not that it learns much."""

import dataclasses
import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from geodeeplab.errors import GeoDeepLabWarning, ModelError, OptionError, OutputError
from geodeeplab.learner import DeepLab
from geodeeplab.models import Model, Normalisation, SegmentationNetwork, build_model, iter_bundled, load_model
from geodeeplab.models.heads.aspp import ImagePooling
from geodeeplab.models.int8.calibrate import int8_convolutions
from geodeeplab.pipeline.segment import segment
from geodeeplab.training import TrainingData
from geodeeplab.training.loop.losses import class_weights
from geodeeplab.training.loop.recipe import EpochRecord, Recipe
from tests.training.drawn import draw_data, make_network

pytestmark = pytest.mark.xdist_group("learner")  # one process fits, once
MakeRaster = Callable[..., Path]


def make_learner(data: TrainingData | None = None) -> DeepLab:
    data = data or draw_data()
    torch.manual_seed(0)
    network = make_network("fcn", bands=len(data.bands))
    return DeepLab(data, network=network, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> DeepLab:
    learner = make_learner()
    learner.fit(2, 1e-2, workers=0, folder=tmp_path_factory.mktemp("runs") / "fitted", progress=False)
    return learner


@pytest.fixture(scope="module")
def saved(fitted: DeepLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("models") / "drawn.safetensors", licence="CC0-1.0")


def test_scores_are_those_of_the_validation_chips(fitted: DeepLab) -> None:
    assert [record.epoch for record in fitted.history] == [1, 2]
    best = max(fitted.history, key=lambda record: record.miou or 0)
    assert fitted.mIOU(mean=True) == pytest.approx(best.miou)
    assert fitted.accuracy() == pytest.approx(best.accuracy)
    assert fitted.mIOU() == pytest.approx(dict(zip(("field", "wood", "roof"), best.iou, strict=True)))
    table = fitted.per_class_metrics()
    assert list(table.columns) == ["field", "wood", "roof"]
    assert list(table.index) == ["precision", "recall", "f1", "iou", "boundary_iou", "pixels"]
    assert table.loc["iou"].to_dict() == pytest.approx(fitted.mIOU())
    pixels = sum(int((fitted.data.val.draw(i).labels != 255).sum()) for i in range(4))
    assert table.loc["pixels"].sum() == pixels


def test_pictures(fitted: DeepLab, tmp_path: Path) -> None:
    for name in ("plot_losses", "plot_confusion", "show_results", "show_worst"):
        path = tmp_path / f"{name}.png"
        getattr(fitted, name)(dst_path=path)
        assert path.stat().st_size > 5000
    with pytest.raises(OptionError, match="there is no sweep to draw: call lr_find first"):
        make_learner().plot_lr()
    with pytest.raises(OptionError, match="there is no loss to draw before the first epoch"):
        make_learner().plot_losses()


def test_the_model_file_says_everything(fitted: DeepLab, saved: Path) -> None:
    contract = load_model(saved).contract
    assert contract.name == "drawn"
    assert contract.classes == fitted.data.classes
    assert contract.bands == fitted.data.bands
    assert (contract.dtype, contract.value_range, contract.gsd_m) == ("uint8", (0, 255), 1.0)
    assert (contract.tile_size, contract.overlap, contract.licence) == (32, 8, "CC0-1.0")
    validation = contract.metrics["validation"]
    assert "4 validation chips of 32 px, none of which was trained on" in validation["measured_on"]
    assert validation["miou"] == fitted.mIOU(mean=True)
    assert contract.appearance is not None
    assert contract.appearance.side == 32
    assert contract.provenance["data"] == {"sources": ["drawn"]}
    assert contract.provenance["seed"] == 5
    assert contract.provenance["start"] == "nothing"
    assert contract.provenance["fits"][0]["lr"] == 1e-2
    assert contract.provenance["fits"][0]["epochs_done"] == 2
    with pytest.raises(OutputError, match="exists"):
        fitted.save(saved)


def test_the_model_file_segments_at_once_and_as_the_learner_does(
    fitted: DeepLab, saved: Path, make_raster: MakeRaster, tmp_path: Path
) -> None:
    chip = fitted.data.val.draw(0)
    image = chip.pixels.nan_to_num().numpy().astype(np.uint8).repeat(3, 1).repeat(3, 2)
    scene = make_raster(image, names=("red", "green", "blue"))
    segment(scene, label_raster=tmp_path / "file.tif", model=saved, precision="fp32")
    fitted.predict(scene, label_raster=tmp_path / "learner.tif")
    with rasterio.open(tmp_path / "file.tif") as one, rasterio.open(tmp_path / "learner.tif") as other:
        assert set(np.unique(one.read(1))) <= {1, 2, 3}
        assert (one.read(1) == other.read(1)).mean() > 0.99  # the file's weights are float16


def test_confidence_is_calibrated_on_the_validation_chips(
    fitted: DeepLab, saved: Path, make_raster: MakeRaster, tmp_path: Path
) -> None:
    learner = make_learner()
    learner.load(saved)
    last = [part for part in learner.network.modules() if isinstance(part, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        for weights in last.parameters():
            weights.mul_(60)  # a network that is far too sure
    model = load_model(learner.save(tmp_path / "hot.safetensors"))
    assert model.contract.temperature > 1
    validation = model.contract.metrics["validation"]
    assert validation["ece"] < validation["ece_before_temperature"]

    chip = fitted.data.val.draw(0)
    scene = make_raster(chip.pixels.nan_to_num().numpy().astype(np.uint8), names=("red", "green", "blue"))
    sure = dataclasses.replace(model.contract, temperature=1.0)
    found = []
    for name, one in (("file", model), ("sure", dataclasses.replace(model, contract=sure))):
        labels, confidence = tmp_path / f"{name}.tif", tmp_path / f"{name}-confidence.tif"
        segment(scene, label_raster=labels, confidence=confidence, model=one, precision="fp32")
        found += [rasterio.open(path).read(1).astype(int) for path in (labels, confidence)]
    assert np.array_equal(found[0], found[2])
    there = found[0] > 0
    assert found[3][there].mean() > found[1][there].mean() + 2
    learner.predict(scene, confidence=tmp_path / "learner.tif")
    assert np.abs(rasterio.open(tmp_path / "learner.tif").read(1) - found[1])[there].mean() < 2


def test_int8_is_prepared_on_training_chips(fitted: DeepLab, tmp_path: Path) -> None:
    contract = load_model(fitted.save(tmp_path / "int8.safetensors", int8=True)).contract
    assert set(contract.int8_ranges) == set(int8_convolutions(fitted.network))
    first = next(name for name, part in fitted.network.named_modules() if isinstance(part, torch.nn.Conv2d))
    normalise, chips = Normalisation(contract), [fitted.data.train.draw(i) for i in range(len(fitted.data.train))]
    images = [normalise(chip.pixels[None], chip.valid[None]) for chip in chips]
    ends = [torch.stack([getattr(image, end)() for image in images]).mean().item() for end in ("min", "max")]
    assert contract.int8_ranges[first] == pytest.approx(ends, rel=1e-4)
    assert load_model(fitted.save(tmp_path / "plain.safetensors")).contract.int8_ranges == {}


def test_a_model_without_labelled_validation_pixels_has_the_temperature_1(tmp_path: Path) -> None:
    data = draw_data()
    data = dataclasses.replace(data, val=dataclasses.replace(data.val, unlabelled=True))  # type: ignore[type-var]
    contract = load_model(make_learner(data).save(tmp_path / "m.safetensors")).contract
    assert (contract.temperature, contract.metrics["validation"]["ece"]) == (1.0, None)


def test_going_on_with_a_saved_model(fitted: DeepLab, saved: Path) -> None:
    learner = make_learner()
    learner.load(saved)
    loaded, weights = learner.network.state_dict(), fitted.network.state_dict()
    assert all(torch.allclose(loaded[key], weights[key], atol=1e-2) for key in weights)
    assert learner.start == str(saved)
    other = draw_data(bands=2)
    with pytest.raises(ModelError, match="has another architecture"):
        make_learner(other).load(saved)
    nir = dataclasses.replace(learner.data.bands[2], name="nir")
    renamed = dataclasses.replace(learner.data, bands=(*learner.data.bands[:2], nir))
    with pytest.raises(ModelError, match=r"another list of bands, \['red', 'green', 'blue'\], not .*'nir'.*from_model"):
        make_learner(renamed).load(saved)


def reordered(data: TrainingData, names: tuple[str, ...]) -> TrainingData:
    """Give data with other classes; the chips' labels are not looked at."""
    classes = tuple(
        dataclasses.replace(data.classes[0], id=i, name=name, color=(10 * i, 0, 0)) for i, name in enumerate(names, 1)
    )
    return dataclasses.replace(data, classes=classes, class_pixels=(100,) * len(names))


def coarse_of(network: SegmentationNetwork, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network.eval()(images)
    return logits


def test_classes_keep_what_was_learned_about_them_in_another_order(saved: Path) -> None:
    names = ("roof", "lake", "field", "road")
    learner = DeepLab.from_model(saved, reordered(draw_data(), names), device="cpu")
    images = torch.randn(1, 3, 32, 32)
    old, _ = load_model(saved).network.coarse_and_fine(images)  # type: ignore[operator]
    new, _ = learner.network.eval().coarse_and_fine(images)
    assert new.shape[1] == 4
    torch.testing.assert_close(new[:, [0, 2]], old[:, [2, 0]])
    assert learner.network.architecture["num_classes"] == 4
    assert learner._backbone_factor == 0.1
    same = DeepLab.from_model(saved, draw_data(), device="cpu")
    torch.testing.assert_close(coarse_of(same.network, images), coarse_of(load_model(saved).network, images))  # type: ignore[arg-type]


def test_other_bands_by_name(saved: Path) -> None:
    learner = DeepLab.from_model(saved, draw_data(bands=4), device="cpu")
    grey = torch.ones(1, 1, 32, 32)
    first = next(module for module in learner.network.backbone.modules() if isinstance(module, torch.nn.Conv2d))
    theirs = next(m for m in load_model(saved).network.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.weight.shape[1] == 4
    torch.testing.assert_close(
        first(grey.expand(1, 4, 32, 32)), theirs(grey.expand(1, 3, 32, 32)), atol=1e-2, rtol=1e-2
    )


def test_bands_that_the_model_knows_are_normalised_as_it_was_trained(saved: Path) -> None:
    data = draw_data(bands=4)
    other = dataclasses.replace(data, bands=tuple(dataclasses.replace(band, mean=10.0, std=5.0) for band in data.bands))
    learner = DeepLab.from_model(saved, other, device="cpu")
    assert [(band.mean, band.std) for band in learner.data.bands] == [(120.0, 45.0)] * 3 + [(10.0, 5.0)]
    wide = dataclasses.replace(other, dtype="uint16", value_range=(0.0, 4000.0))
    assert {band.mean for band in DeepLab.from_model(saved, wide, device="cpu").data.bands} == {10.0}


def test_the_sweep_suggests_and_leaves_everything_as_it_was() -> None:
    learner = make_learner()
    learner.network.train()
    before = {key: value.clone() for key, value in learner.network.state_dict().items()}
    state = torch.random.get_rng_state()
    rate = learner.lr_find(steps=12, workers=0)
    assert 1e-6 <= rate <= 1
    assert learner.sweep is not None
    assert learner.sweep.suggestion == rate
    assert all(torch.equal(value, before[key]) for key, value in learner.network.state_dict().items())
    assert learner.network.training
    assert all(parameter.grad is None for parameter in learner.network.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert learner._rate(None, None) == rate  # a fit without a rate takes it
    learner.plot_lr()


def test_the_loss_follows_the_options() -> None:
    data = draw_data()

    def objective(**options: object) -> object:
        return DeepLab(data, network=make_network("fcn"), device="cpu", **options).objective  # type: ignore[arg-type]

    ours = make_learner().objective
    assert ours.class_weights is None
    assert (ours.dice_fraction, ours.dice_average, ours.focal_gamma, ours.mixup) == (0, "macro", None, 0)
    theirs = objective(dice_loss_fraction=0.4, dice_loss_average="micro", focal_loss=True)
    assert theirs == dataclasses.replace(ours, dice_fraction=0.4, dice_average="micro", focal_gamma=2.0)
    weights = tuple(class_weights(data.class_pixels).tolist())
    assert objective(class_balancing=True) == dataclasses.replace(ours, class_weights=weights)
    assert objective(mixup=True) == dataclasses.replace(ours, mixup=0.4)
    assert objective(ignore_classes=["wood"]) == dataclasses.replace(ours, ignore_classes=(1,))


def test_ignored_classes_are_not_scored() -> None:
    learner = DeepLab(draw_data(), network=make_network("fcn"), ignore_classes=["wood"], device="cpu", precision="fp32")
    assert learner.per_class_metrics().loc["pixels", "wood"] == 0


def test_freezing_leaves_the_backbone_alone(tmp_path: Path) -> None:
    learner = make_learner()
    learner.freeze()
    before = {key: value.clone() for key, value in learner.network.backbone.state_dict().items()}
    learner.fit(1, 1e-2, workers=0, checkpoint=False, progress=False)
    assert all(torch.equal(value, before[key]) for key, value in learner.network.backbone.state_dict().items())
    assert learner.folder is None
    learner.unfreeze()
    assert all(parameter.requires_grad for parameter in learner.network.parameters())


def test_a_second_fit_counts_on_and_tensorboard_gets_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    learner = make_learner()
    learner.fit(1, 1e-2, workers=0, progress=False)
    assert learner.folder == Path("runs/fcn-mobilenet_v3_small-1")
    learner.fit(1, 1e-2, workers=0, progress=False, one_cycle=False, tensorboard=True)
    assert [record.epoch for record in learner.history] == [1, 2]
    assert learner.folder == Path("runs/fcn-mobilenet_v3_small-2")
    assert list((learner.folder / "tensorboard").glob("events.*"))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_line_an_epoch_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ipykernel")  # whoever has imported it is no notebook yet
    make_learner().fit(1, 1e-2, workers=0, checkpoint=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    forecast, line = captured.err.splitlines()
    assert re.fullmatch(r"2 steps of 4 chips of 32 px, in 1 epochs of 2: about \d+ s on cpu", forecast)
    assert line.startswith("epoch 1/1: loss ")
    assert ", mIoU 0." in line


def test_options_that_contradict_each_other() -> None:
    learner = make_learner()
    with pytest.raises(OptionError, match="leave `checkpoint=True` with them"):
        learner.fit(1, 1e-2, checkpoint=False, resume=True)
    with pytest.raises(OptionError, match="resume goes on with the run in a folder: pass folder"):
        learner.fit(1, 1e-2, resume=True)
    with pytest.raises(OptionError, match="contradict each other"):
        learner.fit(1, 1e-2, one_cycle=False, schedule="one_cycle")
    with pytest.raises(OptionError, match="3 classes and 2 bands, the network is for 3 and 3"):
        DeepLab(draw_data(bands=2), network=make_network("fcn"))


def test_weights_that_are_not_there_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ModelError, match=r"cannot be downloaded .*no route.* with `weights=None`") as error:
        DeepLab(draw_data(), "resnet18")
    assert "\n" not in str(error.value)
    assert "`backbone=efficientnet_lite0`" in str(error.value)  # what is on this disk
    assert all(f"`from_model={name}`" in str(error.value) for name in iter_bundled())


def test_devices_that_are_not_there_are_one_line() -> None:
    with pytest.raises(OptionError, match=r"no usable device 'cuda:7': use auto or cpu"):
        DeepLab(draw_data(), network=make_network("fcn"), device="cuda:7")
    for told in ({"devices": 0}, {"strategy": "ddpx"}):
        with pytest.raises(OptionError, match=r"Lightning cannot train as asked for .*: correct `devices=`") as error:
            make_learner().fit(1, 1e-2, workers=0, checkpoint=False, progress=False, **told)
        assert "\n" not in str(error.value)


def test_the_default_learner_needs_no_network_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DeepLab(data).fit()`: bundled weights, PointRend, 1e-3 for all of it, 640 steps."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("nothing is downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    learner = DeepLab(draw_data(train=512, batch_size=8), device="cpu", precision="fp32")
    assert learner.network.architecture["backbone"] == "efficientnet_lite0"
    assert learner.network.point_head is not None
    assert learner.start == "imagenet (efficientnet_lite0.safetensors)"

    fits: dict[str, Recipe] = {}

    def fit_network(*_: object, recipe: Recipe, **__: object) -> list[EpochRecord]:
        fits["recipe"] = recipe
        return []

    monkeypatch.setattr("geodeeplab.training.loop.fit.fit_network", fit_network)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not too short
        learner.fit(checkpoint=False)
    recipe = fits["recipe"]
    assert (recipe.epochs, recipe.lr, recipe.backbone_factor, recipe.batch_size) == (10, 1e-3, 1.0, 8)
    assert learner.sweep is None  # nobody asked for one


def test_a_fit_of_few_steps_is_warned_of() -> None:
    learner = make_learner()
    with pytest.warns(GeoDeepLabWarning, match=r"^4 steps in all .* give 100 `epochs=` of 2 steps or more") as caught:
        learner.fit(2, 1e-2, workers=0, checkpoint=False, progress=False)
    assert caught[0].filename == __file__


def test_a_batch_in_parts_makes_as_many_steps_and_scales_pooled_features_without_statistics() -> None:
    data = dataclasses.replace(draw_data(train=8, batch_size=4), micro_batch=1)
    torch.manual_seed(0)
    learner = DeepLab(data, network=make_network(), device="cpu", precision="fp32")  # ASPP, and one chip at a time
    counts: list[int] = []
    learner.fit(1, 1e-2, workers=0, checkpoint=False, progress=lambda done, total, _: counts.extend((done, total)))
    assert counts == [1, 2, 2, 2, 2, 2]
    assert len(learner.history[0].step_losses) == 2
    pooling = next(module for module in learner.network.modules() if isinstance(module, ImagePooling))
    assert torch.equal(pooling.norm.running_mean, torch.zeros(8))  # type: ignore[arg-type]
    assert torch.equal(pooling.norm.running_var, torch.ones(8))  # type: ignore[arg-type]


def test_labels_of_one_class_only_are_refused() -> None:
    data = dataclasses.replace(draw_data(), class_pixels=(0, 700, 0))
    with pytest.raises(OptionError, match="of 3 only 'wood' has any labels to train on: label another class"):
        DeepLab(data, network=make_network("fcn"))


def test_imagenet_weights_are_an_argument_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(1)
    source = build_model(arch="fcn", backbone="mobilenet_v3_small", num_classes=2).backbone.state_dict()
    torch.save(source, tmp_path / "backbone.pth")  # as a file of them would be
    with caplog.at_level(logging.INFO):
        learner = DeepLab(draw_data(bands=4), "mobilenet_v3_small", arch="fcn", weights=tmp_path / "backbone.pth")
    ours = learner.network.backbone.state_dict()
    same = [key for key in source if torch.equal(ours[key], source[key])]
    assert len(same) == len(source) - 1  # all but the first convolution
    assert learner.start == str(tmp_path / "backbone.pth")
    assert (learner._backbone_factor, learner._fixed_statistics) == (1.0, True)
    assert "3 → 4 bands" in caplog.text


def test_the_backbone_of_a_network_that_was_trained_as_a_whole_learns_at_a_tenth(tmp_path: Path) -> None:
    def learn_from(weights: Path | None, model: Path | None = None) -> DeepLab:
        return DeepLab(draw_data(), "mobilenet_v3_small", model, False, arch="fcn", weights=weights, device="cpu")

    before = learn_from(None)
    model = before.save(tmp_path / "model.safetensors", licence="CC0-1.0")
    whole, alone = tmp_path / "whole.pth", tmp_path / "alone.pth"
    torch.save(before.network.state_dict(), whole)
    torch.save(before.network.backbone.state_dict(), alone)
    factors = [one._backbone_factor for one in (before, learn_from(alone), learn_from(whole), learn_from(None, model))]
    assert factors == [1.0, 1.0, 0.1, 0.1]
    before.load(model)
    assert before._backbone_factor == 0.1


def test_what_there_is() -> None:
    assert "resnet50" in DeepLab.backbones() == DeepLab.supported_backbones
    assert "deeplabv3" in DeepLab.supported_architectures
    assert "Classified_Tiles" in DeepLab.supported_datasets
    assert make_learner().available_metrics == ("miou", "boundary_iou", "accuracy", "boundary_f1", "loss")


def test_a_network_of_somebody_elses_cannot_be_gone_on_with(saved: Path) -> None:
    from geodeeplab.training.loop.starting import adopt_model, network_like

    model = load_model(saved)
    foreign = Model(network=model.network, contract=dataclasses.replace(model.contract, architecture={}))
    with pytest.raises(ModelError, match="was not made by build_model"):
        network_like(foreign, classes=3, bands=3)
    with pytest.raises(ModelError, match="has no file: save it"):
        adopt_model(make_network("fcn"), foreign, class_names=["a"], bands=["red"])


def test_a_model_that_was_started_from_is_not_overwritten(saved: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(saved.read_bytes())
    learner = DeepLab.from_model(start, draw_data(), device="cpu", precision="fp32")
    for path in (start, tmp_path / "link.safetensors"):
        if path != start:
            path.hardlink_to(start)
        with pytest.raises(OptionError, match="is also an input"):
            learner.save(path, overwrite=True)
    start.rename(tmp_path / "best.safetensors")
    learner.load(tmp_path / "best.safetensors")
    with pytest.raises(OptionError, match=r"best\.safetensors is also an input"):
        learner.fit(1, 1e-2, workers=0, folder=tmp_path, overwrite=True, progress=False)
    assert (tmp_path / "best.safetensors").read_bytes() == saved.read_bytes()
