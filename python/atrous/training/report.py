"""What a finished run leaves to read and to look at: report.md, pictures, samples to predict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..nn import Conv2d, Module
from ..nn.observe import observe
from ..ops import from_numpy
from .images import write_image
from .pictures import draw_confusion, draw_curves, draw_filters, draw_masks, draw_mistakes, worth_showing
from .progress import in_words, percent
from .results import Results
from .session import Session
from .sources import mean_and_std

PICTURES = {
    "curves.png": "How it learned",
    "masks.png": "Test images, their true classes, and the network's answers",
    "confusion.png": "What is taken for what",
    "mistakes.png": "What it got wrong, and where it was least sure",
    "filters.png": "The first layer's filters and where they fire",
}


def draw_report(session: Session, results: Results, commands: Mapping[str, str]) -> list[str]:
    """Draws the pictures into the run folder, writes samples and report.md; returns the pictures' names.

    Args:
        session: a run whose model holds the weights to show.
        results: its answers on the test images.
        commands: what one can do next, by name.
    Raises:
        ImportError: matplotlib or Pillow is missing.
        OSError: a file cannot be written.
    """
    path, history, best = session.folder.path, session.trainer.history, session.trainer.best
    assert best is not None, "a finished run has a best epoch"
    draw_curves(path / "curves.png", history, int(best["epoch"]))
    if session.segmentation:
        shown = images_of(session, results.indices)
        draw_masks(
            path / "masks.png", np.stack(list(shown.values())), results.targets, results.answers, results.classes
        )
        draw_confusion(path / "confusion.png", results.counts, results.classes, "test pixels")
        examples = {f"{number + 1}": image for number, image in enumerate(shown.values())}
    else:
        labels, chances = results.targets, results.answers
        worth = np.concatenate(worth_showing(labels, chances))
        positions = {int(i): results.indices[i] for i in worth}
        shown = images_of(session, positions.values())
        draw_confusion(path / "confusion.png", results.counts, results.classes)
        images = {i: shown[index] for i, index in positions.items()}
        draw_mistakes(path / "mistakes.png", images, labels, chances, results.classes)
        examples = one_of_each_class(session, results)
    draw_first_layer(session, list(examples.values())[2:5] or list(examples.values()))
    write_samples(session, examples)
    write_report(session, results, commands)
    return [name for name in PICTURES if (path / name).exists()]


def images_of(session: Session, indices: Iterable[int]) -> dict[int, np.ndarray]:
    """Test images (C, H, W), 0 to 1, by their number in the data set."""
    mean, std = mean_and_std(session.source.preprocessing)
    dataset = session.test.dataset
    return {index: (dataset[index][0].numpy() * std + mean).clip(0, 1) for index in indices}


def one_of_each_class(session: Session, results: Results) -> dict[str, np.ndarray]:
    """A test image of each class, by a name that suits a file."""
    labels = results.targets
    firsts = {c: int(np.flatnonzero(labels == c)[0]) for c in range(len(results.classes)) if (labels == c).any()}
    images = images_of(session, [results.indices[i] for i in firsts.values()])
    return dict(zip(file_names([results.classes[c] for c in firsts]), images.values(), strict=True))


def file_names(classes: Sequence[str]) -> list[str]:
    """A name for a file of each class, all different.

    Example:
        >>> file_names(["7 - seven", "a b", "a-b", "?"])
        ['7-seven', 'a-b', 'a-b-2', 'class']
    """
    found: list[str] = []
    for name in classes:
        plain = re.sub(r"-{2,}", "-", re.sub(r"[^\w.-]+", "-", name)).strip("-.")[:60] or "class"
        number = next(n for n in count(1) if (plain if n == 1 else f"{plain}-{n}") not in found)
        found.append(plain if number == 1 else f"{plain}-{number}")
    return found


def draw_first_layer(session: Session, images: list[np.ndarray]) -> None:
    """The filters of the first convolution that sees the image, and where they fire; nothing if there is none."""
    seen: list[tuple[Conv2d, Any]] = []

    def note(name: str, layer: Module, args: tuple, output: Any) -> None:
        if isinstance(layer, Conv2d) and not seen:
            seen.append((layer, output))

    mean, std = mean_and_std(session.source.preprocessing)
    with no_grad():
        observe(session.model, note, from_numpy(np.stack([(image - mean) / std for image in images])))
    if seen and seen[0][0].weight.shape[1] == len(images[0]):
        layer, maps = seen[0]
        filters = layer.weight.detach().numpy()
        draw_filters(session.folder.path / "filters.png", filters, np.stack(images), maps.numpy())


def write_samples(session: Session, examples: Mapping[str, np.ndarray]) -> None:
    """Writes images as PNG files that `atrous predict` reads."""
    session.folder.samples.mkdir(exist_ok=True)
    for name, image in examples.items():
        write_image(session.folder.samples / f"{name}.png", image)


def write_report(session: Session, results: Results, commands: Mapping[str, str]) -> None:
    """Writes report.md: the numbers, the command that made them, the pictures, and what to do next."""
    config, settings, path = session.folder.read_config(), session.settings, session.folder.path
    best = session.trainer.best
    assert best is not None
    measured = [f"{name.replace('_', ' ')} {in_words(name, best[name])}" for name in best if name.startswith("valid")]
    data = config["data"]
    lines = [
        f"# {settings.model} on {config['data']['title']}",
        "",
        f"**{results.headline()}**, with the weights of epoch {best['epoch']} of {session.trainer.epoch} "
        f"({', '.join(measured)}).",
        "",
        f"- data: {data['train']:,} images to train, {data['validation']:,} to validate, {data['test']:,} to test, "
        f"{'×'.join(map(str, session.source.preprocessing['size']))}, {len(results.classes)} classes",
        f"- network: {config['model']['parameters']:,} parameters, {config['model']['multiply_adds']:,} multiply-adds "
        "(MACs) an image",
        f"- training: {settings.optimizer} at rate {settings.lr:g}, {settings.schedule}, batches of "
        f"{settings.batch_size}, seed {settings.seed}",
        f"- machine: {config['machine']['kernels']}, threads: {config['machine']['threads']}, "
        f"{config['machine']['platform']}",
        f"- versions: {', '.join(f'{name} {number}' for name, number in config['versions'].items())}",
        f"- started: {config['started']}",
        "",
        "```sh",
        *(f"{command}  # {name}" for name, command in {"made it": config["command"], **commands}.items() if command),
        "```",
        "",
        *class_table(results),
        *(f"## {title}\n\n![{title}]({name})\n" for name, title in PICTURES.items() if (path / name).exists()),
        "All numbers of each epoch are in metrics.csv, all settings in config.json.",
    ]
    session.folder.write_report("\n".join(lines) + "\n")


def class_table(results: Results) -> list[str]:
    """A row for each class: how many there were, and how well they were found."""
    counts, right = results.counts, np.diag(results.counts)
    pixels = results.targets.ndim > 1
    heads = ["class", "pixels" if pixels else "images", "found (recall)", "of its answers right (precision)"]
    heads += ["IoU"] if pixels else []
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for c, name in enumerate(results.classes):
        plain = " ".join(name.split()).replace("|", "\\|")
        cells = [plain, f"{counts[c].sum():,}", share(right[c], counts[c].sum()), share(right[c], counts[:, c].sum())]
        if pixels:
            cells.append("–" if np.isnan(results.iou[c]) else percent(results.iou[c]))
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]


def share(part: int, whole: int) -> str:
    """A share in percent, a dash of nothing."""
    return percent(part / whole) if whole else "–"
