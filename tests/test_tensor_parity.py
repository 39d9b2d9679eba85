"""The ops on any tensor against PyTorch: values, dtypes and gradients of the same expression, written once for both."""

import numpy as np
import pytest

import atrous as at

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(7)
A = RNG.standard_normal((3, 4))
B = RNG.standard_normal((3, 4))
POSITIVE = RNG.uniform(0.5, 2.0, (3, 4))
ROW = RNG.standard_normal(4)
COLUMN = RNG.standard_normal((3, 1))
CUBE = RNG.standard_normal((2, 3, 4))
MAP = RNG.standard_normal((2, 3, 4, 5))
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
ZEROS = np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 5.0]])
MASK = A > 0
INDEX = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])

# Each: a function of the library and tensors, and the tensors' values. All run forward and backward.
CASES = {
    "add": (lambda t, a, b: a + b, A, B),
    "add broadcasts": (lambda t, a, b: t.add(a, b, alpha=3), A, ROW),
    "add column and row": (lambda t, a, b: a + b, COLUMN, ROW),
    "add number": (lambda t, a: 2 + a + 1.5, A),
    "sub": (lambda t, a, b: (a - b) - t.sub(b, a, alpha=0.5), A, COLUMN),
    "sub from number": (lambda t, a: 3.0 - a, A),
    "mul": (lambda t, a, b: a * b, A, ROW),
    "mul by itself": (lambda t, a: a * a, A),
    "div": (lambda t, a, b: a / b, A, POSITIVE),
    "div number": (lambda t, a: 2.0 / a + a / 4, POSITIVE),
    "div by 0": (lambda t, a: 1.0 / a, ZEROS),
    "remainder": (lambda t, a, b: a % b, A, POSITIVE),
    "floor_divide": (lambda t, a, b: a.detach() // b.detach() + a * b, A, POSITIVE),
    "pow": (lambda t, a, b: a**b, POSITIVE, B),
    "pow number": (lambda t, a: a**3 + a**2.0 + a**0, A),
    "pow -1": (lambda t, a: a**-1, POSITIVE),
    "pow at 0": (lambda t, a: a**2 + a**0, ZEROS),
    "number to a power": (lambda t, a: 2**a + 2.5**a + 0.0 ** abs(a), A),
    "0 to a power": (lambda t, a, b: abs(a) ** abs(b), ZEROS, np.abs(TIES)),
    "neg": (lambda t, a: -a, A),
    "abs": (lambda t, a: a.abs() + abs(a), ZEROS),
    "exp": (lambda t, a: t.exp(a), A),
    "expm1": (lambda t, a: t.expm1(a), A),
    "log": (lambda t, a: t.log(a), POSITIVE),
    "log at 0": (lambda t, a: t.log(a), ZEROS),
    "log2": (lambda t, a: a.log2(), POSITIVE),
    "log1p": (lambda t, a: a.log1p(), POSITIVE),
    "sqrt": (lambda t, a: a.sqrt(), POSITIVE),
    "sqrt at 0": (lambda t, a: a.sqrt(), ZEROS),
    "rsqrt": (lambda t, a: a.rsqrt(), POSITIVE),
    "reciprocal": (lambda t, a: a.reciprocal(), POSITIVE),
    "square": (lambda t, a: a.square(), A),
    "sin cos": (lambda t, a: a.sin() * t.cos(a), A),
    "sign floor ceil round": (lambda t, a: a * (a.sign() + a.floor() + a.ceil() + t.round(a)), 3 * A),
    "clamp": (lambda t, a: t.clamp(a, -0.5, 0.5), A),
    "clamp min": (lambda t, a: a.clamp(min=0.1), A),
    "clamp at its limits": (lambda t, a: a.clamp(2.0, 3.0), TIES),
    "clamp upside down": (lambda t, a: a.clamp(1.0, -1.0), A),
    "clamp by tensors": (lambda t, a, b: a.clamp(min=b), A, COLUMN),
    "maximum": (lambda t, a, b: t.maximum(a, b), A, B),
    "maximum ties": (lambda t, a, b: t.maximum(a, b) + t.minimum(a, b) * 2, TIES, TIES),
    "minimum broadcasts": (lambda t, a, b: t.minimum(a, b), A, ROW),
    "where": (lambda t, a, b: t.where(a > b, a, b), A, ROW),
    "where number": (lambda t, a: t.where(a > 0, a, 0.5), A),
    "masked_fill": (lambda t, a: a.masked_fill(t.tensor(MASK), 2.0), A),
    "sum": (lambda t, a: a.sum(), CUBE),
    "sum dim": (lambda t, a: a.sum(1), CUBE),
    "sum dims keepdim": (lambda t, a: t.sum(a, (0, -1), keepdim=True), CUBE),
    "sum no dims": (lambda t, a: a.sum(()), CUBE),
    "mean": (lambda t, a: a.mean() + a.mean(dim=(1, 2), keepdim=True), CUBE),
    "var": (lambda t, a: a.var(), CUBE),
    "var dim": (lambda t, a: a.var(1, unbiased=False) + a.var(dim=1, correction=2), CUBE),
    "var False": (lambda t, a: t.var(a, False), CUBE),
    "std": (lambda t, a: t.std(a, 2, keepdim=True), CUBE),
    "max": (lambda t, a: a.max(), TIES),
    "min": (lambda t, a: t.min(a), TIES),
    "max dim": (lambda t, a: a.max(1).values * a.max(dim=0).values.sum(), CUBE),
    "min dim keepdim": (lambda t, a: a.min(-1, keepdim=True)[0], CUBE),
    "max of two": (lambda t, a, b: t.max(a, b), A, ROW),
    "amax": (lambda t, a: a.amax((0, 2)) + a.amin(1, keepdim=True).sum(), CUBE),
    "amax ties": (lambda t, a: a.amax(1), TIES),
    "prod": (lambda t, a: a.prod(), A),
    "prod dim": (lambda t, a: a.prod(1) + a.prod(dim=0, keepdim=True).sum(), CUBE[0]),
    "prod of zeros": (lambda t, a: a.prod(1), ZEROS),
    "cumsum": (lambda t, a: a.cumsum(1), CUBE),
    "logsumexp": (lambda t, a: a.logsumexp(1), CUBE),
    "norm": (lambda t, a: a.norm() + a.norm(dim=1).sum() + a.norm(3, dim=0).sum() + a.norm(1), A),
    "norm inf": (lambda t, a: a.norm(float("inf")), TIES),
    "norm of 0": (lambda t, a: (a * 0).norm(), A),
    "sort": (lambda t, a: t.sort(a, 1, descending=True).values * ROW_OF[t], A),
    "sort stable": (lambda t, a: t.sort(a, dim=0, stable=True)[0].cumsum(0), TIES),
    "topk": (lambda t, a: a.topk(2, 1).values * a.topk(2, dim=1, largest=False)[0], A),
    "matmul": (lambda t, a, b: a @ b.T, A, B),
    "matmul vectors": (lambda t, a, b: (a @ b) + (b @ b), A, ROW),
    "matmul batched": (lambda t, a, b: a @ t.transpose(b, 1, 2), CUBE, CUBE),
    "matmul broadcasts": (lambda t, a, b: t.matmul(a, b.t()), CUBE, A),
    "T": (lambda t, a: a.T @ a, A),
    "reshape": (lambda t, a: a.reshape(2, -1).view((4, 3)) ** 2, A),
    "flatten": (lambda t, a: a.flatten(1) * t.flatten(a, 0, 1).sum() + a.flatten().sum(), CUBE),
    "unflatten": (lambda t, a: a.unflatten(1, (2, -1)), A),
    "permute": (lambda t, a: a.permute(2, 0, 1) * t.permute(a, (2, 0, 1)), CUBE),
    "transpose": (lambda t, a: a.transpose(0, -1).contiguous(), CUBE),
    "movedim": (lambda t, a: t.movedim(a, 0, 2) ** 2, CUBE),
    "squeeze": (lambda t, a: a.unsqueeze(1).squeeze() + a.unsqueeze(-1).squeeze(-1) + a.squeeze(0), A),
    "squeeze dims": (lambda t, a: a[None, :, None].squeeze((0, 2)), A),
    "expand": (lambda t, a, b: a.expand(2, -1, 4) * b.expand(3, 4).sum(), COLUMN, ROW),
    "expand_as": (lambda t, a, b: a.expand_as(b) * b, ROW, A),
    "repeat": (lambda t, a: a.repeat(2, 1, 3) ** 2, A),
    "flip": (lambda t, a: a.flip(0, 2) * a, CUBE),
    "cat": (lambda t, a, b: t.cat([a, b, a], 1) ** 2, A, B),
    "cat with empty": (lambda t, a: t.cat([t.tensor([]), a]), A),
    "stack": (lambda t, a, b: t.stack((a, b), dim=-1) ** 2, A, B),
    "split": (lambda t, a: a.split(3, 1)[0] * a.split([1, 3], dim=1)[1], A),
    "chunk": (lambda t, a: a.chunk(2, 1)[0] * a.chunk(3, 1)[1], A),
    "unbind": (lambda t, a: a.unbind(1)[2] * a.unbind()[0].sum(), A),
    "narrow": (lambda t, a: a.narrow(1, -3, 2), A),
    "index int": (lambda t, a: a[1] * a[-1, 2] * a[..., 0].sum(), A),
    "index slice": (lambda t, a: a[1:, ::2] * a[None, :, -2:].sum(), A),
    "index tensor": (lambda t, a: a[t.tensor([0, 2, 0])] ** 2, A),
    "index lists": (lambda t, a: a[[0, 2], [1, 1]] ** 2, A),
    "index tensor and slice": (lambda t, a: a[:, t.tensor([[3, 3], [0, 1]])], CUBE[0]),
    "index mask": (lambda t, a: a[a > 0] ** 2 + a[t.tensor([True, False, True])].sum(), A),
    "index_select": (lambda t, a: a.index_select(1, t.tensor([1, 1, 3])), A),
    "gather": (lambda t, a: t.gather(a, 0, t.tensor(INDEX)) ** 2, A),
    "scatter_add": (lambda t, a, b: t.scatter_add(a, 0, t.tensor(INDEX), b[:2]) ** 2, A, B),
    "setitem": (lambda t, a, b: put(a * 1, (slice(None), 1), b.squeeze(1)), A, COLUMN),
    "setitem number": (lambda t, a: put(a * 1, (0, slice(1, 3)), 5.0), A),
    "setitem mask": (lambda t, a: put(a * 1, a > 0, 0.0) ** 2, A),
    "setitem tensor index": (lambda t, a, b: put(a * 1, t.tensor([0, 2]), b), A, ROW),
    "in place": (lambda t, a, b: (a * 1).add_(b, alpha=2).mul_(b).sub_(1).div_(2).pow_(2), A, ROW),
    "in place operators": (lambda t, a, b: in_place(a * 1, b), A, COLUMN),
    "in place functions": (lambda t, a: (a * 1).neg_().exp_() + (a * a).sqrt_() + (a * a).log_(), A),
    "in place pieces": (lambda t, a: (a * 1).neg_().abs_().clamp_(0.2, 0.8), A),
    "copy_": (lambda t, a, b: (a * 1).copy_(b) * a, A, ROW),
    "fill_": (lambda t, a: a * (a * 1).fill_(3.0) + (a * 1).zero_(), A),
    "masked_fill_": (lambda t, a: (a * 1).masked_fill_(a > 0.5, -1.0), A),
    "view in place": (lambda t, a, b: through_a_view(a * 1, b), A, ROW),
    "view of view in place": (lambda t, a: through_two_views(a * 1), A),
    "view used before and after": (lambda t, a: before_and_after(a * 1), A),
    "clone detach": (lambda t, a: a.clone() * a.detach(), A),
    "to": (lambda t, a: a.to(t.float32).double() * a.float().to(a), A),
    "maps": (lambda t, a: (a * a.mean((0, 2, 3), keepdim=True)).flatten(1).sum(1), MAP),
}
ROW_OF = {at: at.tensor(ROW), torch: torch.tensor(ROW)}


def put(x, index, value):
    x[index] = value
    return x


def in_place(x, y):
    x += y
    x *= x + 1
    x -= 2
    x /= 3.0
    x **= 2
    return x


def through_a_view(x, row):
    x[1] *= row
    x[:, 0] += 1
    return x * x


def through_two_views(x):
    part = x.T[1:]
    part[0].mul_(3)
    return x * part.sum()


def before_and_after(x):
    part = x[0]
    first = part.exp()
    x *= 2
    return (first * part).sum() * x


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    f, *arrays = CASES[case]
    mine = [at.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = f(at, *mine), f(torch, *theirs)
    assert y.shape == tuple(z.shape)
    assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-12)
    weights = np.linspace(-1, 1.5, y.numel()).reshape(y.shape).astype(y.dtype)
    y.backward(weights)
    z.backward(torch.tensor(weights))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-12)


