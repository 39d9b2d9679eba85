"""Depthwise-separable convolutions and ReLU6; AdamW without decay on norms, one cycle, averaged weights."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader, TensorDataset


def conv_bn(in_channels, out_channels, kernel_size, stride=1, groups=1, act=True):
    layers = OrderedDict()
    layers["conv"] = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)
    if act:
        layers["act"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)


class MBConv(nn.Module):
    """Widen by a 1×1 convolution, filter each channel on its own, narrow again."""

    def __init__(self, in_channels, out_channels, expand=4, stride=1):
        super().__init__()
        wide = in_channels * expand
        self.expand = conv_bn(in_channels, wide, 1)
        self.depthwise = conv_bn(wide, wide, 3, stride=stride, groups=wide)
        self.project = conv_bn(wide, out_channels, 1, act=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("stem", conv_bn(3, 8, 3, stride=2))
        self.features.add_module("separable", nn.Sequential(conv_bn(8, 8, 3, groups=8), conv_bn(8, 12, 1)))
        self.features.add_module("block1", MBConv(12, 16, stride=2))
        self.features.add_module("block2", MBConv(16, 16))
        self.features.add_module("top", conv_bn(16, 32, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, num_classes))
        self.apply(self.init_weights)

    @staticmethod
    def init_weights(m):
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, mean=0.0, std=0.01)
            nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.features(x)
        x = x.mean([2, 3])
        return self.classifier(x)


def make_data():
    """The colour is the class."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 64)
    colours = rng.uniform(size=(5, 3, 1, 1))
    return np.clip(colours[labels] + rng.normal(scale=0.2, size=(64, 3, 24, 24)), 0, 1), labels


def build():
    return MobileNet()


@torch.inference_mode()
def evaluate(model, x, y):
    model.eval()
    logits = model(x)
    accuracy = logits.argmax(1).eq(y).float().mean()
    return F.cross_entropy(logits, y).item(), accuracy.item()


def run(model, data, shuffle=False):
    x = torch.from_numpy(data[0]).float().sub(0.5).div(0.25)
    y = torch.from_numpy(data[1]).long()
    loader = DataLoader(TensorDataset(x, y), 16, shuffle=shuffle)
    averaged = AveragedModel(model, avg_fn=get_ema_avg_fn(0.5), use_buffers=True)
    decay, no_decay = [], []
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        if param.dim() < 2 or name.endswith("bias"):
            no_decay.append(param)
        else:
            decay.append(param)
    groups = [{"params": no_decay, "weight_decay": 0.0}, {"params": decay}]
    optimizer = optim.AdamW(groups, lr=1e-3, weight_decay=0.05)
    epochs = 3
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, epochs=epochs, steps_per_epoch=len(loader))
    losses = []
    for epoch in range(epochs):
        model.train()
        for xb, yb in loader:
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=2.0)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            averaged.update_parameters(model)
            losses.append(loss.item())
        loss, accuracy = evaluate(averaged, x, y)
        print(
            f"epoch {epoch}: loss {losses[-1]:.4f}, gradient {norm:.3f}; averaged: {loss:.4f}, accuracy {accuracy:.0%}"
        )
        losses.append(loss)
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    run(build(), make_data(), shuffle=True)
