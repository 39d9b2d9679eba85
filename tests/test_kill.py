"""A real training process is killed at random moments, again and again; the final bits are those of one left alone."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import atrous as at
from atrous.training.checkpoint import load_checkpoint
from atrous.training.saving import TIMES

KILLS = 50
EPOCHS = 400
SCRIPT = """
import sys
import atrous as at
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits, prepare_digits
from atrous.training import Callback, Trainer
from atrous.training.augment import AugmentedBatch, RandomShift

images, labels = digits()
x, y = at.from_numpy(prepare_digits(images[:96], 16)), at.from_numpy(labels[:96])
at.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(), nn.Linear(196, 10)
)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
train = DataLoader(
    TensorDataset(x[:80], y[:80]), 16, shuffle=True, num_workers=1, collate_fn=AugmentedBatch(RandomShift(1))
)
validation = DataLoader(TensorDataset(x[80:], y[80:]), 16)


class Begin(Callback):
    def on_fit_begin(self, trainer, epochs, batches):
        print("begin", flush=True)


trainer = Trainer(
    model, optimizer, nn.CrossEntropyLoss(), scheduler=scheduler, callbacks=[Begin()], folder=sys.argv[1],
    save_every=float(sys.argv[2]),
)
trainer.fit(train, validation, int(sys.argv[3]), resume=True, progress=False)
"""


def start(folder, save_every):
    environment = {**os.environ, "PYTHONPATH": str(Path(at.__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(save_every), str(EPOCHS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process):
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error


def bits(folder):
    """All of the last checkpoint but its times, and the file of the best weights."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items() if key not in TIMES}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return value.numpy().tobytes() if hasattr(value, "numpy") else value

    best = (folder / "checkpoint-best.safetensors").read_bytes()
    return plain(load_checkpoint(folder / "checkpoint-last.safetensors")), hashlib.sha256(best).hexdigest()


@pytest.mark.slow
def test_killed_fifty_times_it_ends_with_the_bits_of_one_left_alone(tmp_path):
    finish(start(tmp_path / "whole", save_every=600))
    expected = bits(tmp_path / "whole")
    moments = (0.2 * at.Generator(0).uniform((KILLS,))).tolist()
    positions = set()
    for moment in moments:
        process = start(tmp_path / "killed", save_every=0)  # a checkpoint after each step: many a kill hits a write
        assert process.stdout.readline() == "begin\n", process.communicate()[1]
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was done before the kill: give it more epochs"
        for name in ("last", "previous"):
            if (tmp_path / "killed" / f"checkpoint-{name}.safetensors").exists():
                state = load_checkpoint(tmp_path / "killed" / f"checkpoint-{name}.safetensors")  # never a torn one
                positions.add((len(state["history"]), state["part"]["batches"]))
    assert len({batch for _, batch in positions}) > 2, positions  # in the middle of epochs, too
    finish(start(tmp_path / "killed", save_every=600))
    assert bits(tmp_path / "killed") == expected
