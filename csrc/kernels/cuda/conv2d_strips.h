// Depthwise convolution of any window goes by strips: a few pixels side by side, which read a weight once.
#pragma once
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/conv2d_directions.h"
#include "kernels/cuda/held.h"
#include "kernels/cuda/pixels.h"

namespace atrous {
namespace {

constexpr int kStrip = 4;  // pixels of a thread

// The channels of pixel `at` of a row; zeros outside it.
template <typename M, typename T>
__device__ inline Held<M, T> hold_pixel(const T* row, int at, int size, int64_t C) {
  return at >= 0 && at < size ? hold<M>(row + at * C) : Held<M, T>{};
}

inline int64_t strips(int64_t pixels) { return divide_up(pixels, kStrip); }

}  // namespace
}  // namespace atrous
