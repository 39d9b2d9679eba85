// Two passes each way: sums, then a map over the elements that takes the pieces in reverse, to find the last ones still
// in the cache. The loops over lanes are plain ones that compilers vectorise.
#include "kernels/batch_norm.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// The matrix of P pixels by C channels, cut into rows of lanes. With few channels a row holds several pixels, so that
// its lanes fill vectors; lane l belongs to channel l % C.
struct Rows {
  int64_t P, C;
  int64_t pixels;  // in a row
  int64_t lanes;   // pixels * C
  int64_t rows_per_piece;
  int64_t pieces;  // the last one also has the P % pixels pixels that fill no row
  bool far;        // beyond the caches

  // `bytes` of an element, in all arrays that are read or written.
  Rows(const BatchNormShape& s, size_t bytes)
      : P(s.P), C(s.C), far(exceeds_caches(P * C * static_cast<int64_t>(bytes))) {
    constexpr int64_t kElementsPerPiece = 1 << 15, kElementsWorthThreads = 1 << 16;
    pixels = C >= 64 ? 1 : 16 * divide_up(16, max_of(C, 1));
    lanes = pixels * C;
    rows_per_piece = max_of(kBlock, kElementsPerPiece / max_of(lanes, 1));
    pieces = P * C < kElementsWorthThreads ? 1 : max_of(1, P / pixels / rows_per_piece);
  }

  static constexpr int64_t kBlock = 64;  // rows whose sums are kept in T

  int64_t first(int64_t piece) const { return piece * rows_per_piece; }
  int64_t last(int64_t piece) const { return piece + 1 < pieces ? first(piece + 1) : P / pixels; }
  // Whether every row begins where a vector does, if the first does.
  template <typename T>
  bool whole_vectors() const {
    return lanes % Vec<T>::width == 0;
  }
  // Elements of the piece, the pixels that fill no row included.
  int64_t begin(int64_t piece) const { return first(piece) * lanes; }
  int64_t end(int64_t piece) const { return piece + 1 < pieces ? begin(piece + 1) : P * C; }
};

// Repeats the C values of each of `tables` tables for all the pixels of a row.
template <typename T>
inline void repeat(const Rows& r, int64_t tables, T* table) {
  for (int64_t t = 0; t < tables; ++t)
    for (int64_t l = r.C; l < r.lanes; ++l) table[t * r.lanes + l] = table[t * r.lanes + l - r.C];
}

// Adds `added` values with the mean and the sum of squares about it that moments(i, mean, squares) gives to the n
// values behind mean[i] and squares[i]: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983.
template <typename F>
inline void merge(int64_t size, int64_t n, int64_t added, double* __restrict mean, double* __restrict squares,
                  F&& moments) {
  const double share = static_cast<double>(added) / static_cast<double>(n + added);
  const double between = static_cast<double>(n) * share;
  for (int64_t i = 0; i < size; ++i) {
    double added_mean, added_squares;
    moments(i, added_mean, added_squares);
    const double delta = added_mean - mean[i];
    mean[i] += delta * share;
    squares[i] += added_squares + delta * delta * between;
  }
}

// sum += d and squares += d * d for d = x - shift, over rows of lanes.
template <typename T>
inline void add_deviations(const T* __restrict x, int64_t rows, int64_t lanes, bool far, const T* __restrict shift,
                           T* __restrict sum, T* __restrict squares) {
  for (; rows >= 4; rows -= 4, x += 4 * lanes) {
    if (far) prefetch_ahead(4 * lanes, x);
    for (int64_t l = 0; l < lanes; ++l) {
      const T a = x[l] - shift[l], b = x[lanes + l] - shift[l];
      const T c = x[2 * lanes + l] - shift[l], d = x[3 * lanes + l] - shift[l];
      sum[l] += (a + b) + (c + d);
      squares[l] += (a * a + b * b) + (c * c + d * d);
    }
  }
  for (; rows > 0; --rows, x += lanes)
    for (int64_t l = 0; l < lanes; ++l) {
      const T a = x[l] - shift[l];
      sum[l] += a;
      squares[l] += a * a;
    }
}

