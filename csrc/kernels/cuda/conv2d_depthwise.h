// What the depthwise convolution's files share.
#pragma once
#include "core/epilogue.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/pixels.h"

namespace atrous {

// By walks (conv2d_walks.h); false, and nothing done, for other windows.

template <typename T>
bool forward_by_walks(const Conv2dShape&, const T* x, const T* weight, const Epilogue<T>&, T* y);
template <typename T>
bool backward_input_by_walks(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);
template <typename T>
bool backward_input_by_walks_of_2(const Conv2dShape&, const T* grad_y, const T* weight, T* grad_x);  // stride 2
template <typename T>
bool backward_weight_by_walks(const Conv2dShape&, const T* grad_y, const T* x, Compute<T>* grad_weight);

// Sums by tap (taps, C), to (C, taps).
template <typename T>
struct ByChannel {
  Divisor C;
  int64_t taps;
  T* grad_weight;

  template <int n>
  __device__ void operator()(int64_t i, const Pack<T, n>& sums) const {
    for (int j = 0; j < n; ++j) {
      const int64_t tap = (i + j) / C, c = i + j - tap * C.value();
      grad_weight[c * taps + tap] = sums.v[j];
    }
  }
};

}  // namespace atrous
