// Products that read B where it lies: an element of it is used by one tile only, so that to pack it would cost as much
// as the product. Each sum runs over k in order, as in packed products: a row has the same bits alone and among others.
#pragma once
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/turn.h"
#include "kernels/linear.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
struct Matmul {
  MatmulShape s;
  const T* a;
  const T* b;
  const Epilogue<T>* epilogue;  // nullptr: none
  T* c;
  bool accumulate = false;  // add to what is in C
};

// Shares columns out in groups of at least `width`.
template <typename F>
void share_columns(int64_t columns, int64_t width, int64_t tasks, F&& f) {
  const int64_t strips = max_of(1, columns / width), groups = min_of(strips, tasks);
  const auto run = [&](int64_t group, int) {
    f(group * strips / groups * width, group + 1 < groups ? (group + 1) * strips / groups * width : columns);
  };
  run_tasks(tasks == 1, groups, run, num_threads());
}

// One output row or a few, MR of them.
template <typename T, int MR>
struct FewRows {
  static constexpr int W = Vec<T>::width;
  static constexpr int kWide = MR == 1 ? 8 : MR <= 3 ? 4 : kTileVectors;  // vectors that hide the latency of sums
  static constexpr int kTurned = MR <= 2 ? 2 : 1;                         // less, beside a block that is turned
  static constexpr int64_t kFarRows = 16;  // of B at a time where it is far: so many streams

  Matmul<T> p;
  const T* a[MR];
  T* c[MR];
  bool far;  // B comes from memory

  explicit FewRows(const Matmul<T>& product)
      : p(product), far(exceeds_caches(p.s.K * p.s.N * static_cast<int64_t>(sizeof(T)))) {
    for (int m = 0; m < MR; ++m) a[m] = p.a + m * p.s.a_m, c[m] = p.c + m * p.s.N;
  }

  // Columns n ... n + NV * W, rows [k, k + K) of a row-major B.
  template <int NV>
  void along_rows(int64_t n, int64_t k, int64_t K) const {
    const Segment<T> segment{a, k, 0, K};
    for (int64_t i = k + K; far && i < min_of(k + 2 * K, p.s.K); ++i)  // which the processor would not foresee
      for (int j = 0; j < NV; ++j) __builtin_prefetch(p.b + i * p.s.b_k + n + j * W);
    const TileOutput<T> out{c, n, NV * W, k > 0, k + K == p.s.K ? p.epilogue : nullptr, p.c};
    row_tile<T, MR, NV>(&segment, 1, p.b + k * p.s.b_k + n, p.s.b_k, out);
  }

  // Columns [first, last) of a row-major B.
  void along_rows(int64_t first, int64_t last) const {
    const int64_t rows = far ? kFarRows : kBlock;
    for (int64_t k = 0; k < p.s.K; k += rows) {
      const int64_t K = min_of(rows, p.s.K - k);
      int64_t n = first;
      for (; n + kWide * W <= last; n += kWide * W) along_rows<kWide>(n, k, K);
      for (; n + kTileVectors * W <= last; n += kTileVectors * W) along_rows<kTileVectors>(n, k, K);
      for (; n + W <= last; n += W) along_rows<1>(n, k, K);
    }
    if ((last - first) % W > 0) along_rows<1>(last - W, 0, p.s.K);
  }

  // Columns n ... n + NV * W of a column-major B, which is turned in registers, W rows at a time.
  template <int NV>
  void along_columns(int64_t n) const {
    const MatmulShape& s = p.s;
    const TileOutput<T> out{c, n, NV * W, false, p.epilogue, p.c};
    Accumulators<T, MR, NV> acc;
    start_tile<T, MR, NV>(out, acc);
    const auto add = [&](int j, V<T> b, int64_t k) {
      for (int m = 0; m < MR; ++m) acc[m][j] += b * broadcast<T>(a[m][k]);
    };
    int64_t k = 0;
    for (; k + W <= s.K; k += W)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        V<T> b[W];
        load_turned(p.b + (n + j * W) * s.b_n + k, s.b_n, b);
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i) add(j, b[i], k + i);
      }
    for (int j = 0; j < NV && k < s.K; ++j) {
      V<T> b[W];
      load_turned(p.b + (n + j * W) * s.b_n + s.K - W, s.b_n, b);
      for (int64_t i = k; i < s.K; ++i) add(j, b[i - (s.K - W)], i);
    }
    finish_tile<T, MR, NV>(out, acc);
  }

  void along_columns(int64_t first, int64_t last) const {
    int64_t n = first;
    for (; n + kTurned * W <= last; n += kTurned * W) along_columns<kTurned>(n);
    for (; n + W <= last; n += W) along_columns<1>(n);
    if (n < last) along_columns<1>(last - W);
  }
};

// The rule: no more rows than a tile has, and a whole vector where B is contiguous.
template <typename T>
bool has_few_rows(const MatmulShape& s) {
  constexpr int W = Vec<T>::width;
  return s.M <= kTileRows && s.N >= W && (s.a_k == 1 || s.K == 1) && (s.b_n == 1 || (s.b_k == 1 && s.K >= W));
}

template <typename T>
void multiply_few_rows(const Matmul<T>& p, int64_t tasks) {
  with_rows<kTileRows>(p.s.M, [&](auto MR) {
    const FewRows<T, MR> rows(p);
    share_columns(p.s.N, rows.kWide * rows.W, tasks, [&](int64_t first, int64_t last) {
      p.s.b_n == 1 ? rows.along_rows(first, last) : rows.along_columns(first, last);
    });
  });
}

// K = 1: each row of C is the row of B, scaled. A product is added to 0, as in every other sum: -0 becomes 0.
template <typename T>
void multiply_outer(const Matmul<T>& p, int64_t tasks) {
  const MatmulShape& s = p.s;
  const bool far = exceeds_caches(s.M * s.N * static_cast<int64_t>(sizeof(T)));
  const bool past_caches = far && s.N % Vec<T>::width == 0 && may_pass_caches(p.c, p.b);
  const auto run = [&](int64_t task, int) {
    for (int64_t m = task * s.M / tasks; m < (task + 1) * s.M / tasks; ++m) {
      const auto scaled = [a = p.a[m * s.a_m]](V<T> b) { return V<T>{} + a * b; };
      (past_caches ? map_run<true, T, decltype(scaled), T>
                   : map_run<false, T, decltype(scaled), T>)(s.N, scaled, p.c + m * s.N, p.b);
    }
    if (past_caches) finish_past_caches();
  };
  run_tasks(tasks == 1, tasks, run, num_threads());
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
