"""`atrous bench --model`, and the timings under it: what is timed, on which inputs, and what the command prints."""

import functools
import re
import sys
import time

import pytest

import atrous as at
from atrous import models, nn
from atrous.cli import main
from atrous.nn import functional as F
from atrous.training.layer_times import LayerTime, Roof, algorithms_of, measure_roof, time_layers, time_step

OWN = """
import atrous as at
from atrous import nn

class Net(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))

class Broken(Net):
    def forward(self, x):
        return {}["x"]

def text():
    return "a network"
"""


measured = functools.cache(measure_roof)  # takes two seconds


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's network, which is the current one; it is no checkout."""
    (tmp_path / "bench_own_net.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("bench_own_net", None)


@pytest.fixture
def roof(monkeypatch):
    """One measurement for all the tests that do not mind."""
    monkeypatch.setattr("atrous.cli.bench_model.measure_roof", measured)


def test_layers_are_those_of_the_summary():
    model, x = models.resnet8(), at.randn(2, 3, 8, 8)
    found, rows = time_layers(model, x, repeat=1), at.summary(model, 2, 3, 8, 8).rows
    assert [(t.name, t.kind, t.output_shape, t.macs) for t in found] == [
        (row.name, row.kind, row.output_shape, row.macs) for row in rows
    ]
    assert all(t.forward > 0 and t.backward > 0 for t in found)


class Watched(nn.Module):
    """Notes what it is called with, and sleeps, so that its time is known."""

    calls: list = []  # noqa: RUF012 - shared with the copies that are timed
    pause = 0.01

    def forward(self, x):
        self.calls.append((x.shape, x.requires_grad, x.mean().item(), self.training))
        time.sleep(self.pause)
        return x * 2 if self.pause else x


def test_each_layer_runs_alone_on_its_real_input():
    Watched.calls.clear()
    model = nn.Sequential(Watched(), nn.Linear(3, 2, bias=False), Watched(), nn.ReLU(inplace=True))
    nn.init.ones_(model[1].weight)
    model.eval()
    found = time_layers(model, at.ones(4, 3), repeat=2)
    first, second = ((4, 3), False, 1.0, True), ((4, 2), True, 6.0, True)
    assert Watched.calls[:2] == [first, second]  # the step
    assert Watched.calls[2:] == 3 * [first] + 3 * [second]  # then each alone, once to warm up
    assert found[0].forward >= 0.01
    assert found[0].backward == 0  # nobody wants its gradient
    assert found[2].backward > 0
    assert not model.training


def test_operations_are_counted_for_the_gradients_that_are_wanted():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 1, 1), nn.Flatten())
    model[1].weight.requires_grad = False
    found = time_layers(model, at.ones(1, 1, 6, 6), repeat=1)
    assert [t.macs for t in found] == [18 * 16, 36 * 4, 2 * 4, 0]
    assert [t.flops for t in found] == [2 * 2 * 288, 2 * 2 * 144, 2 * 3 * 8, 0]


