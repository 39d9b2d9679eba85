// How the blocks of a kernel share a matrix of pixels by channels.
#pragma once
#include <numeric>

#include "kernels/batch_norm.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/reduce.h"

namespace atrous {

// The matrix in rows of as few pixels as make up whole packs: `lanes` elements, where lane l belongs to channel l % C.
// A thread keeps to one pack of lanes, and so to its channels, and walks down the rows. Neighbouring threads take
// neighbouring packs and, where a row has fewer packs than a block threads, the rows that follow. A block walks over
// one piece of the rows. All this follows from P and C alone.
struct Cut {
  int64_t C, lanes, rows;
  int pack;                                       // elements
  int columns, groups;                            // threads of a block, side by side and below one another
  int64_t column_blocks, rows_per_piece, pieces;  // the last piece may be shorter

  // For sums, whose pieces are added up afterwards: few of them.
  template <typename T>
  static Cut for_sums(const BatchNormShape& s) {
    return of<T>(s, 8, 64,
                 1024);  // at most 64 numbers are added up in Compute<T>; a few blocks for each multiprocessor
  }

  // For maps: many blocks, so that the last ones leave no multiprocessor idle for long.
  template <typename T>
  static Cut for_maps(const BatchNormShape& s) {
    return of<T>(s, 4, 16, 4096);
  }

  unsigned blocks() const { return static_cast<unsigned>(pieces * column_blocks); }
  int64_t pixels() const { return C > 0 ? lanes / C : 1; }  // of a row

 private:
  // A thread gets `least` to `most` rows, as many as make this number of blocks.
  template <typename T>
  static Cut of(const BatchNormShape& s, int64_t least, int64_t most, int64_t blocks) {
    constexpr int64_t kLanes = 128;  // of a block, where there are rows enough: 512 bytes side by side
    Cut cut{s.C, s.C, s.P, 16 / sizeof(T), 0, 0, 0, 0, 0};
    const int64_t pixels = cut.pack / std::gcd(int64_t{cut.pack}, s.C);
    if (s.P % pixels == 0) {
      cut.lanes = pixels * s.C;
      cut.rows = s.P / pixels;
    } else {
      cut.pack = 1;  // of C and P, one is odd and the other at least no multiple of the pack: seldom a large map
    }
    const int64_t packs = cut.lanes / cut.pack;
    cut.column_blocks = divide_up(packs, larger(kLanes / cut.pack, kThreads / larger(cut.rows, 1)));
    cut.columns = static_cast<int>(divide_up(packs, larger(cut.column_blocks, 1)));
    cut.groups = kThreads / static_cast<int>(larger(cut.columns, 1));
    const int64_t even = divide_up(cut.rows * cut.column_blocks, cut.groups * blocks);
    const int64_t rows_of_thread = divide_up(even < least ? least : even > most ? most : even, 4) * 4;
    cut.rows_per_piece = cut.groups * rows_of_thread;
    cut.pieces = divide_up(cut.rows, cut.rows_per_piece);
    return cut;
  }

  static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
  static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
};

// A thread's part: its lanes, and its rows from `row` on, every groups-th before `end`.
struct Part {
  int64_t piece, block_lane, lane, row, end;
  int width;         // lanes of the block
  int offset, slot;  // of its first lane among them, and in a table of groups by width
  bool inside;       // whether it has any lanes

  // Blocks take the pieces in reverse where the kernel before took them forwards: its last ones are still in the cache.
  __device__ Part(const Cut& cut, bool reverse) {
    const int group = static_cast<int>(threadIdx.x) / cut.columns, column = static_cast<int>(threadIdx.x) % cut.columns;
    const int64_t turn = blockIdx.x / cut.column_blocks, block = blockIdx.x % cut.column_blocks;
    piece = reverse ? cut.pieces - 1 - turn : turn;
    width = cut.columns * cut.pack;
    block_lane = block * width;
    offset = column * cut.pack;
    lane = block_lane + offset;
    slot = group * width + offset;
    row = piece * cut.rows_per_piece + group;
    end = (piece + 1) * cut.rows_per_piece;
    if (end > cut.rows) end = cut.rows;
    inside = group < cut.groups && lane < cut.lanes;
  }
};

__device__ inline int64_t channel_of(const Cut& cut, int64_t lane) {
  while (lane >= cut.C) lane -= cut.C;  // at most 3 times for a lane of the matrix
  return lane;
}

// Where a thread's packs begin in `count` of its rows.
template <int n>
struct Rows {
  static constexpr int count = n;
  int64_t first, step;
};

// f(Rows): as many rows at a time as should be on their way from memory together, then what is left.
template <int together, typename F>
__device__ inline void for_rows(const Cut& cut, const Part& part, F f) {
  if (!part.inside) return;
  const int64_t step = cut.groups * cut.lanes, end = part.end * cut.lanes;
  int64_t at = part.row * cut.lanes + part.lane;
  for (; at + (together - 1) * step < end; at += together * step) f(Rows<together>{at, step});
  for (; at < end; at += step) f(Rows<1>{at, step});
}

// A thread's packs of some rows.
template <typename M, int count>
struct Packs {
  M of_row[count];
};

template <typename M, typename T, int count>
__device__ inline Packs<M, count> load_rows(const T* from, Rows<count> rows) {
  Packs<M, count> packs;
  for (int i = 0; i < count; ++i) packs.of_row[i] = load_as<M>(from + rows.first + i * rows.step);
  return packs;
}

template <typename M, typename T, int count>
__device__ inline void store_rows(T* to, Rows<count> rows, const Packs<M, count>& packs) {
  for (int i = 0; i < count; ++i) store_as(to + rows.first + i * rows.step, packs.of_row[i]);
}

// The sums of the block's groups, lane by lane, to the piece's row of `partial`. All threads of the block call it.
__device__ inline void store_sums(const Cut& cut, const Part& part, Sums* table, Sums* partial) {
  add_rows(table, cut.groups, part.width);
  for (int i = static_cast<int>(threadIdx.x); i < part.width; i += kThreads)
    if (part.block_lane + i < cut.lanes) partial[part.piece * cut.lanes + part.block_lane + i] = table[i];
}

}  // namespace atrous
