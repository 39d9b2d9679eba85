// elementwise: sums of two arrays of one shape.  Reference: reference/elementwise.py
//   add       y = relu(x + residual), or without the relu, which is that of activation.h
//   add_into  total = total + part
// Numbers of 16 bits are added in float, and the result is rounded once.
// n elements in any order, the same for every array of a call. y is overwritten and may be x or residual; total does
// not overlap part, unless they are the same.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

template <typename T>
struct ElementwiseKernels {
  void (*add_forward)(int64_t n, const T* x, const T* residual, bool relu, T* y);
  void (*add_into)(int64_t n, T* total, const T* part);
};

template <Level L, typename T>
ElementwiseKernels<T> elementwise_kernels();  // specialised in {cpu,cuda}/elementwise.*, once per level

}  // namespace atrous
