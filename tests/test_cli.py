"""The command line, as a user meets it: what it prints, its exit codes, its errors in one line."""

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

import atrous as at
from atrous.cli import main, train

LIMIT = 40  # images a part
START = (
    f"from functools import partial; from atrous.cli import main, train; train.run = partial(train.run, limit={LIMIT})"
)
NO_PICTURES = "import sys; sys.modules['matplotlib'] = None"  # they take a second


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Commands run in an empty folder, training on a few images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "run", partial(train.run, limit=LIMIT))
    return tmp_path


def child(*words, before="", **options):
    """Starts the command line in a process of its own, on a few images."""
    environment = {**os.environ, "PYTHONPATH": str(Path(at.__file__).parents[1])}
    code = f"{before}\n{START}\nimport sys; sys.exit(main(sys.argv[1:]))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, **pipes)


def words_after(name, text):
    """The command that the line called ``name`` shows, as the words after the program's name."""
    line = next(line for line in text.splitlines() if line.split()[:1] == [name])
    words = shlex.split(line.strip().removeprefix(name))
    return words[words.index("atrous") + 1 :] if "atrous" in words else words[1:]


# -- help, versions, typos --------------------------------------------------------------------------------------------


def test_help_teaches_with_examples(capsys):
    assert main([]) == 0
    overview = capsys.readouterr().out
    for command in ("train", "predict", "export", "verify", "bench", "info"):
        assert re.search(rf"^ +{command} ", overview, re.M)
        assert main([command, "--help"]) == 0
        assert "example" in capsys.readouterr().out or command == "info"
    assert "examples:" in overview


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"atrous {at.__version__}\n"


