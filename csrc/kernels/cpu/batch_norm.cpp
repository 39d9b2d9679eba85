// Two passes each way: sums, then a map over the elements that takes the pieces in reverse, to find the last ones still
// in the cache. The loops over lanes are plain ones that compilers vectorise.
#include "kernels/batch_norm.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/simd.h"

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

  explicit Rows(const BatchNormShape& s) : P(s.P), C(s.C) {
    constexpr int64_t kElementsPerPiece = 1 << 16;
    pixels = C >= 64 ? 1 : 16 * divide_up(16, max_of(C, 1));
    lanes = pixels * C;
    rows_per_piece = max_of(kBlock, kElementsPerPiece / max_of(lanes, 1));
    pieces = max_of(1, P / pixels / rows_per_piece);
  }

  static constexpr int64_t kBlock = 64;  // rows whose sums are kept in T

  int64_t first(int64_t piece) const { return piece * rows_per_piece; }
  int64_t last(int64_t piece) const { return piece + 1 < pieces ? first(piece + 1) : P / pixels; }
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
inline void add_deviations(const T* __restrict x, int64_t rows, int64_t lanes, const T* __restrict shift,
                           T* __restrict sum, T* __restrict squares) {
  for (; rows >= 4; rows -= 4, x += 4 * lanes)
    for (int64_t l = 0; l < lanes; ++l) {
      const T a = x[l] - shift[l], b = x[lanes + l] - shift[l];
      const T c = x[2 * lanes + l] - shift[l], d = x[3 * lanes + l] - shift[l];
      sum[l] += (a + b) + (c + d);
      squares[l] += (a * a + b * b) + (c * c + d * d);
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
// shift of a block is the mean of those before it, that of the first block its own. The distance from there to the
// block's mean counts in the result too, so that no sum of squares cancels to much less than it was.
template <typename T>
void piece_moments(const Rows& r, int64_t piece, const T* x, const T* base, T* workspace, double* lane_moments,
                   double* mean, double* squares) {
  T *shift = workspace, *sum = shift + r.lanes, *sum_squares = sum + r.lanes;
  double *lane_mean = lane_moments, *lane_squares = lane_mean + r.lanes;
  const int64_t rows = r.last(piece) - r.first(piece), first_block = min_of(Rows::kBlock, rows);
  const T* from = x + r.begin(piece);
  for (int64_t l = 0; l < r.lanes; ++l) shift[l] = sum[l] = sum_squares[l] = lane_mean[l] = lane_squares[l] = 0;
  add_deviations(from, first_block, r.lanes, shift, sum, sum_squares);
  for (int64_t l = 0; l < r.lanes; ++l) shift[l] = sum[l] / static_cast<T>(max_of(first_block, 1));
  for (int64_t row = 0; row < rows; row += Rows::kBlock) {
    const int64_t block = min_of(Rows::kBlock, rows - row);
    for (int64_t l = 0; l < r.lanes; ++l) sum[l] = sum_squares[l] = 0;
    add_deviations(from + row * r.lanes, block, r.lanes, shift, sum, sum_squares);
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

// Calls f(offset, lanes) for each row of each piece, a row that is not full included; pieces go in reverse.
template <typename F>
inline void for_rows_in_reverse(const Rows& r, F&& f) {
  parallel_for(r.pieces, [&](int64_t reversed, int) {
    const int64_t piece = r.pieces - 1 - reversed;
    for (int64_t at = r.begin(piece), end = r.end(piece); at < end; at += r.lanes) f(at, min_of(r.lanes, end - at));
  });
}

// y = (x - center) * scale + offset. The part of the mean that T does not hold goes into the offset.
template <typename T, typename Mean, typename Var>
void normalise(const BatchNormShape& s, const T* x, const T* weight, const T* bias, Mean mean, Var var, T* y) {
  const Rows r(s);
  const Workspace<T> table(3 * r.lanes);
  T *center = table.data(), *scale = center + r.lanes, *offset = scale + r.lanes;
  for (int64_t c = 0; c < s.C; ++c) {
    const double a = (weight ? static_cast<double>(weight[c]) : 1.0) / __builtin_sqrt(var(c) + s.eps);
    center[c] = static_cast<T>(mean(c));
    scale[c] = static_cast<T>(a);
    offset[c] =
        static_cast<T>((bias ? static_cast<double>(bias[c]) : 0.0) - (mean(c) - static_cast<double>(center[c])) * a);
  }
  repeat(r, 3, table.data());
  for_rows_in_reverse(r, [&](int64_t at, int64_t lanes) {
    const T *from = x + at, *a = center, *b = scale, *c = offset;
    T* to = y + at;
#pragma GCC ivdep
    for (int64_t l = 0; l < lanes; ++l) to[l] = (from[l] - a[l]) * b[l] + c[l];
  });
}

template <typename T>
void forward_train(const BatchNormShape& s, const T* x, const T* weight, const T* bias, T* y, T* mean, T* var) {
  const Workspace<double> statistics(2 * s.C);
  double *exact_mean = statistics.data(), *exact_var = exact_mean + s.C;
  moments(Rows(s), x, exact_mean, exact_var);
  for (int64_t c = 0; c < s.C; ++c) {
    exact_var[c] = (exact_var[c] < 0 ? 0 : exact_var[c]) / static_cast<double>(max_of(s.P, 1));
    mean[c] = static_cast<T>(exact_mean[c]);
    var[c] = static_cast<T>(exact_var[c]);
  }
  normalise(s, x, weight, bias, [&](int64_t c) { return exact_mean[c]; }, [&](int64_t c) { return exact_var[c]; }, y);
}

template <typename T>
void forward_eval(const BatchNormShape& s, const T* x, const T* weight, const T* bias, const T* mean, const T* var,
                  T* y) {
  normalise(
      s, x, weight, bias, [&](int64_t c) { return static_cast<double>(mean[c]); },
      [&](int64_t c) { return static_cast<double>(var[c]); }, y);
}

// sum += g and products += g * (x - mean), over rows of lanes.
template <typename T>
inline void add_products(const T* __restrict g, const T* __restrict x, int64_t rows, int64_t lanes,
                         const T* __restrict mean, T* __restrict sum, T* __restrict products) {
  for (; rows >= 2; rows -= 2, g += 2 * lanes, x += 2 * lanes)
    for (int64_t l = 0; l < lanes; ++l) {
      sum[l] += g[l] + g[lanes + l];
      products[l] += g[l] * (x[l] - mean[l]) + g[lanes + l] * (x[lanes + l] - mean[l]);
    }
  for (; rows > 0; --rows, g += lanes, x += lanes)
    for (int64_t l = 0; l < lanes; ++l) {
      sum[l] += g[l];
      products[l] += g[l] * (x[l] - mean[l]);
    }
}

// sums[c] = sum of g and sums[C + c] = sum of g * (x - mean), over one piece. `mean` has lanes, `lane_sums` 2 * lanes.
template <typename T>
void piece_sums(const Rows& r, int64_t piece, const T* g, const T* x, const T* mean, T* lane_sums, double* sums) {
  const int64_t rest = r.last(piece) * r.lanes;
  for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] = 0;
  for (int64_t row = r.first(piece); row < r.last(piece); row += Rows::kBlock) {
    const int64_t at = row * r.lanes, block = min_of(Rows::kBlock, r.last(piece) - row);
    for (int64_t l = 0; l < 2 * r.lanes; ++l) lane_sums[l] = 0;
    add_products(g + at, x + at, block, r.lanes, mean, lane_sums, lane_sums + r.lanes);
    for (int64_t i = 0; i < 2 * r.pixels; ++i)
      for (int64_t c = 0; c < r.C; ++c) sums[i / r.pixels * r.C + c] += static_cast<double>(lane_sums[i * r.C + c]);
  }
  for (int64_t at = rest; at < r.end(piece); at += r.C)
    for (int64_t c = 0; c < r.C; ++c) {
      sums[c] += static_cast<double>(g[at + c]);
      sums[r.C + c] += static_cast<double>(g[at + c]) * static_cast<double>(x[at + c] - mean[c]);
    }
}

// sums[c] = sum of g and sums[C + c] = sum of g * (x - mean), over all pixels.
template <typename T>
void gradient_sums(const Rows& r, const T* g, const T* x, const T* mean, double* sums) {
  const int threads = num_threads();
  const Workspace<T> lane_mean(r.lanes), workspace(threads * 2 * r.lanes);
  const Workspace<double> partial(r.pieces * 2 * r.C);
  for (int64_t c = 0; c < r.C; ++c) lane_mean.data()[c] = mean[c];
  repeat(r, 1, lane_mean.data());
  parallel_for(
      r.pieces,
      [&](int64_t piece, int worker) {
        piece_sums(r, piece, g, x, lane_mean.data(), workspace.data() + worker * 2 * r.lanes,
                   partial.data() + piece * 2 * r.C);
      },
      threads);
  for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] = 0;
  for (int64_t piece = 0; piece < r.pieces; ++piece)
    for (int64_t i = 0; i < 2 * r.C; ++i) sums[i] += partial.data()[piece * 2 * r.C + i];
}

// grad_x = a * grad_y + b * (x - mean) + d, in training; a * grad_y in eval.
template <bool train, typename T>
void backward(const BatchNormShape& s, const T* grad_y, const T* x, const T* weight, const T* mean, const T* var,
              T* grad_x, T* grad_weight, T* grad_bias) {
  const Rows r(s);
  const Workspace<double> sums(2 * s.C);
  gradient_sums(r, grad_y, x, mean, sums.data());
  const Workspace<T> table(4 * r.lanes);
  T *center = table.data(), *a = center + r.lanes, *b = a + r.lanes, *d = b + r.lanes;
  const double pixels = static_cast<double>(max_of(s.P, 1));
  for (int64_t c = 0; c < s.C; ++c) {
    const double rstd = 1 / __builtin_sqrt(static_cast<double>(var[c]) + s.eps);
    const double scale = (weight ? static_cast<double>(weight[c]) : 1.0) * rstd;
    const double sum = sums.data()[c], product = sums.data()[s.C + c] * rstd;
    grad_bias[c] = static_cast<T>(sum);
    grad_weight[c] = static_cast<T>(product);
    center[c] = mean[c];
    a[c] = static_cast<T>(scale);
    b[c] = static_cast<T>(-scale * rstd * product / pixels);
    d[c] = static_cast<T>(-scale * sum / pixels);
  }
  repeat(r, 4, table.data());
  for_rows_in_reverse(r, [&](int64_t at, int64_t lanes) {
    const T *from = grad_y + at, *input = x + at, *m = center, *u = a, *v = b, *w = d;
    T* to = grad_x + at;
#pragma GCC ivdep
    for (int64_t l = 0; l < lanes; ++l)
      to[l] = train ? u[l] * from[l] + (v[l] * (input[l] - m[l]) + w[l]) : u[l] * from[l];
  });
}

template <typename T>
BatchNormKernels<T> table() {
  return {forward_train<T>, backward<true, T>, forward_eval<T>, backward<false, T>};
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
