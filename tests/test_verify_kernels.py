"""`atrous verify --kernels`: a user's own file of kernels; every way to be wrong is found, and said in words."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import reference, verify
from atrous.cli import main
from atrous.verify import student
from atrous.verify.draw import Draw

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = (ROOT / "examples" / "my_conv.py").read_text(encoding="utf-8")


@pytest.fixture
def own(tmp_path, monkeypatch, capsys):
    """own(source, *words): writes my.py, runs the command on it, and returns its exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(student, "LARGEST", 2000)  # plain loops take their time

    def run(source, *words):
        Path("my.py").write_text(source, encoding="utf-8")
        code = main(["verify", "--kernels", "my.py", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def changed(*replacements):
    """The example with a mistake in it."""
    source = EXAMPLE
    for before, after in replacements:
        assert before in source
        source = source.replace(before, after)
    return source


def relu(body, before=""):
    return f"import numpy as np\n{before}\ndef relu_forward(x):\n    {body}\n"


# -- right ones -------------------------------------------------------------------------------------------------------


def test_the_example_is_right(own, monkeypatch):
    code, out, err = own(EXAMPLE)
    assert (code, err) == (0, "")
    rows = re.findall(r"^conv2d_forward +(float\d\d) +right +(\d+) cases in .*; left out (\d+), too large", out, re.M)
    assert [row[0] for row in rows] == ["float64", "float32"]
    plain = sum("then" not in case for case in verify.FAMILIES["conv2d"].CASES["conv2d_forward"])
    assert all(int(cases) + int(left_out) == plain and int(cases) >= 20 for _, cases, left_out in rows)
    assert out.splitlines()[-1] == "right: conv2d_forward"


def test_only_what_keeps_several_threads_busy_is_left_out():
    for family in verify.FAMILIES.values():
        for function, cases in family.CASES.items():
            kept = student.cases_in_order(family, function, options=True)
            assert 0 <= len(cases) - len(kept) <= max(4, len(cases) // 3), function


def test_ordinary_cases_come_first_and_then_small_ones():
    family = verify.FAMILIES["conv2d"]
    cases = student.cases_in_order(family, "conv2d_forward")
    assert cases[0]["x"] == (1, 1, 1, 1)
    assert cases[1]["x"] == (1, 1, 5, 5)
    assert {case["values"] for case in cases[:-3]} == {"normal", "positive", "shifted"}
    assert any(case["x"][0] == 0 for case in cases[-3:])  # an empty batch says little


def test_every_kernel_passes_as_a_file_of_its_own(own, monkeypatch):
    """The reference written into a user's file: all names of outputs, in-place kernels and dtypes are known."""
    source = "from atrous import reference\n"
    for name in reference.__all__:
        source += f"def {name}(*args, **options): return reference.{name}(*args, **options)\n"
    code, out, _ = own(source)
    assert code == 0, out
    assert set(out.splitlines()[-1].removeprefix("right: ").split(", ")) == set(reference.__all__)
    for family in verify.FAMILIES.values():
        for function, cases in family.CASES.items():
            arguments = family.arguments(function, cases[0], Draw(verify.dtypes(family)[0]))
            names = student.output_names(function, arguments)
            assert len(names) == len(verify.call(reference, function, arguments)), function


def test_family_restricts(own):
    source = EXAMPLE + "\n\ndef relu_forward(x): return x\n"  # shares memory
    assert own(source, "--family", "conv2d")[0] == 0
    code, out, _ = own(source, "--family", "activation", "linear")
    assert code == 1
    assert "conv2d" not in out
    code, out, err = own(source, "--family", "linear", "adam")
    assert (code, out) == (1, "")
    assert err == "atrous verify: my.py has no kernel of linear, adam; it has conv2d_forward, relu_forward\n"


def test_helpers_beside_the_file_are_found_and_forgotten(own, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "rectify.py").write_text("import numpy as np\ndef late(x): return np.maximum(x, 0)\n")
    path, modules, stdin = list(sys.path), set(sys.modules), sys.stdin
    (tmp_path / "helper.py").write_text("def rectify(x):\n    from parts.rectify import late\n    return late(x)\n")
    code, out, _ = own(relu("return rectify(x)", "from helper import rectify"))
    assert code == 0, out
    assert (sys.path, sys.stdin) == (path, stdin)
    assert not {"helper", "parts", "parts.rectify", "own_kernels"} & (set(sys.modules) - modules)
    (tmp_path / "helper.py").write_text("def rectify(x): return 2 * x  # another user's helper\n")
    assert own(relu("return rectify(x)", "from helper import rectify"))[0] == 1


def test_load_kernels_gives_a_backend(tmp_path):
    source = (
        "from atrous.reference import matmul\nscale = 2\ndef linear_backward_bias(grad_y): return grad_y.sum(0) * scale"
    )
    (tmp_path / "my.py").write_text(source)
    kernels = verify.load_kernels(tmp_path / "my.py")
    assert verify.own_kernels(kernels) == ["linear_backward_bias"]  # matmul is the reference's
    assert kernels.tanh_forward is reference.tanh_forward
    assert not hasattr(kernels, "scale")
    results = list(verify.verify(kernels, ["linear"]))
    assert {result.function for result in results if result.failures} == {"linear_backward_bias"}
    with pytest.raises(ValueError, match="does not exist"), at.backend(str(tmp_path / "my.py")):
        pass


# -- wrong functions --------------------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "padding ignored": (
        [(" - ph + ", " + "), (" - pw + ", " + ")],
        ["where all padding is below and to the right", "padding           (1, 1)", "3 of 3 elements are wrong"],
    ),
    "kernel flipped": (
        [("weight[oc, ic, kh, kw]", "weight[oc, ic, KH - 1 - kh, KW - 1 - kw]")],
        ["of a flipped kernel", "x                 (1, 1, 5, 5) float64", "weight =\n", "y expected =\n", "y got =\n"],
    ),
    "stride ignored": (
        [("oh * sh", "oh"), ("ow * sw", "ow")],
        ["This is what comes as if stride were (1, 1)", "stride            (2, 2)"],
    ),
    "stride of the other axis": (
        [("ow * sw", "ow * sh")],
        ["This is what comes as if stride were (2, 2)", "stride            (2, 3)"],
    ),
    "stride missing in the size": (
        [("// sh +", "+"), ("// sw +", "+")],
        ["y has the shape (1, 4, 6, 6); expected (1, 4, 3, 3)"],
    ),
    "bias forgotten": (
        [("bias[oc]", "0.0")],
        ["This is what comes as if bias were None", "1 of 1 elements is wrong", "bias =\n  [-0.391159]"],
    ),
    "dilation ignored": ([("kh * dh", "kh"), ("kw * dw", "kw")], ["as if dilation were (1, 1)"]),
    "groups ignored": (
        [("g * ICG + ic", "ic")],
        ["where every group reads the channels of the first", "groups            5"],
    ),
    "float32 in the middle": ([("x.dtype)", "np.float32)")], ["y is float32; expected float64, as the inputs are"]),
    "input written to": ([("    return y", "    x *= 2\n    return y")], ["input x was written to; make a copy first"]),
    "a list": ([("return y", "return y.tolist()")], ["returns y of type list; expected a NumPy array"]),
    "a tensor": (
        [("return y", "import atrous; return atrous.from_numpy(y)")],
        ["returns y of type Tensor; expected a NumPy array"],
    ),
    "return forgotten": ([("    return y", "")], ["returns None; expected an array (is there a `return`?)"]),
    "a slip": (
        [("+= weight", "+= wieght")],
        ["fails: my.py:21: NameError: name 'wieght' is not defined, in: total += wieght[oc, ic, kh, kw] *"],
    ),
    "inf": ([("= total", "= total / 0 if oh else total")], ["inf; expected ", "6 of 9 elements are wrong"]),
    "an argument's name": (
        [("groups):", "group):"), ("// groups", "// group")],
        ["conv2d_forward(x, weight, bias, stride, padding, dilation, group): ", "expected conv2d_forward(x, weight, "],
    ),
    "an argument too many": (
        [("groups):", "groups, mode):")],
        ["missing a required argument: 'mode'; expected conv2d_forward(x, "],
    ),
    "exit": ([("    return y", "    raise SystemExit(0)")], ["my.py:23: SystemExit: the code exits, with status 0"]),
    "a question": ([("return y", "return input('y? ')")], ["EOFError: input() has nothing to read here"]),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_wrong_convolution_is_found_and_explained(own, name):
    replacements, texts = CONVOLUTIONS[name]
    code, out, err = own(changed(*replacements))
    assert (code, err) == (1, "")
    for text in texts:
        assert text in out
    assert out.count("WRONG") == 2  # in float64 already: float32 does not run; and in the last line
    assert out.splitlines()[-1] == "WRONG: conv2d_forward"
    assert "Traceback" not in out


def test_float64_from_float32_is_found_in_float32(own):
    code, out, _ = own("import numpy as np\ndef relu_forward(x): return np.maximum(x, 0).astype(float)")
    assert code == 1
    assert re.search(r"float64 +right.*\n.*float32 +WRONG +after 0 of", out)
    assert "y is float64; expected float32" in out


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def relu_forward(x): return x", "an output shares memory with input x; return a new array"),
        ("import numpy as np\ndef relu_forward(x): return np.fmax(x, 0)", "expected nan ("),
        ("def relu_forward(x): return abs(x[None])", "y has the shape (1, 1); expected (1,)"),
        ("def relu_forward(x): return x.astype(object)", "y is object; expected float64"),
        ("def relu_forward(x): return x[0]", "returns y of type float64; expected a NumPy array"),
        ("def batch_norm_statistics(x): return [x, x]",
         "returns a list of 2; expected a tuple of 2 arrays: mean, var"),
        ("def batch_norm_statistics(x): return x.mean((0, 2, 3)), 0", "var of type int"),
        ("def batch_norm_statistics(x):\n    from atrous.reference import batch_norm_statistics as right\n"
         "    return tuple(statistic.astype(x.dtype) for statistic in right(x))",
         "mean is float32; expected float64"),
        ("def add_into(total, part): total = total + part", "No array has changed"),
        ("def add_into(total, part): total -= part", "Before the call, there: total "),
        ("def linear_forward(x, weight, bias): return x @ weight.T", "as if bias were None"),
        ("import numpy as np\nmatmul = np.matmul", "WRONG: matmul"),
        ("import numpy as np\ndef softmax_forward(x):\n    e = np.exp(x)\n    return e / e.sum(1, keepdims=True)",
         "y[0, 0, 0, 1] is nan; expected 0 (276 of 630 elements are wrong)"),
        ("def random_bits(seed, stream, offset, count):\n    import numpy\n    return numpy.zeros(count, numpy.uint32)",
         "words[0] is 0; expected 168492509"),
    ],
)  # fmt: skip
def test_other_kernels_too(own, source, text):
    code, out, err = own(source)
    assert (code, err) == (1, "")
    assert text in out


