"""The training loop, what it keeps on disk, and going on after a stop."""

import csv
import hashlib
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import nn, optim
from atrous.backend import backend_name
from atrous.data import DataLoader, TensorDataset
from atrous.nn.functional import cross_entropy
from atrous.serialization import load_file, save_file
from atrous.training import run_folder
from atrous.training.augment import RandomShift
from atrous.training.lenet5_digits import Settings, build
from atrous.training.loop import NonFiniteLoss, evaluate, fit, train_epoch
from atrous.training.progress import clock, percent
from atrous.training.run_folder import RunFolder, read_facts
from atrous.training.session import Session

LIMIT = 40  # images a part


# -- the loop ---------------------------------------------------------------------------------------------------------


def two_clouds(N=64, seed=0):
    """Points around (−1, −1) and (1, 1), as a loader of batches of 16."""
    generator = at.Generator(seed)
    labels = np.arange(N) % 2
    points = (2.0 * labels[:, None] - 1 + 0.3 * generator.normal((N, 2))).astype(np.float32)
    dataset = TensorDataset(at.from_numpy(points), at.from_numpy(labels))
    return DataLoader(dataset, 16, shuffle=True, generator=at.Generator(seed, stream=1))


def test_fit_learns_and_says_what_it_measured():
    at.manual_seed(0)
    model, loader = nn.Linear(2, 2), two_clouds()
    seen = []
    epochs = list(
        fit(
            model, optim.SGD(model.parameters(), lr=0.5), cross_entropy, loader, loader, 5,
            on_batch=lambda number, loss: seen.append(number),
        )
    )  # fmt: skip
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5]
    assert seen == [1, 2, 3, 4] * 5
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert epochs[-1].validation_accuracy == 1.0
    assert all(epoch.images == 64 and epoch.seconds > 0 for epoch in epochs)


def test_fit_counts_on_from_start():
    model, loader = nn.Linear(2, 2), two_clouds()
    epochs = fit(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy, loader, loader, 5, start=3)
    assert [epoch.epoch for epoch in epochs] == [4, 5]


def test_train_loss_is_the_mean_over_images_not_over_batches():
    model = nn.Linear(1, 2)
    with at.no_grad():
        model.weight.copy_(at.tensor([[0.0], [1.0]]))
        model.bias.copy_(at.zeros(2))
    x, labels = at.tensor([[0.0], [0.0], [3.0]]), at.tensor([0, 0, 0])
    loader = DataLoader(TensorDataset(x, labels), 2)  # batches of 2 and 1
    loss, images = train_epoch(model, optim.SGD(model.parameters(), lr=1e-9), cross_entropy, loader)
    expected = (2 * np.log(2) + np.log(1 + np.exp(3))) / 3
    assert images == 3
    assert loss == pytest.approx(expected, rel=1e-6)


def test_evaluate_by_hand_and_leaves_the_mode():
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity())
    x = at.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])  # logits, if dropout is off
    labels = at.tensor([0, 1, 0])
    model.train()
    seen = evaluate(model, cross_entropy, DataLoader(TensorDataset(x, labels), 2))
    right, wrong = np.log(1 + np.exp(-2)), np.log(1 + np.exp(2))
    assert seen.loss == pytest.approx((2 * right + wrong) / 3, rel=1e-6)
    assert seen.accuracy == pytest.approx(2 / 3)
    assert seen.logits.tolist() == x.tolist()
    assert model.training
    assert not seen.logits.requires_grad


def test_evaluate_refuses_an_empty_set():
    with pytest.raises(ValueError, match="there are no batches"):
        evaluate(nn.Identity(), cross_entropy, [])


def test_a_non_finite_loss_names_epoch_and_batch_and_takes_no_step():
    model = nn.Linear(2, 2)
    good, bad = (at.ones(1, 2), at.tensor([0])), (at.tensor([[float("nan"), 0.0]]), at.tensor([0]))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    train_epoch(model, optimizer, cross_entropy, [good])
    before = model.weight.tolist()
    with pytest.raises(NonFiniteLoss, match=r"the loss became nan in epoch 7, batch 1;"):
        train_epoch(model, optimizer, cross_entropy, [bad, good], epoch=7)
    assert model.weight.tolist() == before


