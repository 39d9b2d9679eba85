"""What ``atrous train`` is made of: data by name or folder, the network that fits, the run on disk, and its use."""

import csv
import json
import os
import re
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous.backend import backend_name
from atrous.cli import main, train
from atrous.cli.predict import check_names
from atrous.training.diagnosis import NonFiniteLoss
from atrous.training.images import read_image, write_image
from atrous.training.progress import clock, in_words, percent
from atrous.training.run_folder import RunFolder, read_facts
from atrous.training.saving import TIMES
from atrous.training.session import Session, Settings
from atrous.training.sources import open_source

Image = pytest.importorskip("PIL.Image")
LIMIT = 40  # images a part


def make_folder(path, classes=("blue", "red"), each=12, size=(40, 30), seed=0):
    """A folder of JPEGs whose colour is their class."""
    colors = {"blue": (30, 40, 200), "red": (200, 40, 30), "green": (30, 180, 60)}
    generator = at.Generator(seed)
    for name in classes:
        (path / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            noise = generator.integers(-30, 30, (*size[::-1], 3))
            pixels = (np.array(colors[name]) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number}.jpg")
    return path


@pytest.fixture
def photos(tmp_path):
    return make_folder(tmp_path / "photos")


def start(tmp_path, limit=LIMIT, **settings):
    return Session.start(Settings(**settings), tmp_path / "runs", limit=limit)


def stopped(session, epochs):
    """Runs a session up to some epoch, as Ctrl-C would stop it there."""
    session.trainer.fit(session.train, session.validation, epochs, progress=False)
    return session


def run(session):
    return stopped(session, session.settings.epochs)


def resumed(session, **changes):
    at.manual_seed(99)  # another process knows nothing of this one's generators
    again = Session.resume(session.folder.path, changes, limit=LIMIT)
    again.trainer.fit(again.train, again.validation, again.settings.epochs, resume=True, progress=False)
    return again


def result(session):
    """What must not depend on stops, threads and workers: weights, optimizer state, numbers."""
    tensors = {name: value.numpy().tobytes() for name, value in at.load_file(session.folder.last).items()}
    with open(session.folder.metrics, newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    return session.folder.best.read_bytes(), tensors, rows


# -- data -------------------------------------------------------------------------------------------------------------


def test_the_digits_parts_are_disjoint_stratified_and_the_same_for_every_seed(tmp_path):
    sessions = [Session(Settings(seed=seed)) for seed in (0, 1)]
    parts = [[part.indices for part in session.parts().values()] for session in sessions]
    assert parts[0] == parts[1]
    assert [len(part) for part in parts[0]] == [1150, 287, 360]
    assert sorted(index for part in parts[0] for index in part) == list(range(1797))
    labels = sessions[0].test.dataset.dataset.tensors[1].numpy()
    for part in parts[0]:
        counts, everywhere = np.bincount(labels[part]), np.bincount(labels) * len(part) / 1797
        assert np.abs(counts - everywhere).max() < 1.5
    weights = [session.model.conv1.weight.detach().numpy() for session in sessions]
    assert not np.array_equal(*weights)


def test_a_folder_of_classes_is_cut_into_parts_that_share_no_image(photos):
    source = open_source(str(photos), "classification", 16)
    assert source.classes == ["blue", "red"]
    parts = [{part.dataset.samples[i][0] for i in part.indices} for part in source.parts]
    assert [len(part) for part in parts] == [16, 4, 4]
    assert len(set.union(*parts)) == 24
    image, label = source.parts[2][0]
    assert (image.shape, label) == ((3, 16, 16), 0)
    mean = np.array(source.preprocessing["mean"])[:, None, None]
    colour = (image.numpy() * np.array(source.preprocessing["std"])[:, None, None] + mean).mean((1, 2)) * 255
    np.testing.assert_allclose(colour, (30, 40, 200), atol=6)


@pytest.mark.parametrize(
    ("given", "lengths"),
    [
        (("train",), [16, 4, 4]),
        (("train", "val"), [22, 2, 8]),
        (("train", "test"), [22, 2, 8]),
        (("train", "val", "test"), [24, 8, 8]),
    ],
)
def test_parts_that_are_given_are_used(tmp_path, given, lengths):
    for part in given:
        make_folder(tmp_path / "photos" / part, each=12 if part == "train" else 4)
    source = open_source(str(tmp_path / "photos"), "classification", 16)
    assert [len(part) for part in source.parts] == lengths


def other_classes(path):
    make_folder(path / "train")
    make_folder(path / "val", ("blue", "green"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: make_folder(path, ("red",)),
            "holds the class 'red' alone; expected a folder for each of two or more",
        ),
        (lambda path: make_folder(path, each=2), "holds 4 images; too few to train, validate and test"),
        (other_classes, "val has the classes ['blue', 'green']; expected ['blue', 'red'] as in train"),
    ],
)
def test_folders_that_cannot_train_say_why(tmp_path, make, message):
    make(tmp_path / "photos")
    with pytest.raises(ValueError, match=re.escape(message)):
        open_source(str(tmp_path / "photos"), "classification", 16)


def test_corrupt_images_stop_the_training_or_are_left_out(tmp_path, photos):
    settings = {"data": str(photos), "size": 16, "epochs": 1}
    train = start(tmp_path, **settings).train.dataset
    broken = Path(train.dataset.samples[train.indices[5]][0])
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(at.datasets.CorruptImage, match=f"{broken.parent.name}/{broken.name}: cannot be read"):
        run(start(tmp_path, **settings))
    with pytest.warns(UserWarning, match=f"{broken.parent.name}/{broken.name}"):
        session = run(start(tmp_path, skip_corrupt=True, **settings))
    assert session.trainer.epoch == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "mnits"}, "there is no data set and no folder 'mnits'; did you mean 'mnist'?"),
        ({"data": "digits", "model": "unet"}, "digits has a class for each image, not for each pixel"),
        ({"model": "my_nets:pixels"}, "my_nets:pixels gives an output of shape (1, 2, 32, 32); expected (N, C)"),
        ({"model": "my_nets:nothing"}, "my_nets:nothing: the network has no parameters, nothing to train"),
        ({"model": "my_nets:pair"}, "my_nets:pair returned a tuple; expected a Tensor"),
        ({"model": "my_nets:typo"}, "my_nets:typo does not take images of 1×32×32: NameError: name 'undefined'"),
        ({"model": "my_nets:leaves"}, "my_nets:leaves raised SystemExit: bye"),
        ({"model": "lenet6"}, "did you mean 'lenet5'?"),
        (
            {"data": "shapes", "model": "lenet5", "size": 64},
            "lenet5 does not take images of 3×64×64: lenet5: x has",
        ),
        ({"model": "my_nets:ten"}, "my_nets:ten gives an output of shape (1, 7); expected (N, 10, ...)"),
        ({"model": "my_nets:crash"}, "raised ZeroDivisionError"),
        ({"model": "no_such_module:build"}, "no module 'no_such_module'"),
        ({"data": "mnist", "root": "nowhere"}, "download"),
    ],
)
def test_what_does_not_exist_or_fit_says_so(tmp_path, monkeypatch, settings, message):
    (tmp_path / "my_nets.py").write_text(
        "from atrous import nn\n"
        "def ten(): return nn.Sequential(nn.Flatten(), nn.Linear(1024, 7))\n"
        "def crash(num_classes): return 1 / 0\n"
        "def pixels(num_classes): return nn.Conv2d(1, num_classes, 1)\n"
        "def nothing(num_classes): return nn.Sequential(nn.AdaptiveAvgPool2d((1, num_classes)), nn.Flatten())\n"
        "class Odd(nn.Linear):\n"
        "    def forward(self, x): return (x, x) if self.bias is None else undefined\n"
        "def pair(): return Odd(2, 2, bias=False)\n"
        "def typo(): return Odd(2, 2)\n"
        "def leaves(): raise SystemExit('bye')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        start(tmp_path, **settings)
    assert not (tmp_path / "runs").exists()


def test_parts_have_several_names_and_nothing_beside_them(tmp_path):
    make_folder(tmp_path / "photos" / "Train")
    make_folder(tmp_path / "photos" / "validation", each=4)
    source = open_source(str(tmp_path / "photos"), "classification", 16)
    assert [len(part) for part in source.parts] == [22, 2, 8]
    make_folder(tmp_path / "photos" / "extra")
    with pytest.raises(ValueError, match="has extra beside Train; expected train, val and test alone"):
        open_source(str(tmp_path / "photos"), "classification", 16)


def test_train_may_be_a_class(tmp_path):
    make_folder(tmp_path / "vehicles", ("blue", "red"))
    (tmp_path / "vehicles" / "red").rename(tmp_path / "vehicles" / "train")
    assert open_source(str(tmp_path / "vehicles"), "classification", 16).classes == ["blue", "train"]


def test_images_are_changed_only_where_asked(tmp_path, photos):
    for augment in (True, False):
        source = open_source(str(photos), "classification", 16, augment=augment)
        first, second = (source.parts[0][0][0].numpy() for _ in range(2))
        assert np.array_equal(first, second) != augment
        assert source.augmented == augment
    assert open_source("digits", "classification", augment=False).augment is None


def test_the_masks_of_two_pictures_must_not_have_one_name(tmp_path):
    with pytest.raises(ValueError, match=r"the masks of a/x.png and b/x.jpg would both be x-mask.png"):
        check_names([Path("a/x.png"), Path("y.png"), Path("b/x.jpg")])


def test_a_sample_of_the_run_is_predicted_as_it_was_tested(tmp_path, photos):
    """The samples are cropped already; larger pictures are read as the validation images were."""
    source = open_source(str(photos), "classification", 16)
    index = source.parts[2].indices[0]
    image = source.parts[2][0][0].numpy()
    path = source.parts[2].dataset.samples[index][0]
    np.testing.assert_array_equal(read_image(Path(path), source.preprocessing)[0], image)
    mean, std = (np.array(source.preprocessing[name])[:, None, None] for name in ("mean", "std"))
    write_image(tmp_path / "sample.png", image * std + mean)
    again = read_image(tmp_path / "sample.png", source.preprocessing)[0]
    assert np.abs((again - image) * std).max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("name", ["$\\foo{$", "$5 to $10", "a|b", "two\nlines", "犬", "x" * 100, "-dash"])
def test_odd_class_names_have_their_report(command, tmp_path, name):
    make_folder(tmp_path / "photos", ("blue",), each=12)
    make_folder(tmp_path / "more", ("red",), each=12)
    (tmp_path / "more" / "red").rename(tmp_path / "photos" / name)
    command("train", "--data", "photos", "--epochs", 1, "--size", 16)
    (folder,) = (tmp_path / "runs").iterdir()
    table = re.findall(r"^\|.*\|$", (folder / "report.md").read_text(encoding="utf-8"), re.M)
    assert len(table) == 4
    assert len(list((folder / "samples").iterdir())) == 2


def test_a_network_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(
        "from atrous import nn\n"
        "def classes(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(4, num_classes))\n"
        "def pixels(num_classes, in_channels):\n"
        "    return nn.Conv2d(in_channels, num_classes, 3, padding=1)\n"
    )
    monkeypatch.chdir(tmp_path)
    session = run(start(tmp_path, data="shapes", model="own_nets:classes", epochs=1, size=32))
    assert (session.source.task, len(session.source.classes)) == ("classification", 5)
    session = run(start(tmp_path, data="shapes", model="own_nets:pixels", epochs=1, size=32))
    assert (session.source.task, session.source.classes[0]) == ("segmentation", "background")
    assert "validation_iou" in session.trainer.history[0]


def write_mnist(root, N=40, seed=0):
    """Noise in MNIST's format, a bright bar at a place of its own for each class."""
    root.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "t10k")):
        labels = (np.arange(N) % 10).astype(np.uint8)
        images = at.Generator(seed).integers(0, 60, (N, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 + 2 * label : 5 + 2 * label, 4:24] = 255
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
            (root / f"{part}-{kind}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("size", [None, 20])
def test_mnist_is_padded_to_32_or_scaled(tmp_path, monkeypatch, name, size):
    monkeypatch.setattr(at.datasets.MNIST, "counts", (40, 40))
    write_mnist(tmp_path / "data" / ("MNIST" if name == "mnist" else "FashionMNIST"))
    source = open_source(name, "classification", size, root=str(tmp_path / "data"))
    assert [len(part) for part in source.parts] == [36, 4, 40]
    image, label = source.parts[2][3]
    side = size or 32
    assert (image.shape, label) == ((1, side, side), 3)
    pixels = image.numpy()[0] * source.preprocessing["std"][0] + source.preprocessing["mean"][0]
    if size is None:
        assert pixels[:2].max() == pytest.approx(0, abs=1e-6)  # the border is black
        assert pixels[10:13, 6:26].min() == pytest.approx(1, abs=1e-5)
    assert pixels.min() + 1e-6 >= 0
    assert pixels.max() <= 1 + 1e-6


def test_mnist_trains_on_lenet(tmp_path, monkeypatch):
    monkeypatch.setattr(at.datasets.MNIST, "counts", (40, 40))
    write_mnist(tmp_path / "data")
    session = run(start(tmp_path, data="mnist", root=str(tmp_path / "data"), epochs=2))
    assert (session.settings.model, session.settings.schedule, len(session.trainer.history)) == ("lenet5", "cosine", 2)


def test_cifar_is_normalised_by_channel(tmp_path, monkeypatch):
    for name in ("train_records", "test_records"):
        monkeypatch.setattr(at.datasets.CIFAR10, name, 20)
    records = np.zeros((20, 1 + 3 * 1024), np.uint8)
    records[:, 0] = np.arange(20) % 10
    records[:, 1:1025] = 255  # red
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (tmp_path / "data" / "cifar-10-batches-bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "cifar-10-batches-bin" / name).write_bytes(records.tobytes())
    source = open_source("cifar10", "classification", root=str(tmp_path / "data"))
    assert [len(part) for part in source.parts] == [90, 10, 20]
    image, label = source.parts[0][0]
    expected = (np.array([1.0, 0, 0]) - source.preprocessing["mean"]) / source.preprocessing["std"]
    np.testing.assert_allclose(image.numpy()[:, 5, 5], expected, rtol=1e-5)
    assert image.shape == (3, 32, 32)
    assert source.classes[label] in ("airplane", "automobile")


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("adamw", 1e-3), ("sgd", 2e-2)])
def test_each_optimizer_has_its_rate(tmp_path, optimizer, lr):
    session = start(tmp_path, optimizer=optimizer)
    assert session.settings.lr == session.trainer.optimizer.param_groups[0]["lr"] == lr
    assert start(tmp_path, optimizer=optimizer, lr=0.5).settings.lr == 0.5


def test_a_cosine_schedule_ends_at_zero(tmp_path):
    session = run(start(tmp_path, schedule="cosine", epochs=4, accumulate=2, early_stopping=9, clip_grad_norm=1.0))
    rates = [row["lr"] for row in session.trainer.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < 1e-3
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_config_says_all_that_decides(tmp_path):
    session = start(tmp_path, epochs=1)
    config = session.folder.read_config()
    assert config["settings"]["data"] == "digits"
    assert Settings(**config["settings"]) == session.settings
    assert config["model"] == {"name": "lenet5", "parameters": 61706, "multiply_adds": 416520}
    assert config["data"] == {
        "title": "handwritten digits", "train": 40, "validation": 40, "test": 40, "files": "",
    }  # fmt: skip


def test_a_last_batch_of_one_image_is_left_out(tmp_path):
    for batch_size, lengths in ((13, 3), (20, 2), (64, 1)):
        assert len(start(tmp_path, batch_size=batch_size, epochs=1).train) == lengths  # 40 images, 13 · 3 + 1


# -- the run folder ---------------------------------------------------------------------------------------------------


def test_a_run_folder_is_never_overwritten(tmp_path):
    names = [RunFolder.create(tmp_path, "job").path.name for _ in range(3)]
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-3"]


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path):
    begin, made = threading.Barrier(8), []

    def create():
        begin.wait()
        made.append(RunFolder.create(tmp_path, "job").path)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path, "job")
    folder.write_config({"a": 1})

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.write_config({"a": 2})
    assert folder.read_config() == {"a": 1}
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"optimizer": "sgd", "schedule": "cosine", "workers": 2}])
def test_a_resumed_run_gives_the_bits_of_one_that_never_stopped(tmp_path, settings):
    whole = run(start(tmp_path, epochs=4, batch_size=16, seed=3, **settings))
    again = resumed(stopped(start(tmp_path, epochs=4, batch_size=16, seed=3, **settings), 2))
    assert len(result(whole)[2]) == 4
    assert result(again) == result(whole)