SGD = "def sgd_step(params, grads, momentum_buffers, lr, momentum, dampening, weight_decay, nesterov, first):\n"


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("for i, g in enumerate(grads): params[i] = params[i] - lr * g", ["No array has changed", "params[0][0] is "]),
        ("for p, g in zip(params, grads): p += lr * g", ["Before the call, there: params 0.108602, grads 0.0212902\n"]),
        ("return params", ["returns a list of 6; expected None: it updates its arrays in place"]),
        ("for p, g in zip(params, grads):\n        g *= lr; p -= g", ["input grads was written to"]),
    ],
)  # fmt: skip
def test_a_wrong_step_in_place_shows_what_stood_there(own, monkeypatch, body, texts):
    monkeypatch.setattr(student, "LARGEST", 10_000)
    code, out, _ = own(SGD + "    " + body)
    assert code == 1
    for text in texts:
        assert text in out


def test_numbers_that_look_alike_are_written_out(own):
    _, out, _ = own(relu("return np.maximum(x, 0) * (1 + 1e-12)"))
    came, expected = re.search(r"y\[0\] is (\S+); expected (\S+) \(", out).groups()
    assert 0 < abs(float(came) / float(expected) - 1) < 2e-12


def test_a_guess_must_explain_the_numbers(own):
    """Nothing is said where no other argument gives what came."""
    _, out, _ = own(changed(("= total", "= total + 1")))
    assert "This is what comes" not in out
    _, out, _ = own(changed(("= total", "= total * (1 + 1e-9)")))  # near to what comes of the right arguments, too
    assert "WRONG" in out
    assert "This is what comes" not in out


