// Reductions and maps along the rows of a (P, C) matrix, for C of any size.
#pragma once
#include <cmath>

#include "kernels/cuda/pack.h"
#include "kernels/cuda/reduce.h"

namespace atrous {

// How blocks of kThreads share the rows. Where C allows, a block copies as many rows as fit into shared memory, a tile,
// and some lanes of a warp work on each, or one: so memory is read 16 bytes at a time and no lane idles, however few
// the columns are. Longer rows, from 1057 numbers of float32 in a single array on, stay where they are, and have a
// block each. All this follows from C alone.
struct RowCut {
  static constexpr int64_t kTileBytes = kThreads * 33 * 4;  // with one lane, rows of 32 float32 numbers and one more

  int64_t P;
  unsigned C, lanes;
  unsigned stride;   // between a tile's rows: lanes times an odd number, so that a warp meets every bank of its memory
  uint64_t inverse;  // 2^32 / C, rounded up
  bool tiled;

  // Of rows of `arrays` arrays.
  template <typename T>
  static RowCut of(int64_t P, int64_t C, int arrays) {
    const uint64_t inverse = (uint64_t{1} << 32) / static_cast<uint64_t>(C > 0 ? C : 1) + 1;
    RowCut cut{P, static_cast<unsigned>(C), 1, 0, inverse, true};
    for (; cut.lanes <= 32; cut.lanes *= 2) {
      cut.stride = cut.lanes * ((cut.C + cut.lanes - 1) / cut.lanes | 1);
      if (int64_t{cut.rows()} * cut.stride * arrays * int64_t{sizeof(T)} <= kTileBytes) return cut;
    }
    cut.lanes = kThreads;
    cut.tiled = false;
    return cut;
  }

  __host__ __device__ unsigned rows() const { return kThreads / lanes; }  // of a block
  unsigned blocks() const { return static_cast<unsigned>((P + rows() - 1) / rows()); }

  // Where element e of a tile's rows is: e + e / C * (stride - C). The division is exact, as e < 2^14 and C < 2^11.
  __device__ unsigned place(unsigned e) const { return e + static_cast<unsigned>(e * inverse >> 32) * (stride - C); }
};

// One row, of which each lane takes every lanes-th piece of n elements; functions get the number of an element and that
// element of each input. All threads of a block call them, each with its row: n = 1 is for rows in a tile, others are
// of a whole block. `packed`: pieces begin at multiples of 16 bytes, and none is cut short.
template <typename T, unsigned n, bool packed>
struct Row {
  unsigned C, lanes, lane;
  bool exists;  // else it fills up the last block; nothing of it may be written outside the tile

  __device__ bool is_first() const { return exists && lane == 0; }  // of the row's threads

  __device__ T max(const T* x) const {
    T m = -static_cast<T>(INFINITY);
    walk([&](unsigned, T v) { m = std::fmax(m, v); }, x);  // passes over NaN
    return fold(m, [](T a, T b) { return std::fmax(a, b); });
  }

  // The sum of f(c, inputs[c]...)
  template <typename F, typename... Inputs>
  __device__ T sum(F f, const Inputs*... inputs) const {
    T total = 0;
    walk([&](unsigned c, Inputs... v) { total += f(c, v...); }, inputs...);
    return fold(total, [](T a, T b) { return a + b; });
  }

  // y[c] = f(c, inputs[c]...); y may be one of the inputs.
  template <typename F, typename... Inputs>
  __device__ void map(F f, T* y, const Inputs*... inputs) const {
    for (unsigned c = lane * n; c < C; c += lanes * n) {
      Pack<T, n> result{};
      each(c, [&](unsigned i, Inputs... v) { result.v[i] = f(c + i, v...); }, load(inputs, c)...);
      if constexpr (packed)
        store_pack(y + c, result);
      else
        each(c, [&](unsigned i, T v) { y[c + i] = v; }, result);
    }
  }

 private:
  template <typename F, typename... Inputs>
  __device__ void walk(F f, const Inputs*... inputs) const {
    for (unsigned c = lane * n; c < C; c += lanes * n)
      each(c, [&](unsigned i, Inputs... v) { f(c + i, v...); }, load(inputs, c)...);
  }

  // f(i, packs.v[i]...) for each of the elements from c on that are in the row.
  template <typename F, typename... Packs>
  __device__ void each(unsigned c, F f, const Packs&... packs) const {
    for (unsigned i = 0; i < n; ++i)
      if (packed || c + i < C) f(i, packs.v[i]...);
  }

