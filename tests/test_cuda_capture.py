"""Captured steps: the same bits as steps in Python, and whose memory is whose."""

import gc

import numpy as np
import pytest
from captured_nets import OPTIMIZERS, STEPS, batches, in_same_kernels, make

import atrous as at
from atrous import nn, optim
from atrous.nn import functional as F

pytestmark = pytest.mark.usefixtures("cuda")


def trained(capture, optimizer="adam", count=STEPS):
    """Bytes of losses, gradients, parameters, running statistics and state after some steps with a schedule."""
    model, chosen, step = make(optimizer)
    schedule = optim.lr_scheduler.CosineAnnealingLR(chosen, T_max=7)
    run = at.cuda.capture(step) if capture else in_same_kernels(step)
    losses = []
    for x, y in batches(count):
        losses.append(run(x, y))
        schedule.step()
    found = {name: tensor.cpu().numpy().tobytes() for name, tensor in model.state_dict().items()}
    found |= {f"grad of {name}": p.grad.cpu().numpy().tobytes() for name, p in model.named_parameters()}
    for number, state in chosen.state_dict()["state"].items():
        found |= {
            f"{number} {k}": v.cpu().numpy().tobytes() if isinstance(v, at.Tensor) else v for k, v in state.items()
        }
    return found | {"losses": [loss.item() for loss in losses], "offset": at.get_rng_state()["offset"]}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_steps_in_python(optimizer):
    captured, plain = trained(True, optimizer), trained(False, optimizer)
    assert captured.keys() == plain.keys()
    assert [name for name in plain if plain[name] != captured[name]] == []
    assert len(set(captured["losses"])) == STEPS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_same_bits_as_by_kernels_that_take_their_numbers_by_value(optimizer, dtype):
    """Where no product is cuBLAS', steps in Python need not run as `in_same_kernels`."""

    def run(captured):
        numbers = np.random.default_rng(3)
        w = at.from_numpy(numbers.standard_normal(50).astype(dtype)).cuda()
        w.requires_grad = True
        chosen = OPTIMIZERS[optimizer]([w])

        def step(x):
            chosen.zero_grad()
            (w * x).sum().backward()
            chosen.step()
            return w.detach().clone()

        step = at.cuda.capture(step) if captured else step
        steps = [step(at.from_numpy(numbers.standard_normal(50).astype(dtype)).cuda()).tolist() for _ in range(STEPS)]
        return steps, {key: v.tolist() if isinstance(v, at.Tensor) else v for key, v in chosen.state.get(w, {}).items()}

    assert run(True) == run(False)


def test_close_to_steps_with_cublas():
    def losses(run_by):
        _, _, step = make("plain")
        step = run_by(step)
        return [step(x, y).item() for x, y in batches()]

    # sums in another order: some last bits of float32 (6e-8) in each layer, and a few steps that go on from there
    assert losses(at.cuda.capture) == pytest.approx(losses(lambda step: step), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype):
    def run(run_by):
        model, _, step = make(dtype=getattr(at, dtype))
        step = run_by(step)
        losses = [step(x, y).item() for x, y in batches()]
        return losses, [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    assert run(at.cuda.capture) == run(lambda step: step)  # linear layers, too: in 16 bits they never are cuBLAS'


def test_steps_in_python_and_captured_ones_mix():
    def run(captured):
        model, _, step = make()
        plain, graph = in_same_kernels(step), at.cuda.capture(step)
        for number, (x, y) in enumerate(batches(8)):
            (graph if captured and number not in (1, 4, 5) else plain)(x, y)
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    assert run(True) == run(False)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adamw", dict(betas=(0.5, 0.9), weight_decay=0.3, eps=1e-4)),
        ("sgd", dict(momentum=0.5, weight_decay=0.0, lr=0.01)),
        ("centered", dict(alpha=0.4, momentum=0.5, weight_decay=0.0, eps=1e-4)),
        ("adagrad", dict(lr_decay=0.5, weight_decay=0.0, eps=1e-4)),
        ("adadelta", dict(rho=0.5, weight_decay=0.2, eps=1e-3)),
        ("adamax", dict(betas=(0.5, 0.9), weight_decay=0.3, eps=1e-4)),
        ("nadam", dict(betas=(0.5, 0.9), weight_decay=0.3, eps=1e-4, momentum_decay=0.1)),
        ("radam", dict(betas=(0.5, 0.9), eps=1e-4, lr=0.1)),
        ("rprop", dict(etas=(0.3, 1.5), step_sizes=(1e-4, 2e-3))),
        ("asgd", dict(lambd=0.3, alpha=0.5, t0=0, weight_decay=0.1)),
    ],
)
def test_seeds_and_numbers_set_between_calls_count(name, settings):
    def run(captured, changed=True):
        model, optimizer, step = make(name)
        step = at.cuda.capture(step) if captured else in_same_kernels(step)
        for number, (x, y) in enumerate(batches()):
            if number == 3:
                at.manual_seed(9)
                optimizer.param_groups[0].update(settings if changed else {})
            step(x, y)
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    assert run(True) == run(False) != run(True, changed=False)


