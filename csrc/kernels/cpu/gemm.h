// Blocked products on the register tile: the loops over blocks of k, panels and tiles.
// Convolution and linear both end here; they differ in the row pointers that they hand over.
#pragma once
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/cpu/packing.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kBlock = 256;      // k of a panel block: 16 KB of b (AVX2) stay in L1 while the tiles of a piece pass
constexpr int64_t kPieceRows = 120;  // rows of a piece: its block of `a` stays in L2 while the panels pass

// How many tasks a product of so many multiply-adds is worth, from its size alone: 1 runs on the calling thread. A
// power of two, which two or four threads share evenly.
inline int64_t tasks_of(double multiply_adds) {
  constexpr double kTask = 1e6;  // 20 us (AVX2)
  int64_t tasks = 1;
  while (tasks < 32 && multiply_adds >= 2 * kTask * static_cast<double>(tasks)) tasks *= 2;
  return tasks;
}

// parallel_for, or the same pieces in order on this thread.
template <typename F>
void run_tasks(bool serial, int64_t tasks, F&& f, int threads) {
  if (!serial) return parallel_for(tasks, f, threads);
  for (int64_t task = 0; task < tasks; ++task) f(task, 0);
}

// Rows of a tile: one vector of columns leaves registers for twice the rows, and needs them to hide latency.
constexpr int tile_rows(int vectors) { return vectors == 1 ? 2 * kTileRows : kTileRows; }

// A packed tile of at most kTileRows rows, and of as many vectors as the output has columns. Inlined: a call for each
// tile costs 3 % of a product.
template <typename T>
__attribute__((always_inline)) inline void run_packed_tile(int64_t rows, const Segment<T>* segments, int64_t count,
                                                           const T* tile, const T* panel, int64_t panel_stride,
                                                           const TileOutput<T>& out) {
  with_rows<kTileRows>(rows, [&](auto MR) {
    if (out.columns <= Vec<T>::width)
      packed_tile<T, MR, 1>(segments, count, tile, panel, panel_stride, out);
    else
      packed_tile<T, MR, kTileVectors>(segments, count, tile, panel, panel_stride, out);
  });
}

// b(tap, k, n) of a product: all of it packed beforehand, or packed block by block into scratch where it is used.
template <typename T>
struct Panels {
  const T* packed;      // panels of packed_rows x kPanel: row tap * K + k; or nullptr
  int64_t packed_rows;  // of all taps
  const T* b;           // not packed: b[tap * tap_stride + k * k_stride + n * n_stride]
  int64_t tap, k, n;    // its strides
  T* scratch;           // not packed: kBlock x kPanel
};

// out[m][n] (+)= sum over taps t, k < K:  table[t][m][a_offset + k] * b(tap_id[t], k, n), through the epilogue
template <typename T>
struct RowProduct {
  int64_t rows;           // m
  int64_t taps, K;        // each tap reads K consecutive elements of a row
  const int64_t* tap_id;  // [taps] which tap of b
  const T* const* table;  // [taps][rows]
  int64_t a_offset;
  const T* zeros;  // what entries of the table point to in the padding: tiles that see nothing else are skipped
  Panels<T> panels;
  T* const* out;  // [rows]
  int64_t out_offset;
  int64_t columns;
  bool accumulate;
  const Epilogue<T>* epilogue;  // nullptr: none
  const T* y;                   // with an epilogue: where all of out lies
};

// The segments of the next block of at most kBlock k, starting at (tap, k) and moving it on. Their k0 is a row of a
// whole panel.
template <typename T>
int64_t next_block(const RowProduct<T>& p, int64_t& tap, int64_t& k, Segment<T>* segments) {
  int64_t count = 0;
  for (int64_t room = kBlock; room > 0 && tap < p.taps;) {
    const int64_t length = min_of(room, p.K - k);
    segments[count++] = {p.table + tap * p.rows, p.a_offset + k, tap * p.K + k, length};
    room -= length;
    k += length;
    if (k == p.K) k = 0, ++tap;
  }
  return count;
}

// Packs the part of a panel that a block reads into scratch: [k of the block][kPanel].
template <typename T>
void pack_block(const RowProduct<T>& p, int64_t column, const Segment<T>* segments, int64_t count) {
  const Panels<T>& b = p.panels;
  T* to = b.scratch;
  for (const Segment<T>* s = segments; s != segments + count; to += s++->length * kPanel<T>)
    pack_panel(s->length, min_of(kPanel<T>, p.columns - column),
               b.b + p.tap_id[s->k0 / p.K] * b.tap + s->k0 % p.K * b.k + column * b.n, b.k, b.n, to);
}

template <typename T>
bool all_zeros(const T* const* rows, int64_t count, const T* zeros) {
  for (int64_t m = 0; m < count; ++m)
    if (rows[m] != zeros) return false;
  return true;
}

// All tiles of one panel over one block of segments.
template <typename T, int NV>
void row_tiles(const RowProduct<T>& p, int64_t column, const Segment<T>* segments, int64_t count, bool accumulate,
               bool last) {
  const T* panel = p.panels.packed ? p.panels.packed + column * p.panels.packed_rows : p.panels.scratch;
  const int64_t width = min_of(kPanel<T>, p.columns - column);
  Segment<T> kept[kBlock];
  for (int64_t m = 0; m < p.rows; m += tile_rows(NV)) {
    int64_t seen = 0, row = 0;
    for (const Segment<T>* s = segments; s != segments + count; row += s++->length) {
      if (all_zeros(s->rows + m, min_of(tile_rows(NV), p.rows - m), p.zeros)) continue;
      kept[seen++] = {s->rows + m, s->offset, p.panels.packed ? s->k0 : row, s->length};
    }
    if (seen == 0 && accumulate && !last) continue;
    const TileOutput<T> out{p.out + m, p.out_offset + column, width, accumulate, last ? p.epilogue : nullptr, p.y};
    with_rows<tile_rows(NV)>(p.rows - m, [&](auto MR) { row_tile<T, MR, NV>(kept, seen, panel, kPanel<T>, out); });
  }
}

// Panels [first_panel, last_panel) of the product. At least one tap, K >= 1.
template <typename T>
void multiply_rows(const RowProduct<T>& p, int64_t first_panel, int64_t last_panel) {
  Segment<T> segments[kBlock];
  int64_t tap = 0, k = 0;
  for (bool accumulate = p.accumulate; tap < p.taps; accumulate = true) {
    const int64_t count = next_block(p, tap, k, segments), end = min_of(last_panel * kPanel<T>, p.columns);
    for (int64_t column = first_panel * kPanel<T>; column < end; column += kPanel<T>) {
      if (!p.panels.packed) pack_block(p, column, segments, count);
      if (p.columns - column <= Vec<T>::width)
        row_tiles<T, 1>(p, column, segments, count, accumulate, tap == p.taps);
      else
        row_tiles<T, kTileVectors>(p, column, segments, count, accumulate, tap == p.taps);
    }
  }
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