def test_python_m_atrous():
    environment = {**os.environ, "PYTHONPATH": str(Path(at.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "atrous", "--version"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"atrous {at.__version__}\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", "did you mean 'train'?"),
        ("train --optimizer adm", "did you mean 'adam'?"),
        ("train --optimizer SGD", "did you mean 'sgd'?"),
        ("train --bacth-size 8", "unknown argument '--bacth-size'; did you mean '--batch-size'?"),
        ("train --epoch 8", "did you mean '--epochs'?"),
        ("train --epochs 0", "must be at least 1, got 0"),
        ("train --epochs many", "expected a whole number, got 'many'"),
        ("train --lr -1", "must be above 0 and finite"),
        ("train --lr nan", "must be above 0 and finite"),
        ("train --seed -1", "must be at least 0"),
        ("train --data mnits", "no data set, and no folder, is called 'mnits'; did you mean 'mnist'?"),
        ("train --data pictures", "there are digits, mnist, fashion-mnist, cifar10, cifar100, shapes"),
        ("train --model resent18", "no network is called 'resent18'; did you mean 'resnet18'?"),
        ("train --schedule cosin", "did you mean 'cosine'?"),
        ("train --resume runs/x --data shapes", "--data cannot change in a run that goes on"),
        ("train digits", "unknown argument 'digits'"),
        ("train --resume runs/x --lr 0.1", "--lr cannot change in a run that goes on"),
        ("predict", "the following arguments are required: RUN, IMAGE"),
        ("--verison", "unknown argument '--verison'; did you mean '--version'?"),
        ("verify --family conv", "did you mean 'conv2d'?"),
        ("bench --quik", "did you mean '--quick'?"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, line, message):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("atrous")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --resume nowhere", "atrous train: there is no run folder nowhere"),
        ("train --resume .", "atrous train: . is no run that can go on: it has no config.json"),
        ("train --out file.txt", "file.txt: File exists"),
        ("train --out file.txt/runs", "Not a directory"),
        ("train --lr 1e30 --epochs 1", "atrous train: the loss became"),
        ("train --data .", "atrous train: "),
        ("train --data digits --model unet", "digits has a class for each image, not for each pixel"),
        ("train --data mnist", "train-images-idx3-ubyte"),
        ("export .", "checkpoint-best.safetensors: No such file"),
        ("predict . x.png", "checkpoint-best.safetensors: No such file or directory"),
        ("predict file.txt x.png", "file.txt cannot be read as safetensors"),
        ("bench", "no benchmarks/bench_*.py in"),
    ],
)
def test_failures_are_one_line_and_exit_code_1(small, capsys, monkeypatch, line, message):
    (small / "file.txt").write_text("hello")
    monkeypatch.setattr("atrous.cli.bench.__file__", str(small / "a" / "b" / "c" / "bench.py"))
    assert main(line.split()) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_full_disk_is_one_line_before_the_training_or_in_it(small, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=400_000))
        assert main(["train", "--epochs", "1"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "atrous train: runs: only 0.4 MB are free on this disk; a run needs 8 MB\n"

    def full_disk(self, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atrous.training.run_folder.RunFolder.write_metrics", full_disk)
    assert main(["train", "--epochs", "1"]) == 1
    error = capsys.readouterr().err
    assert "atrous train: No space left on device; saved up to epoch 1, go on with: " in error
    assert error.count("\n") == 1


# -- train and predict ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run in a folder whose name the shell does not like, and what it printed."""
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.chdir(here)
        patch.setattr(train, "run", partial(train.run, limit=LIMIT))
        assert main(["train", "--epochs", "2", "--seed", "1", "--out", "my dad's runs"]) == 0
    (folder,) = (here / "my dad's runs").iterdir()
    return here, folder, out.getvalue()


def test_the_header_says_what_is_trained_on_what(finished):
    out = finished[2]
    assert "120 images of 32×32 in 10 classes: 40 to train, 40 to validate, 40 to test" in out
    assert "61,706 parameters, 416,520 multiply-adds (MACs) an image" in out
    assert re.search(r"machine +(CPU level \S+|NumPy reference), \d+ threads?$", out, re.M)
    assert re.search(
        r"training +2 epochs, batches of 32, augmented, adam at rate 0.001 \(constant\), seed 1$", out, re.M
    )
    assert re.search(r"^initial loss 2\.[23]\d \(ln 10 = 2\.30\) ok$", out, re.M)


def test_a_line_an_epoch_and_the_accuracy_at_the_end(finished):
    _, folder, out = finished
    epochs = re.findall(r"^ +(\d)/2 +(\d\.\d{4}) +(\d\.\d{4}) +([\d.]+ %) +([\d,]+) +\d:\d\d(  best)?$", out, re.M)
    assert [epoch[0] for epoch in epochs] == ["1", "2"]
    assert epochs[0][5] == "  best"
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{float(row['train_loss']):.4f}" for row in rows] == [epoch[1] for epoch in epochs]
    right = re.fullmatch(r"test accuracy (\d+\.\d) % \((\d+) of 40\)", out.splitlines()[-1])
    assert right is not None
    assert float(right[1]) == pytest.approx(100 * int(right[2]) / 40, abs=0.05)


def test_the_run_folder_holds_what_it_should(finished):
    folder = finished[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-lenet5-digits", folder.name)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.csv", "report.md",
        "checkpoint-best.safetensors", "checkpoint-last.safetensors", "checkpoint-previous.safetensors",
        "curves.png", "confusion.png", "mistakes.png", "filters.png", "samples",
    }  # fmt: skip
    assert all((folder / "samples" / f"{digit}.png").is_file() for digit in range(10))


def test_the_printed_commands_work(finished, capsys, monkeypatch, tmp_path):
    here, _, out = finished
    shutil.copytree(here, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "run", partial(train.run, limit=LIMIT))
    assert main(words_after("predict", out)) == 0
    assert len(re.findall(r"(\d) +([\d.]+) %", capsys.readouterr().out.split(".png")[1])) == 3
    assert main(words_after("resume", out)) == 0
    assert "goes on     after epoch 2 of 3" in capsys.readouterr().out
    (metrics,) = tmp_path.glob("*/*/metrics.csv")
    assert len(metrics.read_text().splitlines()) == 1 + 3


def test_predict_reads_what_it_can_and_names_what_it_cannot(finished, capsys, tmp_path):
    folder = finished[1]
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes((folder / "samples" / "3.png").read_bytes()[:50])
    good = [folder / "samples" / "3.png", folder / "samples" / "5.png"]
    assert main(["predict", str(folder), *map(str, [good[0], broken, missing, good[1]])]) == 1
    captured = capsys.readouterr()
    assert [line.split(".png")[0] + ".png" for line in captured.out.splitlines()] == [str(path) for path in good]
    assert len(captured.err.splitlines()) == 2
    assert "broken.png: cannot be read" in captured.err
    assert "missing.png: No such file" in captured.err


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(finished, small):
    assert main(["train", "--epochs", "2", "--seed", "1"]) == 0
    (folder,) = (small / "runs").iterdir()
    for name in (
        "checkpoint-best.safetensors",
        "curves.png",
        "confusion.png",
        "mistakes.png",
        "filters.png",
        "samples/3.png",
    ):
        assert (folder / name).read_bytes() == (finished[1] / name).read_bytes(), name


@pytest.mark.parametrize("missing", [["matplotlib", "PIL", "rich"], ["matplotlib"], ["PIL"]])
def test_without_the_extra_one_line_says_what_is_skipped(tmp_path, missing):
    hide = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))"
    process = child("train", "--epochs", "1", before=hide, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert len(re.findall(r"pip install 'atrous\[train\]'", out)) == 1
    assert out.splitlines()[-1].startswith("test accuracy")
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "checkpoint-best.safetensors").exists()


def test_predict_without_pillow_names_the_extra(tmp_path):
    process = child("predict", "x", "y.png", before="import sys; sys.modules['PIL'] = None", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "pip install 'atrous[train]'" in err
    assert err.count("\n") == 1


# -- stops ------------------------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path, monkeypatch, capsys):
    process = child("train", "--epochs", "100000", cwd=tmp_path)
    lines = []
    while not any(line.strip().startswith("2/100000") for line in lines):
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("\n") == 1
    saved = int(re.search(r"interrupted; saved up to epoch (\d+)", err)[1])
    assert saved >= 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "run", partial(train.run, limit=LIMIT))
    words = shlex.split(err.split("go on with: ")[1])
    assert main([*words[words.index("train") :], "--epochs", str(saved + 1)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    process = child("train", "--epochs", "100000", cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_terminal_that_knows_only_ascii_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = child("train", "--epochs", "1", before=NO_PICTURES, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "32?32" in out


def test_a_terminal_gets_a_live_display(tmp_path):
    pty = pytest.importorskip("pty")
    pytest.importorskip("rich")
    ours, theirs = pty.openpty()
    process = child("train", "--epochs", "2", before=NO_PICTURES, cwd=tmp_path, stdout=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        shown += block
        if not block:
            break
    os.close(ours)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    process.stderr.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    assert re.search(r"epoch [12]/2 .*loss \d\.\d{3}", text)
    assert re.search(r"^ +2/2 +\d\.\d{4}", text, re.M)
    assert text.rstrip().splitlines()[-1].startswith("test accuracy")


# -- info and bench ---------------------------------------------------------------------------------------------------


def test_info_names_version_level_threads_and_memory(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert at.__version__ in out
    for name in ("python", "numpy", "backend", "cuda", "memory"):
        assert re.search(rf"^ *{name} +\S", out, re.M)


def test_bench_runs_what_it_finds_and_reports_failures(tmp_path, monkeypatch, capfd):
    (tmp_path / "python" / "atrous").mkdir(parents=True)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "bench_good.py").write_text("import sys; print('ran', sys.argv[1:])")
    (tmp_path / "benchmarks" / "bench_poor.py").write_text("raise SystemExit(1)")
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert main(["bench", "good", "--quick"]) == 0
    assert "ran ['--quick']" in capfd.readouterr().out
    assert main(["bench"]) == 1
    assert capfd.readouterr().err == "atrous bench: failed: poor\n"
    assert main(["bench", "god"]) == 2
    assert "no benchmark 'god'; did you mean 'good'?" in capfd.readouterr().err
