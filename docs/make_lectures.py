"""Writes docs/lectures.md from docs/lectures.csv. Run it: python docs/make_lectures.py"""

import csv
from pathlib import Path

DOCS = Path(__file__).parent
HEAD = """# From the lecture to the code

What courses on feed-forward and convolutional networks teach, in their order: the formula, the name to call, a lesson
that shows the claim with a measured number, and its picture. A lesson is a short script that runs in under a minute on
two cores (`python examples/perceptron.py`; its `# %%` cells also run one by one in editors that know them). It checks
its own claim, so change something and see what breaks. With `ATROUS_FAST=1` it tries the code alone, and its numbers
mean nothing.

| topic | formula | name | lesson | picture |
|---|---|---|---|---|
"""


def lectures() -> list[dict[str, str]]:
    """The lines of lectures.csv."""
    with open(DOCS / "lectures.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page(lines: list[dict[str, str]]) -> str:
    """The page lectures.md."""
    return HEAD + "".join(row(line) for line in lines)


def row(line: dict[str, str]) -> str:
    formula = f"`{line['formula']}`" if line["formula"] else ""
    example = f"[{Path(line['example']).stem}](../{line['example']})"
    picture = f"[picture]({line['picture'].removeprefix('docs/')})"
    cells = (line["topic"], formula, f"`{line['name']}`", example, picture)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    (DOCS / "lectures.md").write_text(page(lectures()), encoding="utf-8")