def test_bits_depend_neither_on_threads_nor_on_workers(tmp_path, photos):
    before, results = at.get_num_threads(), []
    settings = {"data": str(photos), "size": 16, "epochs": 2, "batch_size": 4}
    try:
        for n in (1, 2, 3) if backend_name() == "cpu" else (1,):
            at.set_num_threads(n)
            results.append(result(run(start(tmp_path, workers=n - 1, **settings))))
    finally:
        at.set_num_threads(before)
    assert all(other == results[0] for other in results)


def test_a_longer_run_goes_on_alike(tmp_path):
    whole = run(start(tmp_path, epochs=3))
    two = run(start(tmp_path, epochs=2))
    three = resumed(two, epochs=3)
    assert result(three) == result(whole)
    assert three.folder.read_config()["settings"]["epochs"] == 3


def test_other_data_under_the_same_name_are_refused(tmp_path, photos):
    session = run(start(tmp_path, data=str(photos), size=16, epochs=1))
    (photos / "blue" / "3.jpg").rename(photos / "blue" / "other.jpg")
    with pytest.raises(
        ValueError, match="photos is not what it was when the run began: other files, classes or numbers"
    ):
        Session.resume(session.folder.path, {"epochs": 2}, limit=LIMIT)


def test_a_run_cannot_be_made_shorter_and_stays_as_it_was(tmp_path):
    session = run(start(tmp_path, epochs=2))
    with pytest.raises(ValueError, match="has 2 epochs done; --epochs 1 would be fewer"):
        Session.resume(session.folder.path, {"epochs": 1}, limit=LIMIT)
    assert resumed(session).trainer.epoch == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", "fast", "lr is 'fast'; expected float | None"),
        ("epochs", -3, "epochs is -3; expected int | None"),
        ("optimizer", "adm", "optimizer is 'adm'; expected one of adam, adamw, sgd"),
        ("workers", 1.5, "workers is 1.5; expected int | None"),
        ("data", None, "data is None; expected str"),
    ],
)
def test_settings_changed_by_hand_are_checked(tmp_path, name, value, message):
    folder = run(start(tmp_path, epochs=1, limit=4)).folder
    config = folder.read_config()
    config["settings"][name] = value
    folder.write_config(config)
    with pytest.raises(ValueError, match=re.escape(f"no settings that this version understands: {message}")):
        Session.resume(folder.path)


