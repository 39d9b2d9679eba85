// A function of one element of each input, over whole arrays. It is given numbers to compute with, Compute<T>, whatever
// lies in memory; what it returns is rounded once.
#pragma once
#include <algorithm>

#include "kernels/cuda/half.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {

template <typename T, int n, typename F, typename... Inputs>
__device__ inline Pack<T, n> map_pack(F f, const Pack<Inputs, n>&... inputs) {
  Pack<T, n> y;
  for (int i = 0; i < n; ++i) y.v[i] = round_to<T>(f(to_compute(inputs.v[i])...));
  return y;
}

// Packs of n elements, and what is left over one by one.
template <int n, typename T, typename F, typename... Inputs>
__global__ void map_kernel(int64_t elements, F f, T* y, const Inputs*... inputs) {
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = first * n; i + n <= elements; i += step * n)
    store_pack(y + i, map_pack<T, n>(f, load_pack<n>(inputs + i)...));
  if (n > 1 && first < elements % n) {
    const int64_t i = elements - 1 - first;
    y[i] = round_to<T>(f(to_compute(inputs[i])...));
  }
}

// y[i] = f(inputs[i]...), f a functor of the device; y may be one of the inputs.
template <typename T, typename F, typename... Inputs>
void map(int64_t elements, F f, T* y, const Inputs*... inputs) {
  constexpr int n = 16 / std::max({sizeof(T), sizeof(Inputs)...});
  if (are_aligned(y, inputs...))
    launch(map_kernel<n, T, F, Inputs...>, blocks_for((elements + n - 1) / n), kThreads, elements, f, y, inputs...);
  else
    launch(map_kernel<1, T, F, Inputs...>, blocks_for(elements), kThreads, elements, f, y, inputs...);
}

}  // namespace atrous
