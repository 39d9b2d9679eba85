// The end of a sum that blocks have shared: each left what it had in a piece, and the pieces are added up here, in an
// order that their number gives. One thread for a number would wait for memory once a piece; so the slices of a block
// take every slices-th piece, some of which are on their way at once, and what the slices have is added from shared
// memory.
#pragma once
#include "kernels/cuda/pixels.h"

namespace atrous {

template <typename T, int n>
__device__ inline void add_pack(const Pack<T, n>& more, Pack<T, n>& sum) {
#pragma unroll
  for (int i = 0; i < n; ++i) sum.v[i] += more.v[i];
}

// A put that stores them in order.
template <typename T>
struct Total {
  T* y;

  template <int n>
  __device__ void operator()(int64_t i, const Pack<T, n>& sums) const {
    store_pack(y + i, sums);
  }
};

constexpr int kTogether = 4;  // loads that a thread has under way at once

// put(i, the sums of the n numbers from i on of `count` that each piece has). Neighbouring threads have neighbouring
// packs. The bounds leave registers for all the loads: else nvcc saves some, and waits in between.
template <int n, typename T, typename Put>
__global__ void __launch_bounds__(kThreads, 4)
    add_pieces_kernel(int pieces, int64_t count, int slices, const T* parts, Put put) {
  __shared__ Pack<T, n> table[kThreads];
  const int columns = kThreads / slices, slice = static_cast<int>(threadIdx.x) / columns;
  const int64_t i = (int64_t{blockIdx.x} * columns + threadIdx.x % columns) * n;
  const int64_t step = slices * count;
  const T* from = parts + slice * count + i;
  Pack<T, n> sum{};
  for (int first = slice; i < count && first < pieces; first += kTogether * slices, from += kTogether * step) {
    Pack<T, n> packs[kTogether] = {};
#pragma unroll
    for (int j = 0; j < kTogether; ++j)
      if (first + j * slices < pieces) packs[j] = load_pack<n>(from + j * step);
#pragma unroll
    for (int j = 0; j < kTogether; ++j) add_pack(packs[j], sum);
  }
  table[threadIdx.x] = sum;
  __syncthreads();
  if (slice > 0 || i >= count) return;
#pragma unroll 4
  for (int k = 1; k < slices; ++k) add_pack(table[k * columns + threadIdx.x], sum);
  put(i, sum);
}

// As many slices as have more to do than one wait for memory brings; at 32, the 8 packs of a block are a whole line of
// 128 bytes.
inline int slices_of(int64_t pieces) {
  int slices = 1;
  while (slices < 32 && kTogether * slices < pieces) slices *= 2;
  return slices;
}

// put(i, pack) for the sums over pieces of each of `count` numbers, `to` being the addresses that it writes in packs.
template <typename T, typename Put, typename... Pointers>
void add_pieces(int64_t pieces, int64_t count, const T* parts, const Put& put, const Pointers*... to) {
  const int slices = slices_of(pieces);
  with_packs<T>(
      [&](auto n) {
        const int64_t blocks = divide_up(count / n, kThreads / slices);
        launch(add_pieces_kernel<n, T, Put>, static_cast<unsigned>(blocks), kThreads, static_cast<int>(pieces), count,
               slices, parts, put);
      },
      count, parts, to...);
}

}  // namespace atrous
