"""Code composed in Python runs on any array library: here on one that refuses to become NumPy's in silence."""

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous.nn import functional as F


def test_the_stand_in_refuses(foreign):
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(foreign.wrap(np.ones(2)))
    with pytest.raises(TypeError, match="Unsupported type"):
        foreign.wrap(np.ones(2)) + np.ones(2)


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
def test_losses(foreign, name):
    loss, arrays = (COMPOSED | OF_OPS)[name]
    expected = loss(*[at.Tensor(a) for a in arrays])
    got = loss(*[at.Tensor(foreign.wrap(a)) for a in arrays])
    assert isinstance(got.data, foreign.ndarray)
    np.testing.assert_array_equal(got.data._array, expected.data)


@pytest.mark.parametrize("name", COMPOSED)
def test_gradients(foreign, name):
    loss, (x, *rest) = COMPOSED[name]
    ours, theirs = at.Tensor(x.copy(), requires_grad=True), at.Tensor(foreign.wrap(x.copy()), requires_grad=True)
    loss(ours, *[at.Tensor(a) for a in rest]).backward()
    loss(theirs, *[at.Tensor(foreign.wrap(a)) for a in rest]).backward(at.Tensor(foreign.wrap(np.ones(()))))
    assert isinstance(theirs.grad.data, foreign.ndarray)
    np.testing.assert_array_equal(theirs.grad.data._array, ours.grad.data)
