"""Transfer: load weights, replace the head, train it with the rest frozen, then train everything at two rates."""

import copy
import os
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset


class Backbone(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.fc = nn.Linear(16 * 2 * 2, num_classes)

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.fc(x)


def make_data():
    """The channel that has a bright square is the class."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 60)
    images = rng.normal(size=(60, 3, 16, 16))
    for i, label in enumerate(labels):
        images[i, label, 4:12, 4:12] += 1.5
    return images.astype(np.float32), labels.astype(np.int64)


def build():
    """A network for three classes on the features of one for ten, whose weights come from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pretrained.pth")
        pretrained = {f"module.{name}": value for name, value in Backbone(num_classes=10).state_dict().items()}
        torch.save(pretrained, path)
        state_dict = torch.load(path, map_location=torch.device("cpu"))
    model = Backbone(num_classes=3)
    state_dict = {k.replace("module.", ""): v for k, v in state_dict.items() if "fc" not in k}
    result = model.load_state_dict(state_dict, strict=False)
    print("not in the file:", result.missing_keys)
    for param in model.parameters():
        param.requires_grad = False
    in_features = model.fc.in_features
    model.fc = nn.Linear(in_features, 3)  # new parameters learn
    return model


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = model(images)
            _, predicted = torch.max(outputs, 1)
            loss += criterion(outputs, labels).item() * images.size(0)
            correct += torch.sum(predicted == labels)
            count += len(labels)
    return loss / count, correct.double().item() / count


def fit(model, optimizer, scheduler, loaders, epochs, freeze_stats=False):
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.5, 2.0]))
    best, best_loss, losses = None, float("inf"), []
    for epoch in range(epochs):
        model.train()
        if freeze_stats:
            model.features.eval()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach().cpu().numpy().item())
        scheduler.step()
        val_loss, val_acc = evaluate(model, loaders["val"], criterion)
        print("epoch {}: validation loss {:.4f}, accuracy {:.2f}".format(epoch, val_loss, val_acc))  # noqa: UP032
        losses.append(val_loss)
        if val_loss < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), val_loss
    model.load_state_dict(best)
    return losses


def run(model, data, shuffle=False):
    images, labels = map(torch.from_numpy, data)
    sets = {"train": TensorDataset(images[:40], labels[:40]), "val": TensorDataset(images[40:], labels[40:])}
    loaders = {k: DataLoader(v, batch_size=10, shuffle=shuffle and k == "train") for k, v in sets.items()}

    before = model.features[0].weight.clone()
    optimizer = optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.05, momentum=0.9)
    scheduler = lr_scheduler.MultiStepLR(optimizer, milestones=[1], gamma=0.1)
    losses = fit(model, optimizer, scheduler, loaders, epochs=2, freeze_stats=True)
    assert torch.equal(model.features[0].weight, before)

    for param in model.features.parameters():
        param.requires_grad_(True)
    groups = [{"params": model.features.parameters()}, {"params": model.fc.parameters(), "lr": 3e-3}]
    optimizer = optim.Adam(groups, lr=1e-3)
    scheduler = lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: 0.5**epoch)
    losses += fit(model, optimizer, scheduler, loaders, epochs=3)
    assert not torch.equal(model.features[0].weight, before)
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    run(build(), make_data(), shuffle=True)