  __device__ Pack<T, n> load(const T* from, unsigned c) const {
    if constexpr (packed) return load_pack<n>(from + c);
    Pack<T, n> pack{};
    each(c, [&](unsigned i, T) { pack.v[i] = from[c + i]; }, pack);
    return pack;
  }

  template <typename F>
  __device__ T fold(T value, F f) const {
    if constexpr (n == 1)
      return fold_lanes(value, lanes, f);
    else
      return fold_block(value, f);
  }
};

// `count` elements from memory into their places in a tile.
template <typename T>
__device__ inline void copy_to_tile(const RowCut& cut, bool packed, unsigned count, const T* from, T* tile) {
  constexpr unsigned n = 16 / sizeof(T), step = kThreads * n, together = 4;
  const unsigned whole = packed ? count / n * n : 0;
  for (unsigned first = threadIdx.x * n; first < whole; first += together * step) {
    Pack<T, n> packs[together] = {};
    for (unsigned j = 0; j < together; ++j)
      if (first + j * step < whole) packs[j] = load_pack<n>(from + first + j * step);
    for (unsigned j = 0; j < together; ++j)
      if (first + j * step < whole)
        for (unsigned i = 0; i < n; ++i) tile[cut.place(first + j * step + i)] = packs[j].v[i];
  }
  for (unsigned e = whole + threadIdx.x; e < count; e += kThreads) tile[cut.place(e)] = from[e];
}

// And back.
template <typename T>
__device__ inline void copy_from_tile(const RowCut& cut, bool packed, unsigned count, const T* tile, T* to) {
  constexpr unsigned n = 16 / sizeof(T);
  const unsigned whole = packed ? count / n * n : 0;
  for (unsigned e = threadIdx.x * n; e < whole; e += kThreads * n) {
    Pack<T, n> pack;
    for (unsigned i = 0; i < n; ++i) pack.v[i] = tile[cut.place(e + i)];
    store_pack(to + e, pack);
  }
  for (unsigned e = whole + threadIdx.x; e < count; e += kThreads) to[e] = tile[cut.place(e)];
}

// Where F::writes, the row of y is that of a in its tile: what f writes may overwrite what it has read.
template <typename T, typename F>
__global__ void tile_kernel(RowCut cut, bool packed, F f, const T* a, const T* b, T* y) {
  __shared__ T tiles[RowCut::kTileBytes / sizeof(T)];
  const int64_t first = int64_t{blockIdx.x} * cut.rows(), begin = first * cut.C;
  const unsigned rows = cut.P - first < cut.rows() ? static_cast<unsigned>(cut.P - first) : cut.rows();
  T* const tile_b = tiles + cut.rows() * cut.stride;
  copy_to_tile(cut, packed, rows * cut.C, a + begin, tiles);
  if (F::arrays == 2) copy_to_tile(cut, packed, rows * cut.C, b + begin, tile_b);
  __syncthreads();
  const unsigned own = threadIdx.x / cut.lanes, at = own * cut.stride;
  const Row<T, 1, false> row{cut.C, cut.lanes, threadIdx.x % cut.lanes, own < rows};
  f(row, first + (row.exists ? own : 0), tiles + at, tile_b + at, tiles + at);
  if (!F::writes) return;
  __syncthreads();
  copy_from_tile(cut, packed, rows * cut.C, tiles, y + begin);
}

template <bool packed, typename T, typename F>
__global__ void row_kernel(RowCut cut, F f, const T* a, const T* b, T* y) {
  const int64_t p = blockIdx.x, at = p * cut.C;
  const Row<T, 16 / sizeof(T), packed> row{cut.C, kThreads, threadIdx.x, true};
  f(row, p, a + at, F::arrays == 2 ? b + at : nullptr, F::writes ? y + at : nullptr);
}

// f(Row, p, the row of a, that of b, that of y) for each of P rows. F says how many arrays it reads and whether it
// writes y.
template <typename T, typename F>
void for_each_row(int64_t P, int64_t C, F f, const T* a, const T* b, T* y) {
  const RowCut cut = RowCut::of<T>(P, C, F::arrays);
  const bool packed = are_aligned(a, b, y);
  if (cut.tiled)
    launch(tile_kernel<T, F>, cut.blocks(), kThreads, cut, packed, f, a, b, y);
  else if (packed && C % (16 / static_cast<int64_t>(sizeof(T))) == 0)
    launch(row_kernel<true, T, F>, cut.blocks(), kThreads, cut, f, a, b, y);
  else
    launch(row_kernel<false, T, F>, cut.blocks(), kThreads, cut, f, a, b, y);
}

}  // namespace atrous
