// How batch-norm walks over a matrix of pixels by channels.
#pragma once
#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/batch_norm.h"
#include "kernels/cpu/far.h"

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

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
