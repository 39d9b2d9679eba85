"""Gradient clipping on a GPU: as on the CPU, in a few launches, without waiting, and in captured steps."""

import math

import numpy as np
import pytest
from captured_nets import batches, in_same_kernels, make

import atrous as at
from atrous import gpu, nn
from atrous.nn import functional as F
from atrous.nn import utils

pytestmark = pytest.mark.usefixtures("cuda")

SHAPES = [(4, 3, 3, 3), (4,), (7, 5), (), (0, 3), (2, 1, 70, 60), (3, 5, 2), (4097,)]
NORMS = [2, 1, 3.0, 0.5, math.inf]


def gradients(dtype="float32", scale=1.0):
    rng = np.random.default_rng(7)
    return [np.asarray(rng.normal(size=shape) * scale, dtype) for shape in SHAPES]


def parameters(grads, device="cuda"):
    """Tensors with these gradients, and one that has none."""
    params = [at.zeros(3, requires_grad=True, device=device)]
    for grad in grads:
        param = at.tensor(np.zeros_like(grad), device=device)
        param.requires_grad = True
        param.grad = at.tensor(grad).to(device)
        params.append(param)
    return params


def values_of(params):
    return [p.grad.cpu().numpy() for p in params if p.grad is not None]


def assert_same(found, expected, rtol):
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol)


# The norm is a sum in float64, in another order than the CPU's, rounded once; a gradient is rounded once more.
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2.4e-7), ("float64", 1e-13), ("float16", 2**-10)])
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("max_norm", [0, 0.1, 1e9])
def test_as_on_the_cpu(max_norm, norm_type, dtype, rtol):
    there, here = (parameters(gradients(dtype), device) for device in ("cuda", "cpu"))
    norms = [utils.clip_grad_norm_(params, max_norm, norm_type) for params in (there, here)]
    assert norms[0].device == "cuda:0"
    assert norms[0].dtype == norms[1].dtype
    np.testing.assert_allclose(norms[0].item(), norms[1].item(), rtol=rtol)
    assert_same(values_of(there), values_of(here), rtol)


SIZES = [("float32", 1e-30), ("float32", 1e38), ("float64", 1e-200), ("float64", 1e200)]


@pytest.mark.parametrize(
    ("norm_type", "dtype", "size"),
    [(2, "float32", 1e-44)] + [(p, *size) for p in (2, 7.5) for size in SIZES],  # CuPy flushes subnormals to 0
)
def test_no_overflow_and_no_underflow(norm_type, dtype, size):
    size = np.dtype(dtype).type(size)
    found = utils.get_total_norm(at.tensor(np.full(3, size)).cuda(), norm_type).item()
    # one rounding; atol: to a subnormal number, of which the least is 1.4e-45
    np.testing.assert_allclose(found, float(size) * 3 ** (1 / norm_type), rtol=2e-7, atol=0.71e-45)


@pytest.mark.parametrize("values", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, math.nan], [0.0, -0.0], [3e38, 3e38]])
@pytest.mark.parametrize("norm_type", NORMS)
def test_odd_values(norm_type, values):
    grads = [np.array(values, "float32"), np.ones((2, 2), "float32") * (values[0] != 0)]
    there, here = (parameters(grads, device) for device in ("cuda", "cpu"))
    norms = [utils.clip_grad_norm_(params, 1.0, norm_type).item() for params in (there, here)]
    np.testing.assert_array_equal(*norms)
    assert_same(values_of(there), values_of(here), 2.4e-7)


def test_gradients_within_the_norm_keep_their_bits():
    grads = [*gradients(), np.array([-0.0, 1e-45, -1e-40, 3.4e38], "float32"), np.array([1.0, -0.0, 5e-324])]
    params = parameters(grads)
    utils.clip_grad_norm_(params, math.inf)
    assert [a.tobytes() for a in values_of(params)] == [a.tobytes() for a in grads]


def test_a_norm_that_is_a_gradient_is_read_before_it_is_scaled():
    grads = [np.float32(4), np.ones(40_000, "float32")]  # blocks that come late scale the second
    for device in ("cuda", "cpu"):
        params = parameters(grads, device)
        utils.clip_grads_with_norm_(params, 1.0, params[1].grad)
        np.testing.assert_allclose(params[2].grad.cpu().numpy(), 0.25, rtol=1e-6)
        np.testing.assert_allclose(params[1].grad.item(), 1, rtol=1e-6)


