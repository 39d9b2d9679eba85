"""Digits: a small convolutional network with dropout, a learning rate that falls in steps, a test set."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.conv_drop = nn.Dropout(p=0.2)
        self.fc1 = nn.Linear(256, 32)
        self.fc2 = nn.Linear(32, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv_drop(self.conv2(x))), kernel_size=2)
        x = x.view(-1, 16 * 4 * 4)
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


def make_data():
    """Ten coarse patterns, one a class, under noise."""
    rng = np.random.default_rng(0)
    prototypes = rng.normal(size=(10, 1, 7, 7)).repeat(4, 2).repeat(4, 3)
    labels = rng.integers(0, 10, 96)
    images = prototypes[labels] + rng.normal(scale=0.5, size=(96, 1, 28, 28))
    return images.astype("float32"), labels


def build():
    return Net()


def train(model, device, train_loader, optimizer, epoch):
    model.train()
    losses = []
    for i, (images, labels) in enumerate(train_loader):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if i % 2 == 0:
            print(f"epoch {epoch}, batch {i + 1} of {len(train_loader)}: loss {loss.item():.4f}")
    return losses


@torch.no_grad()
def test(model, device, test_loader):
    model.eval()
    loss, correct, total = 0.0, 0, 0
    for images, labels in test_loader:
        images, labels = images.to(device), labels.to(device)
        output = model(images)
        loss += F.nll_loss(output, labels, reduction="sum").item()
        pred = output.argmax(dim=1)
        correct += (pred == labels).sum().item()
        total += labels.size(0)
    print(f"test: loss {loss / total:.4f}, {100 * correct / total:.1f}% correct")
    return loss / total


def run(model, data, shuffle=False):
    device = torch.device("cpu")
    images, labels = torch.from_numpy(data[0]), torch.from_numpy(data[1])
    train_loader = DataLoader(TensorDataset(images[:64], labels[:64]), batch_size=16, shuffle=shuffle, drop_last=True)
    test_loader = DataLoader(TensorDataset(images[64:], labels[64:]), batch_size=20)
    model = model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    losses = []
    for epoch in range(1, 4):
        losses += train(model, device, train_loader, optimizer, epoch)
        losses.append(test(model, device, test_loader))
        scheduler.step()
    return losses


if __name__ == "__main__":
    torch.manual_seed(1)
    torch.set_num_threads(2)
    run(build(), make_data(), shuffle=True)
