// Products of matrices: a block adds up a tile of the result, step by step along the common axis K, whose parts of both
// factors it copies to shared memory ahead of need.
//   operands (Source) -> shared memory (ByIndex, ByDepth) -> products (Math) -> sums in registers (TileSums) -> output
// Each of these knows nothing of the others but its neighbours' interface. A block is 2 x 2 warps; a warp has a tile of
// WM x WN sums, multiples of 32. Large ones are better: from shared memory comes (1/WM + 1/WN) of a number a product.
#pragma once
#include <cstdint>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/pack.h"

namespace atrous {

constexpr int kTileThreads = 128;
constexpr int kStages = 4;  // steps in shared memory: one that is read, the others on their way
constexpr int kChunks = 4;  // of 16 bytes along K in a step

template <typename T>
constexpr int kChunk = 16 / static_cast<int>(sizeof(T));  // numbers in 16 bytes

template <typename T>
constexpr int kDepth = kChunks * kChunk<T>;  // of K in a step

// A factor's part in shared memory, of `extent` rows of the first factor or columns of the second (its indices), and
// kDepth of K. In both layouts a warp that reads 16 bytes a lane, or writes them, meets every bank of shared memory
// evenly: that is what the exclusive ors are for.

// For factors that lie in memory with K fastest.
template <typename T, int extent_>
struct ByIndex {
  static constexpr int extent = extent_;

  // Indices come in runs of four, at `first` (a multiple of 4; of 8 if step < 32) and every `step` from there on.
  template <int count, int step>
  __device__ static void load(const T* tile, int first, int chunk, T (&to)[count][kChunk<T>]) {
    static_assert(step == 32 || step * count == 32);
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const int start = first + i / 4 * step, flip = turn(step == 32 ? first : start);
      const int row = start + i % 4 + (i % 2 ? -flip : flip);
      const auto pack = load_pack<kChunk<T>>(tile + (row * kChunks + (chunk ^ shift(first))) * kChunk<T>);
#pragma unroll
      for (int k = 0; k < kChunk<T>; ++k) to[i][k] = pack.v[k];
    }
  }

  __device__ static int place(int index, int k) {
    return ((index ^ turn(index)) * kChunks + (k / kChunk<T> ^ shift(index))) * kChunk<T> + k % kChunk<T>;
  }

 private:
  __device__ static int turn(int index) { return index / 4 % 2; }
  __device__ static int shift(int index) { return index / 8 % 4; }
};

// For factors that lie in memory with the index fastest.
template <typename T, int extent_>
struct ByDepth {
  static constexpr int extent = extent_;

  template <int count, int step>
  __device__ static void load(const T* tile, int first, int chunk, T (&to)[count][kChunk<T>]) {
    static_assert(step == 32 || step * count == 32);
#pragma unroll
    for (int k = 0; k < kChunk<T>; ++k)
#pragma unroll
      for (int i = 0; i < count; i += kChunk<T>) {
        const int index = (first ^ 8 * chunk) + i / 4 * step + i % 4;
        const auto pack = load_pack<kChunk<T>>(tile + (chunk * kChunk<T> + k) * extent + index);
#pragma unroll
        for (int j = 0; j < kChunk<T>; ++j) to[i + j][k] = pack.v[j];
      }
  }

  __device__ static int place(int index, int k) { return k * extent + (index ^ 8 * (k / kChunk<T>)); }
};

// A thread's place: its lane is lane g, t of the warp at (row, column) of the block's tile.
template <int WM, int WN>
struct Seat {
  int g, t, row, column;
  __device__ Seat() {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    g = lane / 4;
    t = lane % 4;
    row = warp / 2 * WM;
    column = warp % 2 * WN;
  }
};

// A thread's sums: of rows row + 32 (i / 4) + 4g + i % 4 and columns column + 32 (j / 8) + 8t + j % 8. So eight of a
// row lie side by side, and a warp's fragments are read 16 bytes at a time from either layout. To tensor cores, rows
// and columns of the warp's tile are then shuffled, which is nothing to a sum.
template <typename T, int WM, int WN>
struct TileSums {
  T v[WM / 8][WN / 4];
};

// Plain multiply-adds.
template <typename T_>
struct Fma {
  using T = T_;

  __device__ static void add_product(T a, T b, T& sum) {
#ifdef __CUDACC__
    sum = fma(a, b, sum);
#else
    sum += a * b;  // a CPU may have to call a function for fma
#endif
  }