def test_parameters_that_made_fewer_steps():
    """Such as those of a layer that was frozen at first: Adagrad's rates and Adam's corrections are each one's own."""

    def run(captured, name):
        model, optimizer, step = make(name)
        plain, data = in_same_kernels(step), list(batches())
        model.conv.weight.requires_grad = False
        plain(*data[0])
        model.conv.weight.requires_grad = True
        step = at.cuda.capture(step) if captured else plain
        for x, y in data[1:]:
            step(x, y)
        counts = {state["step"] for state in optimizer.state.values()}
        assert counts == {len(data), len(data) - 1}
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    for name in ("adam", "rmsprop", "adagrad", "adamax", "nadam", "radam", "asgd"):
        assert run(True, name) == run(False, name)


def test_another_generator_for_each_call():
    def run(captured):
        step = lambda x: F.dropout(x, 0.5)  # noqa: E731
        step, x = at.cuda.capture(step) if captured else step, at.ones(5, 7).cuda()
        results = []
        for seed in range(4):
            with at.random.using(at.random.Generator(seed)):
                results += [step(x).tolist(), step(x).tolist()]
        return results

    assert run(True) == run(False)


def test_float64():
    def run(captured):
        at.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).to("cuda").double()
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x[:, :2])
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = at.cuda.capture(step) if captured else in_same_kernels(step)
        numbers = np.random.default_rng(2).standard_normal((STEPS, 5, 4))
        return [step(at.from_numpy(x).cuda()).item() for x in numbers]

    assert run(True) == run(False)


def test_results_are_copies():
    step = at.cuda.capture(lambda x: {"y": x * 2, "both": (x + 1, None)})
    results = [step(at.full((3,), float(i)).cuda()) for i in range(5)]
    assert [r["y"].tolist() for r in results] == [[2.0 * i] * 3 for i in range(5)]
    assert [r["both"][0].tolist() for r in results] == [[i + 1.0] * 3 for i in range(5)]
    assert results[4]["both"][1] is None


def test_nothing_runs_while_a_step_is_captured():
    seen = []

    def double(x):
        y = x * 2
        seen.append(y)
        return y

    step = at.cuda.capture(double)
    for value in (1.0, 2.0, 3.0):
        assert step(at.full((2,), value).cuda()).tolist() == [2 * value] * 2
    assert len(seen) == 2  # the function ran twice: as it is, and for the capture


def test_memory_that_others_use_stays_theirs():
    """The graph's blocks come back to no other pool, and what it was given is alive as long as the graph is."""
    model, _, step = make()
    step = at.cuda.capture(step)
    data = list(batches())
    others = []
    for x, y in data:
        others.append((at.ones(6, 8, 8, 8).cuda(), at.ones(6, 12).cuda(), at.ones(6, 5).cuda()))
        step(x, y)
        gc.collect()
    assert all((tensor == 1).all().item() for tensors in others for tensor in tensors)
    assert [p.detach().cpu().numpy().tobytes() for p in model.parameters()] == parameters_after(data)


def parameters_after(data):
    model, _, step = make()
    step = in_same_kernels(step)
    for x, y in data:
        step(x, y)
    return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]


def test_what_the_step_uses_is_kept_alive():
    factor = [at.full((4,), 3.0).cuda()]
    step = at.cuda.capture(lambda x: x * factor[0])
    x = at.ones(4).cuda()
    step(x), step(x)
    factor.clear()
    gc.collect()
    others = [at.zeros(4).cuda() for _ in range(8)]
    assert step(x).tolist() == [3.0] * 4
    assert len(others) == 8


def test_memory_is_given_back():
    x = at.ones(1 << 16).cuda()
    before, blocks = at.cuda.memory_allocated(), [0]
    step = at.cuda.capture(lambda x: (x * 2 + 1).sum())
    for _ in range(3):
        step(x)
    blocks[0] = sum(block.size for block in step._capture.blocks)
    assert blocks[0] >= x.nbytes
    del step
    gc.collect()
    assert at.cuda.memory_allocated() == before


def test_gradients_are_the_steps():
    model, _, step = make()
    step = at.cuda.capture(step)
    (x, y), (x2, y2), (x3, y3), *_ = batches()
    step(x, y), step(x2, y2)
    second = model.last.weight.grad.tolist()
    for p in model.parameters():
        p.grad = None
    step(x3, y3)
    assert model.last.weight.grad.tolist() != second


def test_products_of_batches():
    numbers = np.random.default_rng(0)
    a, b = (at.from_numpy(numbers.standard_normal(shape, np.float32)).cuda() for shape in ((3, 4, 5), (3, 5, 2)))
    step = at.cuda.capture(lambda a, b: a @ b)
    for _ in range(3):
        product = step(a, b)
    # sums of 5 products of float32
    np.testing.assert_allclose(product.cpu().numpy(), (a @ b).cpu().numpy(), rtol=1e-5, atol=1e-5)
