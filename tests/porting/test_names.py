"""Names that ordinary scripts use and that are no part of a network: device, inference_mode, seeds and switches."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

import atrous as at
from atrous import gpu, nn

DEVICES = ["cpu", "cuda", "cuda:0", "cuda:3", "cpu:0"]


@pytest.mark.parametrize("name", DEVICES)
def test_device(name):
    device = at.device(name)
    assert device == at.device(device) == name
    assert (str(device), f"{device}", repr(device)) == (name, name, repr(name))
    assert hash(device) == hash(name)
    for other in (copy.deepcopy(device), pickle.loads(pickle.dumps(device))):
        assert (type(other), other) == (at.device, device)
    assert json.dumps({"device": device}) == json.dumps({"device": name})
    torch = pytest.importorskip("torch")
    theirs = torch.device(name)
    assert (device.type, device.index, str(device)) == (theirs.type, theirs.index, str(theirs))


def test_device_by_parts():
    assert at.device("cuda", 1) == at.device(1) == at.device(type="cuda", index=1) == "cuda:1"
    assert at.device("cpu") != at.device("cuda")
    assert isinstance(at.device("cpu"), str)


def test_tensors_and_modules_go_to_a_device():
    device = at.device("cpu")
    x = at.zeros(2, device=device)
    assert (x.device, x.device.type, x.device.index) == (device, "cpu", None)
    assert isinstance(x.relu().device, at.device)
    assert x.to(device) is x
    assert at.tensor([1.0]).to(device, at.float64).dtype == at.float64
    model = nn.Linear(2, 2)
    assert model.to(device) is model.to(device=device) is model
    if not at.cuda.is_available():
        with pytest.raises(RuntimeError, match="cuda: "):
            x.to(at.device("cuda"))


def test_device_of_another_array_library(foreign, monkeypatch):
    array = foreign.wrap(np.ones(2))
    assert isinstance(gpu.device_of(array), at.device)
    assert gpu.device_of(array).type == "cuda"


@pytest.mark.parametrize("wrong", ["gpu", "cuda:", "cuda:x", "cuda:-1", "mps", "", True, None, 1.0])
def test_no_such_device(wrong):
    with pytest.raises(ValueError, match=re.escape(f"device: {str(wrong)!r} does not exist; expected 'cpu' or 'cuda'")):
        at.device(wrong)
    with pytest.raises(ValueError, match="device: 'cuda:1:2' does not exist"):
        at.device("cuda:1", 2)


def test_inference_mode():
    w = at.ones(2, requires_grad=True)

    @at.inference_mode()
    def twice(x):
        return 2 * x

    @at.inference_mode
    def thrice(x):
        return 3 * x

    with at.inference_mode():
        y = w * w
    assert not y.requires_grad
    assert not twice(w).requires_grad
    assert not thrice(w).requires_grad
    with at.inference_mode(False):
        assert (w * w).requires_grad
    with at.no_grad(), at.inference_mode(mode=False):
        assert not (w * w).requires_grad
    assert at.is_grad_enabled()
    (w * y).sum().backward()  # its results are ordinary tensors
    assert w.grad.tolist() == [1, 1]


def test_seeds_of_gpus(monkeypatch):
    at.manual_seed(5)
    first = at.rand(3)
    for seed in (at.cuda.manual_seed, at.cuda.manual_seed_all):
        at.manual_seed(5)
        monkeypatch.setattr(gpu, "available", lambda: False)
        seed(9)  # no GPU: as if it had not been called
        np.testing.assert_array_equal(at.rand(3).numpy(), first.numpy())
        monkeypatch.setattr(gpu, "available", lambda: True)
        seed(5)
        np.testing.assert_array_equal(at.rand(3).numpy(), first.numpy())


def test_switches_of_backends():
    x = at.randn(1, 3, 8, 8)
    conv = nn.Conv2d(3, 4, 3)
    expected = conv(x).detach().numpy()
    before = at.backends.cudnn.benchmark, at.backends.cudnn.deterministic
    at.backends.cudnn.benchmark, at.backends.cudnn.deterministic = True, False
    np.testing.assert_array_equal(conv(x).detach().numpy(), expected)
    at.backends.cudnn.benchmark, at.backends.cudnn.deterministic = before
    assert not at.backends.mps.is_available()
    assert at.is_tensor(x)
    assert not at.is_tensor(expected)
