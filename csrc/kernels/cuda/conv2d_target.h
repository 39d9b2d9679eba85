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
    if (then.scale) combine(then.scale + column, [](C v, C scale) { return v * scale; }, sums);
    if (then.bias) combine(then.bias + column, [](C v, C bias) { return v + bias; }, sums);
    if (then.relu) clamp(sums);
    if (then.residual) combine(then.residual + at, [](C v, C added) { return v + added; }, sums);
    if (then.relu_last) clamp(sums);
    store_pack(y + at, round_to<T>(sums));
  }

  // The same of two sums in columns of `columns`, which stay where they are. A row of y may end behind the first.
  __device__ bool changes_sums() const {
    return then.scale || then.bias || then.relu || then.residual || then.relu_last;
  }
  __device__ void change(int64_t row, int column, int columns, C* sums) const {
    const int count = columns - column;
    if (count <= 0) return;
    const auto with = [&](const auto* from, auto f) {
      const auto others = two_of(from, count);
      sums[0] = f(sums[0], others.v[0]), sums[1] = f(sums[1], others.v[1]);
    };
    const auto clamp_two = [&] {
      for (int i = 0; i < 2; ++i) sums[i] = sums[i] < C(0) ? C(0) : sums[i];
    };
    if (then.scale) with(then.scale + column, [](C v, C scale) { return v * scale; });
    if (then.bias) with(then.bias + column, [](C v, C bias) { return v + bias; });
    if (then.relu) clamp_two();
    if (then.residual) with(then.residual + row + column, [](C v, C added) { return v + added; });
    if (then.relu_last) clamp_two();
  }

 private:
  template <typename From>
  __device__ Pack<C, 2> two_of(const From* from, int count) const {
    if (packed) return to_compute(load_pack<2>(from));
    return to_compute(Pack<From, 2>{{from[0], count > 1 ? from[1] : from[0]}});
  }
  template <int n, typename From, typename F>
  __device__ static void combine(const From* from, F f, Pack<C, n>& sums) {
    constexpr int kMost = 16 / sizeof(From), m = n < kMost ? n : kMost;  // more at a time would take registers
#pragma unroll
    for (int i = 0; i < n; i += m) {
      const auto others = to_compute(load_pack<m>(from + i));
#pragma unroll
      for (int j = 0; j < m; ++j) sums.v[i + j] = f(sums.v[i + j], others.v[j]);
    }
  }
  template <int n>
  __device__ static void clamp(Pack<C, n>& sums) {
    for (int i = 0; i < n; ++i) sums.v[i] = sums.v[i] < C(0) ? C(0) : sums.v[i];  // NaN stays
  }
};

}  // namespace atrous
