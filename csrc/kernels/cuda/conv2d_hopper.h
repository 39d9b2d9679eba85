// The convolution by Hopper's copy engine and matrix units: which sizes it takes, and into what tiles it is cut.
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>

#include "kernels/conv2d.h"

namespace atrous {

// As in kernels/conv2d.h, for T = float by numbers rounded to TF32; false, and nothing is done, where the GPU is no
// Hopper or the sizes do not fit. Factors of 16 bits begin at multiples of 16 bytes.
template <typename T>
bool forward_hopper(const Conv2dShape&, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
bool backward_input_hopper(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);
bool backward_weight_hopper(const Conv2dShape&, const float* grad_y, const float* x, float* grad_weight);
template <typename T>
bool backward_weight_half_hopper(const Conv2dShape&, const T* grad_y, const T* x, float* grad_weight);

constexpr int kHopperRows = 128;  // pixels of the smallest tile
constexpr int kHopperLayers = 4;  // convolutions that share a launch, at most: phases of an input's gradient
template <typename T>
constexpr int kHopperDepth = 128 / static_cast<int>(sizeof(T));  // channels of a step: 128 bytes
constexpr int kMultiprocessors = 132;  // of an H100 or H200, and not asked for: bits follow from sizes alone

// Along an axis of the image, the places that tap 0 reads: how far the first is from the image's first pixel, and the
// last from its last.
struct Corners {
  int64_t lower, upper;
};

inline Corners corners_of(int64_t size, int64_t outputs, int64_t stride, int64_t padding) {
  return {-padding, (outputs - 1) * stride - padding - (size - 1)};
}

// What the engine can say of an axis: strides up to 8, corners in signed bytes, a tap's offset in an unsigned one.
inline bool axis_fits(int64_t size, int64_t outputs, int64_t stride, int64_t padding, int64_t dilation, int64_t taps) {
  const Corners corners = corners_of(size, outputs, stride, padding);
  const auto is_byte = [](int64_t value) { return value >= -128 && value <= 127; };
  return stride <= 8 && taps >= 1 && taps <= 256 && dilation * (taps - 1) <= 255 && is_byte(corners.lower) &&
         is_byte(corners.upper);
}

inline int64_t hopper_steps(const Conv2dShape& s, int64_t depth) { return s.KH * s.KW * ((s.IC + depth - 1) / depth); }

// From the sizes alone, as all choices, and the channels of a step. Packs of 16 bytes; half a step's channels or more,
// as with fewer most of it would be zeros; indices of 32 bits, with room for a last tile that is not full, and of all
// tiles of a launch; distances below 2^40 bytes. (x and weight exist, so that no product here overflows.)
inline bool hopper_fits(const Conv2dShape& s, int64_t depth) {
  constexpr int64_t kEnd = (int64_t{1} << 31) - (1 << 16), kFar = int64_t{1} << 38;
  const int64_t M = s.N * s.OH * s.OW;
  return s.G == 1 && s.IC % (depth / 8) == 0 && s.IC >= depth / 2 && s.OC > 0 && s.OC < kEnd && M > 0 && M < kEnd &&
         axis_fits(s.IH, s.OH, s.sh, s.ph, s.dh, s.KH) && axis_fits(s.IW, s.OW, s.sw, s.pw, s.dw, s.KW) &&
         (M / kHopperRows + 1) * (s.OC / 64 + 1) < kEnd / kHopperLayers && hopper_steps(s, depth) < kEnd &&
         s.IH * s.IW * s.IC < kFar && s.KH * s.KW * s.IC < kFar;
}

// Backwards along an axis: the inputs that are a multiple of the stride apart, from `first` on, are reached through the
// taps from `tap` on that are a period apart, by a convolution of stride 1: taps in reverse, inputs and outputs
// exchanged. Its padding may be negative.
struct Phase {
  int64_t first, inputs, tap, period, taps, padding, dilation;

  Phase(int64_t first_, int64_t size, int64_t stride, int64_t padding_, int64_t dilation_, int64_t kernel)
      : first(first_), inputs((size - first_ + stride - 1) / stride), tap(0), taps(0), padding(0) {
    const int64_t common = std::gcd(stride, dilation_);
    period = stride / common;
    dilation = dilation_ / common;
    while (tap < period && (first + padding_ - tap * dilation_) % stride != 0) ++tap;
    if (tap >= period || tap >= kernel) return;  // no tap reaches these inputs
    taps = (kernel - tap + period - 1) / period;
    padding = (taps - 1) * dilation - (first + padding_ - tap * dilation_) / stride;
  }
};

inline Phase rows_of(const Conv2dShape& s, int64_t first) { return {first, s.IH, s.sh, s.ph, s.dh, s.KH}; }
inline Phase columns_of(const Conv2dShape& s, int64_t first) { return {first, s.IW, s.sw, s.pw, s.dw, s.KW}; }

inline Conv2dShape backward_of(const Conv2dShape& s, const Phase& h, const Phase& w) {
  return {s.N,    s.OC, s.OH, s.OW,      s.IC,      h.inputs,   w.inputs,   h.taps,
          w.taps, 1,    1,    h.padding, w.padding, h.dilation, w.dilation, s.G};
}

// Pixels and output channels of a tile, the stages of its ring, the blocks on a multiprocessor at a time, and the
// prices of a step and of its beginning and end, in steps.
struct HopperTile {
  int rows, columns, stages, blocks;
  double step, more;
};
constexpr HopperTile kHopperTiles[] = {{128, 64, 4, 2, 6.3, 8.3},
                                       {128, 128, 3, 2, 10.4, 10.6},
                                       {128, 256, 4, 1, 8.5, 24.5},
                                       {128, 128, 6, 1, 4, 18.7},
                                       {192, 128, 5, 1, 6, 17.6}};

// The number of a tile, for convolutions that share a launch, those of the most steps first. From what it costs: the
// waves of tiles over the multiprocessors, times a tile's steps and some more for its beginning and end. In a last wave
// that is not full, a tile goes faster.
// The prices are fitted to an H200's times of 15 layers forwards and the 13 without a stride backwards, in TF32 and
// bfloat16: the choice takes 0.8 % longer than the best would, in the mean, and 8 % at most. Some of the times, us for
// each tile in turn, of TF32 and of bfloat16 (of which a step has twice the channels):
//   1x1 64>256, 200704 pixels      80   79   76   77   75        39   40   40   43   39
//   3x3 64>64, 200704 pixels       72  168  337  165  135        36   81  156   80   65
//   3x3 128>128, 50176 pixels      63   57  136   46   44        28   29   65   25   24
//   3x3 256>256, 12544 pixels      57   49   49   50   39        31   27   27   28   22
//   3x3 512>512, 3136 pixels       62   48   89   47   68        32   26   46   26   36
//   1x1 2048>512, 3136 pixels      29   25   44   24   34        16   14   24   14   18
template <typename Shapes>
int hopper_tile(const Shapes& shapes, int64_t depth) {
  const auto cost = [&](const HopperTile& tile) {
    const int64_t wave = kMultiprocessors * tile.blocks;
    int64_t all = 0;
    double steps = 0, last = 0;
    for (const Conv2dShape& s : shapes) {
      const int64_t rows = (s.N * s.OH * s.OW + tile.rows - 1) / tile.rows;
      const int64_t tiles = rows * ((s.OC + tile.columns - 1) / tile.columns);
      last = static_cast<double>(hopper_steps(s, depth)) + tile.more;
      steps += static_cast<double>(tiles) * last;
      all += tiles;
    }
    const auto idle = static_cast<double>((wave - all % wave) % wave);
    return tile.step * (steps + 0.55 * idle * last) / static_cast<double>(wave);
  };
  const HopperTile* best = kHopperTiles;
  for (const HopperTile& tile : kHopperTiles)
    if (cost(tile) < cost(*best)) best = &tile;
  return static_cast<int>(best - kHopperTiles);
}

// The weight gradient reads grad_y, too, by packs.
inline bool weight_fits(const Conv2dShape& s, int64_t depth) {
  return hopper_fits(s, depth) && s.OC % (depth / 8) == 0 && s.OC >= depth / 2;
}

// Of the weight gradient: channels of a chunk; output channels, and columns (a chunk of a tap for each so many of
// them); what of it a warp has; stages; blocks on a multiprocessor at a time; and the price of a step, where a
// multiprocessor does nothing else, in us of an H200.
struct WeightTile {
  int chunk, rows, columns, warp_rows, warp_columns, stages, blocks;
  double step;
};
constexpr WeightTile kWeightTiles[] = {{32, 64, 64, 32, 32, 4, 3, 0.25},
                                       {32, 64, 128, 32, 64, 4, 2, 0.45},
                                       {32, 128, 64, 64, 32, 4, 2, 0.47},
                                       {32, 128, 128, 64, 64, 3, 2, 0.92},
                                       {32, 128, 256, 64, 64, 4, 1, 1.56}};
// The same of 16-bit numbers, by warpgroups of 64 rows each.
constexpr WeightTile kHalfWeightTiles[] = {{64, 64, 64, 16, 64, 4, 3, 0.29},    {64, 64, 192, 16, 192, 6, 1, 0.49},
                                           {64, 64, 256, 16, 256, 5, 1, 0.55},  {64, 128, 128, 16, 128, 6, 1, 0.52},
                                           {64, 128, 192, 16, 192, 5, 1, 0.65}, {64, 128, 256, 16, 256, 4, 1, 0.78}};

// How the steps of a tile are cut: into parts, and each part into equal shares, one for each block of a cluster. A
// share of fewer steps than kLeast is not worth its beginning and end.
struct WeightCut {
  int64_t parts;
  int cluster;
  double cost;
};

// The time it takes, us of an H200. Where fewer blocks are on a multiprocessor than it has room for, a step of theirs
// takes longer. Of what does not follow from products, the blocks of a cluster take some for adding up, and so does the
// second launch, which adds up parts.
inline double cost_of(const WeightTile& tile, int64_t tiles, int64_t steps, int64_t parts, int cluster) {
  const int64_t shares = parts * cluster, blocks = tiles * shares, wave = int64_t{kMultiprocessors} * tile.blocks;
  const int64_t of_last_wave = (blocks % wave + kMultiprocessors - 1) / kMultiprocessors;
  const double last = static_cast<double>(of_last_wave), longer = 1 + 0.6 * (1 - last / tile.blocks);
  const double on_each = static_cast<double>(blocks / wave * tile.blocks) + last * longer;
  const double products = on_each * static_cast<double>((steps + shares - 1) / shares) * tile.step;
  const double size = tile.rows * tile.columns;
  const double in_clusters = cluster > 1 ? 0.8 + size * 4.5e-5 : 0;
  return products + in_clusters + (parts > 1 ? 4 + static_cast<double>(tiles * parts) * size * 3e-6 : 0);
}

// A cluster of four runs within a GPC, of which some have 18 multiprocessors, most 16 and some fewer: 120 blocks at a
// time have room.
inline WeightCut weight_cut(const WeightTile& tile, int64_t tiles, int64_t steps) {
  constexpr int64_t kLeast = 8, kOfFours = 120;
  WeightCut best{1, 1, cost_of(tile, tiles, steps, 1, 1)};
  for (const int cluster : {1, 2, 4}) {
    const int64_t at_once = cluster == 4 && tile.blocks == 1 ? kOfFours : int64_t{kMultiprocessors} * tile.blocks;
    const int64_t most = std::min(at_once / (tiles * cluster), steps / (kLeast * cluster));
    for (int64_t parts = most; parts > 0; parts /= 2) {
      const double cost = cost_of(tile, tiles, steps, parts, cluster);
      if (cost < best.cost) best = {parts, cluster, cost};
    }
  }
  return best;
}

// The number of the tile that takes the least. The prices were fitted to an H200's times of 15 layers when parts were
// cut otherwise; those of 192 columns and of clusters are estimates.
template <int count>
int weight_tile(const Conv2dShape& s, const WeightTile (&tiles)[count], int64_t pixels) {
  const int64_t chunk = tiles[0].chunk, columns = s.KH * s.KW * ((s.IC + chunk - 1) / chunk) * chunk;
  const int64_t steps = (s.N * s.OH * s.OW + pixels - 1) / pixels;
  const auto cost = [&](const WeightTile& tile) {
    const int64_t of_all = (s.OC + tile.rows - 1) / tile.rows * ((columns + tile.columns - 1) / tile.columns);
    return weight_cut(tile, of_all, steps).cost;
  };
  const WeightTile* best = tiles;
  for (const WeightTile& tile : tiles)
    if (cost(tile) < cost(*best)) best = &tile;
  return static_cast<int>(best - tiles);
}

}  // namespace atrous
