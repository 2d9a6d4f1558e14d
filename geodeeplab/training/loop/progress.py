"""What a fit shows: one line an epoch."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm.auto import tqdm

from geodeeplab.errors import OptionError
from geodeeplab.maps.figures import in_notebook
from geodeeplab.training.loop.checkpoints import BEST, LAST, write_history, write_weights
from geodeeplab.training.loop.recipe import EpochRecord, best_epoch, has_stalled

if TYPE_CHECKING:
    from geodeeplab.training.loop.module import TrainingModule

FitProgress = Callable[[int, int, "EpochRecord | None"], None]
"""Called after every step with the steps done and all there are, and after every epoch with its record, too."""
StepHook = Callable[[], None]
"""Called after every step; it may raise to end the fit, which can be resumed then."""


class EpochCalls(Callback):
    """Calls of one function, from the first process only."""

    def __init__(self, progress: FitProgress) -> None:
        """Take the function."""
        self.progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Tell how far the fit is."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        if module.ends_step(batch_idx):
            self._call(trainer, None)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell how the epoch was."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        self._call(trainer, module.history[-1])

    def _call(self, trainer: Trainer, record: EpochRecord | None) -> None:
        if trainer.is_global_zero:
            total = _steps(trainer) * int(trainer.max_epochs or 0)
            self.progress(int(trainer.global_step), total, record)


class EpochLines(Callback):
    """A tqdm bar for the epoch that runs, which becomes the line of the epoch that ran."""

    def __init__(self, *, shown: bool | None = None) -> None:
        """Take whether bars are drawn, by default on a terminal and in notebooks; elsewhere only the lines come."""
        self.shown = shown
        self.bar: Any = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if trainer.is_global_zero and (_draws_bars() if self.shown is None else self.shown):
            self.bar = tqdm(total=_steps(trainer), leave=True, unit="step", dynamic_ncols=True)
            self.bar.set_description(f"epoch {pl_module.current_epoch + 1}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Move it."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        if self.bar is not None and module.ends_step(batch_idx):
            self.bar.update(1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close it with the epoch's record."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        record = module.history[-1]
        line = record.line(module.recipe.first_epoch + module.recipe.epochs)
        if self.bar is not None:
            self.bar.bar_format = "{desc}"
            self.bar.set_description_str(line)
            self.bar.close()
            self.bar = None
        elif trainer.is_global_zero and self.shown is not False:
            tqdm.write(line, file=sys.stderr)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal in order."""
        if self.bar is not None:
            self.bar.close()


class Keeper(Callback):
    """After every epoch: keep the best weights, write the checkpoint and the history, and say when it is enough."""

    def __init__(self, folder: Path, *, after_step: StepHook | None = None) -> None:
        """Take the folder to keep them in."""
        self.folder, self.after_step = folder, after_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Let the caller say something."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        if self.after_step is not None and module.ends_step(batch_idx):
            self.after_step()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write. The best weights come first: should the run be killed in between, the epoch comes again as it was."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        module.record_epoch()
        history, recipe = module.history, module.recipe
        _check_finite(history[-1], recipe.lr)
        if trainer.is_global_zero and best_epoch(history, recipe.monitor) == len(history) - 1:
            write_weights(module.average, self.folder / BEST)
        trainer.save_checkpoint(self.folder / LAST)
        if trainer.is_global_zero:
            write_history(self.folder, history)
        trainer.strategy.barrier("epoch kept")  # every process reads the history when the fit is done
        if trainer.logger is not None:
            _log(trainer, history[-1])
        if has_stalled(history, monitor=recipe.monitor, patience=recipe.patience):
            trainer.should_stop = True


def _check_finite(record: EpochRecord, lr: float) -> None:
    """Refuse to go on with weights that are lost."""
    if record.loss != record.loss or record.loss == float("inf"):
        raise OptionError(
            f"the loss of epoch {record.epoch} is not finite, the weights are lost: fit with a lower rate than {lr:g}"
        )


def _log(trainer: Trainer, record: EpochRecord) -> None:
    """Hand the epoch's numbers to TensorBoard."""
    values = {name: getattr(record, name) for name in ("loss", "val_loss", "miou", "boundary_iou", "accuracy", "lr")}
    if trainer.logger is not None:
        trainer.logger.log_metrics({name: v for name, v in values.items() if v is not None}, step=record.epoch)


def _steps(trainer: Trainer) -> int:
    """Give the steps of an epoch."""
    return int(trainer.num_training_batches) // int(trainer.accumulate_grad_batches)


def _draws_bars() -> bool:
    return sys.stderr.isatty() or in_notebook()
