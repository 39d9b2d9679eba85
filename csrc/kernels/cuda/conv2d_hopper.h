// The convolution by Hopper's copy engine and matrix units: which sizes it takes, and into what tiles it is cut.
#pragma once
#include <cstdint>

#include "kernels/conv2d.h"

namespace atrous {

// As in kernels/conv2d.h, by float32 numbers rounded to TF32; false, and nothing is done, where the GPU is no Hopper or
// the sizes do not fit.
bool forward_hopper(const Conv2dShape&, const float* x, const float* weight, const Epilogue<float>&, float* y);
bool backward_input_hopper(const Conv2dShape&, const float* grad_y, const float* weight, float* grad_x);

constexpr int kHopperRows = 128;  // pixels of the smallest tile
constexpr int kHopperDepth = 32;  // channels of a step: 128 bytes

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
  return padding >= 0 && stride <= 8 && taps >= 1 && taps <= 256 && dilation * (taps - 1) <= 255 &&
         is_byte(corners.lower) && is_byte(corners.upper);
}

inline int64_t hopper_steps(const Conv2dShape& s) { return s.KH * s.KW * ((s.IC + kHopperDepth - 1) / kHopperDepth); }

// From the sizes alone, as all choices. Packs of 16 bytes; from 16 channels on, as below them more than half of a step
// would be zeros; indices of 32 bits, with room for a last tile that is not full; distances below 2^40 bytes. (x and
// weight exist, so that no product here overflows.)
inline bool hopper_fits(const Conv2dShape& s) {
  constexpr int64_t kEnd = (int64_t{1} << 31) - (1 << 16), kFar = int64_t{1} << 38;
  const int64_t M = s.N * s.OH * s.OW;
  return s.G == 1 && s.IC % 4 == 0 && s.IC >= kHopperDepth / 2 && s.OC > 0 && s.OC < kEnd && M > 0 && M < kEnd &&
         axis_fits(s.IH, s.OH, s.sh, s.ph, s.dh, s.KH) && axis_fits(s.IW, s.OW, s.sw, s.pw, s.dw, s.KW) &&
         (M / kHopperRows + 1) * (s.OC / 64 + 1) < kEnd && hopper_steps(s) < kEnd && s.IH * s.IW * s.IC < kFar &&
         s.KH * s.KW * s.IC < kFar;
}

// The convolution that leads back from the outputs to the inputs where the stride is 1: its filters are weight's,
// with the taps in reverse, and inputs and outputs exchanged. Its padding may be negative, which does not fit.
inline Conv2dShape backward_of(const Conv2dShape& s) {
  return {
      s.N,  s.OC, s.OH, s.OW, s.IC, s.IH, s.IW, s.KH, s.KW, 1, 1, s.dh * (s.KH - 1) - s.ph, s.dw * (s.KW - 1) - s.pw,
      s.dh, s.dw, s.G};
}

// Pixels and output channels of a tile, the stages of its ring, the blocks on a multiprocessor at a time, and the
// prices of a step and of its beginning and end, in steps.
struct HopperTile {
  int rows, columns, stages, blocks;
  double step, more;
};
constexpr HopperTile kHopperTiles[] = {{128, 64, 4, 2, 6.5, 6},
                                       {128, 128, 3, 2, 10, 10},
                                       {128, 256, 4, 1, 9, 20},
                                       {128, 128, 6, 1, 5, 14},
                                       {192, 128, 5, 1, 7, 20}};

// The number of a tile, from what it costs: the waves of tiles over the multiprocessors, times a tile's steps and some
// more for its beginning and end. In a last wave that is not full, a tile goes faster.
// With the prices fitted to an H200's times of 15 layers, the choice is the fastest for 12 of them and 2 to 5 % off for
// three. Some of them, TF32, in us for each tile in turn:
//   1x1 4096>4096, 8192 pixels   1340  903  837  853  859      3x3 128>128, 50176 pixels      57   57  137   46   45
//   3x3 256>256, 12544 pixels      58   50   51   52   40      1x1 512>128, 50176 pixels      36   42   58   36   37
//   3x3 512>512, 3136 pixels       62   72   89   47   68      3x3 256>256, 17424 pixels     105   84   98   78   75
inline int hopper_tile(const Conv2dShape& s) {
  constexpr int kMultiprocessors = 132;  // of an H100 or H200, and not asked for: bits follow from sizes alone
  const auto cost = [&](const HopperTile& tile) {
    const int64_t rows = (s.N * s.OH * s.OW + tile.rows - 1) / tile.rows;
    const int64_t tiles = rows * ((s.OC + tile.columns - 1) / tile.columns), wave = kMultiprocessors * tile.blocks;
    const auto rest = static_cast<double>(tiles % wave) / static_cast<double>(wave);
    const double waves = static_cast<double>(tiles / wave) + (rest > 0 ? 0.6 + 0.4 * rest : 0);
    return waves * tile.step * (static_cast<double>(hopper_steps(s)) + tile.more);
  };
  const HopperTile* best = kHopperTiles;
  for (const HopperTile& tile : kHopperTiles)
    if (cost(tile) < cost(*best)) best = &tile;
  return static_cast<int>(best - kHopperTiles);
}

}  // namespace atrous
