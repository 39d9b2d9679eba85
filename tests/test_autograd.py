"""The engine: what is recorded, what a walk frees, versions, views, hooks, modes, threads, a user's own ops."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import atrous as at
from atrous import autograd


def leaf(*values):
    return at.tensor(values, dtype=at.float64, requires_grad=True)


# Backward


def test_gradients_add_up_over_passes_and_paths():
    x = leaf(3.0)
    y = x * x
    (y + y + x).sum().backward()
    assert x.grad.tolist() == [13.0]
    (2 * x).sum().backward()
    assert x.grad.tolist() == [15.0]
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_what_several_receivers_share_is_not_added_into():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gradient = np.ones(2)
    ((x + 1) + (x + 2) + w).backward(gradient)
    assert (x.grad.tolist(), w.grad.tolist(), gradient.tolist()) == ([2.0, 2.0], [1.0, 1.0], [1.0, 1.0])
    x.backward(gradient)
    x.backward(gradient)
    assert (x.grad.tolist(), gradient.tolist()) == ([4.0, 4.0], [1.0, 1.0])
    x.grad = None
    x.backward(gradient)
    x.backward(gradient)
    assert (x.grad.tolist(), gradient.tolist()) == ([2.0, 2.0], [1.0, 1.0])


@pytest.mark.parametrize("gradient", [np.array([1.0, 10.0]), at.tensor([1.0, 10.0]), [1.0, 10.0]], ids=type)
def test_backward_takes_a_gradient(gradient):
    x = leaf(1.0, 2.0)
    (x * x).backward(gradient)
    assert x.grad.tolist() == [2.0, 40.0]


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: (x * x).backward(), RuntimeError, "the result has shape (2,); give a gradient of that shape"),
        (lambda x: (x * x).backward(np.ones(3)), ValueError, "gradient has shape (3,); expected (2,)"),
        (lambda x: x.sum().backward(create_graph=True), RuntimeError, "create_graph=True is not supported"),
        (lambda x: at.ones(1).backward(), RuntimeError, "does not require grad"),
        (lambda x: x.detach().sum().backward(), RuntimeError, "does not require grad"),
        (lambda x: autograd.grad(x.sum(), at.ones(1)), RuntimeError, "input 0 does not require grad"),
        (lambda x: autograd.grad(x.sum(), [x, leaf(1.0)]), RuntimeError, "do not depend on input 1"),
        (lambda x: setattr(x, "grad", at.ones(3)), ValueError, "grad: got float32 (3,); expected float64 (2,)"),
        (lambda x: setattr(x, "grad", np.ones(2)), TypeError, "grad: expected a Tensor or None, not ndarray"),
        (lambda x: setattr(x * 1, "requires_grad", False), RuntimeError, "detach() gives one that does not"),
        (lambda x: at.ones(1).register_hook(print), RuntimeError, "register_hook: the tensor does not require grad"),
        (lambda x: at.ones(1).retain_grad(), RuntimeError, "retain_grad: the tensor does not require grad"),
        (lambda x: copy.deepcopy(x * 1), RuntimeError, "only leaves can be copied"),
        (lambda x: x.numpy(), RuntimeError, "numpy: the tensor requires grad"),
        (lambda x: np.asarray(x), RuntimeError, "__array__: the tensor requires grad"),
        (lambda x: np.from_dlpack(x), RuntimeError, "__dlpack__: the tensor requires grad"),
    ],
)
def test_misuse(f, error, message):
    with pytest.raises(error) as caught:
        f(leaf(1.0, 2.0))
    assert message in str(caught.value)


def test_a_second_walk_needs_retain_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(RuntimeError, match=r"mul: backward a second time .* retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [8.0]  # a walk that fails adds nothing


def test_the_walk_frees_what_it_has_passed():
    x = leaf(2.0)
    a = x * x
    array = weakref.ref(a.data)
    y = a * a
    del a
    assert array() is not None  # y's backward needs it
    y.sum().backward()
    assert array() is None


def test_values_that_no_backward_needs_are_not_kept():
    x = leaf(2.0)
    a = x + 1
    array = weakref.ref(a.data)
    y = a + 1
    del a
    assert array() is None
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_gradients_nobody_asked_for_are_not_computed():
    needs = []

    class Probe(autograd.Backward):
        def __call__(self, grad_y):
            needs.append(list(self.needs))
            return tuple([grad_y if needed else None for needed in self.needs])

    x, frozen = leaf(1.0), at.tensor([1.0])
    autograd.record(np.array([1.0]), Probe, (frozen, x, None)).sum().backward()
    assert needs == [[False, True, False]]
    assert frozen.grad is None
    assert not autograd.record(np.array([1.0]), Probe, (frozen, None)).requires_grad


def test_graphs_may_be_deep():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y


def test_a_graph_is_not_a_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0)
        y = (x * x).exp()
        y.retain_grad()
        y.register_hook(lambda grad: grad)
        node = weakref.ref(y.grad_fn)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_gradient_buffers_are_the_engines_own():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    start = np.array([1.0, 1.0])
    (a + b).backward(start)
    assert not np.shares_memory(a.grad.data, b.grad.data)
    assert not np.shares_memory(a.grad.data, start)
    a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0]
    mine = at.tensor([7.0, 7.0], dtype=at.float64)
    a.grad = mine
    (a * 1).backward(start)
    assert a.grad.tolist() == [8.0, 8.0]
    assert mine.tolist() == [7.0, 7.0]  # it was not ours to add into
    held = a.grad
    (a * 1).backward(start)
    assert held is a.grad  # now it was
    assert held.tolist() == [9.0, 9.0]


def test_saved_arrays_are_not_handed_out_as_gradients():
    class Stubborn(autograd.Backward):
        def __call__(self, grad_y):
            return self.saved[0]

    x, constant = leaf(1.0), np.array([4.0])
    y = autograd.record(np.array([1.0]), Stubborn, (x,), saved=(constant,))
    y.backward()
    x.grad.zero_()
    assert constant.tolist() == [4.0]


def test_grad_of_what_several_outputs_share():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x * w
    gh, gx = autograd.grad([h.sum(), (h * h).sum()], [h, x])
    assert gh.tolist() == [7.0, 17.0]
    assert gx.tolist() == [21.0, 68.0]
    assert x.grad is None
    assert w.grad is None
    (unused,) = autograd.grad((x * x).sum(), [w], allow_unused=True)
    assert unused is None


def test_grad_copies_only_what_somebody_else_holds():
    class Keeps(autograd.Backward):
        def __call__(self, grad_y):
            return self.saved[0]

    x, w, given, constant = leaf(1.0), leaf(2.0), at.tensor([5.0], dtype=at.float64), np.array([4.0])
    gx, gw = autograd.grad(x + w, [x, w], given)  # as in PyTorch, the memory of what was given, and its version
    assert np.shares_memory(gx.data, given.data)
    assert np.shares_memory(gw.data, given.data)
    assert gx._version is given._version
    (kept,) = autograd.grad(autograd.record(np.array([1.0]), Keeps, (x,), saved=(constant,)), x, given)
    assert kept.tolist() == [4.0]
    assert not np.shares_memory(kept.data, constant)
    product = x * w
    for first, second in (autograd.grad(product, [x, x], given, retain_graph=True), autograd.grad(x + 0 + x, [x, x])):
        assert first.tolist() == second.tolist()
        assert not np.shares_memory(first.data, second.data)
    made = []
    hook = x.register_hook(lambda g: made.append(g))
    (gx,) = autograd.grad(product, x, given)
    assert gx.tolist() == [10.0]
    assert not np.shares_memory(gx.data, made[0].data)
    hook.remove()


def test_wrong_shapes_from_a_backward_are_caught():
    class Wrong(autograd.Backward):
        def __call__(self, grad_y):
            return np.ones(3)

    y = autograd.record(np.array([1.0]), Wrong, (leaf(1.0),))
    with pytest.raises(RuntimeError, match=r"a gradient of shape \(3,\) reached a tensor of shape \(1,\)"):
        y.backward()


# Versions and writes in place


@pytest.mark.parametrize(
    ("op", "write"),
    [
        ("mul", lambda a: a.add_(1)),
        ("mul", lambda a: a.zero_()),
        ("mul", lambda a: a.__setitem__(0, 5.0)),
        ("mul", lambda a: a[1:].fill_(5.0)),
        ("mul", lambda a: a.detach().copy_(at.zeros(2))),
        ("mul", lambda a: a.reshape(2, 1).exp_()),
        ("mul", lambda a: a.T.clamp_(0, 1)),
        ("mul", lambda a: a.uniform_()),
        ("mul", lambda a: autograd.increment_version(a)),
    ],
)
def test_writing_what_a_backward_needs_is_refused(op, write):
    x = leaf(1.0, 2.0)
    a = x + 0
    y = a * a
    with at.no_grad():
        write(a)
    with pytest.raises(RuntimeError, match=f"{op}: a tensor that its gradient needs was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("f", [lambda x: x.exp(), lambda x: x.sqrt(), lambda x: x.sigmoid(), lambda x: x.norm()])
def test_results_that_their_backward_needs_are_watched_too(f):
    x = leaf(1.0, 2.0)
    y = f(x)
    y.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_writing_what_no_backward_needs_is_fine():
    x = leaf(1.0, 2.0)
    y = x + 1
    y.mul_(3)
    y += 1
    y[0] = 100.0
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.fill_(1.0),
        lambda x: x.exp_(),
        lambda x: x.normal_(),
        lambda x: x[0].mul_(2),
        lambda x: x.reshape(1, 2).zero_(),
        lambda x: x.detach().reshape(-1).requires_grad_().add_(1),
    ],
)
def test_leaves_are_written_under_no_grad_alone(write):
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"a leaf that requires grad is written in place; do so under no_grad\(\)"):
        write(x)
    assert x.tolist() == [1.0, 2.0]
    with at.no_grad():
        write(x)
    assert x.requires_grad
    assert x.is_leaf


def test_views_share_their_version():
    x = at.zeros(4)
    views = [x[1:], x.view(2, 2), x.T, x.detach(), x.expand(3, 4), x.unsqueeze(0), *x.split(2)]
    before = x._version[0]
    x[2:].add_(1)
    assert all(view._version[0] == before + 1 for view in views)
    assert x.clone()._version[0] == 0
    assert x.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_write_through_a_view_reaches_the_base():
    w = leaf(2.0)
    base = at.zeros(2, 3, dtype=at.float64)
    base.view(6)[2:4].copy_(w.expand(2))
    assert base.requires_grad
    (base * at.arange(6.0).reshape(2, 3)).sum().backward()
    assert w.grad.tolist() == [5.0]


def test_a_view_follows_writes_to_its_base():
    x = leaf(1.0, 2.0)
    base = x * 1
    view = base[:1]
    base.mul_(10)
    assert view.tolist() == [10.0]
    view.sum().backward()
    assert x.grad.tolist() == [10.0, 0.0]


def test_a_base_that_comes_to_require_grad_takes_its_views_along():
    w = leaf(3.0)
    base = at.zeros(2, dtype=at.float64)
    view = base[1:]
    assert not view.requires_grad
    base.add_(w)
    assert view.requires_grad
    assert not view.is_leaf
    view.sum().backward()
    assert w.grad.tolist() == [1.0]


def test_overlapping_writes():
    x = at.arange(5)
    x[1:] += x[:-1]
    assert x.tolist() == [0, 1, 3, 5, 7]


def test_a_tensor_written_with_itself():
    x = leaf(3.0)
    y = x * 1
    y *= y
    y += y
    y.sum().backward()
    assert x.grad.tolist() == [12.0]  # d(2x²)/dx


# Hooks


def test_hooks_see_and_change_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    h = x * 3
    h.register_hook(lambda grad: seen.append(("h", grad.tolist())))
    h.register_hook(lambda grad: grad * 10)
    x.register_hook(lambda grad: seen.append(("x", grad.tolist())))
    gone = x.register_hook(lambda grad: grad * 0)
    gone.remove()
    gone.remove()
    h.retain_grad()
    (h.sum() + x.sum()).backward()
    assert seen == [("h", [1.0, 1.0]), ("x", [31.0, 31.0])]  # once, after all contributions
    assert h.grad.tolist() == [10.0, 10.0]
    assert x.grad.tolist() == [31.0, 31.0]
    assert (h.retains_grad, x.retains_grad) == (True, False)


def test_hooks_run_for_autograd_grad():
    x = leaf(1.0)
    x.register_hook(lambda grad: grad * 2)
    assert autograd.grad(x * 3, x)[0].tolist() == [6.0]


def test_a_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda grad: at.ones(3))
    with pytest.raises(ValueError, match=r"the hook returned shape \(3,\); expected \(2,\)"):
        x.sum().backward()


def test_a_hook_cannot_reach_the_buffers_of_others():
    x = leaf(1.0)
    kept = []
    x.register_hook(kept.append)
    (x * 2).backward()
    kept[0].zero_()
    assert x.grad.tolist() == [2.0]


# Modes


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with at.no_grad():
        assert not (x * 2).requires_grad
        with at.enable_grad():
            assert (x * 2).requires_grad
        assert not at.is_grad_enabled()
    assert at.is_grad_enabled()
    with pytest.raises(KeyError), at.no_grad():
        raise KeyError
    assert at.is_grad_enabled()


def test_modes_as_decorators():
    x = leaf(1.0)

    @at.no_grad()
    def f(n):
        return (x * 2).requires_grad if n == 0 else f(n - 1)

    @at.no_grad
    def g():
        return (x * 2).requires_grad

    @at.set_grad_enabled(False)
    def h():
        return (x * 2).requires_grad

    assert [f(3), g(), h()] == [False, False, False]
    assert at.is_grad_enabled()


def test_set_grad_enabled_acts_at_once():
    try:
        at.set_grad_enabled(False)
        assert not at.is_grad_enabled()
        with at.set_grad_enabled(True):
            assert at.is_grad_enabled()
        assert not at.is_grad_enabled()
    finally:
        at.set_grad_enabled(True)


def test_modes_and_graphs_are_per_thread():
    results, ready = {}, threading.Barrier(8)

    def work(k):
        ready.wait()
        x = leaf(float(k))
        for _ in range(50):
            with at.no_grad():
                assert not at.is_grad_enabled()
                (x * 2).sum()
            y = (x * x).exp().log().sum()
            assert y.requires_grad
            x.grad = None
            y.backward()
        results[k] = x.grad.item()

    with at.no_grad():
        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {k: pytest.approx(2.0 * k) for k in range(8)}


# A user's own op


class SinCos(autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        s, c = x.sin() * scale, x.cos() * scale
        ctx.save_for_backward(s, c)
        assert not (x * 1).requires_grad
        return s, c

    @staticmethod
    def backward(ctx, grad_s, grad_c):
        s, c = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return grad_s * c - grad_c * s, None


def test_function_with_several_outputs():
    x = leaf(0.3, -1.2)
    assert at.gradcheck(lambda x: SinCos.apply(x, 2.0), x)
    s, c = SinCos.apply(x, 2.0)
    s.sum().backward()  # no gradient reaches c: zeros stand in
    np.testing.assert_allclose(x.grad.numpy(), c.detach().numpy())
    with pytest.raises(RuntimeError, match="backward a second time"):
        s.sum().backward()


def test_function_outputs_are_watched():
    x = leaf(0.3)
    s, c = SinCos.apply(x, 1.0)
    c.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        s.sum().backward()


def test_function_without_gradients():
    assert not SinCos.apply(at.ones(1), 1.0)[0].requires_grad


def test_function_marks_outputs_and_leaves_gradients_out():
    class Sort(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            order = x.argsort().double()
            ctx.mark_non_differentiable(order)
            ctx.set_materialize_grads(False)
            return x * 2, order, x * 3

        @staticmethod
        def backward(ctx, grad_a, grad_order, grad_b):
            assert grad_order is None
            assert grad_b is None
            return grad_a * 2

    x = leaf(1.0)
    a, order, _ = Sort.apply(x)
    assert not order.requires_grad
    a.sum().backward()
    assert x.grad.tolist() == [2.0]


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda grad: (grad, grad), RuntimeError, "Bad: backward returned 2 gradients; expected one per input, 1"),
        (lambda grad: at.ones(3), RuntimeError, r"Bad: backward returned shape \(3,\) for input 0; expected \(1,\)"),
    ],
)
def test_functions_that_err(result, error, message):
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return result(grad)

    with pytest.raises(error, match=message):
        Bad.apply(leaf(1.0)).backward()


def test_functions_return_tensors():
    class Number(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 3.0

    with pytest.raises(TypeError, match="Number: forward returned float; expected Tensors"):
        Number.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="define forward"):
        autograd.Function.apply(leaf(1.0))


# Several outputs


def test_ops_with_several_outputs():
    class SplitBackward(autograd.Backward):
        def __call__(self, grad_a, grad_b):
            a = np.zeros(1) if grad_a is None else grad_a
            b = np.zeros(1) if grad_b is None else grad_b
            return np.concatenate([a, b])

    def halves(x):
        return autograd.record((x.data[:1], x.data[1:]), SplitBackward, (x,))

    x = leaf(2.0, 3.0)
    a, b = halves(x)
    (a * a * b + a).backward()
    assert x.grad.tolist() == [13.0, 4.0]
    x.grad = None
    halves(x)[1].backward()
    assert x.grad.tolist() == [0.0, 1.0]


# Copies


def test_copies_of_tensors():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x)):
        assert twin is not x
        assert twin.tolist() == [1.0, 2.0]
        assert twin.requires_grad
        assert twin.is_leaf
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == [2.0, 2.0]
    assert not np.shares_memory(twin.data, x.data)
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]


def test_subclasses_survive_copies():
    class Named(at.Tensor):
        pass

    x = Named(np.ones(2), requires_grad=True)
    x.name = "w"
    for twin in (copy.deepcopy(x), copy.copy(x)):
        assert type(twin) is Named
        assert twin.name == "w"
    assert type(x * 2) is type(x.detach()) is at.Tensor
