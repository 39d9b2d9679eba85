"""docs/lectures.csv keeps its word: names, tests, examples and pictures exist, and the page shows the same lines."""

import importlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKER = runpy.run_path(str(ROOT / "docs" / "make_lectures.py"))
LINES = MAKER["lectures"]()
COLUMNS = ["topic", "formula", "name", "test", "example", "picture"]


def resolve(name):
    """What a dotted name stands for: a module, or something within one."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["topic"])
def test_what_a_line_names_exists(line):
    assert list(line) == COLUMNS
    assert all(isinstance(text, str) and text == text.strip() for text in line.values()), "a comma without quotes?"
    assert line["topic"]
    assert line["name"].startswith("atrous.")
    resolve(line["name"])
    file, test = line["test"].split("::")
    assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), line["test"]
    assert test.startswith("test_")
    assert re.fullmatch(r"examples/\w+\.py", line["example"])
    assert (ROOT / line["example"]).is_file()
    assert re.fullmatch(r"docs/images/[\w/-]+\.png", line["picture"])
    assert (ROOT / line["picture"]).is_file()


def test_every_example_has_a_line():
    examples = {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")} - {"examples/lesson.py"}
    assert examples == {line["example"] for line in LINES}


def test_every_picture_of_a_lesson_has_a_line():
    pictures = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "images" / "lessons").glob("*")}
    assert pictures <= {line["picture"] for line in LINES}


def test_pictures_of_lessons_are_small():
    large = [path.name for path in (ROOT / "docs" / "images" / "lessons").glob("*") if path.stat().st_size > 60 * 1024]
    assert not large


def test_topics_occur_once():
    topics = [line["topic"].lower() for line in LINES]
    assert sorted(topics) == sorted(set(topics))


def test_the_page_is_fresh():
    page = (ROOT / "docs" / "lectures.md").read_text(encoding="utf-8")
    assert page == MAKER["page"](LINES), "run: python docs/make_lectures.py"
