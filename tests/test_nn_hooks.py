"""Hooks of modules: order, replacement, removal, and the gradients that backward hooks see."""

import numpy as np
import pytest

import atrous as at
from atrous import nn


def test_forward_hooks_see_and_replace():
    layer, calls = nn.Identity(), []
    layer.register_forward_pre_hook(lambda module, args: calls.append(("pre", args[0].item())))
    layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
    layer.register_forward_hook(lambda module, args, y: calls.append(("post", args[0].item(), y.item())))
    layer.register_forward_hook(lambda module, args, y: y * 10)
    assert layer(at.tensor(1.0)).item() == 20.0
    assert calls == [("pre", 1.0), ("post", 2.0, 2.0)]


def test_handles_remove():
    layer, calls = nn.Identity(), []
    first = layer.register_forward_hook(lambda *_: calls.append(1))
    with layer.register_forward_hook(lambda *_: calls.append(2)):
        layer(at.zeros(1))
    layer(at.zeros(1))
    first.remove()
    first.remove()
    layer(at.zeros(1))
    assert calls == [1, 2, 1]


class Product(nn.Module):
    def forward(self, a, b):
        return a * b, a + b


def test_backward_hook_sees_gradients_of_inputs_and_outputs():
    a, b = at.tensor([2.0], requires_grad=True), at.tensor([5.0])
    layer, seen = Product(), []
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append((grad_in, grad_out)))
    product, total = layer(a, b)
    (3 * product + 7 * total).sum().backward()
    ((grad_in, grad_out),) = seen
    assert grad_in[0].item() == 3 * 5 + 7
    assert grad_in[1] is None
    assert [g.item() for g in grad_out] == [3.0, 7.0]
    assert a.grad.item() == 22.0


def test_backward_hook_replaces_and_chains():
    a = at.tensor([2.0, 3.0], requires_grad=True)
    layer, seen = nn.ReLU(), []
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: (grad_in[0] * 10,))
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append(grad_in[0].tolist()))
    layer(a).sum().backward()
    assert seen == [[10.0, 10.0]]
    assert a.grad.tolist() == [10.0, 10.0]
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: (None, None))
    with pytest.raises(RuntimeError, match="a backward hook returned 2 gradients; expected 1"):
        layer(a).sum().backward()


def test_backward_hook_where_no_input_requires_grad():
    layer, seen = nn.Linear(1, 1), []
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append((grad_in, grad_out[0].tolist())))
    layer(at.ones(1, 1)).sum().backward()
    assert seen == [((None,), [[1.0]])]
    with at.no_grad():
        assert not layer(at.ones(1, 1)).requires_grad


def test_backward_hooks_change_no_gradient_and_share_no_buffers():
    at.manual_seed(0)
    x = at.randn(4, 3, requires_grad=True)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Identity(), nn.Linear(5, 2))

    def gradients():
        x.grad = None
        model.zero_grad()
        for _ in range(2):  # twice, to accumulate
            (model(x).sum() + (x * x).sum()).backward()
        return [t.grad.numpy().copy() for t in (x, *model.parameters())]

    plain = gradients()
    for module in model.modules():
        module.register_full_backward_hook(lambda *_: None)
    for a, b in zip(plain, gradients(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_backward_hook_refuses_a_module_that_overwrites_its_input():
    layer = nn.ReLU(inplace=True)
    layer.register_full_backward_hook(lambda *_: None)
    x = at.ones(2, requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="ReLU: changed its input in place under a full backward hook"):
        layer(x)


def test_output_of_a_hooked_module_may_be_overwritten():
    x = at.tensor([[1.0, -1.0]], requires_grad=True)
    layer, seen = nn.Linear(2, 2), []
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: seen.append(grad_out[0].tolist()))
    with at.no_grad():
        layer.weight.copy_(at.eye(2))
        layer.bias.zero_()
    y = layer(x)
    y *= 3
    y.sum().backward()
    assert seen == [[[3.0, 3.0]]]
    assert x.grad.tolist() == [[3.0, 3.0]]


def test_same_as_pytorch():
    torch = pytest.importorskip("torch")
    seen = {}
    for name, lib in (("atrous", at), ("torch", torch)):
        model = lib.nn.Sequential(lib.nn.Conv2d(1, 2, 3), lib.nn.ReLU(), lib.nn.Flatten(), lib.nn.Linear(18, 2))
        with lib.no_grad():
            for i, param in enumerate(model.parameters()):
                count = int(np.prod(param.shape))
                param.copy_((lib.arange(count) % (5 + i) - 2.0).reshape(tuple(param.shape)))
        found = seen[name] = []
        for module in model:
            module.register_full_backward_hook(
                lambda module, grad_in, grad_out, found=found: found.append(
                    (type(module).__name__, [None if g is None else g.tolist() for g in (*grad_in, *grad_out)])
                )
            )
        x = lib.arange(50.0).reshape(2, 1, 5, 5) % 7
        x.requires_grad = True
        model(x).sum().backward()
    assert seen["atrous"] == seen["torch"]
