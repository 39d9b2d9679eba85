// Mean and sum of squares about it, of each channel.
#pragma once
#include "core/memory.h"
#include "kernels/cpu/batch_norm_rows.h"

namespace atrous::ATROUS_LEVEL {
namespace {

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

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
