"""``atrous predict``: what a trained network sees in pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from atrous.cli.arguments import EXTRA, one_line

SHOWN = 3  # classes a picture
EXAMPLES = """examples:
  atrous predict runs/2026-01-31-lenet5-digits runs/2026-01-31-lenet5-digits/samples/7.png
  atrous predict runs/2026-01-31-lenet5-digits *.png *.jpg

Prints the three likeliest classes of each picture, which may have any size and colours: it is made what the network
was trained on, light ink that fills a dark square of 32×32 pixels. A picture holds one digit."""


def add_parser(subparsers: Any) -> None:
    """Adds ``predict`` to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="what a trained network sees in pictures",
        description="Reads pictures with the network of a training run.",
        epilog=EXAMPLES,
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder, or its model.safetensors")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a picture: PNG, JPEG, ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command: a line a picture, and exit code 1 where one could not be read.

    Raises:
        OSError, ValueError: the run folder holds no usable model.
        RuntimeError: Pillow is missing.
    """
    from atrous.training.inference import classify, load_model

    try:
        from atrous.training.images import read_image
    except ImportError as error:
        raise RuntimeError(f"reading pictures needs Pillow ({one_line(error)}): {EXTRA}") from error

    folder: Path = args.folder
    model, facts = load_model(folder / "model.safetensors" if folder.is_dir() else folder)
    width = max(len(str(path)) for path in args.images)
    failures = 0
    for path in args.images:
        try:
            pixels = read_image(path, facts["preprocessing"])
        except (OSError, ValueError) as error:
            print(f"atrous predict: {one_line(error)}", file=sys.stderr)
            failures += 1
            continue
        answers = classify(model, pixels, facts["classes"])[:SHOWN]
        print(
            f"{path!s:<{width}}  " + "   ".join(f"{name} {100 * chance:5.1f} %" for name, chance in answers), flush=True
        )
    return 1 if failures else 0
