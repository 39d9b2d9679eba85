"""Predicted peak memory against that of real steps."""

import copy
import gc
import re

import pytest

import atrous as at
from atrous import memory, models, nn, optim
from atrous.nn import functional as F
from atrous.training.peak_memory import predict_peak_memory


@pytest.fixture(autouse=True)
def _on_the_cpu_backend(cpu):
    with at.backend("cpu"):
        yield


def measured(model, shape, optimizer, steps=2):
    """The peak of real steps, by nothing that the prediction uses."""
    model = copy.deepcopy(model).train()
    stepper = optimizer(model.parameters())
    x = at.zeros(*shape, dtype=next(model.parameters()).dtype)
    gc.collect()
    before = memory.current()
    memory.reset_peak()
    for _ in range(steps):
        stepper.zero_grad()
        y = model(x)
        loss = F.cross_entropy(y, at.zeros(len(y), *y.shape[2:], dtype=at.int64))
        del y
        loss.backward()
        del loss
        stepper.step()
    return memory.peak() - before


@pytest.mark.parametrize(
    ("build", "shape", "tolerance"),
    [
        (models.lenet5, (64, 1, 32, 32), 0.01),
        (models.lenet5, (250, 1, 32, 32), 0.04),
        (models.resnet8, (64, 3, 32, 32), 0.04),
        (models.resnet8, (50, 3, 24, 24), 0.06),  # by vectors of 16 lanes, workspace grows in coarser steps: 5 %
        (lambda: models.unet(width=16, depth=3), (16, 3, 32, 32), 0.02),  # the peak is amid the backward pass
        (lambda: models.unet(width=8, depth=2), (5, 3, 64, 48), 0.1),  # 2 and 4 images leave little to go by
        (lambda: models.lenet5().double(), (64, 1, 32, 32), 0.01),
    ],
)
@pytest.mark.parametrize("optimizer", [optim.Adam, lambda parameters: optim.SGD(parameters, lr=0.1)])
def test_predictions_are_close(build, shape, tolerance, optimizer):
    model = build()
    predicted, found = predict_peak_memory(model, shape, optimizer), measured(model, shape, optimizer)
    assert abs(predicted / found - 1) < tolerance, (predicted, found)


def test_the_optimizers_state_counts():
    """Where the activations are small, Adam's step is the peak: gradients and two moments, of 4 MiB each."""
    model = nn.Linear(1024, 1024, bias=False)
    predicted = predict_peak_memory(model, (8, 1024))
    assert 3 * 2**22 <= predicted < 3.2 * 2**22
    plain = predict_peak_memory(model, (8, 1024), lambda parameters: optim.SGD(parameters, lr=0.1))
    assert 2**22 <= plain < 1.2 * 2**22


@pytest.mark.parametrize("N", [1, 2, 3])
def test_small_batches_are_run_themselves(N):
    model = models.lenet5()
    assert predict_peak_memory(model, (N, 1, 32, 32)) == measured(model, (N, 1, 32, 32), optim.Adam)


def test_other_batches_are_not_run():
    sizes = []
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    for N in (4, 5, 8, 64):
        predict_peak_memory(model, (N, 3))
    assert sizes == [2, 2, 3, 3, 2, 2, 4, 4, 2, 2, 4, 4, 16, 16, 32, 32]


def test_a_loss_of_ones_own():
    model = nn.Sequential(nn.Linear(4, 5), nn.Flatten(0))
    seen = []

    def loss_fn(y, labels):
        seen.append((y.shape, labels.shape))
        return y.square().mean()

    assert predict_peak_memory(model, (16, 4), loss_fn=loss_fn) >= 0
    assert seen == 2 * [((20,), (0,))] + 2 * [((40,), (0,))]
    with pytest.raises(TypeError, match=re.escape("Sequential returned shape (20,); expected logits (N, C, ...), or")):
        predict_peak_memory(model, (16, 4))


def test_nothing_of_the_model_changes():
    model = models.resnet8()
    model.bn1.eval()
    at.manual_seed(5)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    predict_peak_memory(model, (8, 3, 8, 8))
    assert all((value.numpy() == before[name]).all() for name, value in model.state_dict().items())
    assert all(param.grad is None for param in model.parameters())
    assert at.get_rng_state() == {"seed": 5, "stream": 0, "offset": 0}
    assert model.training
    assert not model.bn1.training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: predict_peak_memory(models.lenet5, (1, 2)), TypeError, "model is a function; expected an nn.Module"),
        (lambda: predict_peak_memory(nn.ReLU(), ()), ValueError, "shape is (); expected sizes of 1 or more"),
        (lambda: predict_peak_memory(nn.ReLU(), (0, 3)), ValueError, "shape is (0, 3); expected sizes of 1 or more"),
        (lambda: predict_peak_memory(nn.ReLU(), (1.5, 3)), ValueError, "shape is (1.5, 3); expected sizes of 1 or"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_reference_backend_has_nothing_to_count():
    with (
        at.backend("reference"),
        pytest.raises(RuntimeError, match="predict_peak_memory: needs the compiled CPU backend"),
    ):
        predict_peak_memory(models.lenet5(), (8, 1, 32, 32))
