"""The networks: sizes, names, outputs and gradients beside PyTorch's; LeNet-5's bits on any number of threads."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

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
        (lambda: models.resnet18(0), "resnet18: num_classes is 0; expected 1 or more"),
        (lambda: models.resnet152(in_channels=-1), "resnet152: in_channels is -1; expected 1 or more"),
        (lambda: models.resnet8()(at.zeros(1, 1, 8, 8)), "x has 1 channels; expected 3"),
        (lambda: models.unet(width=0), "unet: width is 0; expected 1 or more"),
        (lambda: models.unet(depth=0), "unet: depth is 0; expected 1 or more"),
        (
            lambda: models.unet(width=2, depth=3)(at.zeros(1, 3, 16, 20)),
            "unet: x has shape (1, 3, 16, 20); expected (N, C, H, W) with H and W multiples of 8",
        ),
        (lambda: models.unet(width=2, depth=1)(at.zeros(3, 16, 16)), "unet: x has shape (3, 16, 16); expected (N,"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("size", [2.0, "3", None])
def test_sizes_that_are_no_numbers(size):
    for build in (models.resnet8, models.resnet50, models.unet):
        with pytest.raises(TypeError, match=f"num_classes is {re.escape(repr(size))}; expected an int"):
            build(size)


def losses_of(model, x, labels, steps):
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = nn.CrossEntropyLoss()(model(at.tensor(x)), at.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_learns():
    losses = losses_of(fresh(), *batch("float32"), steps=12)
    assert abs(losses[0] - np.log(10)) < 0.2
    assert losses[-1] < 0.8 * losses[0]


def test_resnet8_and_unet_learn():
    rng = np.random.default_rng(0)
    at.manual_seed(0)
    x, labels = rng.normal(size=(16, 3, 16, 16)).astype("float32"), rng.integers(0, 10, 16)
    losses = losses_of(models.resnet8(), x, labels, steps=8)
    assert losses[-1] < 0.5 * losses[0]
    x = rng.normal(size=(2, 3, 16, 16)).astype("float32")
    losses = losses_of(models.unet(2, width=4, depth=2), x, (x[:, 0] > 0).astype("int64"), steps=12)
    assert losses[-1] < 0.7 * losses[0]


# -- residual networks ------------------------------------------------------------------------------------------------

RESNETS = {  # parameters and multiply-adds (in 10⁹, at 224²) that torchvision publishes with its weights
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def undrawn(monkeypatch):
    """Networks whose weights are zeros: drawing 60 million takes seconds."""
    for name in ("kaiming_uniform_", "kaiming_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, **_: nn.init.zeros_(tensor))


@pytest.mark.parametrize(("name", "parameters"), [(name, RESNETS[name][0]) for name in RESNETS])
def test_resnet_parameters(undrawn, name, parameters):
    assert sum(p.numel() for p in models.build(name).parameters()) == parameters
    # a tenth of the classes and one more channel: 900 rows of fc less, 64 planes of 7×7 more
    features = 512 if name in ("resnet18", "resnet34") else 2048
    other = models.build(name, num_classes=100, in_channels=4)
    assert sum(p.numel() for p in other.parameters()) == parameters - 900 * (features + 1) + 64 * 49


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_macs(undrawn, name):
    assert round(models.count_macs(models.build(name), 1, 3, 224, 224) / 1e9, 3) == RESNETS[name][1]


def test_resnet_names(undrawn):
    names = list(models.resnet18().state_dict())
    stem = ["conv1.weight", *(f"bn1.{key}" for key in NORM)]
    block = [f"{part}{i}.{key}" for i in (1, 2) for part, keys in (("conv", ["weight"]), ("bn", NORM)) for key in keys]
    assert names[:6] == stem
    assert names[6:18] == [f"layer1.0.{key}" for key in block]
    shortcut = ["layer2.0.downsample.0.weight", *(f"layer2.0.downsample.1.{key}" for key in NORM)]
    assert [name for name in names if "layer2.0.down" in name] == shortcut
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert len(names) == 122  # 20 convolutions, 20 batch-norms of five entries, fc
    names = models.resnet50().state_dict()
    assert len(names) == 320  # 53, 53, 1
    assert names["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert [names[f"layer4.2.conv{i}.weight"].shape for i in (1, 2, 3)] == [
        (512, 2048, 1, 1),
        (512, 512, 3, 3),
        (2048, 512, 1, 1),
    ]


def test_a_bottleneck_has_its_stride_in_the_middle(undrawn):
    block = models.resnet50().layer2[0]
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [(1, 1), (2, 2), (1, 1)]
    assert block.downsample[0].stride == (2, 2)
    assert models.resnet50().layer1[0].conv2.stride == (1, 1)


def test_resnets_begin_as_torchvision_begins_them():
    at.manual_seed(0)
    model = models.resnet18()
    for name in ("conv1", "layer3.0.conv1", "layer4.1.conv2"):
        weight = model.state_dict()[f"{name}.weight"].numpy()
        OC, _, KH, KW = weight.shape
        assert abs(weight.std() / np.sqrt(2 / (OC * KH * KW)) - 1) < 0.02  # fan_out; 9,408 draws or more: 0.7 %
        assert abs(weight.mean()) < 0.01 * weight.std() + 3 * weight.std() / np.sqrt(weight.size)
    assert (model.layer4[1].bn2.weight == 1).all()
    assert (model.layer4[1].bn2.bias == 0).all()


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (32, 32)])
def test_resnet8_takes_any_image(size):
    at.manual_seed(0)
    model = models.resnet8(5, in_channels=1)
    assert model(at.randn(2, 1, *size)).shape == (2, 5)
    assert model.eval()(at.randn(1, 1, *size)).shape == (1, 5)


def test_resnet8_by_hand():
    conv = 16 * 27 + 2 * 16 * 16 * 9 + 32 * (16 + 32) * 9 + 64 * (32 + 64) * 9 + 32 * 16 + 64 * 32
    norms = 2 * (3 * 16 + 3 * 32 + 3 * 64)
    assert sum(p.numel() for p in models.resnet8().parameters()) == conv + norms + 64 * 10 + 10 == 78042


def torch_resnet18(torch, num_classes=10):
    """ResNet-18 as torchvision has it, written out."""
    T = torch.nn

    class Block(T.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1, self.bn1 = T.Conv2d(before, width, 3, stride, 1, bias=False), T.BatchNorm2d(width)
            self.conv2, self.bn2 = T.Conv2d(width, width, 3, 1, 1, bias=False), T.BatchNorm2d(width)
            self.downsample = None
            if before != width:
                self.downsample = T.Sequential(T.Conv2d(before, width, 1, stride, bias=False), T.BatchNorm2d(width))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + (self.downsample(x) if self.downsample else x))

    class ResNet18(T.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.conv1, self.bn1 = T.Conv2d(3, 64, 7, 2, 3, bias=False), T.BatchNorm2d(64)
            for i, (before, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
                blocks = Block(before, width, 1 if i == 1 else 2), Block(width, width, 1)
                setattr(self, f"layer{i}", T.Sequential(*blocks))
            self.fc = T.Linear(512, num_classes)

        def forward(self, x):
            x = T.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet18(num_classes)


def test_resnet18_same_as_pytorch_through_files_both_ways(undrawn, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    theirs = torch_resnet18(torch)
    torch.manual_seed(0)
    for parameter in theirs.parameters():  # norms, too, are not as they begin
        torch.nn.init.normal_(parameter, 0.5 if parameter.ndim == 1 else 0, 0.05)
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = models.resnet18(10)
    ours.load_state_dict(at.load_file(tmp_path / "theirs.safetensors"))
    x, labels = np.random.default_rng(0).normal(size=(4, 3, 40, 40)).astype("float32"), [3, 1, 4, 1]
    for lib, model in ((at, ours), (torch, theirs)):
        model.double()
        lib.nn.functional.cross_entropy(model(lib.tensor(x).double()), lib.tensor(labels)).backward()
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        scale = q.grad.abs().max().item()
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-9 * scale, err_msg=name)

    at.save_file(ours.float().state_dict(), tmp_path / "ours.safetensors")  # with the running statistics of that step
    copy = torch_resnet18(torch)
    copy.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    ours.double(), copy.double()
    with torch.no_grad():
        expected = copy.eval()(torch.tensor(x).double()).numpy()
    with at.no_grad():
        got = ours.eval()(at.tensor(x).double()).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert ours.bn1.num_batches_tracked.item() == 1


@pytest.mark.parametrize("old", [False, True], ids=["new file", "old file"])
def test_the_page_about_weights(undrawn, tmp_path, monkeypatch, old):
    torch = pytest.importorskip("torch")
    page = (Path(__file__).parent.parent / "docs" / "weights.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stand_in = SimpleNamespace(models=SimpleNamespace(resnet18=lambda num_classes: torch_resnet18(torch, num_classes)))
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    state = torch_resnet18(torch, 1000).state_dict()
    if old:  # as those that torchvision distributes
        state = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(state, "resnet18.pth")
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(block, names)
    ours, theirs = names["model"].state_dict(), names["theirs"].state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(torch.tensor(ours[name].numpy()), theirs[name]) for name in ours)
    assert torch.equal(theirs["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])  # frozen, and loaded
    assert names["logits"].shape == (1, 1000)
    assert theirs["fc.bias"].abs().max() > 0  # has learnt


def test_weights_that_safetensors_refuses_as_the_page_says(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    state = {"a": weight, "b": weight}
    for bad in (state, {"a": weight}):
        with pytest.raises((RuntimeError, ValueError)):
            save_file(bad, tmp_path / "x.safetensors")
    copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    save_file(copies, tmp_path / "x.safetensors")
    assert (at.load_file(tmp_path / "x.safetensors")["b"].numpy() == weight.numpy()).all()


# -- U-Net ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "channels", "width", "depth"), [(2, 3, 64, 4), (5, 1, 8, 3), (1, 2, 3, 1)])
def test_unet_parameters_by_the_formula(undrawn, classes, channels, width, depth):
    def level(a, b):  # two convolutions and their batch-norms
        return 9 * a * b + 9 * b * b + 4 * b

    widths = [width * 2**i for i in range(depth + 1)]
    down = sum(level(a, b) for a, b in zip([channels, *widths[:-1]], widths, strict=True))
    up = sum(4 * (2 * w) * w + w + level(2 * w, w) for w in widths[:-1])
    count = sum(p.numel() for p in models.unet(classes, channels, width, depth).parameters())
    assert count == down + up + width * classes + classes
    if width == 64:
        assert count == 31_037_698


def test_the_papers_unet_has_as_many_parameters_as_the_docstring_says():
    conv = sum(9 * a * b + b for w in (64, 128, 256, 512, 1024) for a, b in ((w // 2 if w > 64 else 1, w), (w, w)))
    up = sum(4 * 2 * w * w + w + 9 * 2 * w * w + w + 9 * w * w + w for w in (64, 128, 256, 512))
    assert f"{conv + up + 64 * 2 + 2:,}" in models.unet.__doc__


def torch_unet(torch, x, state, depth):
    """U-Net in evaluation, written out on a state dict."""
    F = torch.nn.functional

    def level(x, name):
        for i in (0, 3):
            mean, var, weight, bias = (
                state[f"{name}.{i + 1}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
            )
            x = F.relu(F.batch_norm(F.conv2d(x, state[f"{name}.{i}.weight"], padding=1), mean, var, weight, bias))
        return x

    maps = []
    for i in range(depth):
        maps.append(level(x, f"down.{i}"))
        x = F.max_pool2d(maps[-1], 2)
    x = level(x, f"down.{depth}")
    for i in range(depth):
        up = F.conv_transpose2d(x, state[f"up.{i}.weight"], state[f"up.{i}.bias"], stride=2)
        x = level(torch.cat([maps.pop(), up], 1), f"merge.{i}")
    return F.conv2d(x, state["head.weight"], state["head.bias"])


def test_unet_same_as_pytorch():
    torch = pytest.importorskip("torch")
    at.manual_seed(0)
    model = models.unet(3, width=4, depth=2).double()
    model(at.randn(2, 3, 16, 8).double())  # moves the running statistics
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 24))
    state = {name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()}
    expected = torch_unet(torch, torch.tensor(x), state, 2).numpy()
    assert expected.shape == (2, 3, 16, 24)
    np.testing.assert_allclose(model.eval()(at.tensor(x)).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


# -- by name ----------------------------------------------------------------------------------------------------------


def test_every_name_is_a_function_of_the_package():
    assert all(callable(getattr(models, name)) for name in models.NAMES)
    assert set(models.NAMES) == {n for n in models.__all__ if n.islower()} - {"build", "count_macs"}


OWN = """
import atrous as at
from atrous import nn

