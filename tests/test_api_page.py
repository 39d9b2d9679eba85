"""docs/api.md lists every public name, as the docstrings of today describe it."""

import importlib.util
from pathlib import Path

import pytest

import atrous as at

PATH = Path(__file__).parent.parent / "docs" / "make_api.py"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_api", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(maker):
    fresh = maker.page() == maker.PAGE.read_text(encoding="utf-8")
    assert fresh, "docs/api.md is stale; `python docs/make_api.py` makes it anew"


def test_what_counts_as_public(maker):
    assert "Conv2d" in maker.public(at.nn)
    assert "functional" not in maker.public(at.nn)
    assert "layer_norm" in maker.public(at.nn.functional)
    assert maker.public(at.nn.init) == sorted(maker.public(at.nn.init))
    assert "as_tensor" not in maker.public(at.nn.init)


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("One.\n\n    Two.", "One."),
        ("Over\n    two lines, i.e. one sentence. And another.", "Over two lines, i.e. one sentence."),
        ("``|x|``; no more", r"`\|x\|`; no more"),
        ("Uniform: He et al. 2015. `a` is the slope.", "Uniform: He et al. 2015."),
        ("0.5 of it. ``x``", "0.5 of it."),
    ],
)
def test_first_sentence(maker, docstring, sentence):
    assert maker.first_sentence("f", type("f", (), {"__doc__": docstring})) == sentence


def test_a_name_without_docstring_is_refused(maker):
    with pytest.raises(SystemExit, match=r"nn\.X has no docstring"):
        maker.first_sentence("nn.X", type("X", (at.nn.Linear,), {}))
