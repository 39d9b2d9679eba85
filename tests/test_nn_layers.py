"""Layers: constructor checks, and PyTorch's names, shapes, values and gradients."""

import math
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn
from atrous.layout import like

IMAGES = (2, 4, 9, 7)

# layer, constructor arguments, input shape
LAYERS = [
    ("Conv2d", (4, 6, 3), {}, IMAGES),
    ("Conv2d", (4, 6, (3, 1)), dict(stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False), IMAGES),
    ("Conv2d", (4, 8, 3), dict(padding=1, groups=4), IMAGES),
    ("Conv2d", (4, 6, 3), dict(padding="same", dilation=2), IMAGES),
    ("Conv2d", (4, 6, 3), dict(padding="valid"), IMAGES),
    ("ConvTranspose2d", (4, 6, 3), {}, IMAGES),
    ("ConvTranspose2d", (4, 6, 3, 2, 1, 1, 2, False, 2), {}, IMAGES),
    ("ConvTranspose2d", (4, 6, (2, 3)), dict(stride=(2, 3), output_padding=(1, 2)), IMAGES),
    ("Linear", (7, 5), {}, (3, 7)),
    ("Linear", (7, 5, False), {}, IMAGES),
    ("BatchNorm1d", (5,), {}, (6, 5)),
    ("BatchNorm1d", (5,), dict(affine=False), (3, 5, 4)),
    ("BatchNorm2d", (4,), {}, IMAGES),
    ("BatchNorm2d", (4, 1e-3, None), {}, IMAGES),
    ("BatchNorm2d", (4,), dict(track_running_stats=False), IMAGES),
    ("MaxPool2d", (2,), {}, IMAGES),
    ("MaxPool2d", ((3, 2), 2, (1, 0), (1, 2)), dict(ceil_mode=True), IMAGES),
    ("AvgPool2d", (2,), {}, IMAGES),
    ("AvgPool2d", (3, 2, 1, True, False), {}, IMAGES),
    ("AvgPool2d", (3,), dict(divisor_override=2), IMAGES),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGES),
    ("AdaptiveAvgPool2d", ((4, None),), {}, IMAGES),
    ("AdaptiveMaxPool2d", ((4, 5),), {}, IMAGES),
    ("Upsample", (), dict(scale_factor=2), IMAGES),
    ("Upsample", (), dict(scale_factor=(1.5, 2), mode="bilinear", recompute_scale_factor=True), IMAGES),
    ("Upsample", ((4, 11),), dict(mode="bilinear", align_corners=True), IMAGES),
    ("ReLU", (), {}, IMAGES),
    ("ReLU", (True,), {}, IMAGES),
    ("LeakyReLU", (0.2,), {}, IMAGES),
    ("LeakyReLU", (0.2, True), {}, IMAGES),
    ("Sigmoid", (), {}, IMAGES),
    ("Tanh", (), {}, IMAGES),
    ("Softmax", (1,), {}, IMAGES),
    ("LogSoftmax", (1,), {}, IMAGES),
    ("Flatten", (), {}, IMAGES),
    ("Flatten", (2, 3), {}, IMAGES),
    ("Identity", (54,), dict(unused=3), IMAGES),
    ("Dropout", (0.0,), {}, IMAGES),
]
IDS = [f"{name}{args}{kwargs or ''}" for name, args, kwargs, _ in LAYERS]


