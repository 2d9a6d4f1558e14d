"""`geodeeplab models`."""

import click


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the whole contract as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the bundled models, or show what the model NAME (or a model file) reads and gives."""
    from geodeeplab.models import Contract, iter_bundled, read_contract

    def describe(contract: Contract) -> str:
        architecture = contract.architecture
        head = f"{architecture['arch']} {architecture['backbone']}" + (" + PointRend" * architecture["pointrend"])
        gsd = f", {contract.gsd_m:g} m" if contract.gsd_m else ""
        classes = ", ".join(f"{item.id} {item.name}" for item in contract.classes)
        return (
            f"{contract.name}: {head}\n  reads   {', '.join(contract.band_names)} ({contract.dtype}{gsd})\n"
            f"  gives   {classes}\n  licence {contract.licence or 'not stated'}"
        )

    contracts = [read_contract(name)] if name else [read_contract(each) for each in iter_bundled()]
    for contract in contracts:
        click.echo(contract.to_json() if as_json else describe(contract))
    if name and not as_json:
        for data, scores in contracts[0].metrics.items():
            per_class = ", ".join(f"{name} {value:.2f}" for name, value in scores.get("IoU", {}).items())
            click.echo(f"  scored  {data}: mIoU {scores.get('mIoU', float('nan')):.3f} ({per_class})")
