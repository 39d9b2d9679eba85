// Where the sums of a convolution go.
#pragma once
#include "core/epilogue.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/pack.h"

namespace atrous {

// How sums are stored: through the epilogue, rounded once, into y.
template <typename T>
struct Target {
  using C = Compute<T>;
  static constexpr int kPack = 16 / static_cast<int>(sizeof(T));

  T* y;
  Epilogue<T> then;
  bool packed;  // kPack numbers at a time

  template <int n>
  __device__ void put(int64_t row, int64_t column, Pack<C, n> sums) const {
    const int64_t at = row + column;
    if (then.scale) combine(load_pack<n>(then.scale + column), [](C v, C scale) { return v * scale; }, sums);
    if (then.bias) combine(load_pack<n>(then.bias + column), [](C v, C bias) { return v + bias; }, sums);
    if (then.relu) clamp(sums);
    if (then.residual)
      combine(to_compute(load_pack<n>(then.residual + at)), [](C v, C added) { return v + added; }, sums);
    if (then.relu_last) clamp(sums);
    store_pack(y + at, round_to<T>(sums));
  }

 private:
  template <int n, typename F>
  __device__ static void combine(const Pack<C, n>& other, F f, Pack<C, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = f(sums.v[i], other.v[i]);
  }
  template <int n>
  __device__ static void clamp(Pack<C, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = sums.v[i] < C(0) ? C(0) : sums.v[i];  // NaN stays
  }
};

}  // namespace atrous
