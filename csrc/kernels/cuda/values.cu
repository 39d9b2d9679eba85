#include <cmath>

#include "core/memory.h"
#include "kernels/cuda/map.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/values.h"

namespace atrous {
namespace {

__global__ void widen_kernel(int64_t n, const float* values, double* wide) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) wide[i] = values[i];
}

struct Same {
  __device__ float operator()(float value) const { return value; }
};

template <typename T>
__global__ void quotient_kernel(int64_t n, const T* a, const T* total, double number, T* y) {
  const double by = total ? static_cast<double>(to_compute(*total)) : number;
  const double ratio = by == 0 ? NAN : static_cast<double>(to_compute(*a)) / by;
  const T value = round_to<T>(static_cast<Compute<T>>(ratio));
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x)
    y[i] = value;
}

struct Least {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};

// The first place of each block's values that are outside, or n.
template <typename Int>
__global__ void find_kernel(int64_t n, const Int* values, int64_t end, int64_t except, int64_t* firsts) {
  int64_t first = n;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) {
    const auto value = static_cast<int64_t>(values[i]);
    if ((value < 0 || value >= end) && value != except && i < first) first = i;
  }
  first = fold_block(first, Least{});
  if (threadIdx.x == 0) firsts[blockIdx.x] = first;
}

// The first of all blocks, of which there are at most kThreads.
template <typename Int>
__global__ void first_kernel(unsigned blocks, const int64_t* firsts, int64_t n, const Int* values, int64_t* found) {
  const int64_t first = fold_block(threadIdx.x < blocks ? firsts[threadIdx.x] : n, Least{});
  if (threadIdx.x > 0) return;
  found[0] = first < n;
  found[1] = first < n ? static_cast<int64_t>(values[first]) : 0;
}

}  // namespace

void widen(int64_t n, const float* values, double* wide) {
  launch(widen_kernel, static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, n, values, wide);
}

template <typename T>
void narrow(int64_t n, const float* values, T* halves) {
  map(n, Same{}, halves, values);
}

template void narrow(int64_t, const float*, Float16*);
template void narrow(int64_t, const float*, BFloat16*);

template <typename T>
void quotient(int64_t n, const T* a, const T* total, double number, T* y) {
  launch(quotient_kernel<T>, blocks_for(n), kThreads, n, a, total, number, y);
}

template void quotient(int64_t, const float*, const float*, double, float*);
template void quotient(int64_t, const double*, const double*, double, double*);
template void quotient(int64_t, const Float16*, const Float16*, double, Float16*);
template void quotient(int64_t, const BFloat16*, const BFloat16*, double, BFloat16*);

template <typename Int>
void find_outside(int64_t n, const Int* values, int64_t end, int64_t except, int64_t* found) {
  const unsigned wanted = blocks_for(n), blocks = wanted < kThreads ? wanted : kThreads;
  const Workspace<int64_t> firsts(blocks);
  launch(find_kernel<Int>, blocks, kThreads, n, values, end, except, firsts.data());
  launch(first_kernel<Int>, 1, kThreads, blocks, firsts.data(), n, values, found);
}

template void find_outside(int64_t, const int64_t*, int64_t, int64_t, int64_t*);
template void find_outside(int64_t, const int32_t*, int64_t, int64_t, int64_t*);
template void find_outside(int64_t, const uint8_t*, int64_t, int64_t, int64_t*);

}  // namespace atrous
