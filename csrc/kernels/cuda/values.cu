#include "kernels/cuda/map.h"
#include "kernels/cuda/values.h"

namespace atrous {
namespace {

__global__ void widen_kernel(int64_t n, const float* values, double* wide) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) wide[i] = values[i];
}

// One block: each thread looks for its first, and the first of those is the answer.
template <typename Int>
__global__ void find_kernel(int64_t n, const Int* values, int64_t end, int64_t except, int64_t* found) {
  __shared__ int64_t firsts[kThreads];
  int64_t first = n;
  for (int64_t i = threadIdx.x; i < n && first == n; i += kThreads) {
    const auto value = static_cast<int64_t>(values[i]);
    if ((value < 0 || value >= end) && value != except) first = i;
  }
  firsts[threadIdx.x] = first;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 0; i < kThreads; ++i) first = firsts[i] < first ? firsts[i] : first;
  found[0] = first < n;
  found[1] = first < n ? static_cast<int64_t>(values[first]) : 0;
}

}  // namespace

void widen(int64_t n, const float* values, double* wide) {
  launch(widen_kernel, static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, n, values, wide);
}

template <typename Int>
void find_outside(int64_t n, const Int* values, int64_t end, int64_t except, int64_t* found) {
  launch(find_kernel<Int>, 1, kThreads, n, values, end, except, found);
}

template void find_outside(int64_t, const int64_t*, int64_t, int64_t, int64_t*);
template void find_outside(int64_t, const int32_t*, int64_t, int64_t, int64_t*);
template void find_outside(int64_t, const uint8_t*, int64_t, int64_t, int64_t*);

}  // namespace atrous
