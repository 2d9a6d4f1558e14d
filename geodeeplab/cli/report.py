"""What a run tells at its end."""

from typing import Any

from geodeeplab.cli.text import as_options


def closing_line(facts: dict[str, Any]) -> str:
    """Say in one line what came out and where the time went."""
    if facts["mpx_per_s"] is None:
        return f"{' '.join(facts['outputs'])}: {'; '.join(facts['notes'])}"
    seconds, (height, width), tiles = facts["seconds"], facts["shape"], facts["tiles"]
    segmenting = max(seconds["segment"], 1e-9)
    waited = ", ".join(
        f"{100 * seconds[f'waited_for_{what}'] / segmenting:.0f} % for {what}" for what in ("reads", "writes")
    )
    skipped = f", {tiles['skipped']} empty" if tiles["skipped"] else ""
    resumed = f", {facts['resumed_share']:.0%} resumed" if facts["resumed_share"] else ""
    shards = (
        f", {facts['shards']} shards with {facts['repeated_tiles']:.1%} of the tiles repeated"
        if facts["shards"] > 1
        else ""
    )
    notes = "".join(f"; {as_options(note)}" for note in facts["notes"])
    return (
        f"{' '.join(facts['outputs'])}: {width} × {height} px in {seconds['total']:.1f} s "
        f"({facts['mpx_per_s']:.2f} Mpx/s on {facts['device']} {facts['precision']}; "
        f"{tiles['forwarded']} tiles{skipped}{shards}{resumed}; waited {waited}{notes})"
    )
