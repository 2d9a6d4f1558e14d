"""A network as a model: its file, and what it makes of scenes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from geodeeplab.errors import OptionError
from geodeeplab.learner.saving import check_same, find_saved, named_file
from geodeeplab.learner.scored import ScoredNetwork
from geodeeplab.models import MODEL_SUFFIXES, Model, find_model, iter_bundled, load_model, save_model
from geodeeplab.pipeline.run_options import RunOptions, with_run_options
from geodeeplab.raster import SceneLike, check_output
from geodeeplab.training.arcgis_words import LOAD, SAVE, understands
from geodeeplab.training.loop.ground import describe_ground
from geodeeplab.training.loop.int8 import measure_chips
from geodeeplab.training.loop.model_facts import validation_metrics

if TYPE_CHECKING:
    from geodeeplab.pipeline.executor import Executor
    from geodeeplab.pipeline.outputs import OutputPath
    from geodeeplab.pipeline.polygon_options import PolygonOptions
    from geodeeplab.pipeline.result import Segmentation
    from geodeeplab.pipeline.running import Progress


class TrainedNetwork(ScoredNetwork):
    """A network with the data it learns from: its scores, its figures, its model file, and what it makes of scenes.

    The base of `DeepLab`, which adds how it is built and trained; users call all of them on one object.
    """

    @understands(SAVE)
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        licence: str = "",
        provenance: Mapping[str, Any] | None = None,
        int8: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write one model file, to segment with at once.

        It holds weights and contract, with the temperature that calibrates confidence on the validation chips and with
        what training chips look like; the state to go on training from stays in the folder of the checkpoints.

        Args:
            path: a path that ends in .safetensors, or a name or path without the ending.
            name: the model's; by default the file's.
            licence: of the weights. State it where others get the file: data and ImageNet's weights have theirs.
            provenance: what else there is to say of where the model comes from.
            int8: prepare it for `precision="int8"`: measure what its convolutions read on some training chips.
            overwrite: replace a file that exists.

        Raises:
            OptionError, OutputError: if it cannot be written there.
        """
        path = check_output(named_file(path), suffixes=MODEL_SUFFIXES, overwrite=overwrite, inputs=self._inputs)
        metrics = validation_metrics(self._tally, self._scores().calibration, self.data)
        contract = self._contract(name or path.stem, licence, provenance or {}, metrics)
        ground = describe_ground(self.data.train, contract)
        contract = dataclasses.replace(contract, temperature=self._temperature, appearance=ground)
        if int8:
            ranges = measure_chips(self.network, self.data.train, contract)
            contract = dataclasses.replace(contract, int8_ranges=ranges)
        save_model(self.network, contract, path)
        return path

    @understands(LOAD)
    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a model file of the same network, classes and bands; `from_model` takes any other.

        Args:
            path: the file, or what `save` called it.

        Raises:
            ModelError: if it is of another network, of other classes or bands.
        """
        path = find_saved(path)
        model = load_model(path)
        check_same(self._contract("learner", "", {}, {}), model.contract, path)
        self.network.load_state_dict(model.network.state_dict())
        self.start, self._goes_on, self._scored = str(path), True, None

    @with_run_options
    def predict(
        self,
        scene: SceneLike,
        polygons: "OutputPath | None" = None,
        *,
        label_raster: "OutputPath | None" = None,
        confidence: "OutputPath | None" = None,
        probabilities: "OutputPath | None" = None,
        probability_dtype: str = "uint8",
        boundary: "OutputPath | None" = None,
        shards: "OutputPath | None" = None,
        polygon_options: "PolygonOptions | None" = None,
        instances: str | Sequence[str] = (),
        sieve_labels: bool = False,
        executor: "Executor | None" = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: "Progress | None" = None,
        **options: Unpack[RunOptions],
    ) -> "Segmentation":
        """Segment a scene with the network as it is: `gdl.segment` has the meaning of all arguments.

        Tiles are as large as the chips were, with an overlap of a quarter, on the learner's own device and in its
        precision, unless the options say otherwise.

        Args:
            scene: a file, several, a URL, an array.
            polygons: vector file to write.
            label_raster: label raster to write.
            confidence: confidence raster to write.
            probabilities: raster of every class's probability to write.
            probability_dtype: `uint8` or `float16`.
            boundary: raster of the boundaries of objects to write, of a network trained with `instances`.
            shards: folder for the label raster in pieces.
            polygon_options: what the polygons look like.
            instances: classes whose objects become polygons of their own where they touch.
            sieve_labels: apply the minimum area to the label raster, too.
            executor: who computes.
            resume: go on with a run that was cut off.
            overwrite: replace outputs that exist.
            progress: called with pixels done and pixels in all.
            options: see `gdl.segment`; all but `model` and `contract`, which are the learner's.

        Raises:
            OptionError, OutputError, SceneError, ContractError: as `gdl.segment` does.
        """
        from geodeeplab.pipeline.segment import segment

        if stated := [name for name in ("model", "contract") if name in options]:
            raise OptionError(f"predict runs the learner's own network: leave {' and '.join(stated)} out")
        own: RunOptions = {"device": str(self.device.torch_device), "precision": self.device.precision}
        run: RunOptions = {**own, **options}
        run["model"] = self._opened or self._model(
            is_calibrated=any((polygons, confidence, probabilities, options.get("min_confidence")))
        )
        return segment(
            scene,
            polygons,
            label_raster=label_raster,
            confidence=confidence,
            probabilities=probabilities,
            probability_dtype=probability_dtype,
            boundary=boundary,
            shards=shards,
            polygon_options=polygon_options,
            instances=instances,
            sieve_labels=sieve_labels,
            executor=executor,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            **run,
        )

    # ------------------------------------------------------------------------------------------------------- helpers

    @property
    def _inputs(self) -> list[str | os.PathLike[str]]:
        """What it was made of: scenes, labels, and the model or weights that it starts from."""
        return [*self.data.files, self.start, *_bundled_file(self.start)]

    def _model(self, *, is_calibrated: bool) -> Model:
        """Give the network as a model; the temperature of its confidence takes a look at the validation chips."""
        contract = self._contract("learner", "", {}, {})
        if is_calibrated:
            contract = dataclasses.replace(contract, temperature=self._temperature)
        return Model(network=self.network.eval(), contract=contract)


def _bundled_file(start: str) -> list[Path]:
    """Give the file of a bundled model by its name; none for what is no such name."""
    return [find_model(start)] if start in iter_bundled() else []
