"""Ops and losses on a GPU, or on the CPU that stands in for one, against the same on the CPU: values and gradients."""

import numpy as np
import pytest

import atrous as at
from atrous import dtypes, gpu
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("cuda")

FLOATS = {  # name: (op on one tensor of shape (3, 4))
    "add": lambda x: x + 1.5 * x + 2,
    "sub and rsub": lambda x: 1 - (x - 3),
    "mul and div": lambda x: x * 2 / (x * x + 1),
    "rdiv": lambda x: 1 / (x * x + 1),
    "pow": lambda x: (x * x + 1) ** 1.5,
    "floor_divide and remainder": lambda x: (x.detach() // 0.7) + (x % 0.7),
    "neg abs sign": lambda x: -x.abs() * x.sign(),
    "exp log": lambda x: (x.exp() + 1).log(),
    "sqrt rsqrt reciprocal": lambda x: (x * x + 1).sqrt() + (x * x + 1).rsqrt() + (x * x + 1).reciprocal(),
    "sin cos": lambda x: x.sin() + x.cos(),
    "square expm1 log1p": lambda x: x.square().log1p() + x.expm1(),
    "floor ceil round": lambda x: x.floor() + x.ceil() + x.round(),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "maximum minimum": lambda x: at.maximum(x, x * 0.5) + at.minimum(x, 0 * x),
    "where": lambda x: at.where(x > 0, x, 2 * x),
    "masked_fill": lambda x: x.masked_fill(x > 0, 3.0),
    "broadcast": lambda x: x + x[:1] + x[:, :1],
    "sum": lambda x: x.sum() + x.sum(0) + x.sum(1, keepdim=True),
    "mean var std": lambda x: x.mean(0) + x.var(0) + x.std(1).mean(),
    "max min": lambda x: x.max() + x.min() + x.max(1)[0].sum() + x.min(0)[0].sum(),
    "amax amin prod": lambda x: x.amax(0) + x.amin(0) + (x * x + 1).prod(0),
    "norm logsumexp": lambda x: x.norm() + x.logsumexp(1).sum(),
    "cumsum": lambda x: x.cumsum(1),
    "softmax": lambda x: x.softmax(1) + x.log_softmax(0),
    "matmul": lambda x: x @ x.t(),
    "reshape permute": lambda x: x.reshape(2, 6).t().reshape(3, 4) + x.permute(1, 0).reshape(3, 4),
    "index": lambda x: x[1] + x[..., 2].sum() + x[[0, 2]].sum() + x[x > 0].sum(),
    "index by a tensor": lambda x: x[at.tensor([0, 2, 2])],
    "setitem": lambda x: set_row(x.clone()),
    "gather": lambda x: x.gather(1, at.zeros(3, 2, dtype=at.int64).to(x.device)),
    "cat stack split": lambda x: at.cat([x, x * 2]).sum(0) + at.stack([x, x]).sum(0) + at.cat(x.split(2, 1), 1),
    "flip narrow": lambda x: x.flip(0) + x.narrow(1, 0, 1),
    "topk sort": lambda x: x.topk(2, 1)[0].sum() + x.sort(1)[0],
    "relu": lambda x: F.relu(x) + F.leaky_relu(x) + x.sigmoid() + x.tanh(),
    "inplace": lambda x: (x * 1).mul_(2).add_(1).clamp_(-1, 2).relu_() if hasattr(x, "relu_") else x * 1,
    "to float64": lambda x: x.double() * 2,
    "expand flatten": lambda x: x.unsqueeze(0).expand(2, 3, 4).flatten(1),
    "pad": lambda x: F.pad(x, (1, 2)),
    "mse": lambda x: F.mse_loss(x, x.detach() * 0.5),
    "l1 and smooth": lambda x: F.l1_loss(x, 0 * x.detach()),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, (x > 0).float()),
    "nll": lambda x: F.nll_loss(x.log_softmax(1), at.tensor([0, 3, 1]).to(x.device)),
    "cross_entropy": lambda x: F.cross_entropy(x, at.tensor([0, 3, 1]).to(x.device), label_smoothing=0.1),
    "cross_entropy soft": lambda x: F.cross_entropy(x, x.detach().softmax(1)),
    "focal": lambda x: F.focal_loss(x, at.tensor([0, 3, 1]).to(x.device)) + F.sigmoid_focal_loss(x, (x > 0).float()),
    "hardest_triplets": lambda x: x[at.cat(F.hardest_triplets(x, at.tensor([0, 1, 0]).to(x.device)))],
    "multilabel_margin": lambda x: F.multilabel_margin_loss(x, at.tensor([[1, 0, -1, 2]] * 3).to(x.device)),
    "linear": lambda x: F.linear(x, x.detach()[:2], at.ones(2, device=x.device)),
}


