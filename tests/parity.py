"""The same code run on atrous and on PyTorch: values, gradients and refusals side by side."""

from __future__ import annotations

import importlib
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import atrous as at
from atrous import reference
from atrous.nn import functional as F

THEIR_REFUSALS = (ValueError, TypeError, RuntimeError, IndexError, NotImplementedError, AttributeError)


def draw(*shape, seed=0, low=None):
    """Normal numbers; with `low`, uniform from there to 1."""
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, 1, shape)


def assert_parity(f, *arrays, dtype="float64", terms=64, gradients=True):
    """f(F, *tensors) gives on both libraries the same values and the same gradients.

    Float arrays become tensors of `dtype` that require grad, the others keep their dtype. Both libraries may round each
    of `terms` operations by half an epsilon of the largest value, hence the bound ``terms · eps · max |values|``.
    """
    torch = pytest.importorskip("torch")
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f" and gradients]
    ours = [at.tensor(a, requires_grad=i in floats) for i, a in enumerate(arrays)]
    theirs = [torch.tensor(a, requires_grad=i in floats) for i, a in enumerate(arrays)]
    y, z = _tuple(f(F, *ours)), _tuple(f(torch.nn.functional, *theirs))
    assert len(y) == len(z)
    for i, (a, b) in enumerate(zip(y, z, strict=True)):
        assert_close(a.detach().numpy(), b.detach().numpy(), terms, f"output {i}")
    if not floats:
        return
    seed_grad = np.random.default_rng(1).standard_normal(y[0].shape).astype(dtype)
    y[0].backward(at.tensor(seed_grad))
    z[0].backward(torch.tensor(seed_grad))
    for i in floats:
        assert (ours[i].grad is None) == (theirs[i].grad is None), f"gradient of argument {i}"
        if ours[i].grad is not None:
            assert_close(ours[i].grad.numpy(), theirs[i].grad.numpy(), 4 * terms, f"gradient of argument {i}")


def assert_close(a, b, terms, what):
    """Same shape, dtype, NaN and Inf, and everywhere within terms · eps of the largest value."""
    assert a.shape == b.shape, what
    assert a.dtype == b.dtype, what
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=what)
    scale = max(1e-30, float(np.abs(b[finite]).max())) if finite.any() else 0
    np.testing.assert_array_equal(np.isfinite(a), finite, err_msg=what)
    error = np.abs(a[finite] - b[finite])
    bound = terms * float(np.finfo(a.dtype).eps) * scale
    assert not error.size or error.max() <= bound, f"{what}: off by {error.max():.3g}, bound {bound:.3g}"


def assert_torch_refuses(f, *arrays):
    """PyTorch raises on f(F, *tensors); where it is not installed, nothing to compare with."""
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
    warnings.simplefilter("ignore")  # pytest restores the filters after the test
    with pytest.raises(THEIR_REFUSALS):
        f(torch.nn.functional, *tensors)


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


class Counter:
    """A stand-in for the kernels' module that counts the calls."""

    def __init__(self, kernels):
        self.kernels, self.calls, self.__name__ = kernels, [], kernels.__name__

    def __getattr__(self, name):
        function = getattr(self.kernels, name)
        if name not in reference.__all__:
            return function

        def counted(*args, **kwargs):
            self.calls.append(name)
            return function(*args, **kwargs)

        return counted


@contextmanager
def counted_kernels(monkeypatch):
    """The names of the kernels called inside."""
    backend = importlib.import_module("atrous.backend")
    counter = Counter(backend.kernels_for(None))
    with monkeypatch.context() as patch:
        patch.setattr(backend._choice, "kernels", counter)
        yield counter.calls


def randomly_strided(array):
    """The same values in C order where the library would take channels-last, and with gaps."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]
