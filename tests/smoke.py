"""What an installed wheel must do, with NumPy and safetensors alone: one training step, saved and loaded."""

import os
import tempfile
import time

start = time.perf_counter()
import numpy as np  # noqa: E402

numpy_seconds = time.perf_counter() - start
start = time.perf_counter()
import atrous as at  # noqa: E402
from atrous import nn  # noqa: E402

print(f"import atrous: {time.perf_counter() - start:.3f} s over NumPy's {numpy_seconds:.3f} s")

at.manual_seed(0)
model = at.models.lenet5()
optimizer = at.optim.Adam(model.parameters(), lr=1e-3)
x, y = at.randn(8, 1, 32, 32), at.randint(0, 10, (8,))
losses = []
for _ in range(5):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0], losses

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "lenet5.safetensors")
    at.save_file(model.state_dict(), path)
    loaded = at.models.lenet5()
    loaded.load_state_dict(at.load_file(path))
    assert np.array_equal(loaded(x).detach().numpy(), model(x).detach().numpy())
print(at.show_config())
print("smoke test passed")
