"""The pictures of the diagnostics are drawn, whole, with little to show and with much."""

import numpy as np
import pytest

import atrous as at
from atrous import nn
from atrous.diagnostics import RateTest, feature_maps, layer_statistics
from atrous.metrics import ExpectedCalibrationError

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from atrous.diagnostics import pictures  # noqa: E402


def drawings():
    rng = np.random.default_rng(0)
    rates = [10.0**k for k in range(-6, 1)]
    yield "rates", lambda path: pictures.draw_rates(path, RateTest(rates, [2.3, 2.2, 2.0, 1.5, 1.2, 1.4, 2.9]))
    for name, depth in (("layers", 1), ("layers-many", 8)):
        deep = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(8, 8), nn.Tanh())])
        rows = layer_statistics(deep, at.randn(4, 8), at.arange(4) if depth > 1 else None)
        yield name, lambda path, rows=rows: pictures.draw_layers(path, rows)
    for N in (1, 500):
        error = ExpectedCalibrationError(10)
        error.update(at.tensor(2 * rng.normal(size=(N, 3))), at.tensor(rng.integers(0, 3, N)))
        diagram = error.reliability()
        yield f"reliability-{N}", lambda path, d=diagram: pictures.draw_reliability(path, d)
    for shape in ((1, 1, 3, 3), (40, 3, 5, 5), (16, 12, 3, 3)):
        weight = rng.normal(size=shape)
        yield f"filters-{shape}", lambda path, w=weight: pictures.draw_filters(path, w)
    yield "filters-zero", lambda path: pictures.draw_filters(path, np.zeros((4, 1, 3, 3)))
    image = rng.uniform(size=(3, 16, 16)).astype("float32")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    maps = feature_maps(model, at.tensor(image[None]))
    yield "maps", lambda path: pictures.draw_feature_maps(path, image, maps)
    images, cams = np.stack([image, image]), np.stack([np.zeros((4, 4)), rng.normal(size=(4, 4))])
    names = ["a rather long name of a class", "$8$"]
    yield "class-activation", lambda path: pictures.draw_class_activation(path, images, cams, names)


def marked(name, draw):
    """The cases with little to show are slow, as each picture takes half a second."""
    rare = name in ("layers", "reliability-1", "filters-(1, 1, 3, 3)", "filters-(40, 3, 5, 5)", "filters-zero")
    return pytest.param(draw, id=name, marks=[pytest.mark.slow] if rare else [])


@pytest.mark.parametrize("draw", [marked(name, draw) for name, draw in drawings()])
def test_a_picture_is_drawn(tmp_path, draw):
    path = tmp_path / "picture.png"
    draw(path)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 200
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() > 240, "something is cut off"
    assert pixels.std() > 3, "the picture is empty"
