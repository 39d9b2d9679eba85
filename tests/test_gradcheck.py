"""gradcheck itself: it passes right gradients, and fails each kind of wrong one with a message that says where."""

import numpy as np
import pytest

import atrous as at
from atrous import autograd


def wrong_square(grad):
    class Square(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_y):
            return grad(ctx.saved_tensors[0], grad_y)

    return Square.apply


X = [[1.0, -2.0, 0.5], [3.0, 1.5, -1.0]]


@pytest.fixture
def x():
    return at.tensor(X, dtype=at.float64, requires_grad=True)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_gradients_pass(x, fast_mode):
    assert at.gradcheck(lambda x: (x * x, x.exp().sum(), x.argmax()), x, fast_mode=fast_mode)
    frozen = at.ones(3, dtype=at.float64)
    assert at.gradcheck(lambda a, b, k: a @ b.T + k, (x, (x * 2).detach().requires_grad_(), 3.0), fast_mode=fast_mode)
    assert at.gradcheck(lambda a, b: a * b, (x, frozen), fast_mode=fast_mode)
    assert x.grad is None


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize(
    "grad",
    [
        lambda x, g: 2 * x * g * 1.01,
        lambda x, g: -2 * x * g,
        lambda x, g: x * 0,
        lambda x, g: 2 * x * (g + 0.01),
        lambda x, g: 2 * x * g.sum(),
        lambda x, g: None,
        lambda x, g: 2 * x * g * float("nan"),
    ],
    ids=["too large", "sign", "zero", "offset", "summed", "none", "nan"],
)
def test_wrong_gradients_fail(x, grad, fast_mode):
    square = wrong_square(grad)
    assert not at.gradcheck(square, x, raise_exception=False, fast_mode=fast_mode)
    with pytest.raises(RuntimeError, match=r"output 0 .*, input 0 .*: the backward gives .*, differences give"):
        at.gradcheck(square, x, fast_mode=fast_mode)


def test_the_report_names_the_element(x):
    def one_wrong(x, g):
        error = np.ones((2, 3))
        error[1, 2] = 1.5
        return 2 * x * g * at.tensor(error)

    with pytest.raises(RuntimeError) as caught:
        at.gradcheck(wrong_square(one_wrong), x)
    message = "gradcheck: output 0 at (1, 2), input 0 at (1, 2): the backward gives -3, differences give -2"
    assert str(caught.value) == message


def test_a_graph_cut_by_mistake_fails(x):
    with pytest.raises(RuntimeError, match="the backward gives 0"):
        at.gradcheck(lambda x: x.detach() * 2, x)
    with pytest.raises(RuntimeError, match="output 1"):
        at.gradcheck(lambda x: (x * 2, x * x.detach()), x)


def test_what_it_refuses(x):
    with pytest.raises(ValueError, match="no input requires grad"):
        at.gradcheck(at.exp, at.ones(2, dtype=at.float64))
    with pytest.raises(ValueError, match="input 0 is float32"):
        at.gradcheck(at.exp, at.ones(2, requires_grad=True))