def pair_of_layers(torch, name, args, kwargs):
    """The same layer here and in PyTorch, with PyTorch's weights, in float64."""
    at.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    return ours.double(), theirs.double()


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
@pytest.mark.parametrize("training", [True, False])
def test_same_as_pytorch(name, args, kwargs, shape, training):
    torch = pytest.importorskip("torch")
    ours, theirs = pair_of_layers(torch, name, args, kwargs)
    ours.train(training), theirs.train(training)
    printed = [repr(ours), repr(theirs)]
    if name.startswith("BatchNorm"):  # PyTorch has an argument `bias` there since 2.13
        printed = [re.sub(r"bias=\w+, ", "", text) for text in printed]
    assert printed[0] == printed[1]
    state = theirs.state_dict()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)

    values = np.random.default_rng(0).normal(1.0, 2.0, shape)
    x, x_torch = at.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, y_torch = ours(x * 1), theirs(x_torch * 1)  # times 1: a leaf must not be written in place
    weights = np.random.default_rng(1).normal(size=tuple(y_torch.shape))
    (y * at.tensor(weights)).sum().backward()
    (y_torch * torch.tensor(weights)).sum().backward()

    close = dict(rtol=1e-10, atol=1e-11)  # float64, sums of some hundred terms
    np.testing.assert_allclose(y.detach().numpy(), y_torch.detach().numpy(), **close)
    np.testing.assert_allclose(x.grad.numpy(), x_torch.grad.numpy(), **close)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), **close, err_msg=key)
        assert like(p.grad.data, p.data) is p.grad.data  # no copy: the same memory order
    for (key, value), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(value.numpy(), other.numpy(), **close, err_msg=key)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [(name, args, kwargs) for name, args, kwargs, _ in LAYERS if name in ("Conv2d", "ConvTranspose2d", "BatchNorm2d")],
)
def test_weights_move_to_pytorch(name, args, kwargs):
    torch = pytest.importorskip("torch")
    ours, theirs = pair_of_layers(torch, name, args, kwargs)
    arrays = {k: np.ascontiguousarray(v.numpy()).reshape(v.shape) for k, v in ours.state_dict().items()}
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    x = np.random.default_rng(0).normal(size=IMAGES)
    y = ours.eval()(at.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, theirs.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-10, atol=1e-11)


LOSSES = [
    ("CrossEntropyLoss", dict(), "classes"),
    ("CrossEntropyLoss", dict(label_smoothing=0.1, ignore_index=1, weight="classes"), "classes"),
    ("CrossEntropyLoss", dict(reduction="sum"), "soft"),
    ("CrossEntropyLoss", dict(reduction="none"), "classes"),
    ("NLLLoss", dict(weight="classes", ignore_index=2), "classes"),
    ("NLLLoss", dict(reduction="none"), "classes"),
    ("MSELoss", dict(), "soft"),
    ("MSELoss", dict(reduction="sum"), "soft"),
    ("BCEWithLogitsLoss", dict(), "soft"),
    ("BCEWithLogitsLoss", dict(weight="classes", pos_weight="classes", reduction="none"), "soft"),
]


@pytest.mark.parametrize(("name", "kwargs", "target"), LOSSES)
def test_losses_same_as_pytorch(name, kwargs, target):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values, soft = rng.normal(size=(6, 4)), rng.dirichlet(np.ones(4), 6)
    t = {"classes": np.array([0, 1, 2, 3, 2, 0]), "soft": soft}[target]
    per_class = np.array([0.5, 1.0, 2.0, 0.25])
    results = []
    for lib in (at, torch):
        arguments = {k: lib.tensor(per_class) if v == "classes" else v for k, v in kwargs.items()}
        loss = getattr(lib.nn, name)(**arguments)
        x = lib.tensor(values, requires_grad=True)
        y = loss(x, lib.tensor(t))
        y.sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy(), list(loss.state_dict())))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-12, atol=1e-14)
    assert results[0][2] == results[1][2]


@pytest.mark.parametrize("name", ["MaxPool2d", "AdaptiveMaxPool2d"])
def test_indices(name):
    x = at.tensor([[[[1.0, 5.0], [3.0, 2.0]]]])
    size = 2 if name == "MaxPool2d" else 1
    y, indices = getattr(nn, name)(size, return_indices=True)(x)
    assert (y.item(), indices.item(), indices.dtype) == (5.0, 1, at.int64)


def test_batch_norm_by_hand():
    norm = nn.BatchNorm1d(1, momentum=0.5)
    y = norm(at.tensor([[1.0], [3.0]]))  # mean 2, biased variance 1, unbiased 2
    np.testing.assert_allclose(y.detach().numpy(), [[-1], [1]], atol=1e-5)
    assert norm.running_mean.item() == 1.0
    assert norm.running_var.item() == 1.5
    assert norm.num_batches_tracked.item() == 1
    norm.reset_running_stats()
    assert (norm.running_mean.item(), norm.running_var.item(), norm.num_batches_tracked.item()) == (0.0, 1.0, 0)


