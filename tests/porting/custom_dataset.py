"""A data set and transforms of one's own, dicts as samples, two losses, gradients of two batches clipped, a plateau."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, Subset, random_split


class Compose:
    def __init__(self, *transforms):
        self.transforms = transforms

    def __call__(self, sample):
        for transform in self.transforms:
            sample = transform(sample)
        return sample


class ToFloat:
    """(H, W, C) of bytes to (C, H, W) of floats from 0 to 1."""

    def __call__(self, sample):
        image = torch.from_numpy(sample["image"].transpose(2, 0, 1).copy())
        return {**sample, "image": image.float() / 255.0}


class Standardise:
    def __init__(self, mean, std):
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def __call__(self, sample):
        return {**sample, "image": (sample["image"] - self.mean) / self.std}


class MirrorEverySecond:
    """Mirrors an image and its point; which ones is fixed, so that two runs see the same."""

    def __call__(self, sample):
        if sample["index"] % 2 == 0:
            return sample
        point = sample["point"] * np.array([1, -1], np.float32)
        return {**sample, "image": sample["image"][:, ::-1], "point": point}


class Squares(Dataset):
    """Images of a coloured square: its colour is the class, its middle the point, from -1 to 1."""

    def __init__(self, images, labels, points, transform=None):
        self.images, self.labels, self.points = images, labels, points
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if torch.is_tensor(index):
            index = index.tolist()
        sample = {"image": self.images[index], "label": self.labels[index], "point": self.points[index], "index": index}
        if self.transform is not None:
            sample = self.transform(sample)
        return sample


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList([nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 16, 3, stride=2)])
        self.heads = nn.ModuleDict({"label": nn.Linear(144, 3), "point": nn.Linear(144, 2)})
        self.register_buffer("scale", torch.full((1,), 0.5))

    def forward(self, x):
        for layer in self.body:
            x = F.leaky_relu(layer(x), negative_slope=0.1)
        x = x.flatten(start_dim=1) * self.scale
        return {name: head(x) for name, head in self.heads.items()}


def make_data():
    rng = np.random.default_rng(5)
    labels, corners = rng.integers(0, 3, 60), rng.integers(0, 10, (60, 2))
    images = rng.integers(0, 80, (60, 16, 16, 3)).astype(np.uint8)
    for image, label, (y, x) in zip(images, labels, corners):  # noqa: B905
        image[y : y + 6, x : x + 6, label] += 170
    return images, labels, ((corners - 5) / 5).astype(np.float32)


def build():
    return TwoHeads()


def train_epoch(model, loader, optimizer, warmup, device):
    model.train()
    losses = []
    for i, batch in enumerate(loader):
        images, labels, points = (batch[key].to(device) for key in ("image", "label", "point"))
        outputs = model(images)
        loss = F.cross_entropy(outputs["label"], labels) + 2.0 * F.smooth_l1_loss(outputs["point"], points, beta=0.5)
        (loss / 2).backward()
        if (i + 1) % 2 == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            warmup.step()
        losses.append(loss.item())
    return losses


def validate(model, loader, device):
    model.eval()
    loss, correct, total = 0.0, 0, 0
    with torch.no_grad():
        for batch in loader:
            scores, labels = model(batch["image"].to(device))["label"], batch["label"].to(device)
            loss += F.cross_entropy(scores, labels, reduction="sum").item()
            predicted = scores.max(1)[1]
            correct += (predicted == labels).sum().item()
            total += labels.shape[0]
    return loss / total, correct / total


def run(model, data, shuffle=False):
    device = torch.device("cpu")
    transform = Compose(MirrorEverySecond(), ToFloat(), Standardise([0.3, 0.3, 0.3], (0.2, 0.2, 0.2)))
    dataset = Squares(*data, transform=transform)
    if shuffle:
        train_set, val_set = random_split(dataset, [48, 12], generator=torch.Generator().manual_seed(42))
    else:
        train_set, val_set = Subset(dataset, range(48)), Subset(dataset, list(range(48, 60)))
    train_loader = DataLoader(train_set, batch_size=8, shuffle=shuffle, num_workers=0)
    val_loader = DataLoader(val_set, batch_size=12, shuffle=False)
    model = model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=0.1, weight_decay=5e-4)
    warmup = LinearLR(optimizer, start_factor=0.1, total_iters=6)
    plateau = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=0, threshold=0.2)
    losses = []
    for epoch in range(3):
        losses += train_epoch(model, train_loader, optimizer, warmup, device)
        loss, accuracy = validate(model, val_loader, device)
        plateau.step(loss)
        rate = optimizer.param_groups[0]["lr"]
        print("epoch %d: loss %.3f, accuracy %.2f, rate %g" % (epoch, loss, accuracy, rate))  # noqa: UP031
        losses.append(loss)
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    run(build(), make_data(), shuffle=True)
