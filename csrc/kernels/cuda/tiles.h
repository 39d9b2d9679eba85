// Products of matrices: a block adds up a tile of the result, step by step along the common axis K, whose parts of both
// factors it copies to shared memory ahead of need.
//   operands (Source) -> shared memory (ByIndex, ByDepth) -> products (Math) -> sums in registers (TileSums) -> output
// Each of these knows nothing of the others but its neighbours' interface. A block is 2 x 2 warps; a warp has a tile of
// WM x WN sums, multiples of 32. Large ones are better: from shared memory comes (1/WM + 1/WN) of a number a product.
#pragma once
#include <cstdint>

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/half.h"
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
//   load       for plain arithmetic: of a chunk of K, `count` indices in runs of four that are `step` apart, from
//   `first`
//              on (a multiple of 4; of 8 if step < 32)
//   load_rows, load_columns    for tensor cores: what a lane holds of one half of a step's K, for indices from `first`
//              (a multiple of 32) on. Where a product has row or column c of 8, number o of such, stands
//              32 (o / 4) + 4c + o % 4. in_order: they are loaded into the registers where tensor cores want them.

// For factors that lie in memory with K fastest.
template <typename T, int extent_>
struct ByIndex {
  static constexpr int extent = extent_;
  static constexpr bool in_order = true;

  template <int count, int step>
  __device__ static void load(const T* tile, int first, int chunk, Compute<T> (&to)[count][kChunk<T>]) {
    static_assert(step == 32 || step * count == 32);
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const int start = first + i / 4 * step, flip = turn(step == 32 ? first : start);
      const int row = start + i % 4 + (i % 2 ? -flip : flip);
      const auto pack = load_pack<kChunk<T>>(tile + (row * kChunks + (chunk ^ shift(first))) * kChunk<T>);
#pragma unroll
      for (int k = 0; k < kChunk<T>; ++k) to[i][k] = to_compute(pack.v[k]);
    }
  }

  template <int count>
  __device__ static void load_rows(const T* tile, int first, int half, uint32_t (&to)[count][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8;
    load_matrices_of<count>(tile + place(first + 4 * (lane % 8) + matrix % 2, (2 * half + matrix / 2) * kChunk<T>), to);
  }

  template <int count>
  __device__ static void load_columns(const T* tile, int first, int half, uint32_t (&to)[count][2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8;
    uint32_t pairs[count / 2][4];
    const int row = first + 4 * (lane % 8) + matrix / 2;
    load_matrices_of<count / 2>(tile + place(row, (2 * half + matrix % 2) * kChunk<T>), pairs);
#pragma unroll
    for (int i = 0; i < count; ++i)
#pragma unroll
      for (int k = 0; k < 2; ++k) to[i][k] = pairs[i / 2][i % 2 * 2 + k];
  }

  __device__ static int place(int index, int k) {
    return ((index ^ turn(index)) * kChunks + (k / kChunk<T> ^ shift(index))) * kChunk<T> + k % kChunk<T>;
  }

 private:
  __device__ static int turn(int index) { return index / 4 % 2; }
  __device__ static int shift(int index) { return index / 8 % 4; }

  // Of indices that are two and 32 apart: what turn() and shift() give is the same.
  template <int count>
  __device__ static void load_matrices_of(const T* row, uint32_t (&to)[count][4]) {
#pragma unroll
    for (int i = 0; i < count; ++i) load_matrices(row + (i / 2 * 32 + i % 2 * 2) * kDepth<T>, to[i]);
  }
};

// For factors that lie in memory with the index fastest.
template <typename T, int extent_>
struct ByDepth {
  static constexpr int extent = extent_;
  static constexpr bool in_order = false;

  template <int count, int step>
  __device__ static void load(const T* tile, int first, int chunk, Compute<T> (&to)[count][kChunk<T>]) {
    static_assert(step * count == 32 || (step == 32 && (!is_half<T> || count <= 4)));  // 32 further is another swizzle
    constexpr int n = kChunk<T> < 4 ? kChunk<T> : 4;
#pragma unroll
    for (int k = 0; k < kChunk<T>; ++k)
#pragma unroll
      for (int i = 0; i < count; i += n) {
        const auto pack = load_pack<n>(tile + place(first, chunk * kChunk<T> + k) + i / 4 * step + i % 4);
#pragma unroll
        for (int j = 0; j < n; ++j) to[i + j][k] = to_compute(pack.v[j]);
      }
  }

  template <int count>
  __device__ static void load_rows(const T* tile, int first, int half, uint32_t (&to)[count][4]) {
#pragma unroll
    for (int i = 0; i < count; i += 2) {
      const auto low = load_four(tile, first + 16 * i, 2 * half), high = load_four(tile, first + 16 * i, 2 * half + 1);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        to[i + k / 2][k % 2] = low.v[k];
        to[i + k / 2][2 + k % 2] = high.v[k];
      }
    }
  }

  template <int count>
  __device__ static void load_columns(const T* tile, int first, int half, uint32_t (&to)[count][2]) {
#pragma unroll
    for (int i = 0; i < count; i += 4) {
      const auto low = load_four(tile, first + 8 * i, 2 * half), high = load_four(tile, first + 8 * i, 2 * half + 1);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        to[i + k][0] = low.v[k];
        to[i + k][1] = high.v[k];
      }
    }
  }

  // Lanes that read four indices each, of k that are 1 apart (2, of 16 bits), meet all banks.
  __device__ static int place(int index, int k) {
    if constexpr (is_half<T>)
      return k * extent + (index ^ 16 * (k / 2 % 4));
    else
      return k * extent + (index ^ 8 * (k % 4));
  }

 private:
  // What tensor cores want of a lane's four of 32 indices in a chunk of K: a number of each, or two of 16 bits, of
  // which the second is from the next k.
  __device__ static Pack<uint32_t, 4> load_four(const T* tile, int first, int chunk) {
    const int lane = static_cast<int>(threadIdx.x) % 32, index = first + lane / 4 * 4;
    if constexpr (is_half<T>) {
      const int k = chunk * kChunk<T> + 2 * (lane % 4);
      const auto even = load_pack<2>(reinterpret_cast<const uint32_t*>(tile + place(index, k)));
      const auto odd = load_pack<2>(reinterpret_cast<const uint32_t*>(tile + place(index, k + 1)));
      Pack<uint32_t, 4> four;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        four.v[2 * i] = (even.v[i] & 0xFFFFu) | odd.v[i] << 16;
        four.v[2 * i + 1] = even.v[i] >> 16 | (odd.v[i] & 0xFFFF0000u);
      }
      return four;
    } else {
      return load_pack<4>(reinterpret_cast<const uint32_t*>(tile + place(index, chunk * kChunk<T> + lane % 4)));
    }
  }
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
  Compute<T> v[WM / 8][WN / 4];
};

