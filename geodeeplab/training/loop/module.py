"""The Lightning module: one step of training, the scores of an epoch, and what a checkpoint holds of them."""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader

from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import CHECKPOINT_KEY, CHECKPOINT_VERSION
from geodeeplab.training.loop.loading import Batch, training_loader, validation_loader
from geodeeplab.training.loop.losses import boundary_loss
from geodeeplab.training.loop.objective import Objective, training_loss
from geodeeplab.training.loop.parameters import parameter_groups, set_training_mode
from geodeeplab.training.loop.recipe import EpochRecord, Recipe, rate_factor
from geodeeplab.training.loop.tally import GrowingTally
from geodeeplab.training.random_state import seed_generators
from geodeeplab.training.sampling.radiometry import chip_seed, radiometry_of


class TrainingModule(LightningModule):
    """A network, its averaged copy, and the numbers that one fit goes by.

    Before each step torch's random state follows from the seed, the epoch and the step, so that dropout and PointRend's
    points are those of an uninterrupted run wherever a run goes on.

    Attributes:
        history: a record of each epoch, those of before a resume included.
        run: plain facts that tell this run from others; they are written into its checkpoints.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        normalisation: nn.Module,
        data: TrainingData,
        *,
        objective: Objective,
        recipe: Recipe,
        run: Mapping[str, Any],
        workers: int,
        factor_at: Callable[[int, int], float] | None = None,
    ) -> None:
        """Take the parts; the network is trained in place.

        `factor_at` gives the factor on the rates of a step, counted from 0, of all; by default the recipe's schedule.
        """
        super().__init__()
        self.network, self.normalisation = network, normalisation
        self.average = start_average(network) if recipe.ema_decay else network
        self.data, self.objective, self.recipe, self.workers = data, objective, recipe, workers
        self.run: dict[str, Any] = dict(run)
        self.factor_at = factor_at
        self.history: list[EpochRecord] = []
        self._step_losses: list[Tensor] = []
        self._started = 0.0
        self._counts = GrowingTally(len(data.classes), torch.device("cpu"))
        self._val_loss = torch.zeros(2, dtype=torch.float32)  # the sum over pixels, and the pixels

    def train_dataloader(self) -> DataLoader[Batch]:
        """Give this process's share of the training batches."""
        return training_loader(
            self.data.train,
            batch_size=self.recipe.chips_at_once,
            parts=self.recipe.parts,
            radiometry=radiometry_of(self.data, seed=self.recipe.seed),
            workers=self.workers,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            first_epoch=self.recipe.first_epoch,
            pinned=self.device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Give this process's share of the validation batches."""
        return validation_loader(
            self.data.val,
            batch_size=self.recipe.chips_at_once,
            workers=self.workers,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            pinned=self.device.type == "cuda",
        )

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning takes many things
        """Give AdamW with its groups, and the schedule, a factor on all their rates that changes with each step."""
        recipe = self.recipe
        groups = parameter_groups(
            self.network, lr=recipe.lr, weight_decay=recipe.weight_decay, backbone_factor=recipe.backbone_factor
        )
        optimizer = AdamW(groups)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int, steps: int) -> float:
        """Give the factor on the rates of a step."""
        if self.factor_at is not None:
            return self.factor_at(step, steps)
        return rate_factor(min(step / steps, 1.0), self.recipe.schedule)

    def on_train_epoch_start(self) -> None:
        """Start the clock, and put every part into its mode."""
        self._started = time.perf_counter()
        self._step_losses = []
        self._set_mode()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set torch's random state for this step."""
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        epoch = self.recipe.first_epoch + self.current_epoch
        seed_generators(chip_seed(self.recipe.seed + 1, epoch=epoch, index=number), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Give the loss of a batch."""
        pixels, valid, labels, *more = batch
        boundary = more[0] if more else None
        loss = training_loss(self.network, self._images(pixels, valid), labels, self.objective, boundary=boundary)
        self._step_losses.append(loss.detach())
        return loss

    def ends_step(self, batch_idx: int) -> bool:
        """Say whether a step ends with this micro-batch of the epoch."""
        return (batch_idx + 1) % self.recipe.parts == 0

    @property
    def step_losses(self) -> Tensor:
        """The training losses (S,) of this epoch's whole steps so far."""
        losses = torch.stack(self._step_losses).float()
        return losses[: len(losses) // self.recipe.parts * self.recipe.parts].view(-1, self.recipe.parts).mean(1)

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Move the average."""
        if self.average is not self.network and self.ends_step(batch_idx):
            update_average(self.average, self.network, decay_at(self.global_step - 1, self.recipe.ema_decay))

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self._counts = GrowingTally(len(self.data.classes), self.device)
        self._val_loss = torch.zeros(2, dtype=torch.float32, device=self.device)
        self.average.eval()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch's labels, given by the averaged weights."""
        pixels, valid, labels, *more = batch
        labels = self.objective.clean(labels.masked_fill(~valid, 255))
        given = self.average(self._images(pixels, valid), valid)  # (N, K, S, S), or one channel more
        logits, count = given[:, : len(self.data.classes)], (labels != 255).sum()
        with torch.autocast(logits.device.type, enabled=False):
            loss = self.objective.loss(logits.float(), labels)
            for target in more:
                loss = loss + self.objective.boundary_weight * boundary_loss(given[:, -1].float(), target)
                self._counts.add_contours(given[:, -1], target)
            self._val_loss += torch.stack([loss * count, count.float()])
        self._counts.add(logits.argmax(1), labels)

    def on_validation_epoch_end(self) -> None:
        """Add up the counts of all processes, and go back to the training modes."""
        if self.trainer.world_size > 1:
            self._counts.confusion = self._sum(self._counts.confusion)
            self._counts.boundary = self._sum(self._counts.boundary)
            self._counts.contours = self._sum(self._counts.contours)
            self._val_loss = self._sum(self._val_loss)
        self._set_mode()

    def record_epoch(self) -> None:
        """Add the epoch's record to the history; a callback calls it, for callbacks' turn comes before the module's."""
        losses = self.step_losses
        if self.trainer.world_size > 1:
            losses = self._sum(losses) / self.trainer.world_size
        total, count = self._val_loss.tolist()
        tally = self._counts.finish()
        self.history.append(
            EpochRecord(
                epoch=self.recipe.first_epoch + self.current_epoch + 1,
                loss=float(losses.mean()),
                val_loss=total / count if count else None,
                miou=tally.miou,
                boundary_iou=tally.boundary_iou,
                accuracy=tally.accuracy,
                iou=tuple(tally.iou),
                lr=float(self.optimizers().param_groups[-1]["lr"]),  # type: ignore[union-attr]
                boundary_f1=tally.boundary_f1,
                seconds=time.perf_counter() - self._started,
                step_losses=tuple(losses.tolist()),
            )
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history, and what the run is."""
        checkpoint[CHECKPOINT_KEY] = {
            "format_version": CHECKPOINT_VERSION,
            "run": self.run,
            "history": [record.to_mapping() for record in self.history],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history back."""
        self.history = [EpochRecord.from_mapping(values) for values in checkpoint[CHECKPOINT_KEY]["history"]]

    def _images(self, pixels: Tensor, valid: Tensor) -> Tensor:
        images: Tensor = self.normalisation(pixels, valid)
        return images.contiguous(memory_format=torch.channels_last)

    def _set_mode(self) -> None:
        recipe = self.recipe
        set_training_mode(self.network, fixed_statistics=recipe.fixed_statistics, chips_at_once=recipe.chips_at_once)
        if self.average is not self.network:
            self.average.eval()

    def _sum(self, values: Tensor) -> Tensor:
        """Add values of all processes."""
        total: Tensor = self.trainer.strategy.reduce(values, reduce_op="sum")
        return total


def start_average(network: nn.Module) -> nn.Module:
    """Give a copy of a network to average into: in evaluation mode, and without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """Give the decay after `step` steps: short at first, so that the average forgets the initial weights."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics to decay · average + (1 − decay) · network; counters are copied."""
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    moved = [(kept, fresh.to(kept.dtype)) for kept, fresh in pairs if kept.is_floating_point()]
    counted = [(kept, fresh) for kept, fresh in pairs if not kept.is_floating_point()]
    if moved:  # all at once: on a GPU a few kernels, not one for each tensor
        torch._foreach_lerp_([kept for kept, _ in moved], [fresh for _, fresh in moved], 1 - decay)
    if counted:
        torch._foreach_copy_([kept for kept, _ in counted], [fresh for _, fresh in counted])
