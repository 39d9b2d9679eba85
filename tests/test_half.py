"""float16 and bfloat16 tensors: made, converted, combined and added up as PyTorch's, on either device; and the engine.

Tolerances: a result is that of float32, rounded once, so that it is off by half the distance of neighbours, 2⁻¹¹ or 2⁻⁸
of itself; two that round the same number from both sides of a middle are a whole distance apart.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from half import BOTH, DTYPES, ON, assert_close, in_torch, numbers

import atrous as at
from atrous import nn
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("device_at_hand")


# The type itself


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_ml_dtypes_is_loaded_when_somebody_asks():
    done = run(
        "import sys, atrous as at; x = at.ones(2, dtype=at.float16).float(); print('ml_dtypes' in sys.modules);"
        "at.bfloat16; print('ml_dtypes' in sys.modules, at.bfloat16 is at.bfloat16, at.bfloat16.itemsize)"
    )
    assert done.stdout.split() == ["False", "True", "True", "2"], done.stderr


@pytest.mark.parametrize("asking", ["at.bfloat16", "at.ones(2).bfloat16()", "at.ones(2, dtype='bfloat16')"])
def test_without_ml_dtypes_the_error_says_so(asking):
    done = run(f"import sys; sys.modules['ml_dtypes'] = None; import atrous as at; {asking}")
    assert "ImportError: bfloat16: the package ml_dtypes" in done.stderr
    assert "pip install ml_dtypes" in done.stderr


def test_without_ml_dtypes_autocast_of_the_cpu_says_what_is_wrong():
    done = run("import sys; sys.modules['ml_dtypes'] = None; import atrous as at; at.autocast('cpu')")
    assert "RuntimeError: autocast: device_type is 'cpu', and the CPU has no kernels" in done.stderr


def test_an_array_of_ml_dtypes_needs_nobody_to_ask():
    done = run("import ml_dtypes, numpy as np, atrous as at; print(at.from_numpy(np.ones(2, ml_dtypes.bfloat16)) * 2)")
    assert done.stdout == "tensor([2., 2.], dtype=bfloat16)\n", done.stderr


@ON
@BOTH
def test_creation(name, device):
    dtype = getattr(at, name)
    made = [
        at.zeros(2, 3, dtype=dtype, device=device),
        at.ones(2, dtype=dtype, device=device),
        at.full((2,), 1.5, dtype=dtype, device=device),
        at.empty(2, dtype=dtype, device=device),
        at.arange(3, dtype=dtype, device=device),
        at.eye(2, dtype=dtype, device=device),
        at.linspace(0, 1, 3, dtype=dtype, device=device),
        at.tensor([1.0, 2.5], dtype=dtype, device=device),
        at.rand(4, dtype=dtype, device=device),
        at.randn(4, dtype=dtype, device=device),
        at.ones(2, device=device).to(dtype),
        at.as_tensor(np.ones(2, dtype), device=device),
    ]
    made += [at.zeros_like(made[1]), at.randn_like(made[1]), at.rand_like(made[1]), made[1].clone(), made[1].detach()]
    for x in made:
        assert x.dtype == dtype
        assert x.is_floating_point()
        assert x.element_size() == 2
        assert x.to(at.float32).dtype == at.float32
    assert made[7].tolist() == [1.0, 2.5]
    assert made[7][1].item() == 2.5
    assert float(made[7][0]) == 1.0
    assert at.tensor(made[7].detach()).dtype == dtype
    assert at.tensor([made[7][0], made[7][1]]).dtype == dtype


@BOTH
def test_uniform_numbers_stay_below_1(name):
    x = at.rand(100_000, dtype=getattr(at, name))
    assert x.min().item() >= 0
    assert x.max().item() < 1
    assert abs(x.float().mean().item() - (0.5 - DTYPES[name] / 2)) < 0.005  # multiples of eps from 0: σ is 0.29 / 316


@BOTH
def test_conversions(name):
    x = at.tensor([1.0, 2.0 + 2 * DTYPES[name], -3.0])
    assert getattr(x, "half" if name == "float16" else name)().dtype == getattr(at, name)
    y = x.to(name)
    assert y.tolist() == [1.0, 2.0, -3.0]  # the middle of two neighbours goes to the even one
    assert y.float().tolist() == y.double().tolist() == [1.0, 2.0, -3.0]
    assert y.long().tolist() == [1, 2, -3]
    assert y.bool().all().item()
    assert at.tensor([7]).to(name).tolist() == [7.0]
    assert at.ones(2, requires_grad=True).to(name).requires_grad


@BOTH
def test_printing_is_pytorchs(name, torch):
    for values in ([1.0, 2.0], [0.5, -1.25], [1e-6, 3.0], [float("nan"), 1.5], []):
        x = at.tensor(values, dtype=getattr(at, name))
        assert repr(x) == repr(in_torch(x, torch)).replace("torch.", "")


# Arithmetic

BINARY = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: abs(x) ** y if not isinstance(x, float) else x ** abs(y),
}
OTHERS = {
    "number": lambda x: 0.1,
    "int": lambda x: 3,
    "float32": lambda x: x.float(),
    "float64": lambda x: x.double(),
    "same": lambda x: x,
}


@ON
@BOTH
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("op", BINARY)
def test_arithmetic_is_pytorchs(name, device, op, other, torch):
    x = at.from_numpy(numbers((50,), getattr(at, name))).to(device)
    t = in_torch(x, torch)
    f = BINARY[op]
    # PyTorch's CPU code rounds the number first in some places, which its CUDA code does not: off by 0.1 · eps
    more = DTYPES[name] * 0.1 if other == "number" else 0
    assert_close(f(x, OTHERS[other](x)), f(t, OTHERS[other](t)), more=more)
    if other == "number":
        assert_close(f(0.5, x), f(0.5, t))


@ON
@BOTH
def test_numbers_are_not_rounded_before_they_are_used(name, device):
    x = at.tensor([3.0], dtype=getattr(at, name), device=device)
    exact = np.float32(3.0) * np.float32(0.1)
    assert (x * 0.1).item() == at.tensor([exact]).to(name).item()
    if name == "float16":
        assert (at.tensor([2.0**-8], dtype=at.float16, device=device) * 65536.0).item() == 256.0  # 65536 is Inf there


@ON
@BOTH
def test_comparisons_are_pytorchs(name, device, torch):
    x = at.tensor([0.1, 0.2, 0.3], dtype=getattr(at, name), device=device)
    t = in_torch(x, torch)
    for f in (lambda x: x == 0.1, lambda x: x < 0.2, lambda x: x >= 0.3, lambda x: x != 0.2, lambda x: x > 0):
        assert f(x).dtype == at.bool
        assert f(x).tolist() == f(t).tolist()
    assert (x == x.float()).all().item()
    assert at.equal(x, x.clone())
    assert at.allclose(x, x)


@ON
@BOTH
def test_in_place(name, device):
    x = at.ones(4, dtype=getattr(at, name), device=device)
    x += 0.5
    x *= at.ones(4, device=device) * 2  # float32
    x -= x * 0.5
    x /= 3
    x[0] = 7.25
    x[1:3] = at.tensor([1, 2], device=device)
    x.clamp_(max=5)
    assert x.dtype == getattr(at, name)
    assert x.tolist() == [5.0, 1.0, 2.0, 0.5]
    with pytest.raises(TypeError, match="does not fit"):
        at.ones(4, dtype=at.int64, device=device).mul_(x)
    assert at.ones(4, device=device).add_(x).dtype == at.float32


UNARY = [
    "exp", "log", "log2", "log1p", "expm1", "sqrt", "sin", "cos", "square", "rsqrt", "reciprocal", "neg", "abs", "sign",
    "floor", "ceil", "round",
]  # fmt: skip


@ON
@BOTH
@pytest.mark.parametrize("op", UNARY)
def test_functions_of_each_element(name, device, op, torch):
    """PyTorch computes these in float32 and rounds, too; its float32 functions may be off by some 2⁻²⁴ themselves."""
    x = at.from_numpy(np.abs(numbers((50,))) + np.float32(0.1)).to(name).to(device).requires_grad_()
    t = in_torch(x, torch).requires_grad_()
    y, s = getattr(x, op)(), getattr(t, op)()
    assert_close(y, s, ulps=2 if op == "rsqrt" else 1)  # of which ours is two functions, each rounded
    y.backward(at.ones_like(y))
    s.backward(torch.ones_like(s))
    assert x.grad.dtype == x.dtype
    np.testing.assert_allclose(x.grad.cpu().float().numpy(), t.grad.float().numpy(), rtol=8 * DTYPES[name], atol=1e-3)


@ON
@BOTH
def test_choices_and_limits(name, device):
    dtype = getattr(at, name)
    x = at.tensor([-1.5, 0.25, 2.5], dtype=dtype, device=device)
    results = {
        "where": (at.where(x > 0, x, 0.0), [0.0, 0.25, 2.5]),
        "where of numbers": (at.where(x > 0, 1.0, x), [-1.5, 1.0, 1.0]),
        "clamp": (x.clamp(-1, 1), [-1.0, 0.25, 1.0]),
        "clamp from below": (x.clamp(min=0.5), [0.5, 0.5, 2.5]),
        "maximum": (at.maximum(x, 0.5), [0.5, 0.5, 2.5]),
        "minimum": (at.minimum(x, x * 0), [-1.5, 0.0, 0.0]),
        "masked_fill": (x.masked_fill(x > 0, 9.0), [-1.5, 9.0, 9.0]),
        "amax": (x.amax(), 2.5),
        "max": (x.max(0)[0], 2.5),
        "sort": (x.sort(descending=True)[0], [2.5, 0.25, -1.5]),
        "topk": (x.topk(2)[0], [2.5, 0.25]),
        "cat": (at.cat([x, x[:1]]), [-1.5, 0.25, 2.5, -1.5]),
        "stack": (at.stack([x[:1], x[1:2]]), [[-1.5], [0.25]]),
        "flip": (x.flip(0), [2.5, 0.25, -1.5]),
        "gather": (x.gather(0, at.tensor([2, 0], device=device)), [2.5, -1.5]),
        "index": (x[at.tensor([1, 1], device=device)], [0.25, 0.25]),
        "mask": (x[x > 0], [0.25, 2.5]),
        "repeat": (x[:1].repeat(2), [-1.5, -1.5]),
        "pad": (F.pad(x[None], (1, 0)), [[0.0, -1.5, 0.25, 2.5]]),
        "remainder": (x % 1.0, [0.5, 0.25, 0.5]),
        "floor_divide": (x // 1.0, [-2.0, 0.0, 2.0]),
    }
    for what, (y, expected) in results.items():
        assert y.dtype == dtype, what
        assert y.tolist() == expected, what
    assert x.argmax().item() == 2
    assert x.argsort().tolist() == [0, 1, 2]
    assert not x.isnan().any().item()
    assert at.cat([x, x.float()]).dtype == at.float32


# Sums add up in float32


@ON
@BOTH
def test_sums_do_not_stop_where_neighbours_are_2_apart(name, device):
    """Added one by one in 16 bits, ones stop at 256 (bfloat16) or 2048."""
    ones = at.ones(4096, dtype=getattr(at, name), device=device)
    sheet = ones.reshape(64, 64)
    assert ones.sum().item() == ones.sum(0).item() == 4096
    assert ones.mean().item() == 1
    assert ones.norm().item() == 64
    assert ones.norm(p=1).item() == 4096
    assert ones.cumsum(0)[-1].item() == 4096
    assert sheet.sum((0, 1)).item() == 4096
    assert at.ones(4096, 2, dtype=ones.dtype, device=device).sum(0)[0].item() == 4096
    assert (ones * 0 + 1).var().item() == 0
    assert abs(ones.logsumexp(0).item() - (1 + np.log(4096))) < 0.04
    assert (1 + ones * DTYPES[name] * 2).prod().item() < np.inf
    for y in (ones.sum(), ones.mean(), ones.var(), ones.norm(), ones.cumsum(0), ones.logsumexp(0), ones.prod()):
        assert y.dtype == ones.dtype
    assert ones.sum(dtype=at.float32).dtype == at.float32
    assert ones.mean(dtype=at.float64).dtype == at.float64


@ON
@BOTH
def test_gradients_add_up_in_float32(name, device):
    dtype = getattr(at, name)
    x = at.ones(1, dtype=dtype, device=device, requires_grad=True)
    x.expand(4096).sum().backward()  # spread over 4096, and summed again
    (at.zeros(4096, dtype=dtype, device=device) + x).sum().backward()
    assert x.grad.dtype == dtype
    assert x.grad.item() == 8192
    rows = at.ones(2, 1, dtype=dtype, device=device, requires_grad=True)
    rows[at.zeros(4096, dtype=at.int64, device=device)].sum().backward()
    assert rows.grad.tolist() == [[4096.0], [0.0]]
    table = at.ones(2, 1, dtype=dtype, device=device, requires_grad=True)
    F.embedding(at.zeros(4096, dtype=at.int64, device=device), table).sum().backward()
    assert table.grad.tolist() == [[4096.0], [0.0]]
    ties = at.zeros(4096, dtype=dtype, device=device, requires_grad=True)
    ties.amax().backward()
    assert ties.grad[0].item() == 2.0**-12
    added = at.zeros(1, dtype=dtype, device=device).scatter_add(
        0, at.zeros(4096, dtype=at.int64, device=device), at.ones(4096, dtype=dtype, device=device)
    )
    assert added.item() == 4096


@ON
@BOTH
def test_var_of_a_large_mean(name, device, torch):
    x = at.from_numpy(100 + numbers((300,))).to(name).to(device).requires_grad_()
    t = in_torch(x, torch).requires_grad_()
    for f in (lambda x: x.var(), lambda x: x.std(), lambda x: x.mean(), lambda x: x.norm()):
        assert_close(f(x), f(t))
    x.var().backward()
    wide = t.detach().float().requires_grad_()  # PyTorch's own gradient takes a rounded mean
    wide.var().backward()
    np.testing.assert_allclose(x.grad.cpu().float().numpy(), wide.grad.numpy(), rtol=2 * DTYPES[name], atol=1e-6)


# The engine: whatever a formula computes, a gradient has the dtype of what it is the gradient of


@ON
@BOTH
def test_gradients_have_their_tensors_dtype(name, device):
    dtype = getattr(at, name)
    x = at.from_numpy(numbers((3, 4))).to(device).requires_grad_()
    seen = {}
    h = x.to(dtype)
    h.register_hook(lambda grad: seen.update(h=grad.dtype))
    h.retain_grad()
    y = ((h * 1.5).exp() / 3 + at.maximum(h, 0.1) * 0.5) ** 1.5
    y.register_hook(lambda grad: seen.update(y=grad.dtype))
    y.float().sum().backward()
    assert seen == {"h": dtype, "y": dtype}
    assert h.grad.dtype == dtype
    assert x.grad.dtype == at.float32
    (grad,) = at.autograd.grad((x.to(dtype) * 2.5).sum(), x)
    assert grad.dtype == at.float32


@ON
@BOTH
@pytest.mark.parametrize("made", ["by an op", "by a write", "by a write to a part", "as a part of what was written"])
def test_what_a_formula_gives_in_float32_is_rounded(name, device, made):
    """The gradients of norm and var are computed in float32, and two add up."""
    dtype = getattr(at, name)
    x = at.tensor([1.0, 2.0, 3.5], dtype=dtype, device=device, requires_grad=True)
    y = x * 1.5
    if made == "by a write":
        y *= 2.5
    elif made != "by an op":
        part = y[:2]
        y[0] *= 2.5
        if made == "as a part of what was written":
            y = part
    seen = []
    y.register_hook(lambda grad: seen.append(grad.dtype))
    (y.norm() + y.var()).backward()
    assert seen == [dtype]
    assert x.grad.dtype == dtype


@ON
@BOTH
def test_gradients_of_views_and_writes(name, device):
    dtype = getattr(at, name)
    x = at.ones(4, dtype=dtype, device=device, requires_grad=True)
    y = x * 1.5
    part = y[1:3]
    part *= 2.5
    y[0] = x[3] * 0.1
    (y * 1.25).sum().backward()
    assert x.grad.dtype == dtype
    expected = [0.0, 4.6875, 4.6875, 1.875 + 0.125]
    np.testing.assert_allclose(x.grad.tolist(), expected, rtol=4 * DTYPES[name])


@BOTH
def test_a_users_own_op_gets_gradients_of_its_outputs_dtype(name):
    class Twice(at.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            assert grad.dtype == getattr(at, name)
            return grad.float() * 2

    x = at.ones(3, dtype=getattr(at, name), requires_grad=True)
    Twice.apply(x).norm().backward()  # whose gradient is computed in float32
    assert x.grad.dtype == x.dtype


# In and out


@BOTH
def test_safetensors_round_trips_with_pytorchs(name, tmp_path, torch):
    files = pytest.importorskip("safetensors.torch")
    x = at.from_numpy(numbers((3, 4, 5, 2))).to(name)
    x = at.Tensor(x.numpy().transpose(0, 3, 1, 2))  # channels-last memory
    at.save_file({"x": x}, tmp_path / "ours.safetensors")
    theirs = files.load_file(tmp_path / "ours.safetensors")["x"]
    assert theirs.dtype == getattr(torch, name)
    assert theirs.shape == x.shape
    assert (theirs.view(torch.int16) == in_torch(x, torch).view(torch.int16)).all()
    files.save_file({"x": theirs}, tmp_path / "theirs.safetensors")
    again = at.load_file(tmp_path / "theirs.safetensors")["x"]
    assert again.dtype == getattr(at, name)
    assert at.equal(again, x)
    at.save({"nested": [x, 1.5]}, tmp_path / "tree.at")
    assert at.equal(at.load(tmp_path / "tree.at")["nested"][0], x)


@ON
@BOTH
def test_pickle_and_deepcopy(name, device):
    x = at.tensor([1.5, -2.0], dtype=getattr(at, name), device=device)
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert again.dtype == x.dtype
        assert again.tolist() == x.tolist()
        assert again.device == x.device


@BOTH
def test_numpy_and_pytorch_share_the_bits(name, torch):
    array = numbers((4,), getattr(at, name))
    x = at.from_numpy(array)
    array[0] = 3.5
    assert x[0].item() == 3.5
    assert x.numpy() is array
    assert np.asarray(x).dtype == array.dtype
    t = torch.from_numpy(x.numpy().view(np.int16)).view(getattr(torch, name))
    t[1] = -8
    assert x[1].item() == -8


def test_dlpack_on_the_cpu_says_what_numpy_lacks(torch):
    with pytest.raises(BufferError, match="NumPy hands out no bfloat16"):
        np.from_dlpack(at.ones(2, dtype=at.bfloat16))
    with pytest.raises(TypeError, match="NumPy does not take this dtype"):
        at.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    assert np.from_dlpack(at.ones(2, dtype=at.float16)).dtype == np.float16


@BOTH
def test_modules_convert_and_load(name):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    state = {key: value.clone() for key, value in net.state_dict().items()}
    getattr(net, "half" if name == "float16" else name)()
    assert {p.dtype for p in net.parameters()} == {getattr(at, name)}
    assert net[1].running_var.dtype == getattr(at, name)
    assert net[1].num_batches_tracked.dtype == at.int64
    assert net[0].weight.detach().numpy().strides[1] == 2  # channels-last, as before
    wide = net.float().load_state_dict(state)
    assert not wide.missing_keys
    assert {p.dtype for p in net.parameters()} == {at.float32}