def set_row(x):
    x[0] = 5.0
    x[1] *= 2
    return x


def start(device):
    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    return at.tensor(values, device=device, requires_grad=True)


@pytest.mark.parametrize("name", FLOATS)
def test_values_and_gradients(name):
    results = {}
    for device in ("cpu", "cuda"):
        x = start(device)
        y = FLOATS[name](x)
        assert y.device.startswith(device)
        if y.requires_grad:
            (y * at.arange(float(y.numel())).reshape(y.shape).to(y.device).cos().to(y.dtype)).sum().backward()
            assert x.grad.device == x.device
        results[device] = y.detach().cpu().numpy(), None if x.grad is None else x.grad.cpu().numpy()
    (y, grad), (expected, expected_grad) = results["cuda"], results["cpu"]
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-6)
    if expected_grad is not None:
        np.testing.assert_allclose(grad, expected_grad, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [4, -1, 2**40])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_a_class_out_of_range_is_refused(loss, bad):
    x = at.zeros(3, 4).cuda()
    with pytest.raises(ValueError, match=rf"target has class {bad}; expected 0 to 3 from x \(3, 4\)"):
        loss(x, at.tensor([0, bad, -100]).cuda())
    loss(x, at.tensor([0, 3, -100]).cuda())
    loss(x[:0], at.zeros(0, dtype="int64").cuda())


def test_classes_that_came_from_the_host_are_not_waited_for(monkeypatch):
    looked = []
    monkeypatch.setattr(gpu.kernels, "class_outside", lambda *args: looked.append(args))
    x = at.zeros(3, 4).cuda()
    y = at.tensor([0, 3, 1]).to("cuda")
    F.cross_entropy(x, y)
    F.nll_loss(x, at.tensor([0, 3, 1], device="cuda"))
    assert not looked
    for other in (at.tensor([0, 4, 1]).cuda(), at.tensor([-1, 0, 1]).cuda(), y + 0, y[:3]):
        F.cross_entropy(x, other)
        assert len(looked) == 1
        looked.clear()
    y[0] = 7  # seen, although nobody has looked at the values
    F.cross_entropy(x, y)
    assert len(looked) == 1


def test_other_values_than_the_hosts_are_looked_at():
    x, classes = at.zeros(2, 2).cuda(), at.tensor([0, 1])

    def changed(how):
        y = classes.to("cuda")
        how(y)
        return y

    others = [
        at.full_like(classes, 7, device="cuda"),
        changed(lambda y: y.fill_(7)),
        changed(lambda y: y[:1].fill_(7)),
        changed(lambda y: y.detach().add_(7)),
        changed(lambda y: at.from_dlpack(y.view(-1)).fill_(7)),
        changed(lambda y: setattr(y, "data", y.data + 7)),
    ]
    for y in others:
        with pytest.raises(ValueError, match="target has class"):
            F.cross_entropy(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_quotients_are_rounded_once(cuda, dtype):
    xp, dtype = gpu.cupy, dtypes.as_dtype(dtype, "test")
    a, total = xp.asarray(np.array(1.0).astype(dtype)), xp.asarray(np.array(3.0).astype(dtype))
    third = np.array(np.float64(1) / 3).astype(dtype)
    for divisor in (total, 3.0):
        y = gpu.kernels.quotient(a, divisor, (2, 3))
        assert y.shape == (2, 3)
        assert y.dtype == dtype
        assert (xp.asnumpy(y) == third).all()
    for zero in (total * 0, 0.0):
        assert np.isnan(float(gpu.kernels.quotient(a, zero, ())))
    assert gpu.kernels.quotient(a, total, (0,)).shape == (0,)
    with pytest.raises(ValueError, match="expected arrays of one element"):
        gpu.kernels.quotient(xp.zeros(2, dtype), 1.0, ())


def test_kernels_read_no_memory_for_a_class_out_of_range(cuda):
    """Their bindings do not look at the classes: that would wait. Such a place counts as one that is ignored."""
    x, weight = np.zeros((3, 2, 1, 1), np.float32), np.array([1, 2], np.float32)
    target = np.array([1, 2**40, -1]).reshape(3, 1, 1)
    losses, weights, lse = cuda.cross_entropy_forward(x, target, weight, -100, 0.0)
    assert weights.ravel().tolist() == [2, 0, 0]
    assert losses.ravel().tolist() == pytest.approx([2 * np.log(2), 0, 0])
    grad_x = cuda.cross_entropy_backward(np.ones_like(losses), x, target, lse, weight, -100, 0.0)
    assert grad_x.ravel().tolist() == [1, -1, 0, 0, 0, 0]
