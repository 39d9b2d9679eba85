"""``atrous train``: from data to a tested network with a report, in one command."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrous.checks import suggestion
from atrous.cli.arguments import EXTRA, one_line, positive_number, program, whole_number

if TYPE_CHECKING:
    from atrous.training.session import Session

EXAMPLES = """examples:
  atrous train                            LeNet-5 learns handwritten digits: a few seconds on two cores
  atrous train --data photos              a folder with a folder of images for each class
  atrous train --data shapes              U-Net finds coloured shapes: a class for each pixel
  atrous train --data cifar10 --model resnet18 --download
  atrous train --data photos --model my_module:build
                                          your own network: a function in my_module.py that returns it
  atrous train --resume runs/2026-01-31-lenet5-digits
                                          go on after Ctrl-C, bit for bit as if never stopped
  atrous train --resume runs/2026-01-31-lenet5-digits --epochs 90
                                          add epochs to a run that is done

The run folder holds report.md with its pictures, metrics.csv, config.json, samples/ to predict, checkpoint-best (the
weights of the lowest validation loss) and checkpoint-last (all that it takes to go on). The test images are used once,
at the end, and nothing is chosen by them."""


def add_parser(subparsers: Any) -> None:
    """Adds ``train`` to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on digits, on known data sets, or on a folder of your own images",
        description="Trains a network, tests it, and writes a report.",
        epilog=EXAMPLES,
    )

    def option(name: str, metavar: str, text: str, **kind: Any) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **kind)

    def switch(name: str, text: str) -> None:
        parser.add_argument(name, action="store_true", default=None, help=text)

    number = whole_number(least=1)
    option(
        "--data", "DATA", "digits (default), mnist, fashion-mnist, cifar10, cifar100, shapes, or a folder", type=data
    )
    option("--model", "MODEL", "lenet5, resnet8, resnet18, 34, 50, 101, 152, unet, or module:function", type=model)
    option("--size", "N", "side of the images in pixels (default: what suits the data)", type=number)
    option("--epochs", "N", "passes over the training images", type=number)
    option("--batch-size", "N", "images a step", type=number)
    option("--lr", "RATE", "learning rate (default: 0.001 for adam and adamw, 0.02 for sgd)", type=positive_number)
    names = ("adam", "adamw", "sgd")
    option("--optimizer", "NAME", "adam, adamw, or sgd with momentum 0.9 (default: adam)", choices=names)
    option(
        "--schedule",
        "NAME",
        "of the learning rate: constant, or cosine (a short rise, then down to 0)",
        choices=("constant", "cosine"),
    )
    option("--clip-grad-norm", "X", "scale gradients down to this norm", type=positive_number)
    option("--accumulate", "N", "batches a step of the optimizer (default: 1)", type=number)
    option("--early-stopping", "N", "stop after N epochs without a better validation loss", type=number)
    switch("--no-augment", "train on the images as they are, neither moved nor mirrored")
    switch("--skip-corrupt", "leave out images that cannot be read, instead of stopping at the first")
    option("--workers", "N", "threads that prepare batches ahead", type=whole_number(least=0))
    option("--root", "DIR", "where the files of mnist and cifar are (default: data)")
    switch("--download", "fetch these files where they are missing")
    option("--seed", "N", "chooses initial weights, order and augmentation (default: 0)", type=whole_number(least=0))
    option("--out", "DIR", "where the run folder is made (default: runs)", type=Path)
    option("--resume", "RUN", "go on with the run in this folder, with its own settings", type=Path)
    switch("--tensorboard", "write TensorBoard events into the run folder, too")
    parser.set_defaults(run=run, parser=parser)


def data(word: str) -> str:
    """An argument type: data by name, or a folder."""
    from atrous.training.sources import NAMES

    return word if Path(word).is_dir() else known(word, NAMES, "data set, and no folder,")


def model(word: str) -> str:
    """An argument type: a network by name, or ``module:function``."""
    from atrous.models import NAMES

    return word if ":" in word else known(word, NAMES, "network")


def known(word: str, names: tuple[str, ...], what: str) -> str:
    """The word, if it is one of the names."""
    if word in names:
        return word
    hint = suggestion(word, names) or f"; there are {', '.join(names)}"
    raise argparse.ArgumentTypeError(f"no {what} is called {word!r}{hint}")


def run(args: argparse.Namespace, limit: int | None = None) -> int:
    """Runs the command; ``limit`` keeps only so many images a part, for tests.

    Raises:
        KeyboardInterrupt: its message says how to go on.
        OSError, ValueError, RuntimeError, ImportError: what went wrong, in one line.
    """
    if args.tensorboard:
        from atrous.training.callbacks import TensorBoard, summary_writer

        summary_writer()  # before there is a run folder
    session = open_session(args, limit)
    if args.tensorboard:
        session.trainer.callbacks.append(TensorBoard(session.folder.path / "tensorboard"))
    try:
        train(session)
        finish(session)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {how_to_go_on(session)}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RuntimeError(f"{one_line(error)}; {how_to_go_on(session)}") from error
    except Exception as error:
        raise session.in_words(error) from error
    return 0


