// Bilinear and nearest resizing, forward and backward.
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

template <int n, typename T>
struct Resample {
  Upsample2dShape<T> s;
  const T* x;
  T* y;

  // The sum of rows at one column.
  __device__ Pack<T, n> column_sum(const T* column, int64_t first, int64_t last) const {
    Pack<T, n> sum;
    for (int i = 0; i < n; ++i) sum.v[i] = empty_sum<T>(last - first);
    for (int64_t t = first; t < last; ++t) {
      const Tap<T> tap = s.rows.taps[t];
      add_weighted(tap.weight, load_pack<n>(column + tap.source * s.IW * s.C), sum);
    }
    return sum;
  }

  __device__ void operator()(const Place& out) const {
    const int64_t first_row = s.rows.starts[out.h], last_row = s.rows.starts[out.h + 1];
    const int64_t first = s.columns.starts[out.w], last = s.columns.starts[out.w + 1];
    const T* image = x + out.n * s.IH * s.IW * s.C + out.c;
    Pack<T, n> sum;
    for (int i = 0; i < n; ++i) sum.v[i] = empty_sum<T>(last - first);
    for (int64_t t = first; t < last; ++t) {
      const Tap<T> tap = s.columns.taps[t];
      add_weighted(tap.weight, column_sum(image + tap.source * s.C, first_row, last_row), sum);
    }
    store_pack(y + out.at, sum);
  }
};

template <typename T>
void resample(const Upsample2dShape<T>& on_host, const T* x, T* y) {
  if (on_host.N * on_host.C == 0) return;
  Upload upload;
  const auto add = [&](const Taps<T>& axis) {
    return std::pair(upload.add(axis.starts, axis.outputs + 1), upload.add(axis.taps, axis.starts[axis.outputs]));
  };
  const auto rows = add(on_host.rows), columns = add(on_host.columns);
  upload.send();
  Upsample2dShape<T> s = on_host;
  s.rows.starts = upload.template at<int64_t>(rows.first), s.rows.taps = upload.template at<Tap<T>>(rows.second);
  s.columns.starts = upload.template at<int64_t>(columns.first),
  s.columns.taps = upload.template at<Tap<T>>(columns.second);
  const auto run = [&](auto n) {
    for_pixels<n.value>(s.N, s.rows.outputs, s.columns.outputs, s.C, Resample<n.value, T>{s, x, y});
  };
  with_packs<T>(run, s.C, x, y);
}

}  // namespace

template <>
Upsample2dKernels<float> upsample2d_kernels<Level::cuda, float>() {
  return {resample<float>};
}

template <>
Upsample2dKernels<double> upsample2d_kernels<Level::cuda, double>() {
  return {resample<double>};
}

}  // namespace atrous
