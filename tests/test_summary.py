"""The summary of a model: its rows and totals, and receptive fields by hand and by brute force."""

import random
import re
from math import inf

import numpy as np
import pytest

import atrous as at
from atrous import models, nn
from atrous.nn import functional as F
from atrous.nn.observe import unchanged
from atrous.receptive_field import Fields


def fields(model, *shape):
    return [row.receptive_field for row in at.summary(model, *shape).rows]


def last(model, *shape):
    return at.summary(model, *shape).rows[-1].receptive_field


class Function(nn.Module):
    """A function as a leaf layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# -- rows and totals --------------------------------------------------------------------------------------------------


def test_lenet_row_by_row():
    found = at.summary(models.lenet5(), 2, 1, 32, 32)
    assert [(r.name, r.kind, r.output_shape, r.parameters, r.macs, r.bytes) for r in found.rows[:4]] == [
        ("conv1", "Conv2d 5×5", (2, 6, 28, 28), 156, 2 * 117600, 4 * 2 * 6 * 784),
        ("relu", "ReLU", (2, 6, 28, 28), 0, 0, 4 * 2 * 6 * 784),
        ("pool", "MaxPool2d 2×2 s2", (2, 6, 14, 14), 0, 0, 4 * 2 * 6 * 196),
        ("conv2", "Conv2d 5×5", (2, 16, 10, 10), 2416, 2 * 240000, 4 * 2 * 1600),
    ]
    assert [r.kind for r in found.rows[6:]] == ["Linear 400→120", "ReLU", "Linear 120→84", "ReLU", "Linear 84→10"]
    sizes = [5, 5, 6, 14, 14, 16] + 5 * [inf]
    assert [r.receptive_field for r in found.rows] == [(size, size) for size in sizes]
    assert (found.parameters, found.trainable, found.macs) == (61706, 61706, 2 * 416520)
    assert (found.parameter_bytes, found.input_bytes) == (4 * 61706, 4 * 2048)
    assert found.activation_bytes == 4 * 2 * (2 * 6 * 784 + 6 * 196 + 2 * 1600 + 400 + 2 * 120 + 2 * 84 + 10)


def test_the_table():
    model = nn.Sequential(nn.Conv2d(1, 2, (3, 5), stride=2, bias=False), nn.ReLU(inplace=True), nn.Tanh())
    model[0].weight.requires_grad = False
    assert (
        str(at.summary(model, 1, 1, 9, 9))
        == repr(at.summary(model, (1, 1, 9, 9)))
        == (
            "layer  kind           output   parameters  MACs  field  memory\n"
            "──────────────────────────────────────────────────────────────\n"
            "0      Conv2d 3×5 s2  1×2×4×3          30   360    3×5    96 B\n"
            "1      ReLU           1×2×4×3                      3×5\n"
            "2      Tanh           1×2×4×3                      3×5    96 B\n"
            "──────────────────────────────────────────────────────────────\n"
            "parameters  30 (0 trainable)\n"
            "MACs        360\n"
            "memory      parameters 120 B, activations 192 B\n"
            "input       (1, 1, 9, 9), 324 B"
        )
    )


class Odd(nn.Module):
    """Calls a layer twice, leaves one out, has a parameter of its own, and returns tuples and dicts."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.unused = nn.Linear(4, 4)
        self.scale = nn.Parameter(at.ones(1))
        self.both = Function(lambda x: (x, [x * 2]))
        self.named = Function(lambda pair: {"a": pair[0], "n": 3})
        self.nothing = Function(lambda x: None)
        self.empty = nn.Sequential()

    def forward(self, x):
        x = self.empty(self.conv(self.conv(x)) * self.scale)
        self.nothing(x)
        return self.named(self.both(x))["a"]


def test_layers_called_twice_unused_and_with_odd_outputs():
    found = at.summary(Odd(), 1, 2, 8, 8)
    assert [(r.name, r.output_shape, r.parameters, r.macs, r.receptive_field, r.bytes) for r in found.rows] == [
        ("conv", (1, 2, 8, 8), 38, 36 * 64, (3, 3), 512),
        ("conv", (1, 2, 8, 8), 0, 36 * 64, (5, 5), 512),
        ("nothing", None, 0, 0, None, 0),
        ("both", (1, 2, 8, 8), 0, 0, (5, 5), 512),  # one of the two is its input
        ("named", (1, 2, 8, 8), 0, 0, (5, 5), 0),
    ]
    assert found.parameters == 38 + 20 + 1
    assert "59 (59 trainable, of which 21 in no layer above)" in str(found)


