"""Code composed in Python runs on any array library: here on one that refuses to become NumPy's in silence."""

import operator

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous.nn import functional as F


class Foreign:
    """A NumPy array in disguise, as foreign to NumPy as a GPU's is."""

    __array_ufunc__ = None

    def __init__(self, array):
        self._array = np.asarray(array)

    def __array__(self, *_, **__):
        raise TypeError("a foreign array is turned into NumPy's in silence")

    def __array_namespace__(self):
        return NAMESPACE

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)  # NumPy looks for several ways in
        return wrapped(getattr(self._array, name))

    def __getitem__(self, index):
        return wrapped(self._array[plain(index)])

    def __setitem__(self, index, value):
        self._array[plain(index)] = plain(value)

    def __float__(self):
        return float(self._array)


def plain(value):
    """What NumPy computes with; its own arrays must not come in."""
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array among foreign ones")
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value._array if isinstance(value, Foreign) else value


def wrapped(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return Foreign(value)
    if not callable(value) or isinstance(value, type):
        return value

    def call(*args, **kwargs):
        return wrapped(value(*map(plain, args), **{name: plain(arg) for name, arg in kwargs.items()}))

    if isinstance(value, np.ufunc):
        call.reduce = wrapped(value.reduce)
    return call


class Namespace:
    def __getattr__(self, name):
        return wrapped(getattr(np, name))


NAMESPACE = Namespace()
for name in ("add", "sub", "mul", "truediv", "pow", "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_"):
    f, method = getattr(operator, name), name.rstrip("_")
    setattr(Foreign, f"__{method}__", lambda a, b, f=f: wrapped(f(a._array, plain(b))))
    setattr(Foreign, f"__r{method}__", lambda a, b, f=f: wrapped(f(plain(b), a._array)))
for f in (operator.neg, operator.abs, operator.invert):
    setattr(Foreign, f"__{f.__name__.strip('_')}__", lambda a, f=f: wrapped(f(a._array)))


def test_the_stand_in_refuses():
    with pytest.raises(TypeError, match="in silence"):
        np.asarray(Foreign(np.ones(2)))
    with pytest.raises(TypeError, match="among foreign"):
        Foreign(np.ones(2)) + np.ones(2)


WEIGHT = draw(4, low=0.1)
COMPOSED = {  # losses that are written with the array library, forward and backward
    "nll_loss": (lambda x, t, w: F.nll_loss(x, t, w, ignore_index=1), [draw(3, 4), np.array([0, 1, 3]), WEIGHT]),
    "binary_cross_entropy_with_logits": (
        lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=w),
        [draw(3, 4), draw(3, 4, low=0), WEIGHT],
    ),
}
OF_OPS = {  # losses made of tensor ops, which bring their own backward
    "mse_loss": (F.mse_loss, [draw(3, 4), draw(3, 4, seed=1)]),
    "l1_loss": (F.l1_loss, [draw(3, 4), draw(3, 4, seed=1)]),
}


@pytest.mark.parametrize("name", [*COMPOSED, *OF_OPS])
def test_losses(name):
    loss, arrays = (COMPOSED | OF_OPS)[name]
    expected = loss(*[at.Tensor(a) for a in arrays])
    got = loss(*[at.Tensor(Foreign(a)) for a in arrays])
    assert isinstance(got.data, Foreign)
    np.testing.assert_array_equal(got.data._array, expected.data)


@pytest.mark.parametrize("name", COMPOSED)
def test_gradients(name):
    loss, (x, *rest) = COMPOSED[name]
    ours, foreign = at.Tensor(x.copy(), requires_grad=True), at.Tensor(Foreign(x.copy()), requires_grad=True)
    loss(ours, *[at.Tensor(a) for a in rest]).backward()
    loss(foreign, *[at.Tensor(Foreign(a)) for a in rest]).backward(at.Tensor(Foreign(np.ones(()))))
    assert isinstance(foreign.grad.data, Foreign)
    np.testing.assert_array_equal(foreign.grad.data._array, ours.grad.data)
