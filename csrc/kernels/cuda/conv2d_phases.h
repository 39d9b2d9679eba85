// Convolutions that share a launch of conv2d_hopper.cu: one, or phases of an input's gradient.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/hopper_gpu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

// Where pixels of the result stand in y: in each image of H x W, from `first` on, so many steps apart.
struct Grid {
  int64_t first;
  int H, W, step_h, step_w;
  bool dense;  // all of them, one after the other
};

// Where the taps that a convolution goes through stand among those of weight: (kh, kw) at first + kh step_h + kw
// step_w.
struct Taps {
  int first, step_h, step_w;
};

// A convolution, as the kernel is told of it.
struct Layer : Geometry {
  int steps, column_tiles, end;  // of its tiles in the list
  Grid grid;
  Taps taps;
  bool plain;  // the epilogue does nothing
  CUtensorMap pixels;

  __device__ int64_t place(int m) const {
    if (grid.dense) return m;
    const int row = m / OW, n = row / OH;
    return grid.first + (int64_t{n} * grid.H + (row - n * OH) * grid.step_h) * grid.W + (m - row * OW) * grid.step_w;
  }
};

// Convolutions by the same filters that share a launch: one, or phases of an input's gradient. The tiles of all stand
// in one list, those of the most steps first.
struct Layers {
  Layer of[kHopperLayers];
  int tiles;
};

// f(layer, m, oc) for where each of the block's tiles begins. The blocks take them in turns, every second time in
// reverse: who had one of more steps than others gets one of fewer.
template <typename Tile, typename F>
__device__ void each_tile(const Layers& layers, const F& f) {
  const Layer* layer = layers.of;
  int before = 0;  // the layer's tiles
  const int two_turns = 2 * static_cast<int>(gridDim.x);
  int tile = static_cast<int>(blockIdx.x);
  for (int step = 2 * tile + 1; tile < layers.tiles; step = two_turns - step, tile += step) {
    while (tile >= layer->end) before = layer++->end;
    const int number = tile - before;
    f(*layer, number / layer->column_tiles * Tile::kRows, number % layer->column_tiles * Tile::kColumns);
  }
}

// The same, as launchers are told.
struct Part : Conv2dShape {
  Grid grid;
  Taps taps;
};
using Parts = std::vector<Part>;  // those of the most taps first

template <typename T, typename Tile>
Layers layers_of(const Parts& parts, const T* x, bool plain) {
  constexpr int kDepth = kHopperDepth<T>;
  const int column_tiles = narrow(divide_up(parts[0].OC, Tile::kColumns));
  Layers layers{};
  Layer* layer = layers.of;
  for (const Part& s : parts) {
    layers.tiles += narrow(divide_up(s.N * s.OH * s.OW, Tile::kRows)) * column_tiles;
    const int steps = narrow(hopper_steps(s, kDepth));
    *layer++ = {geometry_of(s), steps,  column_tiles, layers.tiles,
                s.grid,         s.taps, plain,        map_of_pixels(s, x, Tile::kRows, kDepth)};
  }
  return layers;
}

// Of a phase: in reverse.
Taps taps_of(const Conv2dShape& s, const Phase& h, const Phase& w) {
  const int64_t last_h = h.tap + (h.taps - 1) * h.period, last_w = w.tap + (w.taps - 1) * w.period;
  return {narrow(last_h * s.KW + last_w), narrow(-h.period * s.KW), narrow(-w.period)};
}

// Of the input's gradient: the phases that any tap reaches.
Parts phases_of(const Conv2dShape& s) {
  Parts phases;
  for (int64_t first_h = 0; first_h < s.sh && first_h < s.IH; ++first_h)
    for (int64_t first_w = 0; first_w < s.sw && first_w < s.IW; ++first_w) {
      const Phase h = rows_of(s, first_h), w = columns_of(s, first_w);
      const Grid grid{first_h * s.IW + first_w, narrow(s.IH), narrow(s.IW), narrow(s.sh), narrow(s.sw),
                      s.sh * s.sw == 1};
      if (h.taps * w.taps > 0) phases.push_back({backward_of(s, h, w), grid, taps_of(s, h, w)});
    }
  std::stable_sort(phases.begin(), phases.end(),
                   [](const Part& a, const Part& b) { return a.KH * a.KW > b.KH * b.KW; });
  return phases;
}

}  // namespace
}  // namespace atrous