def test_norms_that_are_not_finite_are_errors_if_asked_for():
    params = parameters([np.array([math.inf, 1.0], "float32")])
    with pytest.raises(RuntimeError, match=r"the norm of order 2\.0 is inf; expected a finite one"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert values_of(params)[0].tolist() == [math.inf, 1.0]


def test_gaps_and_odd_addresses():
    plain = np.random.default_rng(3).normal(size=(6, 5, 7, 9)).astype("float32")
    block = at.zeros(plain.size + 1).cuda()
    layouts = [
        lambda x: x,
        lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        lambda x: at.stack([x, x], dim=4)[..., 0],
        lambda x: x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        lambda x: block[1:].copy_(x.reshape(-1)).reshape(x.shape),  # 4 bytes behind a multiple of 16
    ]
    expected = parameters([plain], "cpu")
    norm = utils.clip_grad_norm_(expected, 1.5).item()
    for layout in layouts:
        w = at.zeros(plain.shape, requires_grad=True, device="cuda")
        w.grad = layout(at.from_numpy(plain).cuda())
        # a sum in float64: the order matters to the last bit of float32 at most
        assert utils.clip_grad_norm_(w, 1.5).item() == pytest.approx(norm, rel=1.2e-7)
        assert_same(values_of([w]), values_of(expected), 2.4e-7)


def test_a_parameter_given_twice_is_scaled_twice():
    for device in ("cpu", "cuda"):
        (_, w) = parameters([np.full(4, 2.0, "float32")], device)
        utils.clip_grads_with_norm_([w, w], 1.0, at.tensor(2.0).to(device))
        np.testing.assert_allclose(values_of([w])[0], np.full(4, 0.5), rtol=2e-6)  # 1e-6 beside the norm, twice


@pytest.mark.parametrize("of_norm", ["cpu", "cuda"])
def test_two_devices(of_norm):
    params = parameters([np.full(4, 2.0, "float32")], "cpu") + parameters([np.full(4, 2.0, "float32")])
    grads = [p.grad for p in params if p.grad is not None]
    assert utils.get_total_norm(grads).item() == np.float32(math.sqrt(32))
    for max_norm, expected in ((4.0, 2.0), (1.0, 1.0)):
        utils.clip_grads_with_norm_(params, max_norm, at.tensor(2.0).to(of_norm))
        assert_same(values_of(params), [np.full(4, expected)] * 2, 1e-6)


def test_a_graph_that_saved_the_gradient_notices():
    (_, w) = parameters([np.array([3.0, 4.0], "float32")])
    scale = at.tensor([1.0, 1.0]).cuda()
    scale.requires_grad = True
    y = (scale * w.grad).sum()
    utils.clip_grad_norm_(w, 1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_launches_do_not_grow_with_the_number_of_tensors():
    if gpu.cupy.__version__ != "stand-in":
        pytest.skip("only the stand-in counts what a graph holds")

    def nodes(count):
        params = parameters([np.ones(3, "float32")] * count)
        step = at.cuda.capture(lambda x: utils.clip_grad_norm_(params, 1.0))
        step(at.ones(1).cuda()), step(at.ones(1).cuda())
        recorded = step._graph.recorded
        return len(recorded.calls) + recorded.kernels.recording_size(recorded.number)

    assert nodes(40) == nodes(2) <= 10


# -- captured steps ----------------------------------------------------------------------------------------------------


def with_norm(max_norm, norm_type=2):
    return lambda params: utils.clip_grad_norm_(params, max_norm, norm_type)


def in_two_parts(params):
    norm = utils.get_total_norm([p.grad for p in params])
    utils.clip_grads_with_norm_(params, 1.0, norm)
    return norm


def by_value(params):
    utils.clip_grad_value_(params, 0.01)
    return params[0].grad.abs().max()


CLIPS = {
    "all": with_norm(0.5),
    "some": with_norm(1.6),
    "none": with_norm(1e3),
    "1-norm": with_norm(0.5, 1),
    "largest": with_norm(0.05, math.inf),
    "two parts": in_two_parts,
    "value": by_value,
}


def trained(captured, clip, optimizer="adam", dtype=None):
    """Losses, what clip gave, gradients and parameters of some steps."""
    model, chosen, _ = make(optimizer, dtype=dtype)
    params = list(model.parameters())

    def step(x, y):
        chosen.zero_grad()
        with at.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        norm = clip(params)
        chosen.step()
        return loss.detach(), norm

    run = at.cuda.capture(step) if captured else in_same_kernels(step)
    found = [[value.item() for value in run(x, y)] for x, y in batches()]
    tensors = [p.grad for p in params], [p.detach() for p in params]
    return found, *([t.cpu().numpy().tobytes() for t in each] for each in tensors)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("clip", CLIPS)
def test_same_bits_as_steps_in_python(clip, optimizer):
    assert trained(True, CLIPS[clip], optimizer) == trained(False, CLIPS[clip], optimizer)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype):
    dtype = getattr(at, dtype)
    assert trained(True, with_norm(0.5), dtype=dtype) == trained(False, with_norm(0.5), dtype=dtype)


def test_clipping_differs_from_batch_to_batch():
    """So that the tests above see both: steps that are clipped, and some that are not."""
    norms = [norm for _, norm in trained(True, with_norm(1.6))[0]]
    assert min(norms) < 1.6 < max(norms)
    assert trained(True, with_norm(1.6))[2] != trained(True, with_norm(1e3))[2]
    assert trained(True, by_value)[2] != trained(True, with_norm(1e3))[2]


def test_an_error_for_norms_that_are_not_finite_cannot_be_captured():
    (_, w) = parameters([np.ones(3, "float32")])
    step = at.cuda.capture(lambda x: utils.clip_grad_norm_(w, 1.0, error_if_nonfinite=True))
    step(at.ones(1).cuda())
    with pytest.raises(RuntimeError, match=r"cannot be captured: test_cuda_clip\.py, line .*captur"):
        step(at.ones(1).cuda())


def test_what_the_norm_reads_is_kept_alive():
    held = [at.full((4,), 3.0).cuda()]
    step = at.cuda.capture(lambda x: utils.get_total_norm(held))
    x = at.ones(1).cuda()
    step(x), step(x)
    held.clear()
    others = [at.zeros(4).cuda() for _ in range(8)]
    assert step(x).item() == 6.0
    assert len(others) == 8


def test_modules():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).to("cuda")
    model(at.ones(2, 3, 3, 3).cuda()).sum().backward()
    utils.clip_grad_norm_(model.parameters(), 0.5)
    assert utils.get_total_norm(p.grad for p in model.parameters()).item() == pytest.approx(0.5, rel=1e-5)
