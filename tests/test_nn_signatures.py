"""Every layer that PyTorch has, too, takes PyTorch's arguments, and its state moves both ways."""

import inspect

import numpy as np
import pytest

import atrous as at
from atrous import nn

CLASSES = {name: getattr(nn, name) for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
LAYERS = [name for name, found in CLASSES.items() if issubclass(found, nn.Module)]
LEFT_OUT = {"self", "device", "dtype", "size_average", "reduce", "min_value", "max_value"}  # deprecated, most of them
DEPRECATED = {"size_average", "reduce"}  # what follows these is by keyword only
# arguments without a default here, where PyTorch guesses one and warns
REQUIRED = {("Softmax", "dim"), ("LogSoftmax", "dim"), ("Softmin", "dim")}


def parameters_of(layer):
    """Those of its constructor; none where PyTorch has no more than Module's *args and **kwargs."""
    found = list(inspect.signature(layer.__init__).parameters.values())
    names = [parameter.name for parameter in found]
    return [] if names == ["self", "args", "kwargs"] and layer.__name__ != "Identity" else found


@pytest.mark.parametrize("name", LAYERS)
def test_constructor_as_pytorchs(name):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn, name):
        pytest.skip("PyTorch has none")
    theirs, late = [], False
    for p in parameters_of(getattr(torch.nn, name)):
        if p.name not in LEFT_OUT:
            default = p.empty if (name, p.name) in REQUIRED else p.default
            theirs.append((p.name, default, p.KEYWORD_ONLY if late else p.kind))
        late = late or p.name in DEPRECATED
    ours = [(p.name, p.default, p.kind) for p in parameters_of(getattr(nn, name)) if p.name not in LEFT_OUT]
    assert ours == theirs


@pytest.mark.parametrize("name", LAYERS)
def test_forward_as_pytorchs(name):
    """The names of its arguments, as code calls it that gives them by keyword."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn, name) or getattr(torch.nn, name).forward is torch.nn.Module.forward:
        pytest.skip("PyTorch has none")
    ours, theirs = (list(inspect.signature(getattr(lib, name).forward).parameters) for lib in (nn, torch.nn))
    assert ours == theirs[: len(ours)]


# What a layer is made of where two for each argument that has no default will not do.
ARGUMENTS = {
    "CrossEntropyLoss": [((), {"weight": "vector"})],
    "NLLLoss": [((), {"weight": "vector"})],
    "BCEWithLogitsLoss": [((), {"weight": "vector"}), ((), {"pos_weight": "vector"})],
    "MultiMarginLoss": [((), {"weight": "vector"})],
    "BatchNorm1d": [((3,), {}), ((3,), {"affine": False}), ((3,), {"track_running_stats": False, "bias": False})],
    "BatchNorm2d": [((3,), {}), ((3,), {"bias": False})],
    "InstanceNorm1d": [((3,), {}), ((3,), {"affine": True, "track_running_stats": True})],
    "InstanceNorm2d": [((3,), {"affine": True, "bias": False}), ((3,), {"track_running_stats": True})],
    "LayerNorm": [((3,), {}), (((2, 3), 1e-5, True, False), {}), ((3, 1e-5, False), {})],
    "GroupNorm": [((2, 4), {}), ((2, 4), {"bias": False}), ((2, 4), {"affine": False})],
    "RMSNorm": [(((2, 3),), {})],
    "Conv2d": [((4, 6, (3, 1)), {"groups": 2}), ((2, 3, 1), {"bias": False})],
    "ConvTranspose2d": [((4, 6, (3, 1)), {"groups": 2}), ((2, 3, 1), {"bias": False})],
    "Conv1d": [((4, 6, 3), {"groups": 2}), ((2, 3, 1), {"bias": False})],
    "ConvTranspose1d": [((4, 6, 3), {"groups": 2}), ((2, 3, 1), {"bias": False})],
    "Linear": [((3, 4), {}), ((3, 4, False), {})],
    "Bilinear": [((3, 4, 5), {}), ((3, 4, 5, False), {})],
    "Embedding": [((5, 3), {}), ((5, 3, 1), {})],
    "PReLU": [((), {}), ((4,), {})],
    "ParameterList": [((["parameter", "parameter"],), {})],
    "ModuleList": [((["Linear"],), {})],
    "Sequential": [(("Linear", "BatchNorm2d"), {})],
    "ModuleDict": [(({"b": "Linear", "a": "PReLU"},), {})],
    "TripletMarginWithDistanceLoss": [((), {})],
    "Unflatten": [((1, (2, 2)), {})],
    "Upsample": [((2,), {})],
    "UpsamplingBilinear2d": [((2,), {})],
    "UpsamplingNearest2d": [((2,), {})],
}


def made(lib, argument):
    """Of a word what it stands for, of anything else itself."""
    if isinstance(argument, (list, dict)):
        items = argument.items() if isinstance(argument, dict) else enumerate(argument)
        built = {key: made(lib, value) for key, value in items}
        return built if isinstance(argument, dict) else list(built.values())
    words = {
        "vector": lambda: lib.tensor([1.0, 2.0, 0.5]),
        "parameter": lambda: lib.nn.Parameter(lib.ones(2, 3)),
        "Linear": lambda: lib.nn.Linear(3, 4),
        "BatchNorm2d": lambda: lib.nn.BatchNorm2d(4),
        "PReLU": lambda: lib.nn.PReLU(2),
    }
    return words[argument]() if isinstance(argument, str) else argument


def layers_of(name):
    required = [p for p in parameters_of(getattr(nn, name))[1:] if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    usual = [(tuple(2 for p in required if p.kind is not p.VAR_POSITIONAL), {})]
    for args, kwargs in ARGUMENTS.get(name, usual):
        yield lambda lib, args=args, kwargs=kwargs: getattr(lib.nn, name)(
            *made(lib, list(args)), **made(lib, dict(kwargs))
        )


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "Module"])
def test_state_moves_both_ways(name):
    """Values of PyTorch's here, other values of ours there: same keys in the same order, shapes, dtypes and bits."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn, name):
        pytest.skip("PyTorch has none")
    for make in layers_of(name):
        ours, theirs = make(at), make(torch)
        state = {key: changed(torch, value) for key, value in theirs.state_dict().items()}
        assert ours.load_state_dict(state) == ([], [])
        assert_equal(ours.state_dict(), state)
        ours.load_state_dict({key: value * 2 for key, value in ours.state_dict().items()})
        arrays = {key: np.array(value.numpy(), order="C") for key, value in ours.state_dict().items()}
        theirs.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
        assert_equal(ours.state_dict(), theirs.state_dict())


