"""Automatic mixed precision: autocast, a gradient scaler, clipping, a checkpoint in the middle."""

import os
import tempfile

import numpy as np
import torch
from torch import nn, optim
from torch.amp import GradScaler, autocast
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + x)


class Net(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.block = Block(8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        x = F.max_pool2d(self.block(self.stem(x)), 2)
        return self.fc(self.dropout(torch.flatten(self.pool(x), 1)))


def make_data():
    """Four colours under noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 64)
    colours = rng.normal(size=(4, 3, 1, 1))
    return (colours[labels] + rng.normal(scale=0.5, size=(64, 3, 8, 8))).astype("float32"), labels


def build():
    return Net()


def run(model, data, shuffle=False):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    use_amp = device == "cuda"
    loader = DataLoader(TensorDataset(*map(torch.from_numpy, data)), batch_size=16, shuffle=shuffle)
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = GradScaler(device, init_scale=2.0**12, growth_interval=5, enabled=use_amp)
    losses = []
    for epoch in range(3):
        model.train()
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad(set_to_none=True)
            with autocast(device_type=device, dtype=torch.float16, enabled=use_amp):
                output = model(images)
                loss = F.cross_entropy(output, labels)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        scaler.load_state_dict(checkpoint(scaler))
        print(f"epoch {epoch}: loss {losses[-1]:.4f}, scale {scaler.get_scale()}, {output.dtype}")
    with torch.no_grad(), torch.autocast(device, enabled=use_amp):
        model.eval()
        assert model(images).argmax(1).shape == labels.shape
    return losses


def checkpoint(scaler):
    """Written and read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "scaler")
        torch.save({"scaler": scaler.state_dict()}, path)
        return torch.load(path)["scaler"]


if __name__ == "__main__":
    torch.manual_seed(0)
    run(build(), make_data(), shuffle=True)
