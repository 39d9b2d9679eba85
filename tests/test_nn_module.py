"""nn.Module: registration, walking, state dicts, hooks, switching, printing."""

import copy
import pickle
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.scale = nn.Parameter(at.ones(1))
        self.register_buffer("seen", at.zeros(1))
        self.register_buffer("scratch", at.zeros(1), persistent=False)
        self.label = "plain"

    def forward(self, x):
        return self.norm(self.conv(x)) * self.scale


NAMES = ["scale", "conv.weight", "conv.bias", "norm.weight", "norm.bias"]
STATE = [
    "scale",
    "seen",
    "conv.weight",
    "conv.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "norm.num_batches_tracked",
]


def test_assignment_registers():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == NAMES
    assert list(block.state_dict()) == STATE  # own parameters, own buffers, then children, as in PyTorch
    assert [name for name, _ in block.named_children()] == ["conv", "norm"]
    assert [name for name, _ in block.named_modules()] == ["", "conv", "norm"]
    assert {"scratch", "seen"} < {name for name, _ in block.named_buffers()}
    assert "label" not in block.state_dict()
    assert block.label == "plain"


def test_assignment_of_another_kind_moves_the_name():
    block = Block()
    block.label = nn.Parameter(at.zeros(1))
    assert block.label is dict(block.named_parameters())["label"]
    block.label = nn.ReLU()
    assert "label" not in dict(block.named_parameters())
    assert isinstance(block.label, nn.ReLU)
    block.scale = None
    assert block.scale is None
    assert "scale" not in block.state_dict()


def test_buffer_assignment_keeps_it_a_buffer():
    block = Block()
    block.seen = at.ones(1)
    assert dict(block.named_buffers())["seen"].tolist() == [1.0]
    block.scratch = at.ones(1)
    assert "scratch" not in block.state_dict()


def test_delete():
    block = Block()
    del block.conv, block.scale, block.seen, block.label
    assert next(iter(block.state_dict())) == "norm.weight"
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'conv'"):
        _ = block.conv
    with pytest.raises(AttributeError):
        del block.label


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: setattr(m, "scale", at.zeros(1)), TypeError, "Block.scale holds a Parameter; expected a Parameter"),
        (lambda m: setattr(m, "conv", 3), TypeError, "Block.conv holds a Module"),
        (lambda m: setattr(m, "seen", 3.0), TypeError, "Block.seen holds a Tensor"),
        (lambda m: m.register_parameter("p", at.zeros(1)), TypeError, "'p' is a Tensor; expected Parameter or None"),
        (lambda m: m.register_parameter("a.b", None), KeyError, "contains a dot"),
        (lambda m: m.register_buffer("", at.zeros(1)), KeyError, "is empty"),
        (lambda m: m.register_buffer("label", at.zeros(1)), KeyError, "has an attribute 'label' already"),
        (lambda m: m.register_buffer("b", 3), TypeError, "'b' is a int; expected Tensor or None"),
        (lambda m: m.add_module("forward", nn.ReLU()), KeyError, "has an attribute 'forward' already"),
        (lambda m: m.add_module("b", at.zeros(1)), TypeError, "'b' is a Tensor; expected Module or None"),
        (lambda m: m.add_module(3, nn.ReLU()), TypeError, "a name is a str, got int"),
        (lambda m: m.train(1), TypeError, "mode is 1; expected True or False"),
        (lambda m: m.register_forward_hook(3), TypeError, "a hook is a function, got int"),
        (lambda m: m.to(at.int64), TypeError, "expected a floating-point dtype"),
    ],
)
def test_misuse(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        change(Block())


def test_forgotten_init():
    class Forgot(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(1, 1, 1)

    class Late(nn.Module):
        def __init__(self):
            self.width = 3

    with pytest.raises(
        AttributeError, match=r"Forgot: call super\(\)\.__init__\(\) before assigning the Module 'conv'"
    ):
        Forgot()
    with pytest.raises(AttributeError, match=r"Late: .* needs super\(\)\.__init__\(\)"):
        Late()(at.zeros(1))


def test_no_forward():
    with pytest.raises(NotImplementedError, match=r"Module defines no forward\(\)"):
        nn.Module()(at.zeros(1))


def test_shared_parts_come_once_but_are_saved_under_each_name():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(list(model.modules())) == 3
    assert len(list(model.children())) == 2


def test_state_dict_shares_memory_and_is_detached():
    block = Block()
    state = block.state_dict()
    assert not any(value.requires_grad for value in state.values())
    assert np.shares_memory(state["scale"].numpy(), block.scale.detach().numpy())
    assert block.state_dict(keep_vars=True)["scale"] is block.scale
    assert next(iter(block.state_dict(prefix="net."))) == "net.scale"


def test_round_trip_from_tensors_and_arrays():
    at.manual_seed(1)
    first, second = Block(), Block()
    keys = second.load_state_dict(first.state_dict())
    assert keys.missing_keys == keys.unexpected_keys == []
    third = Block()
    third.load_state_dict({name: np.array(value.numpy(), order="C") for name, value in first.state_dict().items()})
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name].numpy(), value.numpy())
        np.testing.assert_array_equal(third.state_dict()[name].numpy(), value.numpy())
    assert third.conv.weight.data.strides == first.conv.weight.data.strides  # still channels-last


