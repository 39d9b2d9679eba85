"""Dropouts of channels, patches, samples and layers: what is dropped, what becomes of the rest, and PyTorch's edges."""

import math
import warnings

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous import gpu, layout, nn
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")

# name: (function of (F, x, p, *inplace), shape of x, axes along which all is dropped or nothing)
DROPOUTS = {
    "dropout1d": (lambda F, x, p, *a: F.dropout1d(x, p, True, *a), (90, 40, 3), (2,)),
    "dropout1d, no batch": (lambda F, x, p, *a: F.dropout1d(x, p, True, *a), (3000, 3), (1,)),
    "dropout2d": (lambda F, x, p, *a: F.dropout2d(x, p, True, *a), (90, 40, 2, 3), (2, 3)),
    "alpha_dropout": (lambda F, x, p, *a: F.alpha_dropout(x, p, True, *a), (60, 60), ()),
    "alpha_dropout of images": (lambda F, x, p, *a: F.alpha_dropout(x, p, True, *a), (30, 5, 6, 4), ()),
    "feature_alpha_dropout": (lambda F, x, p, *a: F.feature_alpha_dropout(x, p, True, *a), (90, 40, 2, 3), (2, 3)),
    "patch_dropout": (lambda F, x, p, *a: F.patch_dropout(x, 1, p, True, *a), (40, 3, 10, 9), (1,)),
    "patch_dropout, no batch": (lambda F, x, p, *a: F.patch_dropout(x, 1, p, True, *a), (3, 60, 50), (0,)),
    "stochastic_depth": (lambda F, x, p: F.stochastic_depth(x, p, "row"), (3000, 2, 3), (1, 2)),
}
INPLACE = [name for name in DROPOUTS if name != "stochastic_depth"]
OF_PYTORCH = [name for name in INPLACE if not name.startswith("patch")]
LOWEST = -1.7580993408473766  # selu's


def values_of(name, p):
    """What becomes of a 1: dropped, and kept."""
    if "alpha" in name:
        a = ((1 - p) * (1 + LOWEST**2 * p)) ** -0.5
        return a * LOWEST * (1 - p), a * (1 - LOWEST * p)
    return 0.0, 1.0 if name.startswith("patch") else 1 / (1 - p)


@pytest.mark.parametrize("p", [0.2, 0.7])
@pytest.mark.parametrize("name", DROPOUTS)
def test_drops_a_share_p_together(name, p):
    f, shape, together = DROPOUTS[name]
    at.manual_seed(0)
    y = f(F, at.ones(*shape, dtype=at.float64), p).numpy()
    low, high = values_of(name, p)
    kept = np.abs(y - high) < 1e-12
    np.testing.assert_allclose(y[~kept], low, atol=1e-12)
    assert (kept.all(axis=together) == kept.any(axis=together)).all()
    units = kept.all(axis=together)
    assert abs(units.sum() - units.size * (1 - p)) < 5 * math.sqrt(units.size * p * (1 - p))  # five deviations


@pytest.mark.parametrize("name", DROPOUTS)
def test_gradient_is_dropped_and_scaled_alike(name):
    f, shape, _ = DROPOUTS[name]
    x = at.tensor(draw(*shape), requires_grad=True)
    weights = draw(*shape, seed=1)
    at.manual_seed(0)
    y = f(F, x, 0.4)
    (y * at.tensor(weights)).sum().backward()
    at.manual_seed(0)
    step = f(F, x.detach() + 1.0, 0.4) - y.detach()  # each is a · x + b
    np.testing.assert_allclose(x.grad.numpy(), step.numpy() * weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DROPOUTS)
def test_same_elements_for_a_seed_in_any_memory_and_library(name, foreign, monkeypatch):
    f, shape, _ = DROPOUTS[name]
    array, results = draw(*shape).astype(np.float32), []
    for make in (np.ascontiguousarray, layout.channels_last, foreign.asarray):
        generator = at.random.Generator(seed=7)
        if make is foreign.asarray:  # which has no kernels to draw bits with
            bits = generator.bits
            monkeypatch.setattr(generator, "bits", lambda count, beside: foreign.asarray(bits(count)))  # noqa: B023
        x = at.Tensor(make(array), True)
        with at.random.using(generator):
            y = f(F, x, 0.4)
        y.sum().backward()
        assert gpu.holds(y.data) or layout.is_channels_last(y.data) == layout.is_channels_last(x.data)
        results.append([gpu.to_host(y.detach().data).tolist(), gpu.to_host(x.grad.data).tolist()])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", INPLACE)
