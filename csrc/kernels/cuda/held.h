// Numbers that a thread keeps as they lie in memory until it computes with them: two of 16 bits to a register. Left to
// itself, nvcc gives each one of its own.
#pragma once
#include "kernels/cuda/half.h"

namespace atrous {

template <typename T, int n>
struct Pairs {
  uint32_t words[n / 2];
};

// The numbers of an M, a Pack or Elements.
template <typename M, typename T>
using Held = std::conditional_t<is_half<T> && M::size % 2 == 0, Pairs<T, M::size>, M>;

template <typename M, typename T>
__device__ inline Held<M, T> hold(const T* from) {
#ifdef __CUDACC__
  if constexpr (std::is_same_v<Held<M, T>, Pairs<T, 2>> && alignof(M) == 4)  // else nvcc takes the word apart first
    return {{*reinterpret_cast<const uint32_t*>(from)}};
#endif
  const M numbers = load_as<M>(from);
  if constexpr (std::is_same_v<Held<M, T>, M>) {
    return numbers;
  } else {
    Held<M, T> held;
#pragma unroll
    for (int i = 0; i < M::size; i += 2)
      held.words[i / 2] = numbers.v[i].bits | static_cast<uint32_t>(numbers.v[i + 1].bits) << 16;
    return held;
  }
}

template <typename M>
__device__ inline auto number(const M& held, int i) {
  return to_compute(held.v[i]);
}

template <typename T, int n>
__device__ inline float number(const Pairs<T, n>& held, int i) {
  const uint32_t word = held.words[i / 2];
  return to_compute(T{static_cast<uint16_t>(i % 2 == 0 ? word : word >> 16)});
}

}  // namespace atrous