INFINITE = {
    "div by 0",
    "log at 0",
    "sqrt at 0",
    "0 to a power",
    "number to a power",
    "norm of 0",
}  # no finite difference
KINKS = {
    "abs",
    "clamp at its limits",
    "maximum ties",
    "max",
    "min",
    "amax ties",
    "norm inf",
    "sort stable",
    "setitem mask",
}
STEPS = {"floor_divide", "pow at 0", "to", "copy_", "clone detach", "fill_"}  # detached, or rounded to float32


@pytest.mark.parametrize("case", [case for case in CASES if case not in INFINITE | KINKS | STEPS])
def test_gradcheck(case):
    f, *arrays = CASES[case]
    inputs = [at.tensor(a, requires_grad=True) for a in arrays]
    assert at.gradcheck(lambda *xs: f(at, *xs), inputs, fast_mode=True)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -3e38, 2.5, -2.5], np.float32)


@pytest.mark.parametrize(
    "f",
    [
        lambda t, x: x.exp(),
        lambda t, x: x.log(),
        lambda t, x: x.sqrt(),
        lambda t, x: x.sign(),
        lambda t, x: x.abs(),
        lambda t, x: x.clamp(-1, 1),
        lambda t, x: x.clamp(min=t.tensor(0.5)),
        lambda t, x: t.maximum(x, x.flip(0)),
        lambda t, x: t.minimum(x, t.zeros(9)),
        lambda t, x: x / x.flip(0),
        lambda t, x: x * 1e30,
        lambda t, x: x % 2.0,
        lambda t, x: x**2,
        lambda t, x: x**-1.0,
        lambda t, x: x.max(),
        lambda t, x: x.min(),
        lambda t, x: x[1:].max(0).values,
        lambda t, x: x.argmax(),
        lambda t, x: x.argmin(),
        lambda t, x: x.sort().values,
        lambda t, x: x.sort(descending=True).values,
        lambda t, x: x.topk(4).values,
        lambda t, x: x.sum(),
        lambda t, x: x.prod(),
        lambda t, x: x.cumsum(0),
        lambda t, x: x.logsumexp(0),
        lambda t, x: x[1:].logsumexp(0),
        lambda t, x: x.round(),
        lambda t, x: t.isnan(x),
        lambda t, x: t.isinf(x),
        lambda t, x: t.isfinite(x),
        lambda t, x: x == x,
        lambda t, x: x != x,
        lambda t, x: x >= 0,
        lambda t, x: x.bool(),
        lambda t, x: x.double(),
        lambda t, x: t.isclose(x, x, equal_nan=True),
        lambda t, x: x.any(),
        lambda t, x: x[3:5].all(),
        lambda t, x: x.var(),
        lambda t, x: x.norm(),
    ],
)
def test_special_values(f):
    y, z = f(at, at.tensor(SPECIAL)), f(torch, torch.tensor(SPECIAL))
    assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-6)


