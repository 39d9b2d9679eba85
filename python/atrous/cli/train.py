"""``atrous train``: LeNet-5 on handwritten digits, from nothing to a tested network with pictures."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrous.cli.arguments import EXTRA, one_line, positive_number, program, whole_number

if TYPE_CHECKING:
    from atrous.training.session import Session

EXAMPLES = """examples:
  atrous train                            the whole job: about half a minute on two cores
  atrous train --epochs 5 --seed 1        a quick look, from other initial weights
  atrous train --optimizer sgd --lr 0.01  another optimizer
  atrous train --resume runs/2026-01-31-lenet5-digits
                                          go on after Ctrl-C, bit for bit as if never stopped
  atrous train --resume runs/2026-01-31-lenet5-digits --epochs 90
                                          add epochs to a run that is done

The run folder holds config.json, metrics.csv, model.safetensors (the weights of the lowest validation loss),
checkpoint.safetensors, samples/ to predict, and pictures: curves.png, confusion.png, mistakes.png, filters.png.
A fifth of the images is the test: it is used once, at the end, and nothing is chosen by it."""


def add_parser(subparsers: Any) -> None:
    """Adds ``train`` to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train LeNet-5 on handwritten digits",
        description="Trains LeNet-5 on the 1,797 images of handwritten digits that come with the package.",
        epilog=EXAMPLES,
    )

    def option(name: str, metavar: str, text: str, **kind: Any) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **kind)

    number = whole_number(least=1)
    option("--epochs", "N", "passes over the training images (default: 60)", type=number)
    option("--batch-size", "N", "images a step (default: 32)", type=number)
    option("--lr", "RATE", "learning rate (default: 0.001 for adam and adamw, 0.02 for sgd)", type=positive_number)
    names = ("adam", "adamw", "sgd")
    option("--optimizer", "NAME", "adam, adamw, or sgd with momentum 0.9 (default: adam)", choices=names)
    option("--seed", "N", "chooses initial weights, order and shifts (default: 0)", type=whole_number(least=0))
    option("--out", "DIR", "where the run folder is made (default: runs)", type=Path)
    option("--resume", "RUN", "go on with the run in this folder, with its own settings", type=Path)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace, limit: int | None = None) -> int:
    """Runs the command; ``limit`` keeps only so many images a part, for tests.

    Raises:
        KeyboardInterrupt: its message says how to go on.
        OSError, ValueError, RuntimeError, ImportError: what went wrong, in one line.
    """
    chosen = {name: getattr(args, name) for name in ("batch_size", "lr", "optimizer", "seed", "out")}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if args.resume and chosen:
        option = "--" + next(iter(chosen)).replace("_", "-")
        args.parser.error(f"{option} cannot change in a run that goes on; with --resume only --epochs can")

    from atrous.training.lenet5_digits import Settings
    from atrous.training.session import Session

    if args.resume:
        session = Session.resume(args.resume, args.epochs, limit)
    else:
        out = chosen.pop("out", Path("runs"))
        epochs = {"epochs": args.epochs} if args.epochs else {}
        session = Session.start(Settings(**epochs, **chosen), out, limit)
    try:
        print_header(session)
        train(session)
        finish(session)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {how_to_go_on(session)}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RuntimeError(f"{one_line(error)}; {how_to_go_on(session)}") from error
    return 0


def how_to_go_on(session: Session) -> str:
    """What a stopped run has saved, and the command that continues it."""
    return f"saved up to epoch {session.saved}, go on with: {shell('train', '--resume', session.folder.path)}"


def print_header(session: Session) -> None:
    """Says what is trained on what; of a new network also whether its first loss is that of a guess."""
    from atrous import __version__
    from atrous.training.lenet5_digits import CLASSES, SHIFT, SIZE
    from atrous.training.machine import kernel_level, threads

    job, settings = session.job, session.job.settings
    train, validation, test = (len(part.dataset) for part in (job.train, job.validation, job.test))
    print(f"atrous {__version__}: LeNet-5 learns handwritten digits")
    print_row("data", f"{train + validation + test:,} images of {SIZE}×{SIZE} in {len(CLASSES)} classes: "
                      f"{train:,} to train, {validation} to validate, {test} to test")  # fmt: skip
    print_row("network", f"{session.parameters():,} parameters, {session.macs():,} multiply-adds (MACs) an image")
    print_row("machine", f"{kernel_level()}, {threads()}")
    print_row("training", f"{settings.epochs} epochs, batches of {settings.batch_size}, {settings.optimizer} at rate "
                          f"{settings.lr:g}, shifts up to {SHIFT} pixels, seed {settings.seed}")  # fmt: skip
    print_row("run folder", f"{session.folder.path}")
    if session.progress.epoch:
        print_row("goes on", f"after epoch {session.progress.epoch} of {settings.epochs}")
        return
    loss, guess = session.initial_loss(), math.log(len(CLASSES))
    verdict = "ok" if abs(loss - guess) < 0.1 * guess else "unusual: a fresh network should guess"
    print(f"initial loss {loss:.2f} (ln {len(CLASSES)} = {guess:.2f}) {verdict}", flush=True)


def print_row(name: str, text: str) -> None:
    """One line of the header or the end, its name in a column of its own."""
    print(f"  {name:<11} {text}", flush=True)


def train(session: Session) -> None:
    """Trains the epochs that are left and shows them."""
    import numpy as np

    from atrous.training.progress import choose_display, clock, percent

    began = time.perf_counter()
    start = session.progress.epoch
    settings = session.job.settings
    quiet = np.errstate(over="ignore", invalid="ignore")  # the loss is checked; NumPy need not warn as well
    with quiet, choose_display(settings.epochs, len(session.job.train), start) as display:
        for epoch, is_best in session.run(display.batch):
            display.epoch(epoch, is_best)
    seconds = time.perf_counter() - began
    best = session.progress.best
    assert best is not None, "there is at least one epoch"
    print(
        f"trained {settings.epochs - start} epochs in {clock(seconds)}; best are the weights of epoch {best['epoch']}:"
    )
    loss, accuracy = best["validation_loss"], percent(best["validation_accuracy"])
    print_row("validation", f"loss {loss:.4f}, accuracy {accuracy}")


def finish(session: Session) -> None:
    """Tests the best weights, draws the pictures, and says where everything is."""
    from atrous.training.progress import percent
    from atrous.training.report import PICTURES, draw_report

    folder, epochs = session.folder.path, session.job.settings.epochs
    seen = session.test()
    print_row("run folder", f"{folder}")
    try:
        draw_report(session, seen)
    except ImportError as error:
        print_row("skipped", f"pictures, samples and reading them ({one_line(error)}); they need: {EXTRA}")
    else:
        print_row("pictures", " ".join(PICTURES))
        print_row("predict", shell("predict", folder, folder / "samples" / "7.png"))
    print_row("resume", shell("train", "--resume", folder, "--epochs", epochs + max(1, epochs // 2)))
    right = round(seen.accuracy * len(seen.labels))
    print(f"test accuracy {percent(seen.accuracy)} ({right} of {len(seen.labels)})", flush=True)


def shell(*words: object) -> str:
    """A command of this program as one types it, quoted where the shell needs it."""
    return shlex.join([*program(), *map(str, words)])
