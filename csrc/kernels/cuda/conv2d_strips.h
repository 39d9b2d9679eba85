// Depthwise convolution goes by strips: a few pixels side by side, whose taps overlap.
#pragma once
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/conv2d_directions.h"
#include "kernels/cuda/held.h"
#include "kernels/cuda/pixels.h"

namespace atrous {
namespace {

constexpr int kStrip = 4;  // pixels of a thread

// What a strip's pixels read of a row through K taps side by side, each number once. The pixels are `step` apart, the
// taps next to each other; K = 1 is any tap by itself, where the step is not known beforehand.
template <int K, int step>
struct Taps {
  static constexpr int count = K, stride = step, width = K == 1 ? kStrip : (kStrip - 1) * step + K;
  __device__ static int place(int pixel, int tap) { return K == 1 ? pixel : pixel * step + tap; }

  template <typename M, typename T>
  __device__ static Held<M, T> read(const T* row, int first, int any_step, int size, int64_t C, int i) {
    const int at = first + (K == 1 ? i * any_step : i);
    return at >= 0 && at < size ? hold<M>(row + at * C) : Held<M, T>{};
  }
};

// f(taps) with the Taps for these sizes along a row.
template <typename T, typename F>
void with_taps(int64_t taps, int64_t dilation, int64_t stride, F&& f) {
  if constexpr (sizeof(T) <= 4) {  // the fast path
    if (dilation == 1 && taps == 3 && stride == 1) return f(Taps<3, 1>{});
    if (dilation == 1 && taps == 3 && stride == 2) return f(Taps<3, 2>{});
    if (dilation == 1 && taps == 5 && stride == 1) return f(Taps<5, 1>{});
    if (dilation == 1 && taps == 5 && stride == 2) return f(Taps<5, 2>{});
  }
  f(Taps<1, 1>{});
}

inline int64_t strips(int64_t pixels) { return divide_up(pixels, kStrip); }

}  // namespace
}  // namespace atrous
