"""The README keeps its word: two commands, an example that runs, pictures and pages that exist."""

import re
from pathlib import Path

import numpy as np
import pytest

import atrous as at

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_block_holds_two_commands_that_set_themselves_up():
    commands = [line for line in blocks("sh")[0].splitlines() if line.strip()]
    prefix = "python3 -m venv .venv && . .venv/bin/activate && pip install "
    assert commands == [prefix + "'.[train]' && atrous train", prefix + "'.[test]' && python -m pytest"]


def test_the_example_runs_and_learns(capsys):
    example, count = re.subn(r"range\(10\)", "range(2)", blocks("python")[0])
    assert count == 1
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.8


def test_the_twins_have_one_call(request):
    request.getfixturevalue("cpu")
    names = {"x": np.ones((1, 2, 5, 5), np.float32), "weight": np.ones((3, 2, 3, 3), np.float32), "bias": None}
    exec(compile(blocks("python")[1], "README.md", "exec"), names)
    np.testing.assert_allclose(names["y"], at.reference.conv2d_forward(**args(names)), rtol=1e-6)


def args(names):
    pairs = {"stride": (1, 1), "padding": (1, 1), "dilation": (2, 2)}
    return {name: names[name] for name in ("x", "weight", "bias")} | pairs | {"groups": 1}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/convolution.md", "docs/performance.md"])
def test_links_to_files_exist(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{page} links to {target}"
