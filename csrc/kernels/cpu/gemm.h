// Blocked products on the register tile: packing of b, and the loops over blocks of k, panels and tiles.
// Convolution and linear both end here; they differ in the row pointers that they hand over.
#pragma once
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/cpu/micro_kernel.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kBlock = 256;      // k of a panel block: 32 KB of b stay in L1 while the tiles of a piece pass
constexpr int64_t kPieceRows = 240;  // rows of a piece: its part of `a` stays in L2 while the panels pass

constexpr double kSerialOperations = 5e6;  // below this (about 20 us) a product stays on one thread

// parallel_for, or the same pieces in order on this thread.
template <typename F>
void run_tasks(bool serial, int64_t tasks, F&& f, int threads) {
  if (!serial) return parallel_for(tasks, f, threads);
  for (int64_t task = 0; task < tasks; ++task) f(task, 0);
}

template <typename T>
inline int64_t panels_of(int64_t columns) {
  return divide_up(columns, kPanel<T>);
}

// One panel: packed[k][n] = b[k * k_stride + n * n_stride], zero-padded to the panel's width.
template <typename T>
void pack_panel(int64_t K, int64_t columns, const T* b, int64_t k_stride, int64_t n_stride, T* packed) {
  constexpr int64_t P = kPanel<T>;
  if (n_stride == 1 && columns == P) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t n = 0; n < P; n += Vec<T>::width) store(packed + k * P + n, load(b + k * k_stride + n));
    return;
  }
  for (int64_t k0 = 0; k0 < K; k0 += 16) {  // 16 k at a time: the lines being written stay in L1
    const int64_t end = min_of(k0 + 16, K);
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = k0; k < end; ++k) packed[k * P + n] = b[k * k_stride + n * n_stride];
    for (int64_t k = k0; k < end; ++k)
      for (int64_t n = columns; n < P; ++n) packed[k * P + n] = T(0);
  }
}

// Rows of a tile: one vector of columns leaves registers for twice the rows, and needs them to hide latency.
constexpr int tile_rows(int vectors) { return vectors == 1 ? 2 * kTileRows : kTileRows; }

template <typename T, int NV, int MR = tile_rows(NV)>
void run_row_tile(int64_t rows, const Segment<T>* segments, int64_t count, const T* panel, const TileOutput<T>& out) {
  if constexpr (MR > 1)
    if (rows < MR) return run_row_tile<T, NV, MR - 1>(rows, segments, count, panel, out);
  row_tile<T, MR, NV>(segments, count, panel, out);
}

template <typename T, int NV, int MR = tile_rows(NV)>
void run_column_tile(int64_t rows, const Segment<T>* segments, int64_t count, const T* panel,
                     const TileOutput<T>& out) {
  if constexpr (MR > 1)
    if (rows < MR) return run_column_tile<T, NV, MR - 1>(rows, segments, count, panel, out);
  column_tile<T, MR, NV>(segments, count, panel, out);
}

// out[m][n] = sum over taps t, k < K:  table[t][m][a_offset + k] * b[tap_k0[t] + k][n], through the epilogue
template <typename T>
struct RowProduct {
  int64_t rows;           // m
  int64_t taps, K;        // each tap reads K consecutive elements of a row
  const T* const* table;  // [taps][rows]
  int64_t a_offset;
  const T* packed;  // panels of b, each packed_rows x kPanel
  int64_t packed_rows;
  const int64_t* tap_k0;  // [taps] rows of the panel at which the taps start
  T* const* out;          // [rows]
  int64_t out_offset;
  int64_t columns;
  const Epilogue<T>* epilogue;  // nullptr: none
  const T* y;                   // where all of out lies
};

// The segments of the next block of at most kBlock k, starting at (tap, k) and moving it on.
template <typename T>
int64_t next_block(const RowProduct<T>& p, int64_t& tap, int64_t& k, Segment<T>* segments) {
  int64_t count = 0;
  for (int64_t room = kBlock; room > 0 && tap < p.taps;) {
    const int64_t length = min_of(room, p.K - k);
    segments[count++] = {p.table + tap * p.rows, p.a_offset + k, p.tap_k0[tap] + k, length};
    room -= length;
    k += length;
    if (k == p.K) k = 0, ++tap;
  }
  return count;
}

