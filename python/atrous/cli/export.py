"""``atrous export``: a run's best weights as a file for elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  atrous export runs/2026-01-31-lenet5-digits              writes runs/2026-01-31-lenet5-digits/model.safetensors
  atrous export runs/2026-01-31-lenet5-digits --out w.npz  the ending decides: .safetensors or .npz

Names and shapes are those of the model's state_dict, which are PyTorch's: safetensors.torch.load_file and numpy.load
read them. The safetensors file also holds the classes and the preprocessing, as JSON in its metadata."""


def add_parser(subparsers: Any) -> None:
    """Adds ``export`` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write a run's best weights as safetensors or npz",
        description="Writes the best weights of a training run to a file of their own.",
        epilog=EXAMPLES,
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: model.safetensors in the run folder")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Raises:
        OSError, ValueError: the run folder holds no usable weights, or the file cannot be written.
    """
    from atrous.serialization import load_file, load_metadata, save_file
    from atrous.training.run_folder import RunFolder, save_arrays

    out: Path = args.out or args.folder / "model.safetensors"
    if out.suffix not in (".safetensors", ".npz"):
        args.parser.error(f"--out {out} ends in {out.suffix or 'nothing'!r}; expected .safetensors or .npz")
    best = RunFolder(args.folder).best if args.folder.is_dir() else args.folder
    metadata, weights = load_metadata(best), load_file(best)
    if out.suffix == ".npz":
        save_arrays(out, {name: value.numpy() for name, value in weights.items()})
    else:
        save_file(weights, out, metadata)
    count = sum(value.numel() for value in weights.values())
    print(f"{out}: {len(weights)} tensors, {count:,} numbers, {out.stat().st_size:,} bytes")
    return 0
