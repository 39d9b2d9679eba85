"""Sequential, ModuleList, ModuleDict, ParameterList."""

import re
from collections import OrderedDict

import pytest

import atrous as at
from atrous import nn


def test_sequential():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert model(at.ones(4, 2)).shape == (4, 1)
    assert len(model) == 3
    assert model[-1].out_features == 1
    assert isinstance(model[:2], nn.Sequential)
    assert model[:2][0] is model[0]
    assert [type(m).__name__ for m in model.append(nn.Tanh())] == ["Linear", "ReLU", "Linear", "Tanh"]
    model[1] = nn.Sigmoid()
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    del model[0]
    assert list(model.state_dict()) == ["1.weight", "1.bias"]
    model.insert(0, nn.Linear(2, 3))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    del model[1:]
    assert len(model) == 1


def test_sequential_of_names():
    model = nn.Sequential(OrderedDict([("first", nn.Linear(2, 2)), ("act", nn.ReLU())]))
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.act is model[1]
    assert list(model[:1].state_dict()) == ["first.weight", "first.bias"]
    del model[0]
    assert model[0] is model.act


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
    layers += [nn.ReLU()]
    assert len(layers) == 3
    assert len(list(layers.parameters())) == 4
    assert isinstance(layers[1:], nn.ModuleList)
    assert list(layers[1:].state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        layers(at.zeros(1))


def test_module_dict():
    branches = nn.ModuleDict({"left": nn.Linear(1, 1), "right": nn.ReLU()})
    assert "left" in branches
    assert list(branches) == list(branches.keys()) == ["left", "right"]
    assert list(branches.state_dict()) == ["left.weight", "left.bias"]
    branches["left"] = nn.Tanh()
    assert [type(m).__name__ for m in branches.values()] == ["Tanh", "ReLU"]
    assert isinstance(branches.pop("left"), nn.Tanh)
    del branches["right"]
    assert len(branches) == 0


def test_parameter_list():
    params = nn.ParameterList([nn.Parameter(at.zeros(2))])
    params.append(nn.Parameter(at.ones(3)))
    assert [p.shape for p in params] == [(2,), (3,)]
    assert list(params.state_dict()) == ["0", "1"]
    params[-1] = nn.Parameter(at.ones(4))
    assert params[1].shape == (4,)
    assert len(params) == 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU(), "tanh"), TypeError, "Sequential: entry 1 is a str; expected a Module"),
        (lambda: nn.Sequential([nn.ReLU()]), TypeError, "Sequential: entry 0 is a list; expected a Module"),
        (lambda: nn.Sequential(nn.ReLU())[1], IndexError, "Sequential: index 1 is out of range; it has 1 entries"),
        (lambda: nn.ModuleList([3]), TypeError, "ModuleList: got a int; expected a Module"),
        (lambda: nn.ModuleDict({"a": 3}), TypeError, "ModuleDict: 'a' is a int; expected a Module"),
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "has an attribute 'keys' already"),
        (lambda: nn.ParameterList([at.zeros(1)]), TypeError, "ParameterList: got a Tensor; expected a Parameter"),
        (lambda: nn.ParameterList()[0], IndexError, "ParameterList: index 0 is out of range"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()