def test_load_converts_dtypes():
    layer = nn.Linear(1, 1)
    layer.load_state_dict({"weight": np.array([[2]]), "bias": np.array([0.5])})
    assert layer.weight.dtype == at.float32
    assert layer(at.tensor([[1.0]])).item() == 2.5


def test_load_may_swap_its_own_tensors():
    a = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    first, second = a[0].weight.item(), a[1].weight.item()
    state = a.state_dict()
    a.load_state_dict({"0.weight": state["1.weight"], "1.weight": state["0.weight"]})
    assert (a[0].weight.item(), a[1].weight.item()) == (second, first)


def test_load_reports_everything_and_loads_nothing():
    block = Block()
    before = {name: value.numpy().copy() for name, value in block.state_dict().items()}
    state = {name: value + 1 for name, value in block.state_dict().items()}
    del state["seen"], state["norm.bias"]
    state |= {"extra": at.zeros(1), "conv.bias": at.zeros(3), "norm.weight": [1.0, 2.0], "scale": np.array(["x"])}
    with pytest.raises(ValueError, match="nothing was loaded into Block") as error:
        block.load_state_dict(state)
    text = str(error.value)
    assert "missing: seen, norm.bias" in text
    assert "unexpected: extra" in text
    assert "conv.bias: has shape (3,); expected (2,)" in text
    assert "norm.weight: is a list; expected a tensor or an array" in text
    assert "scale: " in text
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_load_not_strict():
    layer = nn.Linear(1, 2)
    keys = layer.load_state_dict({"bias": np.array([1.0, 2.0]), "extra": np.zeros(1)}, strict=False)
    assert keys == (["weight"], ["extra"])
    assert layer.bias.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=re.escape("bias: has shape (3,); expected (2,)")):
        layer.load_state_dict({"bias": np.zeros(3)}, strict=False)
    with pytest.raises(TypeError, match="got list; expected a dict"):
        layer.load_state_dict([1])


def test_train_eval_apply_requires_grad_zero_grad():
    block = Block()
    assert block.eval() is block
    assert not any(module.training for module in block.modules())
    assert all(module.training for module in block.train().modules())
    order = []
    block.apply(lambda module: order.append(type(module).__name__))
    assert order == ["Conv2d", "BatchNorm2d", "Block"]
    block(at.randn(2, 1, 5, 5)).sum().backward()
    assert all(param.grad is not None for param in block.parameters())
    block.zero_grad(set_to_none=False)
    assert all(not param.grad.numpy().any() for param in block.parameters())
    block.zero_grad()
    assert all(param.grad is None for param in block.parameters())
    block.requires_grad_(False)
    assert not any(param.requires_grad for param in block.parameters())


def test_to_converts_in_place():
    block = Block()
    block(at.randn(2, 1, 5, 5)).sum().backward()
    params, strides = list(block.parameters()), block.conv.weight.data.strides
    assert block.double() is block
    assert all(a is b for a, b in zip(params, block.parameters(), strict=True))
    assert {param.dtype for param in block.parameters()} == {param.grad.dtype for param in params} == {at.float64}
    assert block.norm.running_mean.dtype == at.float64
    assert block.norm.num_batches_tracked.dtype == at.int64
    assert block.conv.weight.data.strides == tuple(2 * s for s in strides)
    block(at.randn(2, 1, 5, 5, dtype=at.float64)).sum().backward()
    assert block.to("cpu").scale.dtype == at.float64
    assert block.to(dtype=at.float32, device="cpu").scale.dtype == block.float().scale.dtype == at.float32


def test_pickle_and_deepcopy():
    block = Block()
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert twin.conv.weight is not block.conv.weight
        assert isinstance(twin.conv.weight, nn.Parameter)
        assert twin.conv.weight.data.strides == block.conv.weight.data.strides
        assert not np.shares_memory(twin.conv.weight.data, block.conv.weight.data)
        x = at.randn(2, 1, 5, 5)
        np.testing.assert_array_equal(twin.eval()(x).detach().numpy(), block.eval()(x).detach().numpy())


def test_repr():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU()))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Module()) == "Module()"
    assert repr(nn.Parameter(at.zeros(1))).startswith("Parameter containing:\n")


def test_weights_are_channels_last_from_the_start():
    for weight in (nn.Conv2d(3, 4, 5).weight, nn.ConvTranspose2d(3, 4, 5).weight, nn.Parameter(at.zeros(4, 3, 5, 5))):
        assert weight.data.transpose(0, 2, 3, 1).flags.c_contiguous
    flat = at.zeros(3)
    assert np.shares_memory(nn.Parameter(flat).data, flat.data)
    with pytest.raises(TypeError, match="Parameter: data is a list; expected a Tensor"):
        nn.Parameter([1.0])


def test_a_shallow_copy_registers_for_itself():
    block = Block()
    other = copy.copy(block)
    other.extra = nn.Parameter(at.ones(1))
    del other.scale
    assert [name for name, _ in block.named_parameters()] == NAMES
    assert [name for name, _ in other.named_parameters()] == ["extra", *NAMES[1:]]
    assert not hasattr(block, "extra")
    assert not hasattr(other, "scale")


def test_a_buffer_registered_anew_is_as_persistent_as_it_says_last():
    model = nn.Module()
    for persistent in (False, True, False):
        model.register_buffer("count", at.zeros(1), persistent=persistent)
        assert ("count" in model.state_dict()) == persistent