def test_a_loss_that_is_no_number_names_the_file(tmp_path, photos):
    session = start(tmp_path, data=str(photos), size=16, epochs=1)
    path = session.train.dataset.dataset.samples[session.train.dataset.indices[3]][0]
    assert str(session.in_words(NonFiniteLoss("the loss became nan", None, [3]))) == f"the loss became nan: {path}"
    assert str(session.in_words(NonFiniteLoss("the loss became nan"))) == "the loss became nan"


def test_an_error_in_ones_own_network_is_one_line(command, tmp_path, capsys):
    (tmp_path / "late_error.py").write_text(
        "from atrous import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(1024, 10)\n"
        "    def forward(self, x):\n"
        "        if self.training: return {}['nothing']\n"
        "        return self.head(x.flatten(1))\n"
    )
    assert main(["train", "--model", "late_error:Net"]) == 1
    assert capsys.readouterr().err == "atrous train: late_error:Net: KeyError: 'nothing' (late_error.py, line 7)\n"


def test_a_finished_run_has_nothing_left(tmp_path):
    session = run(start(tmp_path, epochs=2))
    files = result(session)
    assert result(resumed(session)) == files


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f.last.unlink(), f.previous.unlink(missing_ok=True)), FileNotFoundError, "has no checkpoint-last"),
        (lambda f: f.config.write_text('{"settings": {"epo'), ValueError, "config.json is damaged"),
        (lambda f: f.config.write_text("[1]"), ValueError, "it holds no table of settings"),
        (lambda f: f.config.write_text('{"settings": {"colour": 1}}'), ValueError, "no settings that this version"),
        (lambda f: f.config.unlink(), FileNotFoundError, "it has no config.json"),
    ],
)
def test_a_damaged_run_says_what_is_wrong(tmp_path, damage, error, message):
    folder = run(start(tmp_path, epochs=1, limit=4)).folder
    damage(folder)
    with pytest.raises(error, match=message):
        Session.resume(folder.path, limit=4)


