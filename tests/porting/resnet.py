"""A residual network: initialisation by hand, ReLU in place, label smoothing, a cosine schedule, top-k accuracy."""

import numpy as np
import torch
import torch.backends.cudnn as cudnn
import torch.nn as nn
from torch import optim
from torch.utils.data import DataLoader, Dataset


class Block(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super(Block, self).__init__()  # noqa: UP008 (much code has it)
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, widths=(8, 16), depth=2, num_classes=10):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels, stages = widths[0], []
        for i, width in enumerate(widths):
            blocks = [Block(channels, width, stride=1 if i == 0 else 2)]
            blocks += [Block(width, width) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            channels = width
        self.stages = nn.ModuleList(stages)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        self.reset_parameters()

    def reset_parameters(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        for m in self.modules():
            if isinstance(m, Block):
                nn.init.constant_(m.bn2.weight, 0.25)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = torch.flatten(self.pool(x), 1)
        return self.fc(x)


class Stripes(Dataset):
    def __init__(self, images, labels):
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.tensor(self.images[index]), int(self.labels[index])


def topk_accuracy(scores, labels, ks=(1, 5)):
    """The percentage of samples whose class is among the k best scores, for each k."""
    _, best = scores.topk(max(ks), dim=1, largest=True, sorted=True)
    hits = best.eq(labels.view(-1, 1).expand_as(best))
    return [hits[:, :k].float().sum().mul(100.0 / labels.size(0)).item() for k in ks]


def make_data():
    """The angle of the stripes is the class."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 64)
    angles = labels[:, None, None] * np.pi / 10
    ys, xs = np.mgrid[:32, :32] / 5.0
    stripes = np.sin(np.cos(angles) * xs + np.sin(angles) * ys)[:, None].repeat(3, 1)
    return (stripes + rng.normal(scale=0.3, size=(64, 3, 32, 32))).astype("float32"), labels


def build():
    return ResNet()


def run(model, data, shuffle=False):
    cudnn.benchmark = True
    device = torch.device("cpu")
    model.to(device)
    loader = DataLoader(Stripes(*data), batch_size=16, shuffle=shuffle, num_workers=0, pin_memory=False)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1).to(device)
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    losses = []
    for epoch in range(3):
        model.train()
        running_loss, top1, top5 = 0.0, 0.0, 0.0
        for inputs, labels in loader:
            inputs = inputs.to(device, non_blocking=True)
            labels = labels.to(device, non_blocking=True)
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            running_loss += loss.item() * inputs.size(0)
            with torch.no_grad():
                acc1, acc5 = topk_accuracy(outputs, labels)
            top1, top5 = top1 + acc1 / len(loader), top5 + acc5 / len(loader)
        rate = scheduler.get_last_lr()[0]
        print(f"{epoch}: rate {rate:.4f}, loss {running_loss / 64:.3f}, top-1 {top1:.0f}%, top-5 {top5:.0f}%")
        scheduler.step()
    model.eval()
    with torch.no_grad():
        losses.append(criterion(model(torch.from_numpy(data[0])), torch.from_numpy(data[1])).item())
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    network = build()
    print(network)
    print(sum(p.numel() for p in network.parameters() if p.requires_grad), "parameters")
    run(network, make_data(), shuffle=True)