def changed(torch, value):
    """Other numbers, each of them different."""
    return value + 1 + torch.arange(value.numel()).reshape(value.shape).to(value.dtype)


def assert_equal(ours, theirs):
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        expected = theirs[key].numpy()
        assert (value.shape, value.dtype) == (expected.shape, expected.dtype), key
        np.testing.assert_array_equal(value.numpy(), expected, err_msg=key)


def test_most_layers_are_shared():
    torch = pytest.importorskip("torch")
    assert sum(hasattr(torch.nn, name) for name in LAYERS) > 80
    states = [make(at).state_dict() for name in ARGUMENTS for make in layers_of(name)]
    assert sum(map(bool, states)) > 30


def drawn(rng):
    """Layers with arguments and an input's shape, at random."""
    N, C, H, W = images = tuple(int(n) for n in rng.integers(2, 6, 4))
    first, second, batched = (bool(b) for b in rng.integers(2, size=3))
    eps, alpha, beta, k = (float(v) for v in (rng.choice([1e-5, 0.1]), *rng.uniform(0.1, 2, 3)))
    running, last = (C, eps, beta / 2, first, second), images[int(rng.integers(1, 4)) :]
    return {
        "BatchNorm1d": (running, images[: 2 + batched]),
        "BatchNorm2d": (running, images),
        "InstanceNorm1d": (running, images[:3] if batched else images[1:3]),
        "InstanceNorm2d": (running, images if batched else images[1:]),
        "GroupNorm": ((C, C * H, eps, first), (N, C * H, W, 3)[: 2 + first + second]),
        "LayerNorm": ((last, eps, first, second), images),
        "RMSNorm": ((last, eps, first), images),
        "LocalResponseNorm": ((H, alpha, beta, k), images[: 3 + first]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", drawn(np.random.default_rng(0)))
def test_norms_of_random_configurations(name):
    """Values and gradients of two steps of training and one of evaluation.

    What cancels in a gradient is up to 10⁵ (a weight of 60 by 1 / √eps times a gradient of 4), hence a bound of 10⁻⁹.
    """
    torch = pytest.importorskip("torch")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        args, shape = drawn(rng)[name]
        ours, theirs = (getattr(lib.nn, name)(*args).double() for lib in (at, torch))
        state = {key: changed(torch, value) for key, value in theirs.state_dict().items()}
        ours.load_state_dict(state), theirs.load_state_dict(state)
        for step in range(3):
            ours.train(step < 2), theirs.train(step < 2)
            x, grad = rng.standard_normal(shape) + step, rng.standard_normal(shape)
            a, b = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y, z = ours(a), theirs(b)
            y.backward(at.tensor(grad)), z.backward(torch.tensor(grad))
            pairs = [(y.detach(), z.detach()), (a.grad, b.grad)]
            pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
            pairs += zip(ours.buffers(), theirs.buffers(), strict=True)
            for i, (p, q) in enumerate(pairs):
                note = f"{args}, input {shape}, step {step}, {i}"
                np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-9, atol=1e-9, err_msg=note)