def test_in_place(name):
    f, shape, _ = DROPOUTS[name]
    leaf = at.tensor(draw(*shape), requires_grad=True)
    results = []
    for args in ((), (True,)):
        at.manual_seed(0)
        x = leaf * 2
        y = f(F, x, 0.4, *args)
        assert (y is x) == bool(args)
        results.append([y.tolist(), at.autograd.grad(y.sum(), leaf)[0].tolist()])
    assert results[0] == results[1]
    with pytest.raises(RuntimeError, match="a leaf that requires grad is written in place"):
        f(F, leaf, 0.4, True)


@pytest.mark.parametrize("name", OF_PYTORCH)
def test_edges_as_pytorch(name):
    f, shape, _ = DROPOUTS[name]
    x = draw(*shape)[:4]
    x.flat[:3] = NAN, INF, -INF
    assert_parity(lambda F, x: f(F, x, 0.0), x)
    assert_parity(lambda F, x: f(F, x, 1.0), x)
    assert_parity(lambda F, x: f(F, x, 0.5), np.full(shape, NAN), gradients=False)


@pytest.mark.parametrize("name", OF_PYTORCH)
def test_values_as_pytorch(name):
    """The masks differ; what becomes of a number, dropped or kept, does not."""
    torch = pytest.importorskip("torch")
    f, shape, _ = DROPOUTS[name]
    ours = np.unique(f(F, at.full(shape, 0.5, dtype=at.float64), 0.3).numpy())
    theirs = np.unique(f(torch.nn.functional, torch.full(shape, 0.5, dtype=torch.float64), 0.3).numpy())
    np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", DROPOUTS)
def test_does_nothing_in_evaluation_or_with_p_zero(name):
    f, shape, _ = DROPOUTS[name]
    x, state = at.ones(*shape), at.random.default_generator.get_state()
    assert f(F, x, 0.0) is x
    layer = {
        "dropout1d": nn.Dropout1d(),
        "dropout2d": nn.Dropout2d(),
        "alpha_dropout": nn.AlphaDropout(),
        "feature_alpha_dropout": nn.FeatureAlphaDropout(),
        "patch_dropout": nn.PatchDropout(2),
        "stochastic_depth": nn.StochasticDepth(0.5, "row"),
    }[name.partition(",")[0].partition(" ")[0]]
    assert layer.eval()(x) is x
    assert at.random.default_generator.get_state() == state
    assert layer.train()(x) is not x


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_self_normalising(name, p):
    """Mean and variance of n = 180,000 units stay within five standard deviations of theirs."""
    at.manual_seed(0)
    y = getattr(F, name)(at.randn(600, 300, 1, dtype=at.float64), p, True).numpy()
    n, excess = y.size, ((y - y.mean()) ** 4).mean() / y.var() ** 2 - 1
    assert abs(y.mean()) < 5 / math.sqrt(n)
    assert abs(y.var() - 1) < 5 * math.sqrt(excess / n)


def test_patches_are_squares_of_a_grid():
    at.manual_seed(1)
    y = F.patch_dropout(at.ones(20, 3, 7, 10), 4, 0.5).numpy()  # rows 4 + 3, columns 4 + 4 + 2
    coarse = y[:, :1, ::4, ::4]
    assert 0.3 < coarse.mean() < 0.7
    np.testing.assert_array_equal(y, coarse.repeat(4, 2).repeat(4, 3)[:, :, :7, :10].repeat(3, 1))
    x = at.ones(1, 1, 5, 5)
    at.manual_seed(1)
    assert set(F.patch_dropout(x, 9, 0.5).flatten().tolist()) in ({0.0}, {1.0})


def test_stochastic_depth_of_a_batch():
    at.manual_seed(0)
    seen = {tuple(F.stochastic_depth(at.ones(3, 2), 0.75, "batch").flatten().tolist()) for _ in range(30)}
    assert seen == {(0.0,) * 6, (4.0,) * 6}
    assert F.stochastic_depth(at.ones(2), 1.0, "row").tolist() == [0.0, 0.0]
    assert repr(nn.StochasticDepth(0.25, "row")) == "StochasticDepth(p=0.25, mode=row)"


