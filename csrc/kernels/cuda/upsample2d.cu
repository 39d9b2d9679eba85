// Bilinear and nearest resizing, forward and backward.
#include <algorithm>
#include <utility>

#include "kernels/cuda/pixels.h"
#include "kernels/cuda/upload.h"
#include "kernels/upsample2d.h"

namespace atrous {
namespace {

// -0 + x is x, whatever x is; but a sum of none is 0.
template <typename T>
__device__ inline T empty_sum(int64_t terms) {
  return terms > 0 ? -T(0) : T(0);
}

template <int n, typename T>
__device__ inline void add_weighted(T weight, const Pack<T, n>& x, Pack<T, n>& sum) {
  for (int i = 0; i < n; ++i) sum.v[i] = fma(weight, x.v[i], sum.v[i]);
}

// The taps of one output coordinate: in registers where all coordinates have at most `most`, else (0) in memory.
template <int most, typename T>
struct OwnTaps {
  Tap<T> taps[most];
  int64_t count;

  __device__ OwnTaps(const Taps<T>& axis, int64_t o) : count(axis.starts[o + 1] - axis.starts[o]) {
    for (int i = 0; i < most; ++i)
      if (i < count) taps[i] = axis.taps[axis.starts[o] + i];
  }

  template <typename F>
  __device__ void each(F f) const {
    for (int i = 0; i < most; ++i)
      if (i < count) f(taps[i]);
  }
};

template <typename T>
struct OwnTaps<0, T> {
  const Tap<T>* taps;
  int64_t count;

  __device__ OwnTaps(const Taps<T>& axis, int64_t o)
      : taps(axis.taps + axis.starts[o]), count(axis.starts[o + 1] - axis.starts[o]) {}

  template <typename F>
  __device__ void each(F f) const {
    for (int64_t i = 0; i < count; ++i) f(taps[i]);
  }
};

// One output pixel by `lanes` threads, each of which takes every lanes-th pack of its channels.
template <int n, int most, typename T>
struct Resample {
  using Sums = Pack<Compute<T>, n>;
  using Own = OwnTaps<most, Compute<T>>;

  Upsample2dShape<Compute<T>> s;
  int64_t lanes;
  const T* x;
  T* y;

  __device__ void operator()(const Place& out) const {
    const Own rows(s.rows, out.h), columns(s.columns, out.w);
    const int64_t pixel = (out.n * s.rows.outputs + out.h) * s.columns.outputs + out.w;
    for (int64_t c = out.c; c < s.C; c += lanes * n)
      store_pack(y + pixel * s.C + c, round_to<T>(value(rows, columns, x + out.n * s.IH * s.IW * s.C + c)));
  }

  __device__ Sums value(const Own& rows, const Own& columns, const T* image) const {
    Sums sum = filled(empty_sum<Compute<T>>(columns.count));
    columns.each([&](const auto& column) {
      Sums column_sum = filled(empty_sum<Compute<T>>(rows.count));
      rows.each([&](const auto& row) {
        const T* pixel = image + (row.source * s.IW + column.source) * s.C;
        add_weighted(row.weight, to_compute(load_pack<n>(pixel)), column_sum);
      });
      add_weighted(column.weight, column_sum, sum);
    });
    return sum;
  }

  __device__ static Sums filled(Compute<T> value) {
    Sums pack;
    for (int i = 0; i < n; ++i) pack.v[i] = value;
    return pack;
  }
};

// The most taps that an output of either axis has.
template <typename T>
int64_t most_taps(const Upsample2dShape<T>& s) {
  int64_t most = 0;
  for (const Taps<T>* axis : {&s.rows, &s.columns})
    for (int64_t o = 0; o < axis->outputs; ++o) most = std::max(most, axis->starts[o + 1] - axis->starts[o]);
  return most;
}

template <typename T>
void resample(const Upsample2dShape<Compute<T>>& on_host, const T* x, T* y) {
  using Number = Compute<T>;
  if (on_host.N * on_host.C == 0) return;
  Upload upload;
  const auto add = [&](const Taps<Number>& axis) {
    return std::pair(upload.add(axis.starts, axis.outputs + 1), upload.add(axis.taps, axis.starts[axis.outputs]));
  };
  const auto rows = add(on_host.rows), columns = add(on_host.columns);
  upload.send();
  Upsample2dShape<Number> s = on_host;
  s.rows.starts = upload.at<int64_t>(rows.first), s.rows.taps = upload.at<Tap<Number>>(rows.second);
  s.columns.starts = upload.at<int64_t>(columns.first), s.columns.taps = upload.at<Tap<Number>>(columns.second);
  const int64_t most = most_taps(on_host);
  const auto run = [&](auto n) {
    constexpr int64_t kLeast = 128 / (n.value * sizeof(T));  // lanes: 128 bytes side by side
    const int64_t packs = s.C / n.value, lanes = std::min(packs, std::max(kLeast, (packs + 3) / 4));
    const auto resample_with = [&](auto most_of) {
      for_pixels<n.value>(s.N, s.rows.outputs, s.columns.outputs, lanes * n.value,
                          Resample<n.value, most_of.value, T>{s, lanes, x, y});
    };
    if (most <= 2)  // nearest, bilinear
      resample_with(std::integral_constant<int, 2>{});
    else if (most <= 4)  // back from twice the size
      resample_with(std::integral_constant<int, 4>{});
    else
      resample_with(std::integral_constant<int, 0>{});
  };
  with_packs<T>(run, s.C, x, y);
}

template <typename T>
Upsample2dKernels<T> table() {
  return {resample<T>};
}

}  // namespace

template <>
Upsample2dKernels<float> upsample2d_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
Upsample2dKernels<double> upsample2d_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
Upsample2dKernels<Float16> upsample2d_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
Upsample2dKernels<BFloat16> upsample2d_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