// Plain multiply-adds.
template <typename T_>
struct Fma {
  using T = T_;

  template <typename A, typename B, int WM, int WN>
  __device__ static void multiply(const T* a, const T* b, const Seat<WM, WN>& seat, TileSums<T, WM, WN>& sums) {
    constexpr int n = kChunk<T>;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      Compute<T> rows[WM / 8][n];
      A::template load<WM / 8, 32>(a, seat.row + 4 * seat.g, chunk, rows);
#pragma unroll
      for (int q = 0; q < WN / 32; ++q) {
        Compute<T> columns[8][n];
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

// Tensor cores, for numbers of 16 bits, and for float32 numbers rounded to TF32.
template <typename T_>
struct TensorCores {
  using T = T_;

  template <typename A, typename B, int WM, int WN>
  __device__ static void multiply(const T* a, const T* b, const Seat<WM, WN>& seat, TileSums<T, WM, WN>& sums) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t rows[WM / 16][4], columns[WN / 8][2];
      A::load_rows(a, seat.row, half, rows);
      B::load_columns(b, seat.column, half, columns);
      if constexpr (!is_half<T>) {
        round<A>(rows);
        round<B>(columns);
      }
#pragma unroll
      for (int i = 0; i < WM / 16; ++i)
#pragma unroll
        for (int j = 0; j < WN / 8; ++j) {
          float *const c = sums.v[2 * i] + j / 4 * 8 + j % 4, *const d = sums.v[2 * i + 1] + j / 4 * 8 + j % 4;
          multiply_add<T>(c[0], c[4], d[0], d[4], rows[i], columns[j]);
        }
    }
  }

 private:
  template <typename Layout, int count, int registers>
  __device__ static void round(uint32_t (&numbers)[count][registers]) {
#pragma unroll
    for (int i = 0; i < count; ++i)
#pragma unroll
      for (int k = 0; k < registers; ++k) numbers[i][k] = to_tf32<Layout::in_order>(numbers[i][k]);
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
      Pack<Compute<T>, n> values;
#pragma unroll
      for (int e = 0; e < n; ++e) values.v[e] = sums.v[i][j + e];
      output.put(row, column, values);
    }
  }
}

}  // namespace atrous
