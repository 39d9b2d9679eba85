"""A small network with one of each layer, and steps of its training, for the tests of captured steps."""

import numpy as np

import atrous as at
from atrous import capturing, nn, optim
from atrous.nn import functional as F

STEPS = 6


class Net(nn.Module):
    """One of each: convolution, batch-norm, relu, pooling, dropout, linear layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8 * 16, 12)
        self.dropout = nn.Dropout(0.4)
        self.last = nn.Linear(12, 5)

    def forward(self, x):
        x = self.pool(self.norm(self.conv(x)).relu()).flatten(1)
        return self.last(self.dropout(self.head(x).relu()))


def batches(count=STEPS):
    numbers = np.random.default_rng(1)
    for _ in range(count):
        x, y = numbers.standard_normal((6, 3, 8, 8), np.float32), numbers.integers(0, 5, 6)
        yield at.from_numpy(x).cuda(), at.from_numpy(y).cuda()


OPTIMIZERS = {
    "adam": lambda params: optim.Adam(params, lr=0.01),
    "adamw": lambda params: optim.AdamW(params, lr=0.02, weight_decay=0.1, amsgrad=True),
    "sgd": lambda params: optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain": lambda params: optim.SGD(params, lr=0.05),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.002),
    "centered": lambda params: optim.RMSprop(params, lr=0.002, momentum=0.9, centered=True, weight_decay=0.01),
    "adadelta": lambda params: optim.Adadelta(params, lr=0.5, weight_decay=0.01),
    "adamax": lambda params: optim.Adamax(params, lr=0.01, weight_decay=0.01),
    "nadam": lambda params: optim.NAdam(params, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda params: optim.RAdam(params, lr=0.01, betas=(0.9, 0.99)),  # rectified from the sixth step on
    "rprop": lambda params: optim.Rprop(params, lr=0.002),
    "asgd": lambda params: optim.ASGD(
        params, lr=0.05, lambd=0.1, t0=2, weight_decay=0.01
    ),  # averaged from the fourth on
    "adagrad": lambda params: optim.Adagrad(params, lr=0.02, lr_decay=0.1, eps=1e-3, weight_decay=0.01),
}


def make(optimizer="adam", seed=0, dtype=None):
    """A network, its optimizer and a step of training, under autocast to a dtype if one is given."""
    at.manual_seed(seed)
    model = Net().to("cuda")
    chosen = OPTIMIZERS[optimizer](model.parameters())

    def step(x, y):
        chosen.zero_grad()
        with at.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        chosen.step()
        return loss.detach()

    return model, chosen, step


def in_same_kernels(step):
    """Steps in Python, but with linear layers by the kernels that a captured step has for them, in place of cuBLAS."""

    def run(*args):
        with capturing.Capture(rehearsal=True):
            return step(*args)

    return run
