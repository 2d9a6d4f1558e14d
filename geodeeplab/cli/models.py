"""`geodeeplab models`."""

import dataclasses
import json
from collections.abc import Mapping

import click


@click.command("models")
@click.argument("name", required=False)
@click.option("--architectures", is_flag=True, help="List the published networks that can be built, untrained.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(name: str | None, architectures: bool, as_json: bool) -> None:
    """List the bundled models, or show what the model NAME (or a model file) reads and gives."""
    if architectures:
        if name:
            raise click.UsageError(f"--architectures lists networks, it takes no model: leave out {name!r}")
        click.echo(architecture_table(as_json=as_json))
    else:
        show_models(name, as_json=as_json)


def architecture_table(*, as_json: bool) -> str:
    """Lay out the published networks with their costs, as text or as JSON."""
    from geodeeplab.models import PUBLISHED, measure_cost

    costs = {name: measure_cost(name) for name in PUBLISHED}
    if as_json:
        return json.dumps(
            {name: dataclasses.asdict(PUBLISHED[name]) | dataclasses.asdict(cost) for name, cost in costs.items()}
        )
    head = f"{'network (21 classes)':<34} {'parameters':>11} {'GFLOPs at 512²':>15} {'stride':>7}  mean IoU as reported"
    rows = [
        f"{name:<34} {cost.parameters / 1e6:>9.2f} M {cost.gflops:>15.1f} {cost.output_stride:>7}  "
        f"{PUBLISHED[name].mean_iou} ({PUBLISHED[name].source})"
        for name, cost in costs.items()
    ]
    return "\n".join([head, *rows])


def show_models(name: str | None, *, as_json: bool) -> None:
    """Print the contracts of the bundled models, or of one model with its scores."""
    from geodeeplab.models import Contract, iter_bundled, read_contract
    from geodeeplab.models.adapted.architecture import read_architecture
    from geodeeplab.models.architecture import Architecture

    def describe(contract: Contract) -> str:
        head = "a network of its own"
        if contract.architecture:
            numbers = read_architecture(contract.architecture)
            if isinstance(numbers, Architecture):
                head = f"{numbers.arch} {numbers.backbone}{' + PointRend' if numbers.pointrend else ''}"
            else:
                head = f"adapted from {numbers.sources}"
        int8 = ", prepared for int8" if contract.int8_ranges else ""
        gsd = f", {contract.gsd_m:g} m" if contract.gsd_m else ""
        bands = ", ".join(f"{band.name} (optional)" if band.is_optional else band.name for band in contract.bands)
        classes = ", ".join(f"{item.id} {item.name}" for item in contract.classes)
        apart = f"; boundaries of {', '.join(contract.instances)}" if contract.instances else ""
        return (
            f"{contract.name}: {head}{int8}\n  reads   {bands} ({contract.dtype}{gsd})\n"
            f"  gives   {classes}{apart}\n  licence {contract.licence or 'not stated'}"
        )

    contracts = [read_contract(name)] if name else [read_contract(each) for each in iter_bundled()]
    for contract in contracts:
        click.echo(contract.to_json() if as_json else describe(contract))
    if name and not as_json:
        for data, scores in contracts[0].metrics.items():
            per_class = ", ".join(f"{name} {value:.2f}" for name, value in _numbers(_values(scores).get("IoU")).items())
            miou = _numbers(scores).get("mIoU", float("nan"))
            click.echo(f"  scored  {data}: mIoU {miou:.3f} ({per_class})")


def _values(scores: object) -> Mapping[str, object]:
    """Give scores by name; none where the file has something else in their place."""
    return scores if isinstance(scores, Mapping) else {}


def _numbers(scores: object) -> dict[str, float]:
    """Give those of the scores that are numbers."""
    return {name: value for name, value in _values(scores).items() if isinstance(value, float)}
