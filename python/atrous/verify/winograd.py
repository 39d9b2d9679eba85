"""Winograd's convolution in NumPy: what its kernels compute, and how far rounding may lead them astray.

``y = Aᵀ [(G w Gᵀ) · (Bᵀ x B)] A`` on tiles of M × M outputs, · element by element and summed over channels (Lavin and
Gray, 2015, arXiv 1509.09308). Every number that enters a rounding is at most what the same formula gives with absolute
values throughout, so that this is what an error is measured by: it grows with the tile's largest values.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Pair = tuple[int, int]


@dataclass(frozen=True)
class Winograd:
    """The three matrices of F(M × M, 3 × 3)."""

    A: Array  # (S, M): S = M + 2 values to M outputs, transposed
    G: Array  # (S, 3): weights to values
    B: Array  # (S, S): inputs to values, transposed

    @classmethod
    @functools.cache
    def of(cls, algorithm: str) -> "Winograd":
        """Of "winograd_2x2", through the points 0, ±1 and infinity, or "winograd_4x4": 0, ±√½, ±√2 and infinity."""
        return cls.through([0, 1, -1] if algorithm == "winograd_2x2" else [0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)])

    @classmethod
    def through(cls, points: list[float]) -> "Winograd":
        """By Toom and Cook: evaluate at the points, multiply, interpolate by Lagrange's polynomials."""
        S = len(points) + 1
        others = [[q for q in points if q != p] for p in points]
        scale = np.array([np.prod([p - q for q in rest]) for p, rest in zip(points, others, strict=True)] + [1.0])
        powers = np.array([[p**k for k in range(S)] for p in points] + [[0.0] * S])
        A, G = powers[:, : S - 2].copy(), powers[:, :3] / scale[:, None]
        A[-1, -1] = G[-1, -1] = 1  # at infinity a polynomial is its leading coefficient
        B = np.array([[*np.poly(rest)[::-1], 0.0] for rest in others] + [np.poly(points)[::-1]])
        return cls(A, G, B.T)

    def magnitudes(self) -> "Winograd":
        """The matrices of absolute values."""
        return Winograd(np.abs(self.A), np.abs(self.G), np.abs(self.B))

    def forward(self, x: Array, weight: Array, size: Pair, padding: Pair, dilation: Pair) -> Array:
        """x (N, IC, IH, IW) and weight (OC, IC, 3, 3) give y (N, OC, *size)."""
        u = self.G @ weight @ self.G.T
        y = np.zeros((len(x), len(weight), *size))
        for rows, columns in self._tiles(size, dilation):
            v = self._inputs(x, rows, columns, padding, dilation)
            values = np.einsum("ncyxpq,ocpq->noyxpq", v, u, optimize=True)
            _put(y, self.A.T @ values @ self.A, rows, columns, dilation)
        return y

    def backward_weight(self, grad_y: Array, x: Array, padding: Pair, dilation: Pair) -> Array:
        """grad_y (N, OC, OH, OW) and x (N, IC, IH, IW) give grad_weight (OC, IC, 3, 3)."""
        sums: Any = 0
        for rows, columns in self._tiles(grad_y.shape[2:], dilation):
            v = self._inputs(x, rows, columns, padding, dilation)
            tile = _take(grad_y, rows, columns, self.A.shape[1], dilation)
            z = self.A @ tile @ self.A.T
            sums = sums + np.einsum("noyxpq,ncyxpq->ocpq", z, v, optimize=True)
        return self.G.T @ sums @ self.G

    def _inputs(self, x: Array, rows: Array, columns: Array, padding: Pair, dilation: Pair) -> Array:
        tile = _take(x, rows - padding[0], columns - padding[1], len(self.B), dilation)
        return self.B.T @ tile @ self.B

    def _tiles(self, size: Any, dilation: Pair) -> Iterator[tuple[Array, Array]]:
        """Where the tiles of each of the dilation's interleaved grids start."""
        M, (dh, dw) = self.A.shape[1], dilation
        for h in range(min(dh, size[0])):
            for w in range(min(dw, size[1])):
                yield np.arange(h, size[0], M * dh), np.arange(w, size[1], M * dw)


def bound(function: str, algorithm: str, arguments: dict[str, Any]) -> tuple[Array, int]:
    """What the error of a kernel is measured by, from its arguments' magnitudes, and the terms of its sums."""
    a, matrices = arguments, Winograd.of(algorithm).magnitudes()
    if a["groups"] > 1:
        bounds = [bound(function, algorithm, group) for group in _groups(a)]
        return np.concatenate(
            [values for values, _ in bounds], 0 if function == "conv2d_backward_weight" else 1
        ), bounds[0][1]
    (ph, pw), (dh, dw) = a["padding"], a["dilation"]
    if function == "conv2d_backward_weight":
        M, (N, _, OH, OW) = matrices.A.shape[1], a["grad_y"].shape
        return matrices.backward_weight(a["grad_y"], a["x"], (ph, pw), (dh, dw)), -(-OH // M) * -(-OW // M) * N
    if function == "conv2d_backward_input":
        flipped = a["weight"].swapaxes(0, 1)[:, :, ::-1, ::-1]
        padding = (2 * dh - ph, 2 * dw - pw)
        return matrices.forward(a["grad_y"], flipped, a["input_size"], padding, (dh, dw)), len(a["weight"])
    x, weight = a["x"], a["weight"]
    size = x.shape[2] + 2 * ph - 2 * dh, x.shape[3] + 2 * pw - 2 * dw
    return matrices.forward(x, weight, size, (ph, pw), (dh, dw)), weight.shape[1]


def _groups(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments of each group's own convolution."""
    axes = {"x": 1, "grad_y": 1, "weight": 0}
    parts = {name: np.split(arguments[name], arguments["groups"], axes[name]) for name in axes if name in arguments}
    for g in range(arguments["groups"]):
        yield {**arguments, **{name: part[g] for name, part in parts.items()}, "groups": 1}


def _take(x: Array, rows: Array, columns: Array, count: int, dilation: Pair) -> Array:
    """Tiles (N, C, TH, TW, count, count) of x that start at rows × columns; zero outside."""
    h, w = _places(rows, count, dilation[0]), _places(columns, count, dilation[1])
    inside_h, inside_w = (h >= 0) & (h < x.shape[2]), (w >= 0) & (w < x.shape[3])
    tile = x[:, :, np.where(inside_h, h, 0)[:, None, :, None], np.where(inside_w, w, 0)[None, :, None, :]]
    return tile * (inside_h[:, None, :, None] & inside_w[None, :, None, :])


def _put(y: Array, tile: Array, rows: Array, columns: Array, dilation: Pair) -> None:
    """The other way round: writes tiles into y, but for what lies outside."""
    h, w = _places(rows, tile.shape[-1], dilation[0]), _places(columns, tile.shape[-1], dilation[1])
    inside = (h < y.shape[2])[:, None, :, None] & (w < y.shape[3])[None, :, None, :]
    h, w = np.broadcast_arrays(h[:, None, :, None], w[None, :, None, :])
    y[:, :, h[inside], w[inside]] = tile[:, :, inside]


def _places(starts: Array, count: int, step: int) -> Array:
    return starts[:, None] + step * np.arange(count)
