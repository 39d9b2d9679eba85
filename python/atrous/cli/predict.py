"""``atrous predict``: what a trained network sees in pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrous.cli.arguments import EXTRA, one_line

if TYPE_CHECKING:
    from atrous.training.inference import Predictor

SHOWN = 3  # classes a picture
EXAMPLES = """examples:
  atrous predict runs/2026-01-31-lenet5-digits runs/2026-01-31-lenet5-digits/samples/7.png
  atrous predict runs/2026-01-31-resnet8-photos *.png *.jpg
  atrous predict runs/2026-01-31-unet-shapes photo.jpg --out masks

Prints the three likeliest classes of each picture; where the network gives each pixel a class, it writes the mask as a
picture of the same size and prints the classes' shares. A picture may have any size and colours: it is prepared as the
run's own images were. For handwriting: a digit a picture, light or dark ink."""


def add_parser(subparsers: Any) -> None:
    """Adds ``predict`` to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="what a trained network sees in pictures",
        description="Reads pictures with the network of a training run.",
        epilog=EXAMPLES,
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder, or its checkpoint-best.safetensors")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a picture: PNG, JPEG, ...")
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="where masks are written (default: here)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command: a line a picture, and exit code 1 where one could not be read.

    Raises:
        OSError, ValueError: the run folder holds no usable model.
        RuntimeError: Pillow is missing.
    """
    from atrous.training.inference import Predictor

    try:
        from atrous.training.images import read_image
    except ImportError as error:
        raise RuntimeError(f"reading pictures needs Pillow ({one_line(error)}): {EXTRA}") from error

    predictor = Predictor(args.folder)
    if predictor.segmentation:
        check_names(args.images)
    width = max(len(str(path)) for path in args.images)
    failures = 0
    for path in args.images:
        try:
            pixels = read_image(path, predictor.preprocessing)
            answer = masked(predictor, path, pixels, args.out) if predictor.segmentation else named(predictor, pixels)
        except (OSError, ValueError) as error:
            print(f"atrous predict: {one_line(error)}", file=sys.stderr)
            failures += 1
            continue
        print(f"{path!s:<{width}}  {answer}", flush=True)
    return 1 if failures else 0


def named(predictor: Predictor, pixels: Any) -> str:
    """The likeliest classes with their probabilities."""
    answers = predictor.classify(pixels)[:SHOWN]
    return "   ".join(f"{name} {100 * chance:5.1f} %" for name, chance in answers)


def mask_of(path: Path) -> str:
    """The name of a picture's mask."""
    return f"{path.stem}-mask.png"


def check_names(paths: list[Path]) -> None:
    """Raises a ValueError where two pictures' masks would have the same name."""
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(mask_of(path), path)
        if other is not path:
            raise ValueError(f"the masks of {other} and {path} would both be {mask_of(path)}; predict them one by one")


def masked(predictor: Predictor, path: Path, pixels: Any, out: Path) -> str:
    """Writes the mask of a picture, and says where it is and how much of it each class has."""
    import numpy as np

    from atrous.training.images import size_of, write_mask

    mask = predictor.segment(pixels)
    out.mkdir(parents=True, exist_ok=True)
    target = out / mask_of(path)
    write_mask(target, mask, size_of(path))
    shares = np.bincount(mask.ravel(), minlength=len(predictor.classes)) / mask.size
    found = [(predictor.classes[c], shares[c]) for c in np.argsort(-shares, kind="stable") if shares[c] > 0]
    return f"{target}  " + "   ".join(f"{name} {100 * part:5.1f} %" for name, part in found)
