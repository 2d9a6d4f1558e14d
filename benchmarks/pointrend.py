"""Time a forward pass with and without PointRend: what the detail costs, and which network is cheap enough.

    python benchmarks/pointrend.py
    python benchmarks/pointrend.py --device cuda --batches 1 2 4 8 16 32 64

DeepLabV3 of 7 classes with random weights, channels-last, as `segment` runs it; all networks in turn, several times.
On a CPU: milliseconds a tile at a batch of one, in fp32 and, where the CPU has units for it, bf16. With `--batches`, on
any device: tiles a second in bf16, plain and compiled. Ratios are medians of each round's own ratio. The time of
`torch.compile` itself, of the start of Python and of the first forward passes does not count.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor, nn

from geodeeplab.inference.device import pick_device
from geodeeplab.models import build_model

NUM_CLASSES = 7
NETWORKS = (("resnet50", 16), ("resnet50", 8), ("mobilenet_v3_large", 16))
"""Backbone and output stride."""
WARM_UP = 2


def build(backbone: str, output_stride: int, *, pointrend: bool) -> nn.Module:
    """Build a DeepLabV3 whose batch norms have seen a batch, so that activations are as large as in a trained one."""
    torch.manual_seed(0)
    network = build_model(
        backbone=backbone, output_stride=output_stride, num_classes=NUM_CLASSES, pointrend=pointrend
    ).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(2, 3, 128, 128))
    return network.eval().to(memory_format=torch.channels_last)


def forward(network: Callable[[Tensor], Tensor], images: Tensor, *, bf16: bool) -> Callable[[], None]:
    """Give a function that runs one forward pass to logits of full resolution, and waits for its end."""

    def run() -> None:
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            network(images)
        if images.is_cuda:
            torch.cuda.synchronize()

    return run


def time_in_turn(runs: Sequence[Callable[[], None]], repeats: int) -> list[list[float]]:
    """Give each function's seconds in each round; in a round, every function runs once."""
    for run in runs:
        for _ in range(WARM_UP):
            run()
    rounds = []
    for _ in range(repeats):
        seconds = []
        for run in runs:
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        rounds.append(seconds)
    return [list(column) for column in zip(*rounds, strict=True)]


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Give the median of the rounds' ratios."""
    return median(a / b for a, b in zip(of, to, strict=True))


def make_images(batch: int, tile_size: int, device: torch.device) -> Tensor:
    """Draw a batch of normalised images."""
    images = torch.randn(batch, 3, tile_size, tile_size, generator=torch.Generator().manual_seed(0))
    return images.to(device).contiguous(memory_format=torch.channels_last)


def measure_single_tiles(tile_size: int, repeats: int) -> None:
    """Print milliseconds a tile, and what PointRend and the output stride cost."""
    images = make_images(1, tile_size, torch.device("cpu"))
    networks = [build(*case, pointrend=pointrend) for case in NETWORKS for pointrend in (False, True)]
    print(
        "| precision | network | bilinear | PointRend | ratio | PointRend ÷ first bilinear |\n|---|---|---|---|---|---|"
    )
    for precision in ("fp32", "bf16") if pick_device("cpu").precision == "bf16" else ("fp32",):
        times = time_in_turn([forward(n, images, bf16=precision == "bf16") for n in networks], repeats)
        for i, (backbone, output_stride) in enumerate(NETWORKS):
            bilinear, refined = times[2 * i : 2 * i + 2]
            print(
                f"| {precision} | {backbone}, output stride {output_stride} | {1000 * median(bilinear):.0f} ms | "
                f"{1000 * median(refined):.0f} ms | {ratio(refined, bilinear):.3f} | {ratio(refined, times[0]):.2f} |",
                flush=True,
            )


def measure_batches(tile_size: int, repeats: int, device: torch.device, batches: Sequence[int]) -> None:
    """Print tiles a second in bf16, with PointRend and without, plain and compiled."""
    print(f"{torch.cuda.get_device_name(device) if device.type == 'cuda' else device}, torch {torch.__version__}\n")
    columns = [f"{how}, {up}" for how in ("plain", "compiled") for up in ("bilinear", "PointRend")]
    print(f"| network | batch | {' | '.join(columns)} |\n|---|---|---|---|---|---|")
    for backbone, output_stride in NETWORKS:
        plain = [build(backbone, output_stride, pointrend=pointrend).to(device) for pointrend in (False, True)]
        for batch in batches:
            torch.compiler.reset()  # so that each batch size gets code of its own
            images = make_images(batch, tile_size, device)
            networks: list[Callable[[Tensor], Tensor]] = [*plain]
            networks += [torch.compile(network, dynamic=False) for network in plain]
            times = time_in_turn([forward(network, images, bf16=True) for network in networks], repeats)
            speeds = " | ".join(f"{batch / median(seconds):.0f}" for seconds in times)
            print(f"| {backbone}, output stride {output_stride} | {batch} | {speeds} |", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile-size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--device", default="cpu", help="for --batches")
    parser.add_argument("--batches", type=int, nargs="+", help="tiles a second at these batch sizes")
    args = parser.parse_args()
    if args.batches:
        measure_batches(args.tile_size, args.repeats, pick_device(args.device).torch_device, args.batches)
    else:
        measure_single_tiles(args.tile_size, args.repeats)


if __name__ == "__main__":
    main()