def test_a_non_finite_validation_loss_stops_too():
    model, good = nn.Linear(2, 2), [(at.ones(1, 2), at.tensor([0]))]
    bad = [(at.tensor([[float("nan"), 0.0]]), at.tensor([0]))]
    with pytest.raises(NonFiniteLoss, match="the validation loss became nan after epoch 1"):
        list(fit(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy, good, bad, 1))


def test_shifts_are_windows_of_the_padded_image():
    images = np.arange(1, 1 + 200 * 2 * 3 * 4, dtype=np.float32).reshape(200, 2, 3, 4)
    moved = RandomShift(1, at.Generator(0), fill=-5.0)(at.from_numpy(images)).numpy()
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-5)
    seen = set()
    for n in range(200):
        windows = {(i, j): padded[n, :, i : i + 3, j : j + 4] for i in range(3) for j in range(3)}
        (where,) = [key for key, window in windows.items() if (window == moved[n]).all()]
        seen.add(where)
    assert len(seen) == 9  # every move happens


# -- the job ----------------------------------------------------------------------------------------------------------


def test_the_parts_are_disjoint_stratified_and_the_same_for_every_seed():
    jobs = [build(Settings(seed=seed)) for seed in (0, 1)]
    parts = [[job.train.dataset.indices, job.validation.dataset.indices, job.test.dataset.indices] for job in jobs]
    assert parts[0] == parts[1]
    assert [len(part) for part in parts[0]] == [1150, 287, 360]
    assert sorted(index for part in parts[0] for index in part) == list(range(1797))
    labels = jobs[0].test.dataset.dataset.tensors[1].numpy()
    for part in parts[0]:
        counts, everywhere = np.bincount(labels[part]), np.bincount(labels) * len(part) / 1797
        assert np.abs(counts - everywhere).max() < 1.5
    weights = [job.model.conv1.weight.detach().numpy() for job in jobs]
    assert not np.array_equal(*weights)


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("adamw", 1e-3), ("sgd", 2e-2)])
def test_each_optimizer_has_its_rate(optimizer, lr):
    job = build(Settings(optimizer=optimizer), limit=8)
    assert job.settings.lr == lr
    assert job.optimizer.param_groups[0]["lr"] == lr
    assert build(Settings(optimizer=optimizer, lr=0.5), limit=8).settings.lr == 0.5


# -- the run folder ---------------------------------------------------------------------------------------------------


def test_a_run_folder_is_never_overwritten(tmp_path):
    names = [RunFolder.create(tmp_path, "job").path.name for _ in range(3)]
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-3"]


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path):
    start, made = threading.Barrier(8), []

    def create():
        start.wait()
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

    monkeypatch.setattr(run_folder.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.write_config({"a": 2})
    assert folder.read_config() == {"a": 1}
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]


def test_the_model_file_names_classes_and_preprocessing(tmp_path):
    session = run(Session.start(Settings(epochs=1), tmp_path, LIMIT))
    facts = read_facts(session.folder.model)
    assert facts["classes"] == list("0123456789")
    assert facts["preprocessing"] == session.job.preprocessing
    assert facts["epoch"] == 1
    config = session.folder.read_config()
    assert config["settings"] == {"epochs": 1, "batch_size": 32, "optimizer": "adam", "lr": 1e-3, "seed": 0}
    assert config["model"] == {"name": "lenet5", "parameters": 61706, "multiply_adds": 416520}


# -- going on ---------------------------------------------------------------------------------------------------------


def run(session, epochs=None):
    """Runs a session to its end, or stops it after some epochs as Ctrl-C does."""
    for epoch, _ in session.run():
        if epoch.epoch == epochs:
            break
    return session


def result(session):
    """What must not depend on stops: files, weights, optimizer state, losses."""
    digest = hashlib.sha256(session.folder.model.read_bytes()).hexdigest()
    tensors = {name: value.tolist() for name, value in load_file(session.folder.checkpoint).items()}
    with open(session.folder.metrics, newline="") as file:
        rows = [
            (r["epoch"], r["train_loss"], r["validation_loss"], r["validation_accuracy"]) for r in csv.DictReader(file)
        ]
    return digest, tensors, rows, session.test().logits.tolist()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_resumed_run_gives_the_bits_of_one_that_never_stopped(tmp_path, optimizer):
    settings = Settings(epochs=4, batch_size=16, optimizer=optimizer, seed=3)
    whole = run(Session.start(settings, tmp_path, LIMIT))
    stopped = run(Session.start(settings, tmp_path, LIMIT), epochs=2)
    at.manual_seed(99)  # another process knows nothing of this one's generators
    resumed = run(Session.resume(stopped.folder.path, limit=LIMIT))
    assert len(result(whole)[2]) == 4
    assert result(resumed) == result(whole)