// All tiles of one panel over one block of segments (which are moved on).
template <typename T, int NV>
void row_tiles(const RowProduct<T>& p, int64_t column, Segment<T>* segments, int64_t count, bool accumulate,
               bool last) {
  const T* panel = p.packed + column * p.packed_rows;
  const int64_t width = min_of(kPanel<T>, p.columns - column);
  for (int64_t m = 0; m < p.rows; m += tile_rows(NV)) {
    const TileOutput<T> out{p.out + m, p.out_offset + column, width, accumulate, last ? p.epilogue : nullptr, p.y};
    run_row_tile<T, NV>(p.rows - m, segments, count, panel, out);
    for (int64_t s = 0; s < count; ++s) segments[s].rows += tile_rows(NV);
  }
}

// Panels [first_panel, last_panel) of the product. At least one tap, K >= 1.
template <typename T>
void multiply_rows(const RowProduct<T>& p, int64_t first_panel, int64_t last_panel) {
  Segment<T> segments[kBlock], moving[kBlock];
  int64_t tap = 0, k = 0;
  for (bool accumulate = false; tap < p.taps; accumulate = true) {
    const int64_t count = next_block(p, tap, k, segments);
    for (int64_t column = first_panel * kPanel<T>; column < min_of(last_panel * kPanel<T>, p.columns);
         column += kPanel<T>) {
      for (int64_t s = 0; s < count; ++s) moving[s] = segments[s];
      if (p.columns - column <= Vec<T>::width)
        row_tiles<T, 1>(p, column, moving, count, accumulate, tap == p.taps);
      else
        row_tiles<T, kTileVectors>(p, column, moving, count, accumulate, tap == p.taps);
    }
  }
}

template <typename T, int NV>
void column_tiles(int64_t M, int64_t K, int64_t columns, const T* const* rows, int64_t a_offset, const T* panel,
                  bool accumulate, T* out, int64_t out_stride) {
  for (int64_t m = 0; m < M; m += tile_rows(NV)) {
    T* out_rows[tile_rows(NV)];
    for (int i = 0; i < tile_rows(NV); ++i) out_rows[i] = out + (m + i) * out_stride;
    const Segment<T> segment{rows, a_offset + m, 0, K};
    run_column_tile<T, NV>(M - m, &segment, 1, panel,
                           TileOutput<T>{out_rows, 0, columns, accumulate, nullptr, nullptr});
  }
}

// out[m * out_stride + n] (+)= sum_{k < K} rows[k][a_offset + m] * panel[k][n],  K <= kBlock
template <typename T>
void multiply_columns(int64_t M, int64_t K, int64_t columns, const T* const* rows, int64_t a_offset, const T* panel,
                      bool accumulate, T* out, int64_t out_stride) {
  if (columns <= Vec<T>::width)
    column_tiles<T, 1>(M, K, columns, rows, a_offset, panel, accumulate, out, out_stride);
  else
    column_tiles<T, kTileVectors>(M, K, columns, rows, a_offset, panel, accumulate, out, out_stride);
}

// sums[c] = sum_p x[p * C + c]; fixed pieces of rows, their sums added in order.
template <typename T>
void column_sums(int64_t rows, int64_t C, const T* x, T* sums) {
  constexpr int64_t kRows = 1024;
  const int64_t pieces = max_of(1, divide_up(rows, kRows));
  Workspace<T> partial(pieces * C);
  parallel_for(pieces, [&](int64_t piece, int) {
    T* sum = partial.data() + piece * C;
    for (int64_t c = 0; c < C; ++c) sum[c] = T(0);
    for (int64_t p = piece * kRows; p < min_of(rows, (piece + 1) * kRows); ++p)
      for (int64_t c = 0; c < C; ++c) sum[c] += x[p * C + c];
  });
  for (int64_t c = 0; c < C; ++c) sums[c] = partial.data()[c];
  for (int64_t piece = 1; piece < pieces; ++piece)
    for (int64_t c = 0; c < C; ++c) sums[c] += partial.data()[piece * C + c];
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
