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


def test_the_examples_run_and_learn(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example, count = re.subn(r"range\(10\)", "range(2)", blocks("python")[0])
    assert count == 1
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert float(capsys.readouterr().out) > 0.8
    trainer, count = re.subn(r"epochs=20", "epochs=1", blocks("python")[1])
    assert count == 1
    exec(compile(trainer, "README.md", "exec"), names)
    assert (tmp_path / "runs" / "mine" / "checkpoint-best.safetensors").is_file()


def test_the_first_screen_shows_both_ways():
    """The command line and the script stand above the first 60 lines."""
    head = "\n".join(README.splitlines()[:60])
    assert "atrous train --data" in head
    assert "loss_fn(model(inputs), targets).backward()" in head


def test_the_training_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "training.md").read_text(encoding="utf-8"), re.DOTALL
    ):
        exec(compile(block, "training.md", "exec"), names)
    out = capsys.readouterr().out
    assert re.search(r"^\s*2/2 ", out, re.M)
    assert "activations" in out


def test_the_twins_have_one_call(request):
    request.getfixturevalue("cpu")
    names = {"x": np.ones((1, 2, 5, 5), np.float32), "weight": np.ones((3, 2, 3, 3), np.float32), "bias": None}
    exec(compile(blocks("python")[2], "README.md", "exec"), names)
    np.testing.assert_allclose(names["y"], at.reference.conv2d_forward(**args(names)), rtol=1e-6)


def args(names):
    pairs = {"stride": (1, 1), "padding": (1, 1), "dilation": (2, 2)}
    return {name: names[name] for name in ("x", "weight", "bias")} | pairs | {"groups": 1}


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_links_to_files_exist(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{page} links to {target}"
