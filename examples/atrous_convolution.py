"""Atrous convolution: with holes between its taps, a filter sees further for the same weights and multiplications.

Yu and Koltun, Multi-scale context aggregation by dilated convolutions, 2016.
Run it: python examples/atrous_convolution.py
"""

import matplotlib.pyplot as plt
import numpy as np

import atrous as at
import lesson
from atrous import nn
from atrous.models import count_macs

at.manual_seed(0)
CHANNELS, SIZE = 8, 64


def stack(dilations):
    """3×3 convolutions of one channel each in and out at the ends, with these dilations; maps keep their size."""
    channels = [1, *[CHANNELS] * (len(dilations) - 1), 1]
    layers = [
        nn.Conv2d(i, o, 3, padding=d, dilation=d, bias=False)
        for i, o, d in zip(channels, channels[1:], dilations, strict=False)
    ]
    return nn.Sequential(*layers)


# %% What an output can see, its receptive field: each 3-tap layer of dilation d adds 2d pixels,
#     field = 1 + Σ 2·d           dense, d = 1: 2n + 1, a line        d = 1, 2, 4, ...: 2ⁿ⁺¹ − 1, a doubling
layers = range(1, 6)
dense = [stack([1] * n) for n in layers]
holes = [stack([2**i for i in range(n)]) for n in layers]
field = {id(net): at.summary(net, 1, 1, SIZE, SIZE).rows[-1].receptive_field[0] for net in dense + holes}
for n, a, b in zip(layers, dense, holes, strict=True):
    weights = [sum(p.numel() for p in net.parameters()) for net in (a, b)]
    macs = [count_macs(net, 1, 1, SIZE, SIZE) for net in (a, b)]
    assert weights[0] == weights[1]  # dilation is free
    assert macs[0] == macs[1]
    print(f"{n} layers, {weights[0]:5,} weights, {macs[0]:10,} MACs: dense sees {field[id(a)]}, atrous {field[id(b)]}")

# %% How many dense layers see as far as the five atrous ones?
far = int(field[id(holes[-1])])
deep = stack([1] * ((far - 1) // 2))
assert at.summary(deep, 1, 1, SIZE, SIZE).rows[-1].receptive_field[0] == far
ratio = count_macs(deep, 1, 1, SIZE, SIZE) / count_macs(holes[-1], 1, 1, SIZE, SIZE)

# %% The same, seen: the gradient of the middle output is not zero where the input counts. All weights are 1 here, so
# that nothing cancels by chance. Dilations 2, 2, 2 leave holes, the gridding effect; 1, 2, 4 leave none.


def seen(dilations):
    net = stack(dilations)
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    x = at.zeros(1, 1, SIZE, SIZE, requires_grad=True)
    net(x)[0, 0, SIZE // 2, SIZE // 2].backward()
    return x.grad.numpy()[0, 0] > 0.5  # the number of paths from the pixel to the output


maps = {
    name: seen(dilations) for name, dilations in {"1, 1, 1": [1] * 3, "1, 2, 4": [1, 2, 4], "2, 2, 2": [2] * 3}.items()
}
pixels = {name: int(np.count_nonzero(map)) for name, map in maps.items()}

figure, axes = plt.subplots(1, 4, figsize=(9, 3), width_ratios=[2, 1, 1, 1])
axes[0].plot(layers, [field[id(net)] for net in holes], "o-", label="atrous: 1, 2, 4, ...")
axes[0].plot(layers, [field[id(net)] for net in dense], "s-", label="dense")
axes[0].set(xlabel="layers of 3×3 (same weights, same MACs)", ylabel="receptive field, pixels", xticks=list(layers))
axes[0].legend()
for axis, (name, map) in zip(axes[1:], maps.items(), strict=True):
    middle = slice(SIZE // 2 - 10, SIZE // 2 + 11)
    axis.imshow(map[middle, middle], cmap="Blues", vmin=0, vmax=1.3)
    axis.set_title(f"dilations {name}\nsee {pixels[name]} pixels", fontsize=10)
    axis.set(xticks=[], yticks=[])
figure.suptitle("Holes double the view with each layer, and cost nothing")
figure.tight_layout()
lesson.save(figure, "atrous_convolution")

assert (far, pixels["1, 1, 1"], pixels["1, 2, 4"], pixels["2, 2, 2"]) == (63, 49, 225, 49)
print(
    f"claim: five 3×3 layers see {far} pixels with holes and {int(field[id(dense[-1])])} without; a dense stack that "
    f"sees {far} takes {len(deep)} layers and {ratio:.1f} times the multiply-adds"
)
