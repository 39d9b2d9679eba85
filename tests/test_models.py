"""LeNet-5: its size, its gradients and steps beside PyTorch's, the same bits on any number of threads."""

import re

import numpy as np
import pytest

import atrous as at
from atrous import models, nn, optim

SHAPES = {
    "conv1.weight": (6, 1, 5, 5),
    "conv1.bias": (6,),
    "conv2.weight": (16, 6, 5, 5),
    "conv2.bias": (16,),
    "fc1.weight": (120, 400),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "fc3.weight": (10, 84),
    "fc3.bias": (10,),
}


def batch(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(16, 1, 32, 32)).astype(dtype), rng.integers(0, 10, 16)


def train(model, lib, dtype, steps=3):
    """Losses of some Adam steps; the parameters are changed."""
    optimizer, losses = lib.optim.Adam(model.parameters(), lr=1e-3), []
    for step in range(steps):
        x, labels = batch(dtype, step)
        loss = lib.nn.functional.cross_entropy(model(lib.tensor(x)), lib.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def fresh(dtype="float32"):
    at.manual_seed(0)
    return models.lenet5().to(dtype)


def test_size():
    model = models.lenet5()
    assert {name: value.shape for name, value in model.state_dict().items()} == SHAPES
    assert sum(param.numel() for param in model.parameters()) == 61706
    # 25 weights × 6 maps × 28², 150 × 16 × 10², and the linear layers
    assert models.count_macs(model, 1, 1, 32, 32) == 117600 + 240000 + 48000 + 10080 + 840 == 416520
    assert model.training
    assert models.lenet5(7, in_channels=3)(at.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_count_macs_of_other_layers():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 2, 2, 2))
    # one channel in and 3×3 taps for each of 8 × 5 × 5 outputs; 2×2×2 products for each of 8 × 5 × 5 inputs; two images
    assert models.count_macs(model, 2, 4, 5, 5) == 2 * (9 * 8 * 25 + 8 * 8 * 25)
    assert model[1].num_batches_tracked.item() == 0
    assert model[1].training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.lenet5(0), "lenet5: num_classes is 0; expected 1 or more"),
        (lambda: models.lenet5(in_channels=0), "lenet5: in_channels is 0; expected 1 or more"),
        (
            lambda: models.lenet5()(at.zeros(1, 1, 28, 28)),
            "lenet5: x has shape (1, 1, 28, 28); expected (N, C, 32, 32)",
        ),
        (lambda: models.lenet5()(at.zeros(1, 3, 32, 32)), "x has 3 channels; expected 1"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_learns():
    model = fresh()
    x, labels = batch("float32")
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = nn.CrossEntropyLoss()(model(at.tensor(x)), at.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - np.log(10)) < 0.2
    assert losses[-1] < 0.8 * losses[0]


def torch_lenet(torch):
    class LeNet5(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = torch.nn.Conv2d(1, 6, 5), torch.nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = (torch.nn.Linear(*sizes) for sizes in ((400, 120), (120, 84), (84, 10)))

        def forward(self, x):
            relu, pool = torch.relu, torch.nn.functional.max_pool2d
            x = pool(relu(self.conv2(pool(relu(self.conv1(x)), 2))), 2).flatten(1)
            return self.fc3(relu(self.fc2(relu(self.fc1(x)))))

    return LeNet5()


@pytest.mark.parametrize(("dtype", "loss_tol", "tol"), [("float64", 1e-12, 1e-9), ("float32", 1e-5, 1e-4)])
def test_three_adam_steps_same_as_pytorch(dtype, loss_tol, tol):
    torch = pytest.importorskip("torch")
    ours = fresh(dtype)
    theirs = torch_lenet(torch).to(getattr(torch, dtype))
    theirs.load_state_dict(
        {k: torch.tensor(v.tolist(), dtype=getattr(torch, dtype)) for k, v in ours.state_dict().items()}
    )
    np.testing.assert_allclose(train(ours, at, dtype), train(theirs, torch, dtype), rtol=loss_tol)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # Adam divides by the gradient's size: where that is rounding alone, a step is off by up to lr. Few may be.
        wrong = np.abs(p.detach().numpy() - q.detach().numpy()) > tol * 1e-1
        assert wrong.mean() < 1e-3, name
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=6.1e-3, err_msg=name)


def gradients(dtype):
    model = fresh(dtype)
    x, labels = batch(dtype)
    loss = nn.functional.cross_entropy(model(at.tensor(x)), at.tensor(labels))
    loss.backward()
    return [loss.detach().numpy(), *(param.grad.numpy() for param in model.parameters())]


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 2e-5), ("float64", 1e-10)])
def test_training_step_on_the_reference_agrees_with_the_cpu(dtype, tol):
    pytest.importorskip("atrous._cpu")
    with at.backend("cpu"):
        cpu = gradients(dtype)
    with at.backend("reference"):
        reference = gradients(dtype)
    for a, b in zip(cpu, reference, strict=True):
        # of the tensor's largest entry: sums of up to 16 · 28² products cancel in the small ones
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol * np.abs(b).max())


def test_same_bits_on_any_number_of_threads():
    pytest.importorskip("atrous._cpu")
    before, results = at.get_num_threads(), []
    try:
        with at.backend("cpu"):
            for threads in (1, 2, 3):
                at.set_num_threads(threads)
                model = fresh()
                losses = train(model, at, "float32")
                results.append((losses, [param.detach().numpy() for param in model.parameters()]))
    finally:
        at.set_num_threads(before)
    for losses, params in results[1:]:
        assert losses == results[0][0]
        for a, b in zip(params, results[0][1], strict=True):
            assert a.tobytes() == b.tobytes()
