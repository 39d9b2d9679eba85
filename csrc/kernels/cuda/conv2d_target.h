// Where the sums of a convolution go.
#pragma once
#include "core/epilogue.h"
#include "kernels/cuda/pack.h"

namespace atrous {

// How sums are stored: through the epilogue, into y.
template <typename T>
struct Target {
  T* y;
  Epilogue<T> then;
  bool packed;  // 16 bytes at a time

  template <int n>
  __device__ void put(int64_t row, int64_t column, Pack<T, n> sums) const {
    const int64_t at = row + column;
    if (then.scale) combine(load_pack<n>(then.scale + column), [](T v, T scale) { return v * scale; }, sums);
    if (then.bias) combine(load_pack<n>(then.bias + column), [](T v, T bias) { return v + bias; }, sums);
    if (then.relu) clamp(sums);
    if (then.residual) combine(load_pack<n>(then.residual + at), [](T v, T added) { return v + added; }, sums);
    if (then.relu_last) clamp(sums);
    store_pack(y + at, sums);
  }

 private:
  template <int n, typename F>
  __device__ static void combine(const Pack<T, n>& other, F f, Pack<T, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = f(sums.v[i], other.v[i]);
  }
  template <int n>
  __device__ static void clamp(Pack<T, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = sums.v[i] < T(0) ? T(0) : sums.v[i];  // NaN stays
  }
};

}  // namespace atrous