def test_models_without_layers_and_models_that_are_one():
    found = at.summary(nn.Sequential(), 2, 3)
    assert (found.rows, found.parameters, found.macs, found.activation_bytes, found.input_bytes) == ((), 0, 0, 0, 24)
    assert "parameters  0 (0 trainable)" in str(found)
    (row,) = at.summary(nn.Conv2d(3, 4, 3), 1, 3, 8, 8).rows
    assert (row.name, row.receptive_field) == ("", (3, 3))
    assert at.summary(nn.ReLU(), ()[:0] or (2,)).rows[0].output_shape == (2,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: at.summary(nn.ReLU()), ValueError, "summary: shape is (); expected sizes such as 1, 3, 224, 224"),
        (lambda: at.summary(nn.ReLU(), 1, -3), ValueError, "summary: shape is (1, -3); expected sizes"),
        (lambda: at.summary(nn.ReLU(), 1, 2.5), TypeError, "expected ints, or one tuple of ints"),
        (lambda: at.summary(F.relu, 1, 3), TypeError, "summary: model is a function; expected an nn.Module"),
        (lambda: at.summary(nn.Linear(3, 2), 1, 4), ValueError, "linear: x has"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


class Restless(nn.Module):
    """Draws numbers and writes its buffer in every mode, and fails if told so."""

    def __init__(self, fails):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.Dropout(0.5))
        self.register_buffer("calls", at.zeros(1))
        self.fails = fails

    def forward(self, x):
        self.calls += 1
        self.extra = None
        y = self.layers(x) + at.rand(1)
        if self.fails:
            self.register_forward_hook(lambda *_: None)
            raise KeyError("on purpose")
        return y


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("call", [at.summary, models.count_macs])
def test_the_model_stays_as_it_was(fails, call):
    model, seen = Restless(fails), []
    handle = model.layers[0].register_forward_hook(lambda *_: seen.append("own hook"))
    model.layers[1].eval()
    model.layers[0].weight.requires_grad = False
    at.manual_seed(3)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    if fails:
        with pytest.raises(KeyError, match="on purpose"):
            call(model, 1, 1, 5, 5)
    else:
        call(model, 1, 1, 5, 5)
    assert seen == ["own hook"]
    assert at.get_rng_state() == {"seed": 3, "stream": 0, "offset": 0}
    assert [m.training for m in model.modules()] == [True, True, True, False, True]
    after = model.state_dict()
    assert list(after) == list(before)
    assert all((after[name].numpy() == before[name]).all() for name in before)
    assert all(param.grad is None for param in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    hooks = [len(m._forward_hooks) for m in model.modules()]
    assert hooks == [0, 0, 1, 0, 0]
    handle.remove()
    assert not model.layers[0]._forward_hooks


def test_unchanged_puts_back_buffers_that_were_replaced():
    model = nn.BatchNorm2d(1)
    mean = model.running_mean
    with unchanged(model):
        model.running_mean = at.ones(1)
        model.running_var.fill_(5)
    assert model.running_mean is mean
    assert model.running_var.item() == 1


def test_double_models_get_double_inputs():
    model = models.lenet5().double()
    assert at.summary(model, 1, 1, 32, 32).input_bytes == 8 * 1024
    assert models.count_macs(model, 1, 1, 32, 32) == 416520


def test_under_no_grad_the_summary_is_the_same():
    with at.no_grad():
        assert last(nn.Conv2d(1, 1, 3), 1, 1, 5, 5) == (3, 3)
        assert not at.is_grad_enabled()


# -- receptive fields by hand -----------------------------------------------------------------------------------------


def conv(k=3, **options):
    return nn.Conv2d(1, 1, k, **options)


def test_stacks():
    vgg = [[conv(padding=1) for _ in range(n)] + [nn.MaxPool2d(2)] for n in (2, 2, 3, 3, 3)]
    rows = fields(nn.Sequential(*[layer for stage in vgg for layer in stage]), 1, 1, 224, 224)
    # Simonyan & Zisserman 2015, configuration D
    sizes = [3, 5, 6, 10, 14, 16, 24, 32, 40, 44, 60, 76, 92, 100, 132, 164, 196, 212]
    assert rows == [(size, size) for size in sizes]
    dilated = nn.Sequential(*[conv(padding=d, dilation=d) for d in (1, 2, 4)])
    assert fields(dilated, 1, 1, 16, 16) == [(3, 3), (7, 7), (15, 15)]  # Yu & Koltun 2016
    assert last(nn.Sequential(conv((3, 1), stride=(2, 1)), conv((1, 5), dilation=(1, 2))), 1, 1, 32, 32) == (3, 9)


def test_networks():
    rows = at.summary(models.resnet18(), 1, 3, 64, 64).rows
    sizes = {row.name: row.receptive_field for row in rows}
    # 7, +4 by the pool, then 8, 16, 32, 64 a 3×3 convolution of stage 1, 2, 3, 4, the first of a stage half as much
    assert [sizes[f"layer{i}.1.conv2"] for i in (1, 2, 3, 4)] == [(43, 43), (99, 99), (211, 211), (435, 435)]
    assert sizes["layer4.0.downsample.0"] == (211, 211)
    assert rows[-1].receptive_field == (inf, inf)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: F.relu(F.max_pool2d(x, 3, 2)) * 2 + 1, (5, 5)),  # 3×3 before it
        (lambda x: F.avg_pool2d(x, (2, 4)), (4, 6)),
        (lambda x: x.mean((2, 3)), (inf, inf)),
        (lambda x: x.amax(3, keepdim=True), (3, inf)),
        (lambda x: x.sum(1), (3, 3)),
        (lambda x: x.flatten(1), (3, 3)),
        (lambda x: x.flatten(2).transpose(1, 2), (3, 3)),
        (lambda x: x.flatten(2).softmax(2), (inf, inf)),
        (lambda x: x.flatten(2).softmax(1), (3, 3)),
        (lambda x: x.permute(0, 2, 3, 1) @ at.ones(2, 5), (3, 3)),
        (lambda x: x.permute(0, 1, 3, 2) @ at.ones(14, 5), (inf, 3)),
        (lambda x: F.linear(x.permute(0, 2, 3, 1), at.ones(5, 2)).permute(0, 3, 1, 2), (3, 3)),
        (lambda x: F.linear(x, at.ones(5, 14)), (3, inf)),
        (lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(), (inf, inf)),
        (lambda x: x * x.sum((1, 2), keepdim=True), (inf, 3)),
        (lambda x: at.cat([x[:, :1], F.max_pool2d(x, 5, 1, 2)], 1), (7, 7)),
        (lambda x: at.stack([x, -x], 2).sum(2), (3, 3)),
        (lambda x: x[:, :, 2:-2, ::3] + 0, (3, 3)),
        (lambda x: F.max_pool2d(x[:, :, :, ::3], 2), (4, 6)),
        (lambda x: x[:, :, 3, 4], (3, 3)),
        (lambda x: x[:, :, 3:4, 4] @ at.ones(1, 1), (3, 3)),
        (lambda x: F.conv2d(F.pad(x, (1, 2, 0, 3)), at.ones(1, 2, 2, 2)), (4, 4)),
        (lambda x: F.max_pool2d(F.pad(x, (1, 2, 3, 1), "reflect"), 2), (4, 4)),
        (lambda x: x + F.pad(x, (2, 0, 0, 0))[:, :, :, :14], (3, 5)),
        (lambda x: x + F.pad(x, (2, 0, 3, 0), "reflect")[:, :, :14, :14], (6, 5)),
        (lambda x: x.reshape(1, 2, 1, 14, 14).transpose(1, 2).reshape(1, 2, 14, 14), (3, 3)),
        (lambda x: F.max_pool2d(x.squeeze(0), 2).unsqueeze(0), (4, 4)),
        (lambda x: F.conv_transpose2d(x, at.ones(2, 1, 2, 2), stride=2), (3, 3)),
        (lambda x: F.conv_transpose2d(x, at.ones(2, 1, 3, 3), stride=2), (4, 4)),
        (lambda x: F.conv_transpose2d(x, at.ones(2, 1, 3, 3), dilation=2), (7, 7)),
        (lambda x: F.adaptive_avg_pool2d(x, (7, 1)), (4, inf)),
        (lambda x: F.adaptive_max_pool2d(x, 4).flatten(1), (6, 6)),  # windows of 4: 14 rows for 4
        (lambda x: F.adaptive_avg_pool2d(x, 10).flatten(1), (5, 5)),  # of up to 3
        (lambda x: F.interpolate(x, scale_factor=2), (3, 3)),
        (lambda x: F.max_pool2d(F.interpolate(x, scale_factor=2), 2, 1), (4, 4)),  # at odd places a pixel more
        (lambda x: F.interpolate(x, (28, 14), mode="bilinear"), (4, 3)),
        (lambda x: F.interpolate(x, 27, mode="bilinear", align_corners=True), (4, 4)),
        (lambda x: F.max_pool2d(F.interpolate(x, (21, 7), mode="bilinear"), 2), (5, 6)),
        (lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"), None),
        (lambda x: at.where(x > 0, x, at.zeros(1)).clone().to("float64"), (3, 3)),
        (lambda x: x.std((2, 3)), (inf, inf)),
        (lambda x: x.max(1)[0], (3, 3)),
        (lambda x: F.batch_norm(x, None, None, training=True), (inf, inf)),
        (lambda x: x.detach(), None),
        (lambda x: x.flip(3), None),
        (lambda x: F.max_pool2d(x.flatten(2).reshape(1, 2, 14, 14), 2), (4, 4)),
        (lambda x: F.max_pool2d(x.flatten(2).reshape(1, 2, 7, 28), 2), None),
        (lambda x: F.max_pool2d(x.reshape(1, 2, 7, 2, 14)[:, :, :, 0], 2), None),
        (lambda x: F.max_pool2d(x.transpose(2, 3), (1, 2)), (4, 3)),
        (lambda x: F.max_pool2d(x, 2) + x[:, :, :7, :7], None),  # at different speeds
        (lambda x: x.cumsum(2), None),
        (lambda x: F.conv2d(x, x[:, :, :3, :3]), None),
        (lambda x: x.mean((2, 3)) + Square.apply(x.mean((2, 3))), (inf, inf)),
        (lambda x: Square.apply(x), None),
        (lambda x: at.ones(2), None),
    ],
)
def test_what_stands_between_layers(function, expected):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Function(function))
    assert last(model, 1, 1, 16, 16) == expected


