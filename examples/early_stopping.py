"""Early stopping: the training goes on improving, the network does not. Run it: python examples/early_stopping.py"""

# %%
# A network learns what all examples share first and the quirks of single ones later. The loss on images held back
# falls, reaches its lowest, and rises again; the training loss falls all the way. So watch the images held back,
# keep the best weights, and stop when `patience` epochs brought nothing better (Prechelt 1998, "Early stopping –
# but when?").
import matplotlib.pyplot as plt

import atrous as at
import lesson
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.datasets import digits
from atrous.nn import functional as F
from atrous.training import EarlyStopping, Trainer

# %%
# 300 digits to learn, one label in ten wrong, so that there are quirks to learn by heart; 500 to watch; the rest, which
# decided nothing, to judge by.
at.manual_seed(0)
images, labels = digits()
x, y = at.from_numpy(images.reshape(-1, 64).astype("float32") / 16), at.from_numpy(labels)
train, watched, judged = at.randperm(len(x)).split([300, 500, len(x) - 800])
noisy = at.where(at.rand(300) < 0.1, at.randint(0, 10, (300,)), y[train])
EPOCHS, PATIENCE = lesson.full_or_fast(80, 2), 5


def fit(*callbacks):
    """The trainer after at most 80 epochs."""
    at.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=3e-3), F.cross_entropy, callbacks=callbacks)
    loader = DataLoader(TensorDataset(x[train], noisy), 32, shuffle=True)
    trainer.fit(loader, [(x[watched], y[watched])], epochs=EPOCHS, progress=False)
    return trainer


def judge(trainer):
    """Loss and share of right answers on the images that decided nothing."""
    with at.no_grad():
        outputs = trainer.model(x[judged])
        right = (outputs.argmax(1) == y[judged]).float().mean().item()
        return F.cross_entropy(outputs, y[judged]).item(), right


# %%
whole = fit()
stopped = fit(EarlyStopping(PATIENCE))
stopped.load_best()
(late_loss, late_right), (early_loss, early_right) = judge(whole), judge(stopped)
end, best = len(stopped.history), stopped.best["epoch"]
print(f"stopped after epoch {end}, best in epoch {best}; the other went on to epoch {len(whole.history)}")

# %%
epochs = [row["epoch"] for row in whole.history]
figure, axis = plt.subplots(figsize=(7, 4))
axis.semilogy(epochs, [row["train_loss"] for row in whole.history], label="training images")
axis.semilogy(epochs, [row["validation_loss"] for row in whole.history], "--", label="watched images")
axis.axvline(best, color="#2ca02c", label=f"lowest: epoch {best}, these weights are kept")
axis.axvline(end, color="gray", ls=":", label=f"stop: {PATIENCE} epochs without better")
axis.set(title="The training loss falls on; the network got worse long ago", xlabel="epoch", ylabel="loss")
axis.legend()
figure.tight_layout()
lesson.save(figure, "early_stopping")

# %%
print(
    f"claim: stopping after epoch {end} leaves a loss of {early_loss:.2f} on new images ({early_right:.1%} right), "
    f"going on to epoch {len(whole.history)} one of {late_loss:.2f} ({late_right:.1%} right)"
)
assert lesson.FAST or (end < 40 and late_loss > 1.3 * early_loss)
