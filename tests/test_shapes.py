"""The shapes data set: the same bits anywhere, targets that agree with each other and with the pixels."""

import hashlib
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import data, datasets

module = sys.modules[datasets.Shapes.__module__]


def arrays(sample):
    image, target = sample
    return [image.numpy(), *(target[key].numpy() for key in ("mask", "boxes", "labels"))]


def digest(dataset, indices):
    return hashlib.sha256(b"".join(a.tobytes() for i in indices for a in arrays(dataset[i]))).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "indices", "expected"),
    [
        ({}, (0, 1, 999), "7f5775db9b3c9740"),
        ({"size": 32, "objects": (1, 1), "seed": 5}, (0, 7), "0c6753d3915876c9"),
        ({"size": 50, "objects": (2, 9), "seed": 2**40}, (3,), "bd3554964cc5d4b5"),
    ],
)
def test_pinned_bits(arguments, indices, expected):
    """A result on these pictures must be repeatable elsewhere and later."""
    assert digest(datasets.shapes(**arguments), indices)[:16] == expected


def test_a_sample_depends_on_its_number_alone():
    dataset = datasets.shapes(30, size=32)
    expected = [digest(dataset, [i]) for i in range(30)]
    assert len(set(expected)) == 30
    at.manual_seed(7)
    assert [digest(dataset, [i]) for i in reversed(range(30))] == expected[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: digest(dataset, [i]), range(30))) == expected
    assert digest(datasets.shapes(4, size=32), [3]) == expected[3]
    assert digest(datasets.shapes(30, size=32, seed=1), [3]) != expected[3]
    assert digest(dataset, [-1]) == expected[29]
    assert digest(pickle.loads(pickle.dumps(dataset)), [3]) == expected[3]


def test_it_uses_no_function_whose_last_bit_varies():
    source = Path(module.__file__).read_text(encoding="utf-8")
    forbidden = r"(?:np|math)\.(?:sin|cos|tan|arc|exp|log|pow|hypot|dot|matmul|einsum|mean|sum)|\w \*\* | @ |\.sum\("
    assert re.findall(forbidden, source) == []


@pytest.mark.parametrize("size", [16, 33, 64])
@pytest.mark.parametrize("objects", [(1, 1), (1, 3), (4, 12)])
def test_targets_agree(size, objects):
    for image, target in datasets.shapes(25, size, seed=3, objects=objects):
        mask, boxes, labels = (target[key].numpy() for key in ("mask", "boxes", "labels"))
        assert (image.shape, image.dtype) == ((3, size, size), at.float32)
        assert 0 <= image.numpy().min() < image.numpy().max() <= 1
        assert (mask.shape, mask.dtype, boxes.dtype, labels.dtype) == ((size, size), np.int64, np.float32, np.int64)
        assert boxes.shape == (len(labels), 4)
        assert 1 <= len(labels) <= objects[1]
        assert set(np.unique(mask)) - {0} == {k + 1 for k in labels}
        union = np.zeros((size, size), bool)
        for (x1, y1, x2, y2), k in zip(boxes.astype(int), labels, strict=True):
            assert 0 <= x1 < x2 <= size
            assert 0 <= y1 < y2 <= size
            part = mask[y1:y2, x1:x2] == k + 1
            assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()  # noqa: PT018
            union[y1:y2, x1:x2] |= part
        assert (union == (mask > 0)).all()
        assert target["label"] in labels
        if len(set(labels)) == len(labels):
            pixels = np.bincount(mask[mask > 0] - 1, minlength=5)
            assert pixels[target["label"]] == pixels.max()


def test_most_of_each_object_is_visible(monkeypatch):
    pictures = []

    class Picture(module._Picture):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pictures.append(self)

    monkeypatch.setattr(module, "_Picture", Picture)
    list(datasets.shapes(40, objects=(3, 8)))
    shares = [np.bincount(p.seen.ravel())[1:] / p.areas for p in pictures]
    lowest = min(share.min() for share in shares)
    assert 0.6 <= lowest < 0.7  # objects do overlap
    assert max(share.max() for share in shares) == 1.0