def test_dropout():
    at.manual_seed(0)
    layer = nn.Dropout(0.25)
    y = layer(at.ones(10000)).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 10000)
    assert layer.eval()(at.ones(3)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(-1, 4, 3), ValueError, "Conv2d: in_channels is -1; expected 1 or more"),
        (lambda: nn.Conv2d(1, 0, 3), ValueError, "Conv2d: out_channels is 0; expected 1 or more"),
        (lambda: nn.Conv2d(1.5, 4, 3), TypeError, "Conv2d: in_channels is 1.5; expected an int"),
        (lambda: nn.Conv2d(6, 4, 3, groups=4), ValueError, "Conv2d: in_channels 6 cannot be divided into 4 groups"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError, "Conv2d: out_channels 6 cannot be divided into 4 groups"),
        (lambda: nn.Conv2d(4, 6, 3, groups=0), ValueError, "Conv2d: groups is 0; expected 1 or more"),
        (lambda: nn.Conv2d(1, 1, 0), ValueError, "Conv2d: kernel_size is 0; expected 1 or more"),
        (lambda: nn.Conv2d(1, 1, (1, 2, 3)), ValueError, "Conv2d: kernel_size has 3 numbers"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "Conv2d: stride is 0; expected 1 or more"),
        (lambda: nn.Conv2d(1, 1, 3, padding=(0, -1)), ValueError, "Conv2d: padding is (0, -1); expected 0 or more"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "Conv2d: padding is 'full'; expected 'same', 'valid'"),
        (lambda: nn.Conv2d(1, 1, 3, 2, "same"), ValueError, "Conv2d: padding 'same' needs stride 1"),
        (lambda: nn.Conv2d(1, 1, 3, dilation=0), ValueError, "Conv2d: dilation is 0; expected 1 or more"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, 2, output_padding=2), ValueError, "must be smaller than stride 2"),
        (lambda: nn.Linear(0, 1), ValueError, "Linear: in_features is 0; expected 1 or more"),
        (lambda: nn.Linear(1, True), ValueError, "Linear: out_features is True; expected 1 or more"),
        (lambda: nn.BatchNorm2d(0), ValueError, "BatchNorm2d: num_features is 0; expected 1 or more"),
        (lambda: nn.BatchNorm2d(2, eps=-1), ValueError, "BatchNorm2d: eps is -1; expected a number >= 0"),
        (lambda: nn.BatchNorm2d(2, momentum=1.5), ValueError, "BatchNorm2d: momentum is 1.5; expected None or 0 to 1"),
        (lambda: nn.MaxPool2d(0), ValueError, "MaxPool2d: kernel_size is 0; expected 1 or more"),
        (lambda: nn.MaxPool2d(2, padding=2), ValueError, "MaxPool2d: padding 2 is more than half of kernel_size 2"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "AvgPool2d: divisor_override is 0"),
        (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "AdaptiveAvgPool2d: output_size is 0; expected 1 or more"),
        (lambda: nn.AdaptiveAvgPool2d(None), TypeError, "AdaptiveAvgPool2d: output_size is None; expected an int"),
        (lambda: nn.AdaptiveMaxPool2d((1, 2, 3)), ValueError, "AdaptiveMaxPool2d: output_size is (1, 2, 3)"),
        (lambda: nn.Dropout(1.5), ValueError, "Dropout: p is 1.5; expected a probability from 0 to 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "Dropout: p is -0.1"),
        (lambda: nn.Softmax(None), TypeError, "Softmax: dim is None; expected an int"),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "MSELoss: reduction is 'avg'; expected 'none', 'mean' or"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing is 2; expected 0 to 1"),
        (lambda: nn.CrossEntropyLoss(weight=[1.0]), TypeError, "'weight' is a list; expected Tensor or None"),
        (lambda: nn.BatchNorm2d(3)(at.zeros(2, 3)), ValueError, "input has shape (2, 3); expected (N, 3, H, W)"),
        (lambda: nn.BatchNorm1d(3)(at.zeros(2, 4)), ValueError, "input has shape (2, 4); expected (N, 3) or (N, 3, L)"),
        (lambda: nn.Conv2d(3, 1, 1)(at.zeros(1, 4, 2, 2)), ValueError, "x has 4 channels; expected 3"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()
