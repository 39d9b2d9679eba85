"""Muon: PyTorch's steps, but for its bfloat16; the polar factor of a gradient."""

import numpy as np
import pytest
from test_optimizers import to_torch

import atrous as at
from atrous import optim

MUON = [
    dict(),
    dict(lr=0.05, weight_decay=0.3, momentum=0.5, nesterov=False, adjust_lr_fn="original"),
    dict(lr=0.05, ns_coefficients=(2.0, -1.5, 0.5), ns_steps=8, adjust_lr_fn="match_rms_adamw"),
]


def run_muon(lib, config, steps):
    params = [lib.tensor(np.full(s, 0.5), dtype=lib.float64, requires_grad=True) for s in ((3, 4), (6, 2))]
    optimizer = lib.optim.Muon(params, **config)
    for step in range(steps):
        for i, param in enumerate(params):
            param.grad = lib.tensor(np.random.default_rng([step, i]).normal(size=tuple(param.shape)))
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(
    ("config", "steps", "tolerance"), [*((config, 50, 1e-12) for config in MUON), ({}, 3, 0.1)], ids=range(4)
)
def test_muon_as_pytorch(config, steps, tolerance, monkeypatch):
    """Where PyTorch's is kept from rounding to bfloat16 the two agree; where it is not, to bfloat16's precision."""
    torch = pytest.importorskip("torch")
    if steps == 50:
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())
    (ours, optimizer), (theirs, other) = run_muon(at, config, steps), run_muon(torch, config, steps)
    for p, q in zip(ours, theirs, strict=True):
        moved = np.abs(q.detach().numpy() - 0.5).max()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=0, atol=tolerance * moved)
    saved = other.state_dict()
    assert optimizer.state_dict()["param_groups"] == saved["param_groups"]
    optimizer.load_state_dict(saved)
    other.load_state_dict(to_torch(torch, optimizer.state_dict()))


def test_muon_makes_matrices_orthogonal():
    """With coefficients whose iteration converges, a step is U Vᵀ of the gradient's singular value decomposition."""
    grad = np.random.default_rng(0).normal(size=(5, 3))
    w = at.zeros(5, 3, dtype=at.float64, requires_grad=True)
    w.grad = at.tensor(grad)
    config = dict(ns_coefficients=(1.875, -1.25, 0.375), ns_steps=30, weight_decay=0, adjust_lr_fn="original")
    optim.Muon([w], lr=1.0, **config).step()
    u, _, v = np.linalg.svd(grad, full_matrices=False)
    np.testing.assert_allclose(w.detach().numpy(), -np.sqrt(5 / 3) * u @ v, atol=1e-12)