# -- predict, export, report ------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs a command line in an empty folder, on a few images; returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "run", partial(train.run, limit=LIMIT))

    def call(*words, code=0):
        assert main(list(map(str, words))) == code
        return capsys.readouterr().out

    return call


def test_a_folder_of_images_becomes_a_model_and_a_prediction_in_two_commands(command, tmp_path):
    make_folder(tmp_path / "photos", ("blue", "green", "red"), each=20)
    out = command("train", "--data", "photos", "--epochs", 6, "--size", 16)
    accuracy = re.search(r"test accuracy (\d+\.\d) % \(\d+ of 12\)", out.splitlines()[-1])
    assert float(accuracy[1]) > 80
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-resnet8-photos")
    Image.new("RGB", (90, 50), (200, 45, 30)).save(tmp_path / "x.png")
    assert re.match(r"x\.png  red +\d+\.\d %   ", command("predict", folder, "x.png"))


def test_a_segmentation_predicts_masks_and_has_its_report(command, tmp_path):
    out = command("train", "--data", "shapes", "--epochs", 1, "--size", 32, "--batch-size", 8)
    assert re.fullmatch(r"test mean IoU \d+\.\d % \(pixel accuracy \d+\.\d %, 40 images\)", out.splitlines()[-1])
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} >= {
        "curves.png",
        "masks.png",
        "confusion.png",
        "filters.png",
        "report.md",
    }
    Image.new("RGB", (50, 70), "navy").save(tmp_path / "x.png")
    out = command("predict", folder, "x.png", "--out", "masks")
    assert out.startswith("x.png  masks/x-mask.png  ")
    shares = [float(share) for share in re.findall(r"(\d+\.\d) %", out)]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    with Image.open(tmp_path / "masks" / "x-mask.png") as picture:
        assert (picture.size, picture.mode) == ((50, 70), "P")


