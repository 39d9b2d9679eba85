"""Capacity: from under-fitting to over-fitting, and back by a penalty. Run it: python examples/capacity.py"""

# %%
# Polynomials of growing degree fit 16 noisy points of a sine. Too low a degree cannot bend enough: training error and
# test error are both high, the fit under-fits. Too high a degree follows the noise: the training error falls to 0
# and the test error rises: it over-fits. Three milestones (Chollet, "Deep Learning with Python", 2021, chapter 5):
#     1  better than a guess: here the mean, degree 0. There is something to learn, and the code works.
#     2  over-fitting: the training error is below the noise. The model is large enough.
#     3  generalisation: keep the large model and restrain it until the test error is lowest.
import matplotlib.pyplot as plt
import numpy as np
from numpy.polynomial import legendre

import atrous as at
import lesson
from atrous import optim

DEGREES, NOISE, SETS = range(14), 0.3, 30  # 30 training sets: their mean shows the rule and not one set's luck
PENALTIES = np.logspace(-5, 0, 11)
rng = np.random.default_rng(0)
x, x_test = np.linspace(-1, 1, 16), np.linspace(-1, 1, 200)
truth, truth_test = np.sin(np.pi * x), np.sin(np.pi * x_test)
y = at.from_numpy(truth[:, None, None] + NOISE * rng.normal(size=(16, 1, SETS)))  # (points, 1, sets)


def features(x):
    """Legendre polynomials of x, up to the highest degree: 1, x, (3x² − 1)/2, …"""
    return at.from_numpy(legendre.legvander(x, DEGREES[-1]))


def fit(degrees, penalties):
    """Gradient descent on mean (w·features − y)² + λ·|w|², for each (degree, λ) and each training set at once."""
    P, K = len(DEGREES), len(degrees)
    allowed = at.tensor([[float(p <= degree) for degree in degrees] for p in range(P)], dtype=at.float64)
    allowed, decay = allowed.reshape(P, K, 1), at.tensor(list(penalties), dtype=at.float64).reshape(K, 1)
    w = at.zeros(P, K, SETS, dtype=at.float64).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1, momentum=0.99, nesterov=True)

    def error(x, y):
        return ((features(x) @ (w * allowed).reshape(P, -1)).reshape(-1, K, SETS) - y) ** 2

    for _ in range(lesson.full_or_fast(2500, 10)):
        optimizer.zero_grad()
        (error(x, y).mean(0) + decay * (w * w).sum(0)).sum().backward()
        optimizer.step()
    with at.no_grad():
        train = error(x, y).mean((0, 2)).numpy()
        test = error(x_test, at.from_numpy(truth_test[:, None, None])).mean((0, 2)).numpy() + NOISE**2
        return train, test, (features(x_test) @ (w * allowed)[:, :, 0]).numpy()  # the curves of the first set


# %%
train, test, curves = fit(list(DEGREES), [0.0] * len(DEGREES))
_, restrained, _ = fit([DEGREES[-1]] * len(PENALTIES), PENALTIES)
for degree in DEGREES:
    print(f"degree {degree:2}: training error {train[degree]:.3f}, test error {test[degree]:.3f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.5))
for degree, style in ((1, ":"), (int(test.argmin()), "-"), (DEGREES[-1], "--")):
    axes[0].plot(x_test, curves[:, degree], style, label=f"degree {degree}")
axes[0].plot(x, y.numpy()[:, 0, 0], "k.", label="training points")
axes[0].set(title="Too stiff, right, too wild", xlabel="x", ylabel="y", ylim=(-2.2, 2.2))
axes[1].semilogy(DEGREES, train, "o-", ms=4, label="training set")
axes[1].semilogy(DEGREES, test, "s-", ms=4, label="new points")
axes[1].axhline(NOISE**2, color="gray", ls=":", label="noise")
axes[1].set(title="1: below the guess. 2: below the noise", xlabel="degree", ylabel="mean squared error")
axes[2].loglog(PENALTIES, restrained, "s-", ms=4, color="#ff7f0e", label=f"new points, degree {DEGREES[-1]}")
axes[2].axhline(test[-1], color="gray", ls="--", label="without penalty")
axes[2].axhline(NOISE**2, color="gray", ls=":", label="noise")
axes[2].set(title="3: restrained", xlabel="penalty λ")
for axis in axes:
    axis.legend(fontsize=7.5)
figure.tight_layout()
lesson.save(figure, "capacity")

# %%
best, wild, tamed = int(test.argmin()), test[-1], restrained.min()
print(
    f"claim: the test error falls from {test[0]:.2f} (degree 0) to {test[best]:.2f} (degree {best}) and rises to "
    f"{wild:.2f} (degree {DEGREES[-1]}) while the training error falls to {train[-1]:.2f}; "
    f"a penalty brings it down to {tamed:.2f}"
)
if not lesson.FAST:
    assert test[0] > 2 * test[best]
    assert wild > 2 * test[best]
    assert wild > 2 * tamed
    assert train[-1] < NOISE**2 / 2
