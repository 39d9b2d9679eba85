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
    in_order(row, column, [&](const auto* from, auto f) { combine(from, f, sums); }, [&] { clamp(sums); });
    store_pack(y + row + column, round_to<T>(sums));
  }

  // The epilogue of two sums in columns of `columns`, which stay where they are. A row of y may end behind the first.
  __device__ void change(int64_t row, int column, int columns, Pack<C, 2>& sums) const {
    const int count = columns - column;
    if (count <= 0) return;
    const auto with = [&](const auto* from, auto f) {
      const auto others = two_of(from, count);
      sums = {{f(sums.v[0], others.v[0]), f(sums.v[1], others.v[1])}};
    };
    in_order(row, column, with, [&] { clamp(sums); });
  }

 private:
  // with(numbers, f): each sum becomes f(sum, its number).
  template <typename With, typename Clamp>
  __device__ void in_order(int64_t row, int64_t column, const With& with, const Clamp& clamp) const {
    if (then.scale) with(then.scale + column, [](C v, C scale) { return v * scale; });
    if (then.bias) with(then.bias + column, [](C v, C bias) { return v + bias; });
    if (then.relu) clamp();
    if (then.residual) with(then.residual + row + column, [](C v, C added) { return v + added; });
    if (then.relu_last) clamp();
  }
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