def test_weight_scaling():
    """A net trained with masks that scale nothing, its weights times 1 − p, is a net trained with the inverted form."""
    p, (x, W) = 0.4, (at.tensor(draw(6)), at.tensor(draw(3, 6, seed=1)))
    at.manual_seed(0)
    inverted = F.dropout(x.expand(40_000, 6).clone(), p)
    plain = inverted * (1 - p)  # what the paper's form gives for the same masks
    scaled = W * (1 - p)
    np.testing.assert_allclose(F.linear(inverted, scaled).numpy(), F.linear(plain, W).numpy(), rtol=1e-12, atol=1e-12)
    for outputs, inference in ((F.linear(inverted, W), F.linear(x, W)), (F.linear(plain, W), F.linear(x, scaled))):
        error = (outputs.mean(0) - inference).abs().numpy()
        assert (error < 5 * outputs.std(0).numpy() / math.sqrt(40_000)).all()  # five deviations of the mean


@pytest.mark.parametrize("shape", [(40, 30, 2), (50, 40), (9, 8, 2, 2, 2)], ids=str)
def test_dropout2d_of_other_shapes_warns_as_pytorch(shape):
    torch = pytest.importorskip("torch")
    with pytest.warns(UserWarning, match=r"dropout2d: the input has shape .* give \(N, C, H, W\)"):
        y = F.dropout2d(at.ones(*shape)).numpy()
    with pytest.warns(UserWarning, match="dropout2d: Received a"):
        z = torch.nn.functional.dropout2d(torch.ones(shape)).numpy()
    for found in (y, z):  # whole channels (n, c)
        flat = found.reshape(*shape[:2], -1)
        assert (flat == flat[..., :1]).all()
        assert set(np.unique(flat)) == {0, 2}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, x: F.dropout1d(x, 1.5), "dropout1d: p is 1.5; expected 0 to 1"),
        (lambda F, x: F.dropout2d(x, -0.1, False), "dropout2d: p is -0.1"),
        (lambda F, x: F.alpha_dropout(x, 2.0), "alpha_dropout: p is 2.0"),
        (lambda F, x: F.feature_alpha_dropout(x, NAN, True), "feature_alpha_dropout: p is nan"),
        (lambda F, x: F.dropout1d(x), r"dropout1d: the input has shape \(2, 3, 4, 4\); expected \(N, C, L\) or"),
        (lambda F, x: F.dropout2d(x[0, 0, 0]), r"dropout2d: the input has shape \(4,\); expected \(N, C"),
        (lambda F, x: F.feature_alpha_dropout(x[0, 0, 0], 0.5, True), "feature_alpha_dropout: the input has shape"),
    ],
)
def test_refusals(call, message):
    x = draw(2, 3, 4, 4)
    warnings.simplefilter("ignore")  # of dropout2d; pytest restores the filters
    with pytest.raises(ValueError, match=message):
        call(F, at.tensor(x))
    if "nan" not in message:
        assert_torch_refuses(call, x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dropout2d(-1), "Dropout2d: p is -1; expected a probability from 0 to 1"),
        (lambda: nn.StochasticDepth(0.5, "rows"), "StochasticDepth: mode is 'rows'; expected 'batch' or 'row'"),
        (lambda: F.stochastic_depth(at.ones(2), 0.5, "all"), "stochastic_depth: mode is 'all'"),
        (lambda: F.stochastic_depth(at.ones(()), 0.5, "row"), "stochastic_depth: the input has no axes"),
        (lambda: nn.PatchDropout(0), "PatchDropout: patch_size is 0; expected 1 or more"),
        (lambda: F.patch_dropout(at.ones(2, 2), 1), r"patch_dropout: the input has shape \(2, 2\); expected \(N, C, H"),
        (lambda: F.patch_dropout(at.ones(1, 2, 2), 0), "patch_dropout: patch_size is 0"),
        (lambda: F.alpha_dropout(at.arange(3), 0.5, True), "alpha_dropout: x has dtype int64"),
        (lambda: F.dropout1d([[1.0]]), "dropout1d: x is a list; expected a Tensor"),
    ],
)
def test_refusals_of_our_own(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
