"""Batches of chips, drawn in worker processes; the seed alone decides them."""

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from geodeeplab.training.batch import epoch_steps
from geodeeplab.training.chip import IGNORE_INDEX, Chip, ChipSet
from geodeeplab.training.sampling.radiometry import Radiometry

Batch = tuple[Tensor, ...]
"""Pixels (N, C, S, S) float32, valid (N, S, S) bool, labels (N, S, S) uint8; where boundaries are learnt also those,
(N, S, S) uint8, see `Chip`."""
Key = tuple[int, int]
"""Epoch, and number of the batch within it."""
MAX_WORKERS = 8


class ChipBatches(Dataset[Batch]):
    """The batches of a set of chips."""

    def __init__(self, chips: ChipSet, *, batch_size: int, radiometry: Radiometry | None, endless: bool) -> None:
        """Take the chips.

        Args:
            chips: the set.
            batch_size: N.
            radiometry: changes to apply to each chip; None for none.
            endless: begin with the first chip again after the last one, so that every batch is full; else the last
                batch may be smaller, and one beyond it has no labels.
        """
        self.chips, self.batch_size, self.radiometry, self.endless = chips, batch_size, radiometry, endless

    def __len__(self) -> int:
        """Give the batches that hold every chip once."""
        return -(-len(self.chips) // self.batch_size)

    def __getitem__(self, key: Key) -> Batch:
        """Draw a batch."""
        epoch, number = key
        count = len(self.chips)
        indices = range(number * self.batch_size, (number + 1) * self.batch_size)
        if self.endless:
            return _stack([self._draw(index % count, epoch) for index in indices])
        there = [self._draw(index, epoch) for index in indices if index < count]
        if there:
            return _stack(there)
        pixels, valid, *targets = _stack([self._draw(0, epoch)])
        return pixels, valid, *(torch.full_like(target, IGNORE_INDEX) for target in targets)

    def _draw(self, index: int, epoch: int) -> Chip:
        chip = self.chips.draw(index, epoch=epoch)
        return chip if self.radiometry is None else self.radiometry(chip, epoch=epoch, index=index)


class BatchKeys(Sampler[Key]):
    """The batches of an epoch that fall to one of several processes: every `world`-th, and as many to each."""

    def __init__(self, per_process: int, *, rank: int, world: int, first_epoch: int = 0) -> None:
        """Take the batches of a process in an epoch, which process it is, and the epoch to begin with."""
        self.per_process, self.rank, self.world = per_process, rank, world
        self.first_epoch, self.epoch = first_epoch, first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from the first of this fit; the trainer calls it."""
        self.epoch = self.first_epoch + epoch

    def __len__(self) -> int:
        """Give the number of batches."""
        return self.per_process

    def __iter__(self) -> Iterator[Key]:
        """Yield this epoch's keys."""
        for number in range(self.per_process):
            yield self.epoch, number * self.world + self.rank


def training_loader(
    chips: ChipSet,
    *,
    batch_size: int,
    radiometry: Radiometry | None,
    workers: int,
    parts: int = 1,
    rank: int = 0,
    world: int = 1,
    first_epoch: int = 0,
    pinned: bool = False,
) -> DataLoader[Batch]:
    """Give a loader of full training batches, one epoch at a time; together the processes draw every chip once.

    Where `parts` batches make a step, the steps of an epoch are whole.
    """
    per_process = parts * epoch_steps(len(chips), parts * batch_size * world)
    keys = BatchKeys(per_process, rank=rank, world=world, first_epoch=first_epoch)
    batches = ChipBatches(chips, batch_size=batch_size, radiometry=radiometry, endless=True)
    return _loader(batches, keys, workers=workers, pinned=pinned)


def validation_loader(
    chips: ChipSet, *, batch_size: int, workers: int, rank: int = 0, world: int = 1, pinned: bool = False
) -> DataLoader[Batch]:
    """Give a loader of all validation chips, unchanged."""
    batches = ChipBatches(chips, batch_size=batch_size, radiometry=None, endless=False)
    keys = BatchKeys(-(-len(batches) // world), rank=rank, world=world)
    return _loader(batches, keys, workers=workers, pinned=pinned)


def default_workers(device_type: str) -> int:
    """Give the worker processes that suit the machine: on a CPU one, which leaves the rest to the network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1:
        return 0
    return 1 if device_type == "cpu" else min(MAX_WORKERS, cores - 1)


def _loader(batches: ChipBatches, keys: BatchKeys, *, workers: int, pinned: bool) -> DataLoader[Batch]:
    return DataLoader(
        batches,
        batch_size=None,  # a key is a whole batch
        sampler=keys,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        pin_memory=pinned,
        worker_init_fn=_one_thread,
    )


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _stack(chips: list[Chip]) -> Batch:
    """Stack chips; the pixels in the layout that convolutions are fastest with."""
    pixels = torch.stack([chip.pixels for chip in chips]).contiguous(memory_format=torch.channels_last)
    boundaries = [chip.boundary for chip in chips if chip.boundary is not None]
    targets = [chip.labels for chip in chips], boundaries
    return pixels, torch.stack([chip.valid for chip in chips]), *(torch.stack(one) for one in targets if one)
