"""Whole networks in the benchmarks: one text, the same numbers in both libraries, and the memory of their steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import models


def small(network):
    """The same network on two small images."""
    return replace(network, batch=2, size=64 if network.size > 64 else network.size)


@pytest.fixture
def torch():
    """PyTorch on one thread: on a busy machine its threads wait for each other for minutes."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def test_networks_compute_the_same_in_both_libraries(load, torch):
    """In float64, where rounding moves no sum across a relu's corner: loss, every gradient, and evaluation."""
    networks, training = load("networks"), load("bench_training_step")
    for network in map(small, networks.NETWORKS[1:]):
        ours, x, labels = networks.ours(network, at.float64)
        theirs, torch_x, torch_labels = networks.theirs(network, "channels-last")
        theirs, torch_x = theirs.double(), torch_x.double()
        adam = at.optim.Adam(ours.parameters(), lr=0.0), torch.optim.Adam(theirs.parameters(), lr=0.0)
        mine = training.step(ours, adam[0], at.nn.functional.cross_entropy, x, labels)()
        other = training.step(theirs, adam[1], torch.nn.functional.cross_entropy, torch_x, torch_labels)()
        assert len(mine) == len(other) > 10
        for a, b in zip(mine, other, strict=True):
            a, b = np.asarray(a), np.asarray(b)
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max(), err_msg=network.name)
        with at.no_grad(), torch.no_grad():
            y, z = ours.eval()(x).numpy(), theirs.eval()(torch_x).numpy()
        np.testing.assert_allclose(y, z, rtol=0, atol=1e-9 * np.abs(y).max())


def test_networks_are_those_of_the_package(load):
    networks = load("networks")
    small_unet = networks.unet(at, width=4, depth=2, classes=2)
    pairs = [
        (networks.lenet5(at), models.lenet5(), (2, 1, 32, 32)),
        (networks.resnet18(at, large=True, classes=1000), models.resnet18(), (1, 3, 64, 64)),
        (small_unet, models.unet(width=4, depth=2), (1, 3, 16, 16)),
    ]
    for text, ours, shape in pairs:
        ours.load_state_dict(text.state_dict())
        x = at.randn(*shape)
        with at.no_grad():
            assert (text.eval()(x).numpy() == ours.eval()(x).numpy()).all()


def test_compilation_that_fails_leaves_the_others(load, monkeypatch, capsys):
    networks = load("networks")

    class Torch:
        @staticmethod
        def compile(model):
            return model

    def warm_up(model):
        raise RuntimeError("no C++ compiler\nin sight")

    monkeypatch.setattr(networks, "torch", lambda: Torch)
    assert networks.compiled_or_none("pytorch compiled nchw", 1, warm_up) is None
    assert capsys.readouterr().err == "pytorch compiled nchw is left out: RuntimeError: no C++ compiler in sight\n"
    assert networks.compiled_or_none("it", 1, lambda model: None) == 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is counted by Linux")
def test_memory_is_that_of_the_steps(load, tmp_path, capsys, monkeypatch):
    """Processes of their own, of atrous alone; LeNet's batch of 64 needs a few MB, and the small batch less."""
    memory, figures = load("bench_memory"), tmp_path / "figures.json"
    monkeypatch.setattr(load("machine"), "_version", lambda package: None)
    assert memory.main(["--quick", "--only", "LeNet-5", "--threads", "1", "--json", str(figures)]) == 0
    rows = json.loads(figures.read_text(encoding="utf-8"))["results"]
    one, many = (row["bytes"]["atrous"] for row in rows)
    assert 0 < one < many
    assert 3e6 < many < 30e6
    assert "LeNet-5, batch 64" in capsys.readouterr().out
