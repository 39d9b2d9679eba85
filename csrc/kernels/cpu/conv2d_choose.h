// The rule that picks an algorithm, from the sizes alone.
#pragma once
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool supports(const Conv2dShape& s, Conv2dDirection, Conv2dAlgorithm algorithm) {
  const int64_t size = s.IC == s.OC ? s.IC / s.G : 0;  // of a group
  if (algorithm == Conv2dAlgorithm::depthwise) return size == 1;
  if (algorithm == Conv2dAlgorithm::grouped) return size == 2 || size == 4 || size == 8;
  return true;
}

Conv2dAlgorithm choose(const Conv2dShape& s, Conv2dDirection direction) {
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::depthwise)) return Conv2dAlgorithm::depthwise;
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::grouped)) return Conv2dAlgorithm::grouped;
  return Conv2dAlgorithm::implicit_gemm;
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