def test_nothing_of_the_model_changes():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(64, 3))
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    at.manual_seed(4)
    time_layers(model, at.ones(2, 1, 6, 6), repeat=1)
    time_step(model, at.ones(2, 1, 6, 6), repeat=1)
    assert all((value.numpy() == before[name]).all() for name, value in model.state_dict().items())
    assert all(param.grad is None for param in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert at.get_rng_state() == {"seed": 4, "stream": 0, "offset": 0}


def test_a_step_and_its_parts(monkeypatch):
    monkeypatch.setattr(Watched, "pause", 0.02)
    found = time_step(
        nn.Sequential(Watched(), nn.Linear(3, 2)), at.ones(4, 3), loss_fn=lambda y, labels: F.cross_entropy(y, labels)
    )
    assert found.forward >= 0.02
    assert found.backward > 0
    assert found.whole >= found.forward
    assert found.optimizer > 0


def lines_of(capsys, words):
    assert main(["bench", "--quick", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_command_prints_a_step(own, capsys):
    lines = lines_of(capsys, ["--model", "lenet5", "--batch", "2"])
    assert lines[0] == "lenet5: a training step with Adam on 2 images of 32×32, 1 channels"
    assert [line.split()[0] for line in lines[3:]] == ["forward", "backward", "optimizer", "whole"]
    assert re.fullmatch(r"whole step +\d+\.\d\d ms   [\d.]+ images/s", lines[-1])
    assert not any("share" in line for line in lines)


def test_the_command_prints_layers_of_a_users_network(own, roof, capsys):
    lines = lines_of(capsys, ["--model", "bench_own_net:Net", "--layers", "--batch", "3", "--size", "9"])
    assert lines[0] == "bench_own_net:Net: a training step with Adam on 3 images of 9×9, 2 channels"
    assert " ".join(lines[3].split()) == "layer kind output algorithm forward ms backward ms rate of roof of step"
    rows = [line.split() for line in lines[5:8]]
    assert [row[:4] for row in rows] == [
        ["conv", "Conv2d", "3×3", "3×3×7×7"],
        ["pool", "AdaptiveAvgPool2d", "1×1", "3×3×1×1"],
        ["fc", "Linear", "3→4", "3×4"],
    ]
    assert rows[0][4] == "implicit_gemm"
    assert [row[-3] for row in rows] == ["GFLOP/s", "GB/s", "GFLOP/s"]
    assert all(row[-1].endswith("%") and row[-2].endswith("%") for row in rows)
    shares = [float(re.search(r"(-?[\d.]+)%$", line)[1]) for line in lines[5:8] + lines[9:11]]
    assert abs(sum(shares[:3]) - shares[3]) < 0.3  # rounded
    assert abs(shares[3] + shares[4] - 100) < 0.15
    text = "\n".join(lines)
    assert "Each layer runs alone, as without fusion" in text
    assert re.search(r"of roof: .* measured now: \d+ GFLOP/s, or \d+ GB/s", text)


def test_the_command_draws_a_roofline(own, roof, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    lines = lines_of(capsys, ["--model", "bench_own_net:Net", "--layers", "--batch", "1", "--size", "5"])
    assert lines[-1] == "picture: roofline-bench_own_net-Net.png"
    assert (tmp_path / "roofline-bench_own_net-Net.png").read_bytes().startswith(b"\x89PNG")
    lines = lines_of(capsys, ["--model", "bench_own_net:Net", "--layers", "--size", "5", "--picture", "a.png"])
    assert lines[-1] == "picture: a.png"
    assert (tmp_path / "a.png").exists()


def test_without_matplotlib_there_is_no_picture(own, roof, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "atrous.training.roofline", raising=False)
    monkeypatch.delitem(sys.modules, "atrous.training.pictures", raising=False)
    monkeypatch.delitem(sys.modules, "matplotlib.backends.backend_agg", raising=False)
    lines = lines_of(capsys, ["--model", "bench_own_net:Net", "--layers", "--batch", "1", "--size", "5"])
    assert lines[-1].startswith("no picture: ")
    assert "pip install 'atrous[train]'" in lines[-1]
    assert not list(tmp_path.glob("*.png"))


def test_bytes_are_those_of_each_pass():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 5))
    found = time_layers(model, at.ones(1, 2, 6, 6), repeat=1)
    x, weight, y = 72, 54 + 3, 48  # numbers; the input wants no gradient
    assert found[0].moved == 4 * 2 * (x + weight + y)
    assert found[1].moved == 4 * 5 * y
    assert found[2].moved == 4 * (5 * y + 2 * 6)
    assert found[4].moved == 4 * 3 * (48 + 48 * 5 + 5 + 5)
    assert found[1].operations == 5 * y
    assert found[0].operations == found[0].flops


def test_the_roof_is_the_lower_of_arithmetic_and_memory():
    def at_intensity(flops, moved):
        return Roof(flops=100.0, bandwidth=10.0).at(LayerTime("", "", None, 0, 1, 1, flops, moved))

    assert [at_intensity(1000, 1000), at_intensity(1000, 100), at_intensity(10000, 100)] == [10, 100, 100]
    assert at_intensity(0, 400) == 2.5


def test_algorithms_are_those_of_each_direction(cpu, monkeypatch):
    """A transposed convolution's forward is the input gradient of one whose input has its output's size."""
    asked = []

    def record(direction, x, weight, *rest):
        asked.append((tuple(x), tuple(weight), *map(tuple, rest[:3]), rest[3]))
        return [direction, "other"]

    monkeypatch.setattr(cpu, "conv2d_algorithms", record)
    x = at.ones(2, 4, 6, 6)
    conv, up = nn.Conv2d(4, 8, 3, 1, padding="same", dilation=2, groups=2), nn.ConvTranspose2d(4, 6, 2, stride=2)
    with at.backend("cpu"):
        assert algorithms_of(conv, (x,), conv(x)) == ("forward", "backward_input", "backward_weight")
        assert algorithms_of(up, (x,), up(x)) == ("backward_input", "forward", "backward_weight")
        assert algorithms_of(nn.ReLU(), (x,), x) == ()
    with at.backend("reference"):
        assert algorithms_of(conv, (x,), conv(x)) == ()
    assert asked[0] == ((2, 4, 6, 6), (8, 2, 3, 3), (1, 1), (2, 2), (2, 2), 2)
    assert asked[3] == ((2, 6, 12, 12), (4, 6, 2, 2), (2, 2), (0, 0), (1, 1), 1)


def test_the_reference_has_no_roof(own, capsys):
    with at.backend("reference"):
        assert measure_roof() is None
        lines = lines_of(capsys, ["--model", "bench_own_net:Net", "--layers", "--batch", "1", "--size", "5"])
    assert lines[1].startswith("NumPy reference")
    assert not any("of roof:" in line or "picture" in line for line in lines)


@pytest.mark.parametrize("name", models.NAMES)
def test_every_name_has_images_that_fit(own, monkeypatch, name):
    """The defaults of each network, without the work: its convolution takes the channels."""
    from atrous.cli import bench_model

    for draw in ("kaiming_uniform_", "kaiming_normal_"):
        monkeypatch.setattr(nn.init, draw, lambda tensor, **_: nn.init.zeros_(tensor))
    batch, size = bench_model.IMAGES.get(name, bench_model.LARGE)
    model = models.build(name)
    assert models.count_macs(model, *bench_model.images(model, 1, size).shape) > 0
    assert batch >= 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--model resnet81", 2, "no model 'resnet81'; did you mean 'resnet8'?"),
        ("--model transformer", 2, "no model 'transformer'; there are lenet5, resnet8,"),
        ("--model lenet5 conv2d", 2, "a FAMILY of kernels and --model are two benchmarks"),
        ("--layers", 2, "--layers needs --model"),
        ("--batch 3", 2, "--batch needs --model"),
        ("--size 3", 2, "--size needs --model"),
        ("--model lenet5 --picture a.png", 2, "--picture needs --layers"),
        ("--model lenet5 --batch 0", 2, "argument --batch: must be at least 1, got 0"),
        ("--modle lenet5", 2, "did you mean '--model'?"),
        ("--model lenet5 --size 28", 1, "lenet5: x has shape (64, 1, 28, 28); expected (N, C, 32, 32)"),
        (
            "--model unet --size 20",
            1,
            "unet: x has shape (8, 3, 20, 20); expected (N, C, H, W) with H and W multiples of 8",
        ),
        ("--model nowhere:build", 1, "build: no module 'nowhere' in "),
        ("--model bench_own_net:net", 1, "has no function 'net'; did you mean 'Net'?"),
        ("--model bench_own_net:text", 1, "build: bench_own_net:text returned a str; expected an nn.Module"),
        ("--model bench_own_net:Broken", 1, "bench_own_net:Broken on (8, 2, 64, 64): KeyError: 'x'"),
    ],
)
def test_the_command_says_what_is_wrong(own, capsys, words, code, message):
    assert main(["bench", *words.split()]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("atrous bench: ")
    assert message in err
    assert err.count("\n") == 1
