// Where the sums of a convolution go.
#pragma once
#include "core/epilogue.h"
#include "kernels/cuda/half.h"

namespace atrous {

// How sums are stored: through the epilogue, into y, rounded once.
template <typename T>
struct Target {
  T* y;
  Epilogue<T> then;
  bool packed;  // 16 bytes at a time

  template <int n>
  __device__ void put(int64_t row, int64_t column, Pack<Compute<T>, n> sums) const {
    const int64_t at = row + column;
    if (then.scale) combine(load_pack<n>(then.scale + column), [](Sum v, Sum scale) { return v * scale; }, sums);
    if (then.bias) combine(load_pack<n>(then.bias + column), [](Sum v, Sum bias) { return v + bias; }, sums);
    if (then.relu) clamp(sums);
    if (then.residual)
      combine(to_compute(load_pack<n>(then.residual + at)), [](Sum v, Sum added) { return v + added; }, sums);
    if (then.relu_last) clamp(sums);
    store_pack(y + at, round_to<T>(sums));
  }

 private:
  using Sum = Compute<T>;

  template <int n, typename F>
  __device__ static void combine(const Pack<Sum, n>& other, F f, Pack<Sum, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = f(sums.v[i], other.v[i]);
  }
  template <int n>
  __device__ static void clamp(Pack<Sum, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = sums.v[i] < Sum(0) ? Sum(0) : sums.v[i];  // NaN stays
  }
};

}  // namespace atrous
