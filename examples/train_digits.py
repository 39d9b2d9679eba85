"""LeNet-5 on real handwriting, written as in PyTorch. Run it: python examples/train_digits.py"""

import atrous as at
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset, stratified_split
from atrous.datasets import digits, prepare_digits

at.manual_seed(0)
images, labels = digits()
x, y = at.from_numpy(prepare_digits(images)), at.from_numpy(labels)  # (1797, 1, 32, 32) and (1797,)
train, test = stratified_split(labels, [1437, 360])
loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=32, shuffle=True)

features = nn.Sequential(
    nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
)
classifier = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
model = nn.Sequential(features, nn.Flatten(), classifier)
loss_fn = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=1e-3)

for epoch in range(1, 11):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch:2}  loss of the last batch {loss.item():.4f}")

with at.no_grad():
    right = (model(x[test]).argmax(1) == y[test]).sum().item()
print(f"test accuracy {100 * right / len(test):.1f} % ({right} of {len(test)})")