class Square(at.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, grad_y):
        return grad_y


def test_writes_in_place():
    def write(x):
        x += F.max_pool2d(x, 3, 1, 1)
        x[:, :, 0] = 0
        return F.relu(x, inplace=True)

    assert last(Function(write), 1, 1, 8, 8) == (3, 3)


def test_images_alone_have_fields():
    assert fields(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), 2, 4) == [None, None]


def test_layers_with_backward_hooks():
    model = nn.Sequential(conv(), nn.ReLU(), conv())
    model[1].register_full_backward_hook(lambda *_: None)
    assert last(model, 1, 1, 8, 8) == (5, 5)


def test_memory_is_that_of_evaluation(cpu):
    """The graph does not keep what a backward pass would need: 20 maps of 1 MiB, of which few live at once."""
    model = nn.Sequential(*[layer for _ in range(10) for layer in (conv(padding=1), nn.ReLU())])
    with at.backend("cpu"):
        at.summary(model, 1, 1, 512, 512)
        at.memory.reset_peak()
        before = at.memory.current()
        at.summary(model, 1, 1, 512, 512)
        assert at.memory.peak() - before < 6 * 2**20


# -- receptive fields by brute force ----------------------------------------------------------------------------------


def spans(model, size, axis):
    """For each row (axis 2) or column (3) of the output, the first and the last of the input that it depends on.

    Those are the ones that turn it into NaN when they are: NaN wins in every op, whatever the weights are, so no path
    is missed.
    """
    x = np.zeros((size, 1, size, size))  # image i is NaN in row, or column, i
    x.swapaxes(1, axis)[np.arange(size), np.arange(size)] = np.nan
    with at.no_grad():
        hit = np.isnan(model(at.tensor(x)).numpy()).any(axis=(1, 5 - axis))  # (image, row of the output)
    seen = [np.flatnonzero(column) for column in hit.T]
    return [(int(rows[0]), int(rows[-1])) if len(rows) else (-1, -1) for rows in seen]


