"""Average the weights of a model and of one that was trained on from it, and report what comes out.

    python scripts/average_models.py landcover-aerial EARLIER LATER --share 0.65 --data ../shared/data --out out/average

A network that learns new ground forgets some of the old. Between its weights before and after lie networks that know
most of both (Wortsman et al. 2022, arXiv 2109.01903): `--share` is how far from EARLIER to LATER. Batch norm's
statistics are averaged too; a head that only LATER has, as the one of boundaries, is kept as it is. OUT holds the model
and its report.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from geodeeplab.models import SegmentationNetwork, load_model, save_model
from train_bundled import BUILDINGS, LANDCOVER, SATELLITE, parse_arguments, report


def main() -> None:
    """Average, report, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(LANDCOVER, BUILDINGS, SATELLITE))
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the later model, 0 to 1")
    parser.add_argument("--gsd-m", type=float, help="pixel size to state; by default that of LATER")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="PLACE", help="buildings: report it, too")
    parser.add_argument("--data", type=Path, required=True, help="the folder of all sets")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    earlier, later = load_model(args.earlier), load_model(args.later)
    network, first = later.network, earlier.network
    assert isinstance(network, SegmentationNetwork)
    one, other = ({**model.contract.architecture, "boundary": None} for model in (earlier, later))
    assert one == other, "only models of one architecture have an average"
    before, after = first.state_dict(), network.state_dict()
    assert set(before) <= set(after), "LATER has all heads of EARLIER"
    network.load_state_dict(
        {
            key: before[key].float().lerp(later_one.float(), args.share).to(later_one.dtype)
            if key in before
            else later_one
            for key, later_one in after.items()
        }
    )
    provenance = {
        **later.contract.provenance,
        "average": {"share": args.share, "with": dict(earlier.contract.provenance)},
    }
    gsd_m = args.gsd_m or later.contract.gsd_m
    contract = replace(later.contract, gsd_m=gsd_m, provenance=provenance, metrics={"validation": {}})
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.name}.safetensors"
    save_model(network, contract, path)
    told_apart = ["--instances"] if contract.instances else []
    options = ["--data", str(args.data), "--out", str(args.out), "--leave-out", *args.leave_out]
    report(network, path, parse_arguments([args.name, *told_apart, *options]))


if __name__ == "__main__":
    main()
