"""The lessons run, with fast settings: each draws its picture and ends in its claim, which only full runs check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
LESSONS = [path for path in sorted(EXAMPLES.glob("*.py")) if "import lesson" in path.read_text(encoding="utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson(path, tmp_path):
    pytest.importorskip("matplotlib")
    settings = {"ATROUS_FAST": "1", "ATROUS_PICTURES": str(tmp_path)}
    command = [sys.executable, "-W", "error", str(path)]
    run = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert [picture.name for picture in tmp_path.iterdir()] == [f"{path.stem}.png"]
    last = run.stdout.splitlines()[-1]
    assert last.startswith("claim: ")
    assert any(character.isdigit() for character in last)