  template <typename A, typename B, int WM, int WN>
  __device__ static void multiply(const T* a, const T* b, const Seat<WM, WN>& seat, TileSums<T, WM, WN>& sums) {
    constexpr int n = kChunk<T>;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      T rows[WM / 8][n];
      A::template load<WM / 8, 32>(a, seat.row + 4 * seat.g, chunk, rows);
#pragma unroll
      for (int q = 0; q < WN / 32; ++q) {
        T columns[8][n];
        B::template load<8, 4>(b, seat.column + 32 * q + 8 * seat.t, chunk, columns);
#pragma unroll
        for (int k = 0; k < n; ++k)
#pragma unroll
          for (int i = 0; i < WM / 8; ++i)
#pragma unroll
            for (int j = 0; j < 8; ++j) add_product(rows[i][k], columns[j][k], sums.v[i][8 * q + j]);
      }
    }
  }
};

// Tensor cores, for float32 numbers rounded to TF32. Lane t takes chunk t of K, of which products 0 and 1 make their
// k = t, t + 4.
struct Tf32 {
  using T = float;

  template <typename A, typename B, int WM, int WN>
  __device__ static void multiply(const T* a, const T* b, const Seat<WM, WN>& seat, TileSums<T, WM, WN>& sums) {
    uint32_t rows[WM / 8][4], columns[WN / 8][4];
    fragments<A>(a, seat.row + 4 * seat.g, seat.t, rows);
    fragments<B>(b, seat.column + 4 * seat.g, seat.t, columns);
#pragma unroll
    for (int k = 0; k < 4; k += 2)
#pragma unroll
      for (int i = 0; i < WM / 8; i += 2)
#pragma unroll
        for (int j = 0; j < WN / 8; ++j) {
          const auto &upper = rows[i], &lower = rows[i + 1], &column = columns[j];
          T *const c = sums.v[i] + j / 4 * 8 + j % 4, *const d = sums.v[i + 1] + j / 4 * 8 + j % 4;
          multiply_add(c[0], c[4], d[0], d[4],
                       {{upper[k], lower[k], upper[k + 1], lower[k + 1]}, {column[k], column[k + 1]}});
        }
  }

 private:
  template <typename Layout, int count>
  __device__ static void fragments(const T* tile, int first, int chunk, uint32_t (&to)[count][4]) {
    T numbers[count][4];
    Layout::template load<count, 32>(tile, first, chunk, numbers);
#pragma unroll
    for (int i = 0; i < count; ++i)
#pragma unroll
      for (int k = 0; k < 4; ++k) to[i][k] = to_tf32(numbers[i][k]);
  }
};

// Adds up `steps` of K. A Source has a Layout, and load(tile) starts the copies of its next step.
template <typename Math, int WM, int WN, typename A, typename B>
__device__ inline void accumulate(A& a, B& b, int64_t steps, TileSums<typename Math::T, WM, WN>& sums) {
  using T = typename Math::T;
  constexpr int kA = 2 * WM * kDepth<T>, kStage = kA + 2 * WN * kDepth<T>;
  static_assert(A::Layout::extent == 2 * WM && B::Layout::extent == 2 * WN);
  T* const memory = shared_memory<T>();
  const Seat<WM, WN> seat;
  const auto load = [&](int64_t step, int slot) {
    if (step < steps) {
      a.load(memory + slot * kStage);
      b.load(memory + slot * kStage + kA);
    }
    close_copies();  // empty ones, too: which group is waited for follows from their number
  };
  for (int slot = 0; slot < kStages - 1; ++slot) load(slot, slot);
  int read = 0, write = kStages - 1;
  for (int64_t step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();  // all threads' copies are there, and the slot read last is free
    load(step + kStages - 1, write);
    Math::template multiply<typename A::Layout, typename B::Layout>(memory + read * kStage, memory + read * kStage + kA,
                                                                    seat, sums);
    write = read;
    read = read + 1 == kStages ? 0 : read + 1;
  }
}

template <typename T, int WM, int WN>
constexpr int kTileBytes = kStages * (2 * WM + 2 * WN) * kChunks * 16;

// Where sums go: `row` of an output row or nullptr, and put(row, column, pack) for packs of n numbers in a row.
template <int n, typename T, int WM, int WN, typename Output>
__device__ inline void store_sums(const TileSums<T, WM, WN>& sums, int64_t first_row, int64_t first_column,
                                  int64_t columns, const Output& output) {
  const Seat<WM, WN> seat;
#pragma unroll
  for (int i = 0; i < WM / 8; ++i) {
    const int64_t row = output.row(first_row + seat.row + 32 * (i / 4) + 4 * seat.g + i % 4);
    if (row < 0) continue;
#pragma unroll
    for (int j = 0; j < WN / 4; j += n) {
      const int64_t column = first_column + seat.column + 32 * (j / 8) + 8 * seat.t + j % 8;
      if (column >= columns) continue;
      Pack<T, n> values;
#pragma unroll
      for (int e = 0; e < n; ++e) values.v[e] = sums.v[i][j + e];
      output.put(row, column, values);
    }
  }
}

}  // namespace atrous