# -- wrong files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n", "my.py:1: SyntaxError: "),
        ("import numpy\n\nx = nump.pi\n", "my.py:3: NameError: name 'nump' is not defined, in: x = nump.pi"),
        ("import sys\nsys.exit()\n", "my.py:2: SystemExit: the code exits, with status None, in: sys.exit()"),
        ("input('name? ')\n", "my.py:1: EOFError: input() has nothing to read here"),
        ("import no_such_module\n", "my.py:1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("\0", "null bytes"),
        ("", "my.py defines no function with a kernel's name: such as conv2d_forward(x: "),
        ("def conv2d_foward(x): pass", "kernel's name: conv2d_foward: did you mean 'conv2d_forward'?"),
        ("def Relu_Forward(x): pass", "did you mean 'relu_forward'?"),
        ("matmul = 3", "my.py: matmul is of type int; expected a function"),
        ("from atrous.reference import *", "my.py defines no function with a kernel's name"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_and_exit_code_1(own, source, message):
    code, out, err = own(source)
    assert (code, out.replace("name? ", "")) == (1, "")
    assert err.startswith("atrous verify: my.py")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("missing.py", 1, "atrous verify: missing.py: No such file or directory"),
        ("folder.py", 1, "atrous verify: folder.py: Is a directory"),
        ("notes.ipynb", 1, "notes.ipynb: expected a Python file, whose name ends in .py"),
        ("my.py --level x86-64", 2, "--level chooses among compiled kernels; it cannot go with --kernels"),
        ("", 2, "--kernels: expected one argument"),
    ],
)
def test_wrong_words(own, capsys, words, code, message):
    Path("folder.py").mkdir()
    assert main(["verify", "--kernels", *words.split()]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_name_that_is_nearly_a_kernels_gets_a_hint(own):
    source = relu("return np.maximum(x, 0)")
    for name in ("relu_backwards", "relu_forward_", "softmax"):
        source += f"def {name}(x): pass\n"
    code, out, _ = own(source)
    assert code == 0
    assert out.splitlines()[0] == "not checked: relu_backwards: did you mean 'relu_backward'?"
    assert out.count("did you mean") == 1  # the file has a relu_forward; softmax is a fine name for a helper


def test_a_file_that_was_changed_within_the_second_is_read_again(own):
    assert own(relu("return np.maximum(x, 0)"))[0] == 0
    assert own(relu("return np.maximum(x, 1)"))[0] == 1


def test_ctrl_c_is_one_line(tmp_path):
    source = "import time\ndef relu_forward(x):\n    print('now', flush=True)\n    time.sleep(60)"
    (tmp_path / "slow.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(Path(at.__file__).parents[1])}
    command = [sys.executable, "-m", "atrous", "verify", "--kernels", "slow.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes)
    assert process.stdout.readline().startswith("relu_forward")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "atrous verify: interrupted\n")


def test_the_page_shows_what_the_command_prints(own, monkeypatch):
    monkeypatch.setattr(student, "LARGEST", 100)
    page = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    _, out, _ = own(changed(("weight[oc, ic, kh, kw]", "weight[oc, ic, KH - 1 - kh, KW - 1 - kw]")))
    shown = out[out.index("conv2d_forward: y[") : out.index("WRONG: ")].strip()
    assert shown in page
    assert EXAMPLE[EXAMPLE.index("def ") :] in page


def test_a_mistake_holds_the_arrays(tmp_path):
    (tmp_path / "my.py").write_text("def relu_forward(x): return x * 2")
    kernels = verify.load_kernels(tmp_path / "my.py")
    mistake = verify.check_kernel(kernels, verify.FAMILIES["activation"], "relu_forward", np.float32).mistake
    np.testing.assert_array_equal(mistake.got, mistake.arguments["x"] * 2)
    np.testing.assert_array_equal(mistake.expected, reference.relu_forward(mistake.arguments["x"]))