def test_all_classes_and_counts_occur():
    targets = [target for _, target in datasets.shapes(400, 32)]
    counts = np.bincount([len(target["labels"]) for target in targets], minlength=4)
    classes = np.bincount(np.concatenate([target["labels"].numpy() for target in targets]), minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 90
    assert classes.min() > 120
    single = np.bincount([label for _, label in datasets.shapes(400, 32, target="class", objects=(1, 1))])
    assert single.min() > 50


def test_objects_are_visible_and_colour_does_not_give_the_class_away():
    """A person must see the object: its colour differs from that of the ring around it. The mean colours are alike."""
    differences, colours = [], {k: [] for k in range(5)}
    for image, target in datasets.shapes(400, 48, objects=(1, 1)):
        x, inside = image.numpy(), target["mask"].numpy() > 0
        padded = np.pad(inside, 3)
        near = np.any([np.roll(padded, (dy, dx), (0, 1)) for dy in (-3, 0, 3) for dx in (-3, 0, 3)], 0)[3:-3, 3:-3]
        colour = x[:, inside].mean(1)
        differences.append(np.abs(colour - x[:, near & ~inside].mean(1)).sum())
        colours[target["label"]].append(colour)
    assert np.quantile(differences, 0.02) > 0.4
    assert np.ptp([np.mean(c, 0) for c in colours.values()], axis=0).max() < 0.2


def test_a_threshold_does_not_solve_it():
    """The best threshold on the distance from a picture's median colour mistakes clutter for objects."""
    thresholds = np.linspace(0.1, 2, 20)
    both, either = np.zeros(20), np.zeros(20)
    for image, target in datasets.shapes(100):
        x, inside = image.numpy(), target["mask"].numpy() > 0
        found = np.abs(x - np.median(x, (1, 2), keepdims=True)).sum(0) > thresholds[:, None, None]
        both += (inside & found).sum((1, 2))
        either += (inside | found).sum((1, 2))
    assert 0.5 < (both / either).max() < 0.75  # objects against background: nothing said about the class


@pytest.mark.parametrize(
    ("k", "inside", "outside"),
    [
        (0, [(0, 0), (6.9, 0), (0, -6.9), (4.9, 4.9)], [(7.1, 0), (5, 5)]),
        (1, [(6.1, 6.1), (-6.1, 6.1)], [(6.3, 0), (0, -6.3)]),
        (2, [(0, -9.9), (8.5, 4.9), (0, 4.9)], [(0, 5.1), (5, -4), (0, -10.1)]),
        (3, [(0, 9.9), (0, -3.7), (9.4, 3.06), (-5.8, -8)], [(0, -3.9), (0, 10.1), (2.4, 3.3), (5, 8)]),
        (4, [(0, 8.4), (-8.4, 2.4), (2.4, 2.4)], [(2.6, 2.6), (8.6, 0), (6, 6)]),
    ],
)
def test_outlines_by_hand(k, inside, outside):
    """Points (x right, y down) that each shape of r = 10 has and has not."""
    for points, sign in ((inside, -1), (outside, 1)):
        x, y = np.array(points).T
        assert (np.sign(module._DISTANCES[k](x, y, 10.0)) == sign).all()


def test_edges_are_anti_aliased():
    distance = np.array([-1.0, -0.5, -0.25, 0.0, 0.5, 2.0])
    assert module._coverage(distance).tolist() == [1, 1, 0.75, 0.5, 0, 0]


def test_target_choices():
    image, full = datasets.shapes()[4]
    for name, expected in (("class", full["label"]), ("mask", full["mask"]), ("boxes", None)):
        again, target = datasets.shapes(target=name)[4]
        assert (again.numpy() == image.numpy()).all()
        if name == "boxes":
            assert list(target) == ["boxes", "labels"]
            assert target["boxes"].tolist() == full["boxes"].tolist()
            assert target["labels"].tolist() == full["labels"].tolist()
        elif name == "mask":
            assert (target.numpy() == expected.numpy()).all()
        else:
            assert type(target) is int
            assert target == expected


def test_batches_and_transform():
    dataset = datasets.shapes(6, 32, target="class", objects=(1, 1), transform=lambda image: 1 - image)
    images, labels = next(iter(data.DataLoader(dataset, batch_size=6)))
    assert (images.shape, labels.dtype, len(dataset)) == ((6, 3, 32, 32), at.int64, 6)
    plain = datasets.shapes(6, 32, objects=(1, 1))
    np.testing.assert_array_equal(images[2].numpy(), 1 - plain[2][0].numpy())
    assert dataset.classes[int(labels[0])] in ("circle", "square", "triangle", "star", "cross")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.shapes(0), ValueError, "shapes: length is 0; expected 1 or more"),
        (lambda: datasets.shapes(size=15), ValueError, "shapes: size is 15; expected 16 or more"),
        (lambda: datasets.shapes(objects=(0, 3)), ValueError, "shapes: objects are (0, 3); expected 1 ≤ fewest ≤ most"),
        (lambda: datasets.shapes(objects=(3, 2)), ValueError, "shapes: objects are (3, 2); expected 1 ≤ fewest ≤ most"),
        (lambda: datasets.shapes(objects=3), TypeError, "shapes: objects are 3; expected two ints, (fewest, most)"),
        (lambda: datasets.shapes(objects=(1, 2, 3)), TypeError, "expected two ints, (fewest, most)"),
        (lambda: datasets.shapes(size=64.0), TypeError, "shapes: size is 64.0; expected an int"),
        (lambda: datasets.shapes(seed=2**64), ValueError, "does not fit 64 bits"),
        (
            lambda: datasets.shapes(target="box"),
            ValueError,
            "shapes: target is 'box'; expected one of all",
        ),
        (lambda: datasets.shapes(5)[5], IndexError, "shapes: index 5 is out of range; the data set has 5 samples"),
        (lambda: datasets.shapes(5)[-6], IndexError, "shapes: index -6 is out of range"),
        (lambda: datasets.shapes(5)["1"], TypeError, "'str' object cannot be interpreted as an integer"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_page_and_its_picture(tmp_path, monkeypatch):
    """The code on the page makes the picture on the page."""
    Image = pytest.importorskip("PIL.Image")
    page = Path(__file__).parent.parent / "docs" / "datasets.md"
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    assert all((page.parent / link).exists() for link in links)
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "shapes.png" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    made, shown = (np.asarray(Image.open(path)) for path in ("shapes.png", page.parent / "images" / "shapes.png"))
    assert (made == shown).all(2).mean() > 0.99  # Pillow draws the boxes
    assert (page.parent / "images" / "shapes.png").stat().st_size < 150_000