// Mean less base, and sum of squares about the mean, of one piece for each channel; base has a value of its channel for
// each lane and keeps rounding errors of the means small beside the spread of the values, not beside the mean. The
// shift of a block is the mean of those before it, that of the first block of its first 8 rows. The distance from there
// to the block's mean counts in the result too, so that no sum of squares cancels to much less than it was.
template <typename T>
void piece_moments(const Rows& r, int64_t piece, const T* x, const T* base, T* workspace, double* lane_moments,
                   double* mean, double* squares) {
  T *shift = workspace, *sum = shift + r.lanes, *sum_squares = sum + r.lanes;
  double *lane_mean = lane_moments, *lane_squares = lane_mean + r.lanes;
  const int64_t rows = r.last(piece) - r.first(piece), first_rows = min_of(8, rows);
  const T* from = x + r.begin(piece);
  for (int64_t l = 0; l < r.lanes; ++l) shift[l] = sum[l] = sum_squares[l] = lane_mean[l] = lane_squares[l] = 0;
  add_deviations(from, first_rows, r.lanes, false, shift, sum, sum_squares);
  for (int64_t l = 0; l < r.lanes; ++l) shift[l] = sum[l] / static_cast<T>(max_of(first_rows, 1));
  for (int64_t row = 0; row < rows; row += Rows::kBlock) {
    const int64_t block = min_of(Rows::kBlock, rows - row);
    for (int64_t l = 0; l < r.lanes; ++l) sum[l] = sum_squares[l] = 0;
    add_deviations(from + row * r.lanes, block, r.lanes, r.far, shift, sum, sum_squares);
    const double inverse = 1 / static_cast<double>(block);
    merge(r.lanes, row, block, lane_mean, lane_squares, [&](int64_t l, double& m, double& q) {
      const double d = static_cast<double>(sum[l]) * inverse;
      m = static_cast<double>(shift[l]) - static_cast<double>(base[l]) + d;
      q = static_cast<double>(sum_squares[l]) - static_cast<double>(sum[l]) * d;
    });
    for (int64_t l = 0; l < r.lanes; ++l) shift[l] = static_cast<T>(static_cast<double>(base[l]) + lane_mean[l]);
  }
  for (int64_t c = 0; c < r.C; ++c) mean[c] = squares[c] = 0;
  for (int64_t i = 0; i < r.pixels && rows > 0; ++i)
    merge(r.C, i * rows, rows, mean, squares, [&](int64_t c, double& m, double& q) {
      m = lane_mean[i * r.C + c];
      q = lane_squares[i * r.C + c];
    });
  const T* rest = from + rows * r.lanes;
  for (int64_t n = rows * r.pixels; rest < x + r.end(piece); ++n, rest += r.C)
    merge(r.C, n, 1, mean, squares, [&](int64_t c, double& m, double& q) {
      m = static_cast<double>(rest[c]) - static_cast<double>(base[c]);
      q = 0;
    });
}

// The moments of all P pixels.
template <typename T>
void moments(const Rows& r, const T* x, double* mean, double* squares) {
  const int threads = num_threads();
  const Workspace<T> base(r.lanes), workspace(threads * 3 * r.lanes);
  const Workspace<double> lane_moments(threads * 2 * r.lanes), partial(r.pieces * 2 * r.C);
  for (int64_t c = 0; c < r.C; ++c) base.data()[c] = r.P > 0 ? x[c] : 0;
  repeat(r, 1, base.data());
  parallel_for(
      r.pieces,
      [&](int64_t piece, int worker) {
        double* out = partial.data() + piece * 2 * r.C;
        piece_moments(r, piece, x, base.data(), workspace.data() + worker * 3 * r.lanes,
                      lane_moments.data() + worker * 2 * r.lanes, out, out + r.C);
      },
      threads);
  for (int64_t c = 0; c < r.C; ++c) mean[c] = squares[c] = 0;
  for (int64_t piece = 0; piece < r.pieces && r.P > 0; ++piece) {
    const int64_t n = r.first(piece) * r.pixels, end = piece + 1 < r.pieces ? r.first(piece + 1) * r.pixels : r.P;
    const double* from = partial.data() + piece * 2 * r.C;
    merge(r.C, n, end - n, mean, squares, [&](int64_t c, double& m, double& q) {
      m = from[c];
      q = from[r.C + c];
    });
  }
  for (int64_t c = 0; c < r.C; ++c) mean[c] += static_cast<double>(base.data()[c]);
}

// Calls f(offset, lanes) for each row, a row that is not full included; pieces go in reverse. Each thread takes those
// that parallel_for gave it in the pass before, as they may still be in its own cache. No bit depends on that.
template <bool past_caches, typename F>
inline void for_rows_in_reverse(const Rows& r, F&& f) {
  constexpr int64_t kTurns = 8;  // of a thread
  const int threads = r.pieces > 1 ? num_threads() : 1;
  const int64_t groups = kTurns * threads;
  parallel_for(
      groups,
      [&](int64_t turn, int) {
        const int64_t group = turn / kTurns * kTurns + (kTurns - 1 - turn % kTurns);
        for (int64_t piece = r.pieces * (group + 1) / groups; piece-- > r.pieces * group / groups;)
          for (int64_t at = r.begin(piece), end = r.end(piece); at < end; at += r.lanes)
            f(at, min_of(r.lanes, end - at));
        if (past_caches) finish_past_caches();
      },
      threads);
}

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
void statistics(const BatchNormShape& s, const T* x, double* mean, double* var) {
  moments(Rows(s, 2 * sizeof(T)), x, mean, var);  // the forward comes next
  for (int64_t c = 0; c < s.C; ++c) var[c] = (var[c] < 0 ? 0 : var[c]) / static_cast<double>(max_of(s.P, 1));
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
