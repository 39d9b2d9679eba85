// The rule that picks an algorithm, from the sizes alone.
#pragma once
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool supports(const Conv2dShape& s, Conv2dDirection, Conv2dAlgorithm algorithm) {
  if (algorithm == Conv2dAlgorithm::depthwise) return s.IC == s.G && s.OC == s.G;
  return true;
}

Conv2dAlgorithm choose(const Conv2dShape& s, Conv2dDirection direction) {
  if (s.G > 1 && supports(s, direction, Conv2dAlgorithm::depthwise)) return Conv2dAlgorithm::depthwise;
  return Conv2dAlgorithm::implicit_gemm;
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
