// Two passes each way: sums, then a map over the elements that takes the pieces in reverse, to find the last ones still
// in the cache. The loops over lanes are plain ones that compilers vectorise.
#include "kernels/cpu/batch_norm_moments.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// z = (x - center) * scale + offset, with one value of each for every lane of a row. The part of the mean that T does
// not hold is in the offset.
template <typename T>
struct Affine {
  const T *center, *scale, *offset;

  // `table` has room for 3 * lanes.
  Affine(const Rows& r, const BatchNormParameters<T>& p, T* table)
      : center(table), scale(table + r.lanes), offset(table + 2 * r.lanes) {
    for (int64_t c = 0; c < r.C; ++c) {
      const double a = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) / __builtin_sqrt(p.var[c] + p.eps);
      const T near = static_cast<T>(p.mean[c]);
      table[c] = near;
      table[r.lanes + c] = static_cast<T>(a);
      table[2 * r.lanes + c] =
          static_cast<T>((p.bias ? static_cast<double>(p.bias[c]) : 0.0) - (p.mean[c] - static_cast<double>(near)) * a);
    }
    repeat(r, 3, table);
  }

  T operator()(T x, int64_t lane) const { return (x - center[lane]) * scale[lane] + offset[lane]; }
};

template <typename T>
inline void move_towards(double batch, double momentum, T& running) {
  running = T((1 - momentum) * static_cast<double>(running) + momentum * batch);
}

template <typename T>
void statistics(const BatchNormShape& s, const T* x, double* mean, double* var, const RunningStatistics<T>& running) {
  moments(Rows(s, 2 * sizeof(T)), x, mean, var);  // the forward comes next
  for (int64_t c = 0; c < s.C; ++c) var[c] = (var[c] < 0 ? 0 : var[c]) / static_cast<double>(max_of(s.P, 1));
  if (!running.mean) return;
  const double unbiased = static_cast<double>(s.P) / static_cast<double>(s.P - 1);
  for (int64_t c = 0; c < s.C; ++c) {
    move_towards(mean[c], running.momentum, running.mean[c * running.mean_stride]);
    move_towards(unbiased * var[c], running.momentum, running.var[c * running.var_stride]);
  }
  if (running.batches) ++*running.batches;
}

// relu is max(value, 0), and no relu max(value, -Inf): NaN stays, and -0.
template <typename T>
inline V<T> at_least(V<T> value, T floor) {
  return value < floor ? V<T>{} + floor : value;
}

template <bool past_caches, typename T>
void forward(const Rows& r, const T* x, const Affine<T>& z, T floor, const T* residual, T last_floor, T* y) {
  for_rows_in_reverse<past_caches>(r, [=, far = r.far](int64_t at, int64_t lanes) {
    if (far) prefetch_ahead(lanes, x + at);
    const auto normalised = [=](V<T> v, V<T> center, V<T> scale, V<T> offset) {
      return at_least<T>((v - center) * scale + offset, floor);
    };
    const auto added = [=](V<T> v, V<T> rest, V<T> center, V<T> scale, V<T> offset) {
      return at_least<T>(normalised(v, center, scale, offset) + rest, last_floor);
    };
    if (residual)
      map_run<past_caches>(lanes, added, y + at, x + at, residual + at, z.center, z.scale, z.offset);
    else
      map_run<past_caches>(lanes, normalised, y + at, x + at, z.center, z.scale, z.offset);
  });
}

template <typename T>
void forward(const BatchNormShape& s, const T* x, const BatchNormParameters<T>& p, bool relu, const T* residual,
             bool relu_last, T* y) {
  const Rows r(s, (residual ? 3 : 2) * sizeof(T));
  const Workspace<T> table(3 * r.lanes);
  const Affine<T> affine(r, p, table.data());
  const T lowest = -static_cast<T>(__builtin_inf());
  const T floor = relu || (relu_last && !residual) ? T(0) : lowest, last_floor = relu_last ? T(0) : lowest;
  const bool past_caches = r.far && r.whole_vectors<T>() && may_pass_caches(y, x, residual);
  (past_caches ? forward<true, T> : forward<false, T>)(r, x, affine, floor, residual, last_floor, y);
}

// What of grad_y reaches z.
template <bool relu, typename T>
inline T through_relu(T grad_y, T x, const Affine<T>& z, int64_t lane) {
  return relu && z(x, lane) <= 0 ? T(0) : grad_y;
}

// sum += g and products += g * (x - center), over rows of lanes.
template <bool relu, typename T>
inline void add_products(const T* __restrict grad_y, const T* __restrict x, int64_t rows, int64_t lanes, bool far,
                         const Affine<T> z, T* __restrict sum, T* __restrict products) {
  for (; rows >= 2; rows -= 2, grad_y += 2 * lanes, x += 2 * lanes) {
    if (far) prefetch_ahead(2 * lanes, grad_y, x);
    for (int64_t l = 0; l < lanes; ++l) {
      const T a = through_relu<relu>(grad_y[l], x[l], z, l);
      const T b = through_relu<relu>(grad_y[lanes + l], x[lanes + l], z, l);
      sum[l] += a + b;
      products[l] += a * (x[l] - z.center[l]) + b * (x[lanes + l] - z.center[l]);
    }
  }
  for (; rows > 0; --rows, grad_y += lanes, x += lanes)
    for (int64_t l = 0; l < lanes; ++l) {
      const T a = through_relu<relu>(grad_y[l], x[l], z, l);
      sum[l] += a;
      products[l] += a * (x[l] - z.center[l]);
    }
}