def test_the_bits_do_not_depend_on_the_threads(tmp_path):
    if backend_name() != "cpu":
        pytest.skip("the reference has no threads")
    before, results = at.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            at.set_num_threads(n)
            results.append(result(run(Session.start(Settings(epochs=2), tmp_path, LIMIT))))
    finally:
        at.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_a_run_before_its_first_epoch_and_a_longer_one_go_on_alike(tmp_path):
    whole = run(Session.start(Settings(epochs=3), tmp_path, LIMIT))
    fresh = Session.start(Settings(epochs=2), tmp_path, LIMIT)
    two = run(Session.resume(fresh.folder.path, limit=LIMIT))
    three = run(Session.resume(two.folder.path, epochs=3, limit=LIMIT))
    assert result(three) == result(whole)
    assert three.folder.read_config()["settings"]["epochs"] == 3


def test_rows_written_after_the_checkpoint_are_written_again(tmp_path):
    session = run(Session.start(Settings(epochs=3), tmp_path, LIMIT), epochs=1)
    session.folder.append_metrics({"epoch": 2, "train_loss": 0, "validation_loss": 0, "validation_accuracy": 0})
    resumed = run(Session.resume(session.folder.path, limit=LIMIT))
    assert [row[0] for row in result(resumed)[2]] == ["1", "2", "3"]


def test_a_finished_run_has_nothing_left_and_keeps_its_best(tmp_path):
    session = run(Session.start(Settings(epochs=2), tmp_path, LIMIT))
    again = Session.resume(session.folder.path, limit=LIMIT)
    assert list(again.run()) == []
    assert result(again) == result(session)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    settings = Settings(epochs=3)
    whole = run(Session.start(settings, tmp_path, LIMIT))
    session = Session.start(settings, tmp_path, LIMIT)
    epochs = session.run()
    next(epochs)

    def full_disk(*names):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full_disk)
        with pytest.raises(OSError, match="No space left"):
            list(epochs)
    assert session.saved == 1
    assert result(run(Session.resume(session.folder.path, limit=LIMIT))) == result(whole)


def truncate(folder):
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])


def replace_by_weights(folder):
    save_file({"x": at.ones(1)}, folder.checkpoint)


def remove_checkpoint(folder):
    folder.checkpoint.unlink()


def break_config(folder):
    folder.config.write_text('{"settings": {"epo')


def unknown_setting(folder):
    folder.config.write_text(json.dumps({"settings": {"colour": 1}}))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (truncate, ValueError, "cannot be read as safetensors"),
        (replace_by_weights, ValueError, "is no checkpoint of atrous"),
        (remove_checkpoint, FileNotFoundError, "it has no checkpoint.safetensors"),
        (break_config, ValueError, "config.json is damaged"),
        (unknown_setting, ValueError, "no settings that this version understands"),
    ],
)
def test_a_damaged_run_says_what_is_wrong(tmp_path, damage, error, message):
    folder = Session.start(Settings(epochs=1), tmp_path, 4).folder
    damage(folder)
    with pytest.raises(error, match=message):
        Session.resume(folder.path, limit=4)


def test_a_run_cannot_be_made_shorter(tmp_path):
    session = run(Session.start(Settings(epochs=2), tmp_path, 4))
    with pytest.raises(ValueError, match="has 2 epochs done; --epochs 1 would be fewer"):
        Session.resume(session.folder.path, epochs=1, limit=4)


# -- words ------------------------------------------------------------------------------------------------------------


def test_shares_and_times_in_words():
    assert [percent(share) for share in (0, 355 / 360, 0.9999, 1)] == ["0.0 %", "98.6 %", "99.9 %", "100.0 %"]
    assert [clock(seconds) for seconds in (0, 7.4, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]


def test_the_example_learns(capsys):
    source = (Path(__file__).parents[1] / "examples" / "train_digits.py").read_text(encoding="utf-8")
    assert "range(1, 11)" in source
    exec(compile(source.replace("range(1, 11)", "range(1, 2)"), "train_digits.py", "exec"), {})
    accuracy = re.search(r"test accuracy (\d+\.\d) % \(\d+ of 360\)", capsys.readouterr().out)
    assert float(accuracy[1]) > 50