def check(model, size, margin=8):
    """Every position that sees nothing of the margin, where edges and padding cut fields short, as predicted."""
    model.double().eval()
    with at.backend("reference"):  # whose convolution spreads a NaN no further than its filter
        x = at.zeros(1, 1, size, size, dtype=at.float64, requires_grad=True).clone()
        for axis, found in zip((2, 3), Fields(x).axes(model(x)), strict=True):
            expected, compared = spans(model, size, axis), 0
            for i, (first, end) in enumerate(expected):
                lo, hi = found.reach.at(i)
                if lo > hi:  # sees nothing, as between the pixels of a transposed convolution
                    assert (first, end) == (-1, -1), (model, axis, i)
                elif margin <= lo and hi < size - margin:
                    assert (first, end) == (lo, hi), (model, axis, i)
                    compared += 1
            assert found.dim == axis
            assert compared >= 3, model


class Residual(nn.Module):
    def __init__(self, *branches, join):
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), join

    def forward(self, x):
        return self.join([branch(x) for branch in self.branches])


def random_network(rng):
    """Blocks that a network is made of, in random order; the map stays large beside its receptive field."""

    def join(parts):
        H, W = (min(part.shape[d] for part in parts) for d in (2, 3))
        parts = [part[:, :, :H, :W] for part in parts]
        return sum(parts[1:], parts[0]) if kind == "sum" else F.conv2d(at.cat(parts, 1), at.ones(1, 2, 1, 1).double())

    def odd(dilation):
        k = rng.choice([1, 3])
        return conv(k, padding=dilation * (k - 1) // 2, dilation=dilation)

    kind = rng.choice(["sum", "cat"])
    scale = rng.choice([2, 3])
    blocks = [
        lambda: conv((rng.randint(1, 3), rng.randint(1, 4)), padding=rng.randint(0, 2), dilation=rng.randint(1, 2)),
        lambda: nn.Sequential(nn.MaxPool2d(2, padding=rng.randint(0, 1)), nn.ReLU()),
        lambda: nn.AvgPool2d(3, 2, padding=1),
        lambda: Residual(odd(1), nn.Identity(), join=join),
        lambda: Residual(odd(2), odd(1), join=join),
        lambda: nn.ConvTranspose2d(1, 1, rng.randint(1, 4), rng.randint(1, 3), dilation=rng.randint(1, 2)),
        lambda: Residual(
            nn.Sequential(nn.MaxPool2d(scale), conv(3, padding=1), nn.ConvTranspose2d(1, 1, scale, scale)),
            nn.Identity(),
            join=join,
        ),
        lambda: nn.BatchNorm2d(1),
        lambda: Function(lambda x: F.pad(x[:, :, 1:, ::2], (2, 1, 0, 1))),
    ]
    return nn.Sequential(*[rng.choice(blocks)() for _ in range(rng.randint(2, 5))])


@pytest.mark.parametrize("seed", range(25))
def test_random_networks_by_brute_force(seed):
    check(random_network(random.Random(seed)), 72)


def test_unet_by_brute_force():
    check(models.unet(1, in_channels=1, width=1, depth=2), 96)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.AdaptiveAvgPool2d(20), conv(2)),
        (nn.ConvTranspose2d(1, 1, 3, 2, padding=1), nn.MaxPool2d(2), conv(2)),
        (nn.ConvTranspose2d(1, 1, 3, 3, dilation=2), conv(2, stride=2), nn.ConvTranspose2d(1, 1, 2, 2), conv(3)),
        (nn.ConvTranspose2d(1, 1, 2, 3), nn.MaxPool2d(2), conv(1)),  # with holes
        (nn.MaxPool2d(2), nn.ConvTranspose2d(1, 1, 5, 3, output_padding=1), nn.AvgPool2d(2), conv(2)),
    ],
)
def test_up_and_down_by_brute_force(layers):
    check(nn.Sequential(*layers), 48)