def test_zeros_keep_their_signs():
    x = [-0.0, 0.0, -0.4]
    for f in (
        lambda x: x.round(),
        lambda x: x * 3,
        lambda x: x.sqrt(),
        lambda x: -x,
        lambda x: x.abs(),
        lambda x: x + x,
    ):
        y, z = f(at.tensor(x)).numpy(), f(torch.tensor(x)).numpy()
        assert np.signbit(y[~np.isnan(y)]).tolist() == np.signbit(z[~np.isnan(z)]).tolist()


@pytest.mark.parametrize(
    "f",
    [
        lambda t, i, m: i / 2,
        lambda t, i, m: i // 2,
        lambda t, i, m: -i // 2,
        lambda t, i, m: i % 3,
        lambda t, i, m: -i % 3,
        lambda t, i, m: i**2,
        lambda t, i, m: 2**i,
        lambda t, i, m: i & 3,
        lambda t, i, m: i | 1,
        lambda t, i, m: i ^ 1,
        lambda t, i, m: ~i,
        lambda t, i, m: ~m,
        lambda t, i, m: m & True,
        lambda t, i, m: m | (i > 1),
        lambda t, i, m: t.logical_and(m, i),
        lambda t, i, m: t.logical_or(m, i),
        lambda t, i, m: t.logical_not(i),
        lambda t, i, m: m.sum(),
        lambda t, i, m: m.sum(0, dtype=t.float32),
        lambda t, i, m: i.to(t.uint8).sum(),
        lambda t, i, m: m.cumsum(0),
        lambda t, i, m: i.prod(),
        lambda t, i, m: i.float().mean(),
        lambda t, i, m: i.exp(),
        lambda t, i, m: i.sqrt(),
        lambda t, i, m: i.abs(),
        lambda t, i, m: i.sign(),
        lambda t, i, m: i.round(),
        lambda t, i, m: i.clamp(1, 2),
        lambda t, i, m: i.clamp(0.5, 1.5),
        lambda t, i, m: i.max(),
        lambda t, i, m: m.max(),
        lambda t, i, m: i.argmax(),
        lambda t, i, m: i.flip(0).sort().indices,
        lambda t, i, m: t.argsort(i, descending=True),
        lambda t, i, m: t.tensor([2, 1, 2, 1]).sort(stable=True).indices,
        lambda t, i, m: t.tensor([2, 1, 2, 1]).sort(descending=True, stable=True).indices,
        lambda t, i, m: i.topk(2).indices,
        lambda t, i, m: i[m],
        lambda t, i, m: t.where(m, i, 0),
        lambda t, i, m: t.where(m, 1, 0),
        lambda t, i, m: t.where(m, 1.5, i),
        lambda t, i, m: t.cat([i, m]),
        lambda t, i, m: t.stack([i, i.float()]),
        lambda t, i, m: t.nonzero(i),
        lambda t, i, m: t.count_nonzero(i),
        lambda t, i, m: i.eq(1),
        lambda t, i, m: i == 1.0,
        lambda t, i, m: t.full((2,), 3),
        lambda t, i, m: t.full((2,), True),
        lambda t, i, m: t.full_like(i, 2.0),
        lambda t, i, m: t.arange(5),
        lambda t, i, m: t.arange(1, 9, 3),
        lambda t, i, m: t.arange(0, 1, 0.1),
        lambda t, i, m: t.arange(5, 0, -2),
        lambda t, i, m: t.linspace(-1, 1, 5),
        lambda t, i, m: t.eye(3, 2),
        lambda t, i, m: t.ones_like(m),
        lambda t, i, m: t.tensor([[1, 2], [3, 4]]).T,
        lambda t, i, m: t.tensor(i.tolist(), dtype=t.float64),
        lambda t, i, m: t.isclose(i.float(), i + 1e-9),
    ],
)
def test_integers_and_booleans(f):
    i, m = np.array([0, 1, 2, 3]), np.array([True, False, False, True])
    y, z = f(at, at.tensor(i), at.tensor(m)), f(torch, torch.tensor(i), torch.tensor(m))
    assert str(y.dtype) == str(z.dtype).removeprefix("torch.")
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-6)


