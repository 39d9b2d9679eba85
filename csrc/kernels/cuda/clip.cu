#include <cmath>

#include "kernels/cuda/chunks.h"
#include "kernels/cuda/clip.h"
#include "kernels/cuda/reduce.h"

namespace atrous {
namespace {

struct Plus {
  __device__ double operator()(double a, double b) const { return a + b; }
};

__global__ void squares_kernel(int64_t count, const Entry<Values<const float>>* entries, double* sums) {
  const auto [tensor, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  double sum = 0;
  update(aligned, first, last, [&sum](float x) { sum += double{x} * double{x}; }, tensor.values);
  sum = fold_block(sum, Plus{});
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block.
__global__ void root_kernel(int64_t n, const double* sums, float* root) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += sums[i];
  sum = fold_block(sum, Plus{});
  if (threadIdx.x == 0) *root = static_cast<float>(sqrt(sum));
}

template <typename T, typename N>
__global__ void scale_kernel(int64_t count, const Entry<Values<T>>* entries, const N* norm, N max_norm) {
  const N factor = max_norm / (*norm + static_cast<N>(1e-6));
  const T by = static_cast<T>(factor > 1 ? 1 : factor);  // NaN stays
  if (by == 1) return;                                   // in most steps: nothing is clipped, and no memory moves
  const auto [tensor, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  update(aligned, first, last, [by](T& x) { x *= by; }, tensor.values);
}

template <typename T>
Chunks<Values<T>> chunks_of(int64_t count, const Values<T>* tensors) {
  return {count, tensors, [](const Values<T>& tensor) { return are_aligned(tensor.values); }};
}

}  // namespace

void square_root_of_squares(int64_t count, const Values<const float>* tensors, float* norm) {
  const auto chunks = chunks_of(count, tensors);
  const Workspace<double> sums(chunks.count());
  launch(squares_kernel, chunks.count(), kThreads, chunks.tensors(), chunks.entries(), sums.data());
  launch(root_kernel, 1, kThreads, chunks.count(), sums.data(), norm);
}

template <typename T, typename N>
void scale_values(int64_t count, const Values<T>* tensors, const N* norm, double max_norm) {
  const auto chunks = chunks_of(count, tensors);
  launch(scale_kernel<T, N>, chunks.count(), kThreads, chunks.tensors(), chunks.entries(), norm,
         static_cast<N>(max_norm));
}

template void scale_values(int64_t, const Values<float>*, const float*, double);
template void scale_values(int64_t, const Values<float>*, const double*, double);
template void scale_values(int64_t, const Values<double>*, const float*, double);
template void scale_values(int64_t, const Values<double>*, const double*, double);

}  // namespace atrous