def open_session(args: argparse.Namespace, limit: int | None) -> Session:
    """A new run, or one that goes on, as the arguments say."""
    from atrous.training.session import Session, Settings

    options = {action.dest for action in args.parser._actions if action.dest != "help"}
    chosen = {name: value for name in options if (value := getattr(args, name)) is not None}
    download = bool(chosen.pop("download", False))
    chosen.pop("tensorboard", None)
    if "resume" in chosen:
        fixed = sorted(set(chosen) - {"resume", "epochs", "workers", "early_stopping"})
        if fixed:
            option = "--" + fixed[0].replace("_", "-")
            allowed = "with --resume only --epochs, --early-stopping and --workers can"
            args.parser.error(f"{option} cannot change in a run that goes on; {allowed}")
        changes = {name: chosen[name] for name in ("epochs", "early_stopping", "workers") if name in chosen}
        return Session.resume(args.resume, changes, download, limit)
    out = chosen.pop("out", Path("runs"))
    if chosen.pop("no_augment", False):
        chosen["augment"] = False
    words = {name: str(value) for name, value in chosen.items() if name not in ("augment", "skip_corrupt")}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in words.items()]
    switches = ["--no-augment"] * ("augment" in chosen) + ["--skip-corrupt"] * ("skip_corrupt" in chosen)
    return Session.start(Settings(**chosen), out, shell("train", *sorted(flags), *switches), download, limit)


def how_to_go_on(session: Session) -> str:
    """What a stopped run has saved, and the command that continues it."""
    saving = session.trainer.saving
    batches = f" and batch {saving.batches} of the next" if saving.batches else ""
    return f"saved up to epoch {saving.epoch}{batches}, go on with: {shell('train', '--resume', session.folder.path)}"


def print_header(session: Session) -> None:
    """Says what is trained on what; of a new network also whether its first loss is that of a guess."""
    from atrous import __version__
    from atrous.training.machine import kernel_level, threads

    settings, source, trainer = session.settings, session.source, session.trainer
    train, validation, test = (len(part) for part in session.parts().values())
    H, W = source.preprocessing["size"]
    print(f"atrous {__version__}: {settings.model} learns {source.title}")
    print_row("data", f"{train + validation + test:,} images of {H}×{W} in {len(source.classes)} classes: "
                      f"{train:,} to train, {validation:,} to validate, {test:,} to test")  # fmt: skip
    print_row("network", f"{session.parameters():,} parameters, {session.macs():,} multiply-adds (MACs) an image")
    print_row("machine", f"{kernel_level()}, {threads()}")
    changes = "augmented, " if source.augmented or source.augment else ""
    how = f"{changes}{settings.optimizer} at rate {settings.lr:g} ({settings.schedule})"
    print_row(
        "training", f"{plural(settings.epochs, 'epoch')}, batches of {settings.batch_size}, {how}, seed {settings.seed}"
    )
    print_row("run folder", f"{session.folder.path}")
    if trainer.epoch or trainer.batches:
        batches = f" and batch {trainer.batches} of the next" if trainer.batches else ""
        print_row("goes on", f"after epoch {trainer.epoch}{batches} of {settings.epochs}")
        return
    loss, guess = session.initial_loss(), math.log(len(source.classes))
    verdict = "ok" if abs(loss - guess) < 0.25 * guess else "unusual: a fresh network should guess"
    print(f"initial loss {loss:.2f} (ln {len(source.classes)} = {guess:.2f}) {verdict}", flush=True)


def print_row(name: str, text: str) -> None:
    """One line of the header or the end, its name in a column of its own."""
    print(f"  {name:<11} {text}", flush=True)


def train(session: Session) -> None:
    """Trains the epochs that are left and shows them."""
    from atrous.training.callbacks import Callback
    from atrous.training.progress import clock, in_words

    class Header(Callback):
        start = 0

        def on_fit_begin(self, trainer: Any, epochs: int, batches: int | None) -> None:
            self.start = trainer.epoch
            print_header(session)

    header = Header()
    session.trainer.callbacks.append(header)
    began = time.perf_counter()
    session.fit()
    best, trainer = session.trainer.best, session.trainer
    assert best is not None, "there is at least one epoch"
    epochs = trainer.epoch - header.start
    took = f"{plural(epochs, 'epoch')} in {clock(time.perf_counter() - began)}"
    why = f" ({trainer.stop_reason})" if trainer.stop_reason else ""
    print(f"trained {took}{why}; best are the weights of epoch {best['epoch']}:")
    measured = [name for name in best if name.startswith("validation_")]
    print_row("validation", ", ".join(f"{name.partition('_')[2]} {in_words(name, best[name])}" for name in measured))


def finish(session: Session) -> None:
    """Tests the best weights, writes the report, and says where everything is."""
    from atrous.training.results import answers_of

    folder, settings = session.folder, session.settings
    epochs = settings.epochs or 0
    more: list[object] = ["--epochs", epochs + max(1, epochs // 2)]
    if session.trainer.stop_reason and settings.early_stopping:
        more += ["--early-stopping", 2 * settings.early_stopping]
    session.trainer.load_best()
    results = answers_of(session.model, session.test, session.source.classes)
    commands = {
        "resume": shell("train", "--resume", folder.path, *more),
        "export": shell("export", folder.path),
    }
    print_row("run folder", f"{folder.path}")
    try:
        from atrous.training.report import draw_report

        pictures = draw_report(session, results, commands)
    except ImportError as error:
        print_row("skipped", f"report, pictures and samples ({one_line(error)}); they need: {EXTRA}")
    else:
        print_row("report", f"{folder.report.name} with {' '.join(pictures)}")
        sample = sorted(folder.samples.iterdir())[-3:][0]
        print_row("predict", shell("predict", folder.path, sample))
    for name, command in commands.items():
        print_row(name, command)
    print(results.headline(), flush=True)


def plural(number: int | None, word: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def shell(*words: object) -> str:
    """A command of this program as one types it, quoted where the shell needs it."""
    return shlex.join([*program(), *map(str, words)])
