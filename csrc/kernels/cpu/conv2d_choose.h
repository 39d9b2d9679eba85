// The rule that picks an algorithm, from the sizes alone.
#pragma once
#include "kernels/cpu/conv2d_split.h"
#include "kernels/cpu/conv2d_tiles.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool supports(const Conv2dShape& s, Conv2dDirection, Conv2dAlgorithm algorithm) {
  const int64_t size = s.IC == s.OC ? s.IC / s.G : 0;  // of a group
  switch (algorithm) {
    case Conv2dAlgorithm::implicit_gemm:
      return true;
    case Conv2dAlgorithm::depthwise:
      return size == 1;
    case Conv2dAlgorithm::grouped:
      return size == 2 || size == 4 || size == 8;
    case Conv2dAlgorithm::winograd_2x2:
    case Conv2dAlgorithm::winograd_4x4:
      return s.KH == 3 && s.KW == 3 && s.sh == 1 && s.sw == 1;
    case Conv2dAlgorithm::tensor_cores:
      return false;
  }
  return false;
}

// Costs in multiply-adds of the direct sum, or what takes as long (measured on AVX2). One of Winograd's products, which
// pass through memory, takes kProduct; one place of a tile and channel kTransform; one place or tap of a weight's
// gradient, whose partial sums pass through memory, kGradWeight; a number that is copied for one of several groups
// kCopy. What weights cost in the other directions does not count: the choice would depend on the batch size, and an
// image has the same bits alone and in a batch.
constexpr double kProduct = 1.1, kTransform = 6, kGradWeight = 30, kCopy = 6;
constexpr int64_t kFewChannels = 8;  // fewer leave lanes of every transform empty

double weight_cost(Conv2dDirection direction) {
  return direction == Conv2dDirection::backward_weight ? kGradWeight : 0;
}

// Pairs of an output and a tap that reads inside the image, along one axis of stride 1.
int64_t valid_taps(int64_t out, int64_t in, int64_t taps, int64_t padding, int64_t dilation) {
  int64_t count = 0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t offset = tap * dilation - padding;
    count += max_of(0, min_of(out, in - offset) - max_of(0, -offset));
  }
  return count;
}

double direct_cost(const Conv2dShape& s, Conv2dDirection direction) {
  const int64_t pairs = valid_taps(s.OH, s.IH, 3, s.ph, s.dh) * valid_taps(s.OW, s.IW, 3, s.pw, s.dw);
  return (static_cast<double>(s.N * pairs) + 9 * weight_cost(direction)) * static_cast<double>(s.IC * s.OC);
}

double winograd_cost(const Conv2dShape& s, Conv2dDirection direction, int64_t M) {
  const TileSizes t = direction == Conv2dDirection::backward_input ? backward_tiles(s) : forward_tiles(s);
  const double tiles = static_cast<double>(t.N * count_tiles(t.OH, t.dh, M) * count_tiles(t.OW, t.dw, M));
  const double products = static_cast<double>(s.IC * s.OC), channels = static_cast<double>(s.IC + s.OC);
  const double a_place = tiles * (kProduct * products + kTransform * channels) + weight_cost(direction) * products;
  return static_cast<double>((M + 2) * (M + 2)) * a_place;
}

// Of a group's channels, where there are several.
double copy_cost(const Conv2dShape& s) {
  const int64_t numbers = s.N * (s.IH * s.IW * s.IC + s.OH * s.OW * s.OC) / s.G;
  return s.G == 1 ? 0 : kCopy * static_cast<double>(numbers);
}

Conv2dAlgorithm choose(const Conv2dShape& s, Conv2dDirection direction, bool winograd) {
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::depthwise)) return Conv2dAlgorithm::depthwise;
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::grouped)) return Conv2dAlgorithm::grouped;
  const Conv2dShape one = shape_of_group(s);
  if (!winograd || !supports(s, direction, Conv2dAlgorithm::winograd_4x4) || min_of(one.IC, one.OC) < kFewChannels)
    return Conv2dAlgorithm::implicit_gemm;
  const double direct = direct_cost(one, direction), copy = copy_cost(s), two = winograd_cost(one, direction, 2) + copy,
               four = winograd_cost(one, direction, 4) + copy;
  if (direct <= two && direct <= four) return Conv2dAlgorithm::implicit_gemm;
  return two < four ? Conv2dAlgorithm::winograd_2x2 : Conv2dAlgorithm::winograd_4x4;
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
