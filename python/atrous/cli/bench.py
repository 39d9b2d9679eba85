"""``atrous bench``: runs the benchmarks of a source checkout, or times a model's training step."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from atrous.checks import suggestion
from atrous.cli.arguments import whole_number

EXAMPLES = """examples:
  atrous bench                              every family, one after the other
  atrous bench conv2d                       one family
  atrous bench --quick                      fewer shapes and repetitions
  atrous bench --model resnet18             a training step: forward, backward, optimizer
  atrous bench --model resnet18 --layers    each layer of it: algorithm, time, share of what the machine can do;
                                            and a roofline with all of them, in roofline-resnet18.png
  atrous bench --model my_module:build --batch 16 --size 64 --layers
                                            a network of your own, made by build() in ./my_module.py

The kernels' benchmarks belong to the source, not to the installed package: run them inside a checkout. --model works
everywhere."""


def add_parser(subparsers: Any) -> None:
    """Adds ``bench`` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="time the kernels against NumPy and PyTorch, or a model's layers",
        description="Runs benchmarks/bench_<family>.py: each verifies, then times atrous beside NumPy and PyTorch.\n"
        "With --model: times a training step of a network, on random images.",
        epilog=EXAMPLES,
    )
    number = whole_number(least=1)
    parser.add_argument("family", nargs="?", metavar="FAMILY", help="such as conv2d; all where none is named")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and repetitions")
    parser.add_argument("--model", metavar="NAME", help="such as resnet18 or unet, or module:function of your own")
    parser.add_argument("--layers", action="store_true", help="time each layer of the model")
    parser.add_argument("--batch", metavar="N", type=number, help="images a step (default: by the model)")
    parser.add_argument("--size", metavar="N", type=number, help="height and width of the images (default: likewise)")
    parser.add_argument("--picture", metavar="PNG", type=Path, help="where the roofline of --layers goes")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Times the model, or runs each benchmark in a process of its own: none inherits another's memory and threads.

    Raises:
        FileNotFoundError: there is no checkout here.
        ValueError, RuntimeError: the model cannot be built, or does not run on such images.
    """
    if args.picture is not None and not args.layers:
        args.parser.error("--picture needs --layers")
    if args.model is not None:
        if args.family is not None:
            args.parser.error("a FAMILY of kernels and --model are two benchmarks; name one of them")
        from atrous.cli.bench_model import run_model

        return run_model(args)
    for option in ("layers", "batch", "size"):
        if getattr(args, option):
            args.parser.error(f"--{option} needs --model")
    scripts = find_benchmarks(Path.cwd())
    if args.family is not None and args.family not in scripts:
        near = suggestion(args.family, scripts) or f"; there are {', '.join(scripts)}"
        args.parser.error(f"no benchmark {args.family!r}{near}")
    failed = []
    for family in [args.family] if args.family else scripts:
        command = [sys.executable, str(scripts[family]), *(["--quick"] if args.quick else [])]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(family)
    if failed:
        raise RuntimeError(f"failed: {', '.join(failed)}")
    return 0


def find_benchmarks(here: Path) -> dict[str, Path]:
    """The scripts by family, from ``here`` or a folder above it, else from the checkout that this package runs from.

    Raises:
        FileNotFoundError: there are none.
    """
    checkout = Path(__file__).resolve().parents[3]  # <checkout>/python/atrous/cli/bench.py
    for root in (here, *here.parents, checkout):
        scripts = sorted((root / "benchmarks").glob("bench_*.py"))
        if scripts and (root / "python" / "atrous").is_dir():
            return {script.stem.removeprefix("bench_"): script for script in scripts}
    raise FileNotFoundError(f"no benchmarks/bench_*.py in {here} or above it; run this inside a checkout of atrous")
