// 16 bytes at a time: what a thread should read and write, so that memory is used at its full speed.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace atrous {

template <typename T, int n = 16 / sizeof(T)>
struct alignas(n * sizeof(T)) Pack {
  static constexpr int size = n;
  T v[n];
};

template <int n, typename T>
__device__ inline Pack<T, n> load_pack(const T* from) {
#ifndef __CUDACC__
  cuda_on_cpu::require_aligned(from, sizeof(Pack<T, n>));
#endif
  return *reinterpret_cast<const Pack<T, n>*>(from);
}

template <int n, typename T>
__device__ inline void store_pack(T* to, const Pack<T, n>& pack) {
#ifdef __CUDACC__
  if constexpr (sizeof(pack) == 16) {  // explicitly: behind a branch, nvcc would store word by word
    int4 bits;
    memcpy(&bits, &pack, 16);
    return __stwb(reinterpret_cast<int4*>(to), bits);
  }
  if constexpr (sizeof(pack) == 8) {
    int2 bits;
    memcpy(&bits, &pack, 8);
    return __stwb(reinterpret_cast<int2*>(to), bits);
  }
#else
  cuda_on_cpu::require_aligned(to, sizeof(pack));
#endif
  *reinterpret_cast<Pack<T, n>*>(to) = pack;
}

// The same n elements at any address, one by one.
template <typename T, int n>
struct Elements {
  static constexpr int size = n;
  T v[n];
};

// As M, a Pack or Elements.
template <typename M, typename T>
__device__ inline M load_as(const T* from) {
#ifndef __CUDACC__
  cuda_on_cpu::require_aligned(from, alignof(M));
#endif
  return *reinterpret_cast<const M*>(from);
}

template <typename M, typename T>
__device__ inline void store_as(T* to, const M& elements) {
#ifndef __CUDACC__
  cuda_on_cpu::require_aligned(to, alignof(M));
#endif
  *reinterpret_cast<M*>(to) = elements;
}

// Whether all pointers may be read in packs of 16 bytes.
template <typename... Pointers>
inline bool are_aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// sum += a * b, rounded once on a GPU.
template <typename T>
__device__ inline void add_product(T a, T b, T& sum) {
#ifdef __CUDACC__
  sum = fma(a, b, sum);
#else
  sum += a * b;  // a CPU may have to call a function for fma
#endif
}

}  // namespace atrous