# What PyTorch refuses, so do we: by the errors of the design, with a message that names the op and what it got.
REFUSALS = [
    (lambda t: t.ones(2, 3) + t.ones(2), ValueError, "add: shapes (2, 3) and (2,) do not broadcast"),
    (lambda t: t.ones(2).add_(t.ones(3, 2)), ValueError, "add_: the result has another shape"),
    (lambda t: t.arange(3).add_(1.5), TypeError, "add_: the result does not fit int64"),
    (lambda t: t.arange(3).mul_(t.ones(3)), TypeError, "mul_: the result does not fit int64"),
    (lambda t: t.arange(3).div_(2), TypeError, "div_: the result does not fit int64"),
    (lambda t: t.arange(3).exp_(), TypeError, "exp_: the result does not fit int64"),
    (lambda t: t.ones(3) + "a", TypeError, "add: cannot combine a Tensor with str"),
    (lambda t: t.ones(3) + None, TypeError, "add: cannot combine a Tensor with NoneType"),
    (lambda t: t.arange(3) // 0, (ZeroDivisionError, RuntimeError), "floor_divide: an integer is divided by 0"),
    (lambda t: t.arange(3) % t.zeros(3).long(), (ZeroDivisionError, RuntimeError), "remainder: an integer is divided"),
    (lambda t: t.arange(3) ** -1, ValueError, "pow: integers to negative powers"),
    (lambda t: t.tensor([True]) - t.tensor([True]), TypeError, "subtract"),
    (lambda t: -t.tensor([True]), TypeError, "negative"),
    (lambda t: t.ones(2) & 1, TypeError, "bitwise_and"),
    (lambda t: ~t.ones(2), TypeError, "invert"),
    (lambda t: t.where(t.arange(2), t.ones(2), t.ones(2)), TypeError, "where: the condition has dtype int64"),
    (lambda t: t.where(t.ones(3) > 0, t.ones(2), 1.0), ValueError, "where: shapes (3,), (2,) and ()"),
    (lambda t: t.clamp(t.ones(2)), ValueError, "clamp: min and max are both None"),
    (lambda t: t.arange(3).mean(), TypeError, "mean: dtype int64 has no means"),
    (lambda t: t.arange(3).std(), TypeError, "var: dtype int64 has no variance"),
    (lambda t: t.norm(t.arange(3)), TypeError, "norm: dtype int64"),
    (lambda t: t.ones(2).sum(1), IndexError, "sum: dim 1 of a tensor with 1 axes; expected -1 to 0"),
    (lambda t: t.ones(2).sum((0, 0)), ValueError, "sum: dim (0, 0) names an axis twice"),
    (lambda t: t.ones(2).argmax(3), IndexError, "argmax: dim 3"),
    (lambda t: t.tensor([]).max(), ValueError, "max: there are no elements"),
    (lambda t: t.zeros(2, 0).max(1), ValueError, "argmax: there are no elements"),
    (lambda t: t.zeros(2, 0).argmax(1), (ValueError, IndexError), "argmax: there are no elements"),
    (lambda t: t.ones(3).topk(4), ValueError, "topk: k is 4; expected 0 to 3"),
    (lambda t: t.ones(6).reshape(4, -1), ValueError, "reshape: 6 elements of shape (6,) do not fit shape (4, -1)"),
    (lambda t: t.ones(6).view(4), ValueError, "view: 6 elements"),
    (lambda t: t.ones(2, 3).flatten(1, 0), ValueError, "flatten: start_dim 1 comes after end_dim 0"),
    (lambda t: t.ones(2, 3).permute(0, 0), ValueError, "permute: dims (0, 0); expected each of 2 axes once"),
    (lambda t: t.ones(2, 3, 4).t(), ValueError, "t: the tensor has 3 axes"),
    (lambda t: t.ones(2, 3).transpose(0, 2), IndexError, "transpose: dim 2"),
    (lambda t: t.ones(2).unsqueeze(3), IndexError, "unsqueeze: dim 3"),
    (lambda t: t.ones(2, 3).expand(2, 4), ValueError, "expand: shape (2, 3) does not broadcast to (2, 4)"),
    (lambda t: t.ones(2, 3).repeat(2), ValueError, "repeat: 1 counts for 2 axes"),
    (lambda t: t.cat([]), ValueError, "cat: no tensors to join"),
    (lambda t: t.cat([t.ones(2, 3), t.ones(3, 2)]), ValueError, "cat: shapes (2, 3) and (3, 2) differ"),
    (lambda t: t.cat([t.tensor(1.0)]), ValueError, "cat: tensors without axes"),
    (lambda t: t.stack([t.ones(2), t.ones(3)]), ValueError, "stack: shapes (2,) and (3,) differ"),
    (lambda t: t.ones(5).split([2, 2]), ValueError, "split: sizes [2, 2] do not add up to 5"),
    (lambda t: t.ones(5).split(0), ValueError, "split: split_size is 0"),
    (lambda t: t.ones(5).chunk(0), ValueError, "chunk: chunks is 0"),
    (lambda t: t.ones(5).narrow(0, 3, 3), ValueError, "narrow: start 3 and length 3 leave an axis of extent 5"),
    (lambda t: t.ones(2)[2], IndexError, "index 2 is out of bounds"),
    (lambda t: t.ones(2)[0, 0], IndexError, "too many indices"),
    (lambda t: t.ones(2)[1.5], IndexError, "only integers"),
    (lambda t: t.ones(2)[::-1], ValueError, "index: step -1"),
    (lambda t: t.ones(3)[t.ones(3)], IndexError, "index: an index tensor has dtype float32"),
    (lambda t: t.ones(3)[t.tensor([True, False])], IndexError, "boolean"),
    (lambda t: put(t.ones(3), slice(2), t.ones(3)), ValueError, "setitem: a value of shape (3,) does not fit (2,)"),
    (lambda t: t.gather(t.ones(3), 0, t.tensor([3])), IndexError, "out of bounds"),
    (lambda t: t.gather(t.ones(3), 0, t.tensor([-1])), IndexError, "gather: index -1 is below 0"),
    (lambda t: t.gather(t.ones(2, 3), 0, t.tensor([1])), ValueError, "gather: index (1,) does not fit input (2, 3)"),
    (lambda t: t.ones(2).copy_(t.ones(3)), ValueError, "copy_: shape (3,) does not broadcast to (2,)"),
    (lambda t: t.ones(2).fill_(t.ones(2)), ValueError, "fill_: expected one number"),
    (lambda t: t.ones(1).expand(3).add_(1), RuntimeError, "add_: the memory is read-only"),
    (lambda t: t.ones(2).item(), ValueError, "item: the tensor has 2 elements"),
    (lambda t: bool(t.ones(2)), ValueError, "bool: the truth of a tensor with 2 elements is ambiguous"),
    (lambda t: len(t.tensor(1)), TypeError, "len() of a tensor without axes"),
    (lambda t: list(t.tensor(1)), TypeError, "iteration over a tensor without axes"),
    (lambda t: range(3)[t.ones(1)], TypeError, "only integer tensors of one element"),
    (lambda t: t.zeros(-1), ValueError, "zeros: size (-1,) has a negative extent"),
    (lambda t: t.zeros(2.5), TypeError, "zeros: size (2.5,); expected ints"),
    (lambda t: t.tensor([[1, 2], [3]]), ValueError, "tensor: the nested lists have different lengths"),
    (lambda t: t.tensor("a"), TypeError, "tensor: expected numbers"),
    (lambda t: t.tensor(None), TypeError, "tensor: expected numbers"),
    (lambda t: t.tensor([2**70]), ValueError, "tensor: an int does not fit 64 bits"),
    (lambda t: t.arange(3, 1), ValueError, "arange: step 1 leads away from 1"),
    (lambda t: t.arange(0, 3, 0), ValueError, "arange: step is 0"),
    (lambda t: t.linspace(0, 1, -1), ValueError, "linspace: steps is -1"),
    (lambda t: t.randint(5, 5, (2,)), ValueError, "randint: low is 5, high is 5"),
    (lambda t: t.randn(2, dtype=t.int64), TypeError, "randn: dtype is int64"),
    (lambda t: t.ones(2).normal_(0, -1), ValueError, "normal_: std is -1"),
    (lambda t: t.ones(2).uniform_(1, 0), ValueError, "uniform_: a is 1, b is 0"),
    (lambda t: t.bernoulli(t.tensor([1.5])), ValueError, "bernoulli: a probability lies outside"),
    (lambda t: t.zeros(2, device="cuda:x"), ValueError, "zeros: device 'cuda:x' does not exist"),
    (lambda t: t.zeros(2, device="tpu"), ValueError, "zeros: device 'tpu' does not exist"),
    (lambda t: t.zeros(2, dtype="float33"), TypeError, "zeros: dtype 'float33' is not supported"),
    (lambda t: t.arange(3).requires_grad_(), RuntimeError, "only floating-point tensors can require grad"),
]


@pytest.mark.parametrize(("f", "error", "message"), REFUSALS, ids=[message for _, _, message in REFUSALS])
def test_refusals(f, error, message):
    with pytest.raises(error) as caught:
        f(at)
    assert message in str(caught.value)
    with pytest.raises((ValueError, TypeError, RuntimeError, IndexError, NotImplementedError, AssertionError)):
        f(torch)
