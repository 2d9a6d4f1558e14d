"""A network that learns: what `DeepLab` does once it is built."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geodeeplab.learner.building import NOTHING, with_stored_batch
from geodeeplab.learner.fitting import (
    DEFAULT_RATE,
    DEFAULT_STEPS,
    import_loop,
    run_facts,
    run_folder,
    schedule_name,
    tell_forecast,
    warn_of_few_steps,
)
from geodeeplab.learner.trained import TrainedNetwork
from geodeeplab.maps.figures import in_notebook, show_below_cell
from geodeeplab.raster import check_not_inputs
from geodeeplab.training.arcgis_words import FIT, keeps_checkpoints, split_rate, understands
from geodeeplab.training.arcgis_words import MONITORS as MONITORS_THERE
from geodeeplab.training.loop.checkpoints import BEST, HISTORY, LAST, stored_rate
from geodeeplab.training.loop.loading import default_workers
from geodeeplab.training.loop.parameters import TRAINED_FACTOR, freeze_backbone, is_frozen, keeps_statistics
from geodeeplab.training.loop.recipe import MONITORS, PATIENCE, Recipe

if TYPE_CHECKING:
    from geodeeplab.training.loop.forecast import FitForecast
    from geodeeplab.training.loop.lr_find import RateSweep
    from geodeeplab.training.loop.progress import FitProgress, StepHook


class LearningNetwork(TrainedNetwork):
    """A network with the data that it learns from: fits, and sweeps of the learning rate.

    Attributes:
        folder: where the last fit kept its checkpoints; None where it kept none.
    """

    folder: Path | None = None

    @property
    def available_metrics(self) -> tuple[str, ...]:
        """What `fit` can monitor."""
        return tuple(MONITORS)

    def lr_find(self, allow_plot: bool = True, *, steps: int = 100, workers: int | None = None) -> float:
        """Sweep the learning rate, suggest one, and leave the network as it was; `plot_lr()` draws the sweep.

        Its steps are those of a fit, and the next fits take the suggestion.

        Args:
            allow_plot: show the sweep below the cell, in notebooks.
            steps: of the sweep, from 1e-6 to 1.
            workers: see `fit`.

        Raises:
            OptionError: for fewer than ten steps, a loss that is never finite, or without the extra `train`.
        """
        found: RateSweep = import_loop().trial.sweep_rates(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            recipe=self._recipe(epochs=1, lr=DEFAULT_RATE),
            device=self.device.torch_device,
            workers=self._workers(workers),
            steps=steps,
        )
        self.sweep = found
        if allow_plot and in_notebook():
            show_below_cell(self.plot_lr())
        return found.suggestion

    @understands(FIT)
    def fit(
        self,
        epochs: int | None = None,
        lr: float | slice | None = None,
        one_cycle: bool = True,
        early_stopping: bool | int = False,
        checkpoint: bool | str = True,
        tensorboard: bool = False,
        monitor: str = "miou",
        *,
        schedule: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        weight_decay: float = 0.05,
        ema_decay: float = 0.998,
        clip: float = 1.0,
        devices: int | str | Sequence[int] | None = None,
        strategy: str = "auto",
        num_nodes: int = 1,
        workers: int | None = None,
        progress: "bool | FitProgress | None" = None,
        after_step: "StepHook | None" = None,
        announce: "Callable[[FitForecast], None] | None" = None,
    ) -> None:
        """Train; afterwards the network has the averaged weights of the best epoch.

        With the same seed, data and batch size the chips are the same on every machine; on a CPU the losses are, too,
        bit for bit, whether or not the run was cut off and resumed.

        Args:
            epochs: of `data.epoch_steps` steps, 64 or more unless `epoch_chips` says otherwise; by default so many
                that they make 640 steps.
            lr: peak of the learning rate, of which the backbone has a tenth where a whole model is trained on; by
                default what `lr_find` suggested last, else 0.001. `slice(low, high)` is that of the backbone and of
                the heads.
            one_cycle: rise in a tenth of the run, then fall along a cosine; False for a constant rate.
            early_stopping: end after 5 epochs without a better one, or after so many.
            checkpoint: keep checkpoints to resume from: those of the best and the last epoch.
            tensorboard: write TensorBoard's files into the folder.
            monitor: what the best epoch is best in, on the validation chips: see `available_metrics`;
                `valid_loss` is the loss.
            schedule: `one_cycle`, `poly` or `constant`, in place of `one_cycle`.
            folder: where; by default `runs/<arch>-<backbone>-<number>`. `resume` needs it.
            resume: go on with the run of the same numbers in the folder; with nothing there it begins.
            overwrite: begin anew whatever the folder holds.
            weight_decay: of AdamW; norms and biases have none.
            ema_decay: of the averaged weights; 0 scores and keeps the last ones of each epoch.
            clip: greatest norm of the gradients.
            devices: Lightning's: how many, or which ones; by default the learner's device.
            strategy: Lightning's, such as `ddp` or `ddp_spawn`.
            num_nodes: Lightning's.
            workers: processes that draw chips, on each device; by default what suits the machine.
            progress: draw bars; by default on a terminal and in notebooks, elsewhere a line an epoch. A function is
                called in their place, with the steps done, all there are, and after an epoch its `EpochRecord`.
            after_step: called after every step; it may raise to end the fit.
            announce: called before the first step with what there is to do and how long it will take, by the time of a
                step or two, which are made for that and undone. By default that is a line on stderr, unless `progress`
                is False or a function.

        Warns:
            GeoDeepLabWarning: there are fewer than 200 steps in all.

        Raises:
            OptionError: for options out of their ranges, a folder with another run in it, a loss that is not finite,
                or without the extra `train`.
            ModelError, OutputError: for checkpoints that cannot be read or written.
        """
        fit_network = import_loop().fit.fit_network
        heads_lr, backbone_factor = split_rate(lr)
        kept = keeps_checkpoints(checkpoint)
        path = run_folder(folder, self.network, checkpoint=kept, resume=resume, tensorboard=tensorboard)
        if resume and path is not None:
            self.data = with_stored_batch(self.data, path)
        if path is not None:
            check_not_inputs([path / name for name in (LAST, BEST, HISTORY)], self._inputs)
        epoch_steps = self.data.epoch_steps
        recipe = dataclasses.replace(
            self._recipe(
                epochs=max(1, round(DEFAULT_STEPS / epoch_steps)) if epochs is None else epochs,
                lr=self._rate(heads_lr, path if resume else None),
            ),
            schedule=schedule_name(schedule, one_cycle=one_cycle),
            weight_decay=weight_decay,
            clip=clip,
            ema_decay=ema_decay,
            backbone_factor=backbone_factor or self._backbone_factor,
            patience=int(PATIENCE if early_stopping is True else early_stopping) or None,
            monitor=MONITORS_THERE.get(monitor, monitor),
        )
        warn_of_few_steps((len(self.history) + recipe.epochs) * epoch_steps, epoch_steps=epoch_steps)
        if announce is None and (progress is None or progress is True):
            announce = tell_forecast
        history = fit_network(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            recipe=recipe,
            run=run_facts(self.network, self.data, start=self.start, objective=self.objective, recipe=recipe),
            folder=path,
            resume=resume,
            overwrite=overwrite,
            device=self.device.torch_device,
            devices=devices,
            strategy=strategy,
            num_nodes=num_nodes,
            workers=self._workers(workers),
            tensorboard=tensorboard,
            progress=progress,
            after_step=after_step,
            announce=announce,
        )
        self.network.to("cpu")
        self.history += history
        self.folder = path
        self._fits.append(dataclasses.asdict(recipe) | {"epochs_done": len(history)})
        self._scored = None

    def freeze(self) -> None:
        """Leave the backbone as it is in the fits to come."""
        freeze_backbone(self.network)

    def unfreeze(self) -> None:
        """Train the backbone, too."""
        freeze_backbone(self.network, frozen=False)

    @property
    def _backbone_factor(self) -> float:
        return TRAINED_FACTOR if self._goes_on else 1.0

    @property
    def _fixed_statistics(self) -> bool:
        return keeps_statistics(pretrained=self.start != NOTHING, chips_at_once=self.data.chips_at_once)

    def _recipe(self, *, epochs: int, lr: float) -> Recipe:
        """Give the numbers of a fit, as network, data and device have them."""
        return Recipe(
            epochs=epochs,
            lr=lr,
            backbone_factor=self._backbone_factor,
            is_frozen=is_frozen(self.network),
            fixed_statistics=self._fixed_statistics,
            precision=self.device.precision,
            batch_size=self.data.batch_size,
            micro_batch=self.data.micro_batch,
            seed=self.seed,
            first_epoch=len(self.history),
        )

    def _workers(self, workers: int | None) -> int:
        return default_workers(self.device.torch_device.type) if workers is None else workers

    def _rate(self, lr: float | None, folder: Path | None) -> float:
        """Settle the learning rate: as given, as in the run to go on with, as suggested last, or the default."""
        if lr is not None:
            return float(lr)
        if folder is not None and (stored := stored_rate(folder)) is not None:
            return stored
        return DEFAULT_RATE if self.sweep is None else self.sweep.suggestion