// sums[c] = sum of g and sums[C + c] = sum of g * (x - center), over one piece. `lane_sums` has 2 * lanes.
template <bool relu, typename T>
void piece_sums(const Rows& r, int64_t piece, const T* grad_y, const T* x, const Affine<T>& z, T* lane_sums,
                double* sums) {
  for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] = 0;
  for (int64_t row = r.first(piece); row < r.last(piece); row += Rows::kBlock) {
    const int64_t at = row * r.lanes, block = min_of(Rows::kBlock, r.last(piece) - row);
    for (int64_t l = 0; l < 2 * r.lanes; ++l) lane_sums[l] = 0;
    add_products<relu>(grad_y + at, x + at, block, r.lanes, r.far, z, lane_sums, lane_sums + r.lanes);
    for (int64_t i = 0; i < 2 * r.pixels; ++i)
      for (int64_t c = 0; c < r.C; ++c) sums[i / r.pixels * r.C + c] += static_cast<double>(lane_sums[i * r.C + c]);
  }
  for (int64_t at = r.last(piece) * r.lanes; at < r.end(piece); at += r.C)
    for (int64_t c = 0; c < r.C; ++c) {
      const T g = through_relu<relu>(grad_y[at + c], x[at + c], z, c);
      sums[c] += static_cast<double>(g);
      sums[r.C + c] += static_cast<double>(g) * static_cast<double>(x[at + c] - z.center[c]);
    }
}

// sums[c] = sum of g and sums[C + c] = sum of g * (x - center), over all pixels.
template <bool relu, typename T>
void gradient_sums(const Rows& r, const T* grad_y, const T* x, const Affine<T>& z, double* sums) {
  const int threads = num_threads();
  const Workspace<T> workspace(threads * 2 * r.lanes);
  const Workspace<double> partial(r.pieces * 2 * r.C);
  parallel_for(
      r.pieces,
      [&](int64_t piece, int worker) {
        piece_sums<relu>(r, piece, grad_y, x, z, workspace.data() + worker * 2 * r.lanes,
                         partial.data() + piece * 2 * r.C);
      },
      threads);
  for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] = 0;
  for (int64_t piece = 0; piece < r.pieces; ++piece)
    for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] += partial.data()[piece * 2 * r.C + i];
}

// For the part of the mean that T does not hold: in a channel with an infinite sum it must not make NaN of Inf.
inline double minus_small(double x, double small) { return __builtin_isfinite(small) ? x - small : x; }

// grad_x = scale * g + slope * (x - center) + shift, in training; scale * g in eval.
template <bool train, bool relu, bool past_caches, typename T>
void input_gradient(const Rows& r, const T* grad_y, const T* x, const Affine<T>& z, const T* slope, const T* shift,
                    T* grad_x) {
  const auto gradient = [](V<T> g, V<T> v, V<T> center, V<T> scale, V<T> offset, V<T> slope_here, V<T> shift_here) {
    if (relu) g = (v - center) * scale + offset <= 0 ? V<T>{} : g;
    return train ? scale * g + (slope_here * (v - center) + shift_here) : scale * g;
  };
  for_rows_in_reverse<past_caches>(r, [=, far = r.far](int64_t at, int64_t lanes) {
    if (far) prefetch_ahead(lanes, grad_y + at, x + at);
    map_run<past_caches>(lanes, gradient, grad_x + at, grad_y + at, x + at, z.center, z.scale, z.offset, slope, shift);
  });
}

template <bool train, bool relu, typename T>
void backward(const BatchNormShape& s, const T* grad_y, const T* x, const BatchNormParameters<T>& p, T* grad_x,
              T* grad_weight, T* grad_bias) {
  const Rows r(s, 3 * sizeof(T));
  const Workspace<double> sums(2 * s.C);
  const Workspace<T> table(5 * r.lanes);
  const Affine<T> affine(r, p, table.data());
  T *slope = table.data() + 3 * r.lanes, *shift = slope + r.lanes;
  gradient_sums<relu>(r, grad_y, x, affine, sums.data());
  const double pixels = static_cast<double>(max_of(s.P, 1));
  for (int64_t c = 0; c < s.C; ++c) {
    const double rstd = 1 / __builtin_sqrt(p.var[c] + p.eps), far = p.mean[c] - static_cast<double>(affine.center[c]);
    const double scale = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) * rstd;
    const double sum = sums.data()[c], product = minus_small(sums.data()[s.C + c], far * sum) * rstd;
    const double slope_here = -scale * rstd * product / pixels;
    grad_bias[c] = static_cast<T>(sum);
    grad_weight[c] = static_cast<T>(product);
    slope[c] = static_cast<T>(slope_here);
    shift[c] = static_cast<T>(minus_small(-scale * sum / pixels, slope_here * far));
  }
  repeat(r, 2, slope);
  const bool past_caches = r.far && r.whole_vectors<T>() && may_pass_caches(grad_x, grad_y, x);
  (past_caches ? input_gradient<train, relu, true, T> : input_gradient<train, relu, false, T>)(r, grad_y, x, affine,
                                                                                               slope, shift, grad_x);
}

template <bool train, typename T>
void backward(const BatchNormShape& s, const T* grad_y, const T* x, const BatchNormParameters<T>& p, bool relu,
              T* grad_x, T* grad_weight, T* grad_bias) {
  (relu ? backward<train, true, T> : backward<train, false, T>)(s, grad_y, x, p, grad_x, grad_weight, grad_bias);
}

template <typename T>
BatchNormKernels<T> table() {
  return {statistics<T>, forward<T>, backward<true, T>, backward<false, T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
BatchNormKernels<float> batch_norm_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
BatchNormKernels<double> batch_norm_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}

}  // namespace atrous
