"""Embedding, Bilinear, the threshold unit and the layers about axes, beside PyTorch's."""

import math

import numpy as np
import pytest
from parity import assert_parity, draw

import atrous as at
from atrous import gpu, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
TABLE = draw(6, 3)
INDEX = np.array([[1, 4, 1], [5, 1, 0]])
EMBEDDINGS = {
    "plain": {},
    "padding": {"padding_idx": 1},
    "padding from the end": {"padding_idx": -1},
    "max_norm": {"max_norm": 1.0},
    "max_norm by p 1": {"max_norm": 2.0, "norm_type": 1.0, "padding_idx": 4},
    "max_norm by the largest": {"max_norm": 0.5, "norm_type": INF},
    "by frequency": {"scale_grad_by_freq": True, "padding_idx": 0},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("index", [INDEX, INDEX.astype(np.int32), np.array(4), np.zeros((2, 0), np.int64)], ids=str)
def test_embedding_as_pytorch(name, dtype, index):
    """And the table afterwards, which max_norm changes."""

    def embed(F, weight, index):
        y = F.embedding(index, weight, **EMBEDDINGS[name])
        return y, weight.detach()

    assert_parity(embed, TABLE, index, dtype=dtype)


def test_embedding_by_hand():
    table = at.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    y = F.embedding(at.tensor([0, 2, 0]), table, padding_idx=2, scale_grad_by_freq=True)
    assert y.tolist() == [[3.0, 4.0], [0.0, 2.0], [3.0, 4.0]]
    (y * at.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert table.grad.tolist() == [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]  # (1 + 3) / 2, padding, never named
    F.embedding(at.tensor([0]), table, max_norm=1.0)
    np.testing.assert_allclose(table.detach().numpy(), [[0.6, 0.8], [1, 0], [0, 2]], rtol=1e-6)


def test_embedding_adds_gradients_in_order():
    """One row named 10,001 times: in float32, 1 + 10⁴ · 2⁻²⁵ in this order is 1, and in pairs would not be."""
    table = at.zeros(2, 1, requires_grad=True)
    y = F.embedding(at.zeros(10_001, dtype=at.int64), table)
    grad = np.full((10_001, 1), 2.0**-25, np.float32)
    grad[0] = 1
    y.backward(at.from_numpy(grad))
    assert table.grad.flatten().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embedding_on_another_array_library(name, foreign):
    results = []
    for make in (np.array, foreign.asarray):
        table = at.Tensor(make(TABLE), True)
        y = F.embedding(at.Tensor(make(INDEX)), table, **EMBEDDINGS[name])
        (y * y).sum().backward()
        results.append([gpu.to_host(a) for a in (y.detach().data, table.grad.data, table.detach().data)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=0)


def test_embedding_layer():
    at.manual_seed(0)
    layer = nn.Embedding(500, 20, padding_idx=-2)
    weight = layer.weight.detach().numpy()
    assert layer.padding_idx == 498
    assert not weight[498].any()
    assert abs(np.delete(weight, 498, 0).std() - 1) < 5 / math.sqrt(2 * 499 * 20)  # five deviations
    layer(at.tensor([498, 3])).sum().backward()
    assert layer.weight.grad.sum(1).nonzero().flatten().tolist() == [3]
    table, state = at.tensor(TABLE), at.random.default_generator.get_state()
    held = nn.Embedding.from_pretrained(table, max_norm=0.5)
    assert not held.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    assert at.random.default_generator.get_state() == state
    held(at.tensor([2]))
    assert math.isclose(table[2].norm().item(), 0.5, rel_tol=1e-6)  # shared memory
    optimizer = at.optim.SGD(layer.parameters(), lr=1.0)
    before = layer.weight.detach().clone()
    optimizer.step()
    assert (before - layer.weight.detach()).sum(1).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("kwargs", [{}, {"padding_idx": 2, "max_norm": 2.0, "norm_type": 1.0}], ids=str)
def test_embedding_prints_as_pytorch(kwargs):
    torch = pytest.importorskip("torch")
    assert repr(nn.Embedding(4, 3, **kwargs)) == repr(torch.nn.Embedding(4, 3, **kwargs))


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_as_pytorch(leading, bias):
    arrays = [draw(*leading, 3), draw(*leading, 4, seed=1), draw(2, 3, 4), *([draw(2)] if bias else [])]
    assert_parity(lambda F, *tensors: F.bilinear(*tensors), *arrays)
    if leading == (5,):
        assert gradcheck(lambda *tensors: F.bilinear(*tensors), [at.tensor(a, requires_grad=True) for a in arrays])


def test_bilinear_layer():
    torch = pytest.importorskip("torch")
    at.manual_seed(0)
    ours, theirs = nn.Bilinear(100, 4, 50), torch.nn.Bilinear(100, 4, 50)
    assert repr(ours) == repr(theirs)
    for parameter in ours.parameters():
        assert 0.08 < parameter.detach().abs().max().item() <= 0.1  # 1 / √100
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()})
    x, y = draw(7, 100).astype(np.float32), draw(7, 4).astype(np.float32)
    expected = theirs(torch.tensor(x), torch.tensor(y)).detach().numpy()
    np.testing.assert_allclose(ours(at.tensor(x), at.tensor(y)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_threshold_unit():
    x = at.tensor([-INF, -1e-30, -0.0, 0.0, 1e-30, INF, NAN], requires_grad=True)
    y = nn.ThresholdUnit()(x)
    np.testing.assert_array_equal(y.detach().numpy(), [0, 0, 1, 1, 1, 1, NAN])
    np.testing.assert_array_equal(F.threshold_unit(x, -1, 1).detach().numpy(), [-1, -1, 1, 1, 1, 1, NAN])
    y.sum().backward()
    assert x.grad.tolist() == [0.0] * 7
    assert repr(nn.ThresholdUnit(low=-1.0)) == "ThresholdUnit(low=-1.0, high=1.0)"


def test_threshold_units_convert():
    """On s = 2u − 1, weights w and bias b do what 2w and b − Σ w do on u: for all inputs of 4 units."""
    u = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.float64)
    w, b = draw(3, 4), draw(3)
    on_signs = F.linear(at.tensor(2 * u - 1), at.tensor(w), at.tensor(b))
    on_bits = F.linear(at.tensor(u), at.tensor(2 * w), at.tensor(b - w.sum(1)))
    np.testing.assert_allclose(on_signs.numpy(), on_bits.numpy(), rtol=1e-12, atol=1e-12)
    signs, bits = F.threshold_unit(on_signs, -1.0), F.threshold_unit(on_bits)
    np.testing.assert_array_equal(signs.numpy(), 2 * bits.numpy() - 1)
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}


def test_a_perceptron_computes_and():
    unit = nn.Sequential(nn.Linear(2, 1), nn.ThresholdUnit())
    unit.load_state_dict({"0.weight": at.tensor([[1.0, 1.0]]), "0.bias": at.tensor([-1.5])})
    inputs = at.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert unit(inputs).flatten().tolist() == [0.0, 0.0, 0.0, 1.0]


def test_unflatten_as_pytorch():
    torch = pytest.importorskip("torch")
    for args in ((1, (2, 3)), (-1, [-1, 2]), (0, (2, 1))):
        ours, theirs = nn.Unflatten(*args), torch.nn.Unflatten(*args)
        assert repr(ours) == repr(theirs)
        np.testing.assert_array_equal(
            ours(at.tensor(TABLE[:2, :].repeat(2, 1))), theirs(torch.tensor(TABLE[:2].repeat(2, 1)))
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, w, i: F.embedding(i + 5, w), "embedding: input has numbers from 5 to 10; expected 0 to 5"),
        (lambda F, w, i: F.embedding(i - 1, w), "embedding: input has numbers from -1 to 4"),
        (lambda F, w, i: F.embedding(w, w), "embedding: input has dtype float64; expected int32 or int64"),
        (lambda F, w, i: F.embedding(i, w[0]), r"embedding: weight has shape \(3,\); expected \(V, D\)"),
        (lambda F, w, i: F.embedding(i, w, 6), "embedding: padding_idx is 6; expected one of 6 rows"),
        (lambda F, w, i: F.embedding(i, w, -7), "embedding: padding_idx is -7"),
        (lambda F, w, i: F.bilinear(w, w, w), r"bilinear: weight has shape \(6, 3\); expected \(OUT, IN1, IN2\)"),
        (lambda F, w, i: F.bilinear(w, w, w[None]), r"bilinear: input1 has shape \(6, 3\); expected \(\.\.\., 6\)"),
        (lambda F, w, i: F.bilinear(w, w[0], w[None, :3]), "bilinear: input1 has shape .* expected the same leading"),
        (lambda F, w, i: F.bilinear(w, w, w[None, :3], w[0, :2]), r"bilinear: bias has shape \(2,\); expected \(1,\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call(F, at.tensor(TABLE), at.tensor(INDEX))
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, RuntimeError, IndexError, AssertionError)):
        call(torch.nn.functional, torch.tensor(TABLE), torch.tensor(INDEX))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Embedding(4, 3, sparse=True), "Embedding: sparse is True; expected False"),
        (lambda: F.embedding(at.tensor([1]), at.ones(2, 2), sparse=True), "embedding: sparse is True"),
        (lambda: F.embedding([1], at.ones(2, 2)), "embedding: input is a list; expected a Tensor"),
        (lambda: nn.Embedding(4, 3, 4), "Embedding: padding_idx is 4; expected one of 4 rows"),
        (lambda: nn.Embedding.from_pretrained(at.ones(3)), r"Embedding: embeddings has shape \(3,\); expected \(V, D"),
        (lambda: nn.Embedding.from_pretrained([[1.0]]), "Embedding: embeddings is a list"),
        (lambda: nn.Bilinear(0, 1, 2), "Bilinear: in1_features is 0; expected 1 or more"),
        (lambda: nn.Unflatten(1, 6), "Unflatten: unflattened_size is 6; expected a tuple of ints"),
        (lambda: nn.Unflatten(1, (2, 3))(at.ones(2, 5)), "unflatten"),
    ],
)
def test_refusals_of_our_own(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
