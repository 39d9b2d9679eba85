// The rule that picks an algorithm, from the sizes alone.
#pragma once
#include "kernels/cpu/conv2d_tiles.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool supports(const Conv2dShape& s, Conv2dDirection, Conv2dAlgorithm algorithm) {
  switch (algorithm) {
    case Conv2dAlgorithm::implicit_gemm:
      return true;
    case Conv2dAlgorithm::depthwise:
      return s.IC == s.G && s.OC == s.G;
    case Conv2dAlgorithm::winograd_2x2:
    case Conv2dAlgorithm::winograd_4x4:
      return s.KH == 3 && s.KW == 3 && s.sh == 1 && s.sw == 1 && s.G == 1;
  }
  return false;
}

// Costs in multiply-adds, or what takes as long: a tile and channel is transformed in the time of kTransform of them
// for each of its S x S places, a weight in that of kWeight.
constexpr double kTransform = 11, kWeight = 12;

double direct_cost(const Conv2dShape& s, Conv2dDirection direction) {
  const int64_t sites = direction == Conv2dDirection::backward_input ? s.N * s.IH * s.IW : s.N * s.OH * s.OW;
  return (static_cast<double>(sites) + kWeight) * 9.0 * static_cast<double>(s.IC * s.OC);
}

double winograd_cost(const Conv2dShape& s, Conv2dDirection direction, int64_t M) {
  const TileSizes t = direction == Conv2dDirection::backward_input ? backward_tiles(s) : forward_tiles(s);
  const double tiles = static_cast<double>(t.N * count_tiles(t.OH, t.dh, M) * count_tiles(t.OW, t.dw, M));
  const double products = static_cast<double>(s.IC * s.OC), channels = static_cast<double>(s.IC + s.OC);
  return static_cast<double>((M + 2) * (M + 2)) * (tiles * (products + kTransform * channels) + kWeight * products);
}

Conv2dAlgorithm choose(const Conv2dShape& s, Conv2dDirection direction) {
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::depthwise)) return Conv2dAlgorithm::depthwise;
  if (!supports(s, direction, Conv2dAlgorithm::winograd_4x4)) return Conv2dAlgorithm::implicit_gemm;
  const double direct = direct_cost(s, direction), two = winograd_cost(s, direction, 2),
               four = winograd_cost(s, direction, 4);
  if (direct <= two && direct <= four) return Conv2dAlgorithm::implicit_gemm;
  return two < four ? Conv2dAlgorithm::winograd_2x2 : Conv2dAlgorithm::winograd_4x4;
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