def test_the_report_links_to_what_is_there_and_names_the_commands(command, tmp_path):
    command("train", "--epochs", 2, "--seed", 5)
    (folder,) = (tmp_path / "runs").iterdir()
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# lenet5 on handwritten digits\n\n**test accuracy ")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 4
    assert all((folder / link).is_file() for link in links)
    assert "train --epochs=2 --seed=5  # made it" in text
    assert len(re.findall(r"^\| \d \| \d+ \|", text, re.M)) == 10


@pytest.mark.parametrize(
    "name", [pytest.param("w.safetensors", marks=pytest.mark.slow), "w.npz", pytest.param(None, marks=pytest.mark.slow)]
)
def test_export_writes_the_best_weights(command, tmp_path, name):
    command("train", "--epochs", 1)
    (folder,) = (tmp_path / "runs").iterdir()
    out = command("export", folder, *(["--out", name] if name else []))
    assert "10 tensors, 61,706 numbers" in out
    best = {key: value.numpy() for key, value in at.load_file(folder / "checkpoint-best.safetensors").items()}
    path = tmp_path / name if name else folder / "model.safetensors"
    if path.suffix == ".npz":
        with np.load(path) as file:
            found = dict(file)
    else:
        found = {key: value.numpy() for key, value in at.load_file(path).items()}
        assert json.loads(at.load_metadata(path)["atrous"])["classes"] == list("0123456789")
    assert found.keys() == best.keys()
    assert all(np.array_equal(found[key], best[key]) and found[key].flags.c_contiguous for key in best)


def test_export_refuses_other_endings(command, tmp_path, capsys):
    assert main(["export", ".", "--out", "w.pth"]) == 2
    assert "--out w.pth ends in '.pth'; expected .safetensors or .npz" in capsys.readouterr().err


def test_weights_without_facts_cannot_predict(tmp_path):
    at.save_file({"x": at.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="was not written by a training run"):
        read_facts(tmp_path / "x.safetensors")
    at.save_file({"x": at.ones(1)}, tmp_path / "x.safetensors", {"atrous": "{}"})
    with pytest.raises(ValueError, match="it lacks model or task or classes or preprocessing"):
        read_facts(tmp_path / "x.safetensors")


# -- words ------------------------------------------------------------------------------------------------------------


def test_shares_and_times_in_words():
    assert [percent(share) for share in (0, 355 / 360, 0.9999, 1)] == ["0.0 %", "98.6 %", "99.9 %", "100.0 %"]
    assert [clock(seconds) for seconds in (0, 7.4, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]
    assert [in_words(name, 0.5) for name in ("train_loss", "validation_iou")] == ["0.5000", "50.0 %"]