def plain(): return nn.Linear(2, 3)
def sized(num_classes=4, width=8): return nn.Linear(width, num_classes)
def free(**sizes): return nn.Linear(sizes["in_channels"], sizes["num_classes"])
class Net(nn.Linear):
    def __init__(self, num_classes): super().__init__(1, num_classes)
def number(): return 3
def broken(): return nn.Linear(0,
    2)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's networks, which is the current one."""
    (tmp_path / "own_networks.py").write_text(OWN)
    (tmp_path / "own_fault.py").write_text("import a_module_that_is_not_there")
    (tmp_path / "own_syntax.py").write_text("def f(:")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in ("own_networks", "own_fault", "own_syntax"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("function", "shape"), [("plain", (3, 2)), ("sized", (7, 8)), ("free", (7, 5)), ("Net", (7, 1))]
)
def test_build_calls_a_function_of_the_users(own, function, shape):
    assert models.build(f"own_networks:{function}", 7, 5).weight.shape == shape


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "build: no model 'resnet19'; did you mean 'resnet1"),
        ("vgg", "build: no model 'vgg'; there are lenet5, resnet8, "),
        ("own_networks:", "build: 'own_networks:' is not of the form module:function"),
        (":plain", "build: ':plain' is not of the form module:function"),
        ("a/b.py:plain", "build: 'a/b.py:plain' is not of the form module:function"),
        ("own_netwroks:plain", "build: no module 'own_netwroks' in "),
        ("own_networks.sub:plain", "build: no module 'own_networks.sub' in "),
        ("own_networks:plane", "build: module 'own_networks' has no function 'plane'; did you mean 'plain'?"),
        ("own_networks:OWN", "build: module 'own_networks' has no function 'OWN'"),
        ("own_networks:number", "build: own_networks:number returned a int; expected an nn.Module"),
        (
            "own_networks:broken",
            "build: own_networks:broken raised ValueError: Linear: in_features is 0; expected 1 or more",
        ),
        (
            "own_fault:f",
            "build: importing 'own_fault' for own_fault:f raised ModuleNotFoundError: No module named 'a_m",
        ),
        ("own_syntax:f", "build: importing 'own_syntax' for own_syntax:f raised SyntaxError: "),
    ],
)
def test_build_says_what_is_wrong(own, name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.build(name)


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
