"""Ordinary PyTorch scripts run with `torch` changed to `atrous` in their import lines, and compute the same."""

import re
import types
from pathlib import Path

import numpy as np
import pytest

import atrous as at

SCRIPTS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem[:5] != "test_"}
IMPORTS = [
    (r"^import torch$", "import atrous as torch"),
    (r"^import torch\.", "import atrous."),
    (r"^from torch import ", "from atrous import "),
    (r"^from torch\.", "from atrous."),
]


def ported(text):
    for pattern, replacement in IMPORTS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def module(name, text, run_as="script"):
    script = types.ModuleType(run_as)
    exec(compile(text, str(SCRIPTS[name]), "exec"), vars(script))
    return script


def built(script, lib):
    """The script's network from the seed 0, without dropout, whose masks differ."""
    lib.manual_seed(0)
    model = script.build()
    for layer in model.modules():
        if isinstance(layer, lib.nn.Dropout):
            layer.p = 0.0
    return model


def test_there_are_seven_and_only_their_imports_change():
    assert len(SCRIPTS) == 7
    for path in SCRIPTS.values():
        before = path.read_text(encoding="utf-8").splitlines()
        after = ported(path.read_text(encoding="utf-8")).splitlines()
        changed = [line for line, other in zip(before, after, strict=True) if line != other]
        assert "import torch" in changed
        assert "torch.utils.data" in "".join(changed)
        assert all(re.match(r"(import|from) torch", line) for line in changed)
        assert not any("torch" in line for line in after if re.match("import|from", line) and "atrous" not in line)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_learns(name):
    script = module(name, ported(SCRIPTS[name].read_text(encoding="utf-8")))
    losses = script.run(built(script, at), script.make_data())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_runs_as_a_script(name, capsys):
    """With dropout, and samples shuffled."""
    threads = at.get_num_threads()
    module(name, ported(SCRIPTS[name].read_text(encoding="utf-8")), run_as="__main__")
    assert re.search(r"\d", capsys.readouterr().out)
    at.set_num_threads(threads)


@pytest.fixture
def torch():
    """PyTorch on one thread: those of two pools wait for each other's cores."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_losses_as_pytorchs(name, torch):
    text = SCRIPTS[name].read_text(encoding="utf-8")
    ours, theirs = module(name, ported(text)), module(name, text)
    model, other = built(ours, at), built(theirs, torch)
    weights = {key: torch.tensor(value.numpy()) for key, value in model.state_dict().items()}
    assert list(weights) == list(other.state_dict())
    other.load_state_dict(weights)
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in other.parameters()]
    expected = theirs.run(other, theirs.make_data())
    found = ours.run(model, ours.make_data())
    # in float16, beside PyTorch in float32 on the CPU: roundings of 2⁻¹¹ in some ten layers, and in each step before
    tolerance = 3 * 2.0**-11 * (1 + np.arange(len(found))) if next(model.parameters()).device != "cpu" else 5e-5
    assert (np.abs(np.subtract(found, expected)) <= tolerance * np.abs(expected)).all(), (name, found, expected)
