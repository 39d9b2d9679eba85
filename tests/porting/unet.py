"""Segmentation by a U-Net: skip connections, cross-entropy of pixels plus Dice, a checkpoint from which it goes on."""

import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def two_convs(in_channels, out_channels):
    layers = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding="same", bias=False))
        layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Widths of the levels from the full size down; the first way up is learned, the others are bilinear."""

    def __init__(self, in_channels=1, num_classes=1, widths=(8, 16, 32)):
        super().__init__()
        self.encoder = nn.ModuleList()
        for width in widths:
            self.encoder.append(two_convs(in_channels, width))
            in_channels = width
        self.pool = nn.MaxPool2d(2, 2)
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for width in reversed(widths[:-1]):
            if len(self.up) == 0:
                self.up.append(nn.ConvTranspose2d(in_channels, width, kernel_size=2, stride=2))
            else:
                upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
                self.up.append(nn.Sequential(upsample, nn.Conv2d(in_channels, width, 1)))
            self.decoder.append(two_convs(2 * width, width))
            in_channels = width
        self.head = nn.Conv2d(in_channels, num_classes, kernel_size=1)

    def forward(self, x):
        skips = []
        for i, stage in enumerate(self.encoder):
            x = stage(x if i == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, stage in zip(self.up, self.decoder):  # noqa: B905
            x, skip = up(x), skips.pop()
            dh, dw = skip.shape[2] - x.shape[2], skip.shape[-1] - x.shape[-1]
            x = F.pad(x, (0, dw, 0, dh))  # odd sizes lost a row and a column
            x = stage(torch.cat((skip, x), dim=1))
        return self.head(x)


class DiceLoss(nn.Module):
    def __init__(self, smooth=1.0):
        super().__init__()
        self.smooth = smooth

    def forward(self, logits, target):
        probabilities = logits.sigmoid().flatten(1)
        target = target.reshape(target.size(0), -1)
        overlap = (probabilities * target).sum(-1)
        total = probabilities.sum(-1) + target.sum(-1)
        return torch.mean(1.0 - (2.0 * overlap + self.smooth) / (total + self.smooth))


def make_data():
    """Discs under noise, 21 pixels wide."""
    rng = np.random.default_rng(2)
    centres, radii = rng.uniform(5, 16, (32, 2, 1, 1)), rng.uniform(3, 7, (32, 1, 1))
    ys, xs = np.mgrid[:21, :21]
    masks = ((ys - centres[:, 0]) ** 2 + (xs - centres[:, 1]) ** 2 < radii**2)[:, None]
    images = masks + rng.normal(scale=0.4, size=masks.shape)
    return images.astype("float32"), masks.astype("float32")


def build():
    return UNet()


def train_epoch(model, loader, optimizer, criteria, device):
    model.train()
    losses = []
    for images, masks in loader:
        images, masks = images.to(device=device, dtype=torch.float32), masks.to(device=device)
        logits = model(images)
        loss = sum(criterion(logits, masks) for criterion in criteria)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def run(model, data, shuffle=False):
    device = torch.device("cpu")
    model = model.to(device=device)
    dataset = TensorDataset(*(torch.as_tensor(array) for array in data))
    loader = DataLoader(dataset, batch_size=8, shuffle=shuffle)
    criteria = [nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0], device=device)), DiceLoss()]
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.99))
    losses = train_epoch(model, loader, optimizer, criteria, device)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pt")
        state = {"epoch": 1, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": losses[-1]}
        torch.save(state, path)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    model = build().to(device)
    model.load_state_dict(checkpoint["model"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    optimizer.load_state_dict(checkpoint["optimizer"])
    assert checkpoint["loss"] == losses[-1]
    for _ in range(checkpoint["epoch"], 3):
        losses += train_epoch(model, loader, optimizer, criteria, device)

    model.eval()
    with torch.no_grad():
        images, masks = dataset[:8]
        logits = model(images)
        predicted = torch.where(torch.sigmoid(logits) > 0.5, torch.ones_like(logits), torch.zeros_like(logits))
        right = (predicted == masks).float().mean().item()
        losses.append(criteria[1](logits, masks).item())
    print(f"{right:.1%} of the pixels are right")
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    run(build(), make_data(), shuffle=True)
