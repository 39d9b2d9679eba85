// Reductions within a block and over blocks, in an order that follows from the sizes alone.
#pragma once
#include "kernels/cuda/launch.h"

namespace atrous {

// Combines what `lanes` neighbouring threads of a warp hold, a power of two; each gets the result.
template <typename T, typename F>
__device__ inline T fold_lanes(T value, unsigned lanes, F f) {
  for (unsigned mask = lanes / 2; mask > 0; mask /= 2) value = f(value, __shfl_xor_sync(0xFFFFFFFFu, value, mask));
  return value;
}

// Combines what all threads of a block of kThreads hold; each gets the result.
template <typename T, typename F>
__device__ inline T fold_block(T value, F f) {
  constexpr int kWarps = kThreads / 32;
  __shared__ T of_warp[kWarps];
  value = fold_lanes(value, 32, f);
  __syncthreads();  // the last call's values were read
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  return fold_lanes(of_warp[threadIdx.x % kWarps], kWarps, f);
}

// Two sums that belong together.
struct alignas(16) Sums {
  double first, second;
  __device__ void operator+=(const Sums& other) {
    first += other.first;
    second += other.second;
  }
};

// Adds the rows of a table in shared memory, a tree, into the first one. All threads of the block call it.
__device__ inline void add_rows(Sums* table, int rows, int width) {
  __syncthreads();
  while (rows > 1) {
    const int half = (rows + 1) / 2;
    for (int i = threadIdx.x; i < (rows - half) * width; i += blockDim.x) table[i] += table[half * width + i];
    __syncthreads();
    rows = half;
  }
}

// f(c, the sum of table's rows) for each of C columns. A block has `groups` threads for a column, and each takes every
// groups-th row, four of which it has under way at once, given the registers.
template <typename F>
__global__ void __launch_bounds__(kThreads, 4)
    sum_rows_kernel(int64_t rows, int64_t C, int groups, const Sums* table, F f) {
  __shared__ Sums sums[kThreads];
  const int columns = kThreads / groups, group = threadIdx.x / columns;
  const int64_t c = int64_t{blockIdx.x} * columns + threadIdx.x % columns;
  Sums sum{0, 0};
  if (c < C) {
    for (int64_t row = group; row < rows; row += groups) sum += table[row * C + c];
  }
  sums[threadIdx.x] = sum;
  add_rows(sums, groups, columns);
  if (group == 0 && c < C) f(c, sums[threadIdx.x]);
}

template <typename F>
void sum_rows(int64_t rows, int64_t C, const Sums* table, F f) {
  int groups = 1;
  while (groups < 64 && groups < rows) groups *= 2;  // at 64, the 4 columns of a block are 64 bytes side by side
  const int64_t columns = kThreads / groups;
  launch(sum_rows_kernel<F>, static_cast<unsigned>((C + columns - 1) / columns), kThreads, rows, C, groups, table, f);
}

}  // namespace atrous
