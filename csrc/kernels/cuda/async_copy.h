// Copies from memory into shared memory that a thread starts and does not wait for, so that they are on their way while
// it computes. From compute capability 8.0 on; before, and where the compiler knows no CUDA, they are ordinary ones.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace atrous {

// The block's shared memory, as much as it was launched with, at a multiple of 16 bytes.
template <typename T>
__device__ inline T* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ int4 memory[];
  return reinterpret_cast<T*>(memory);
#else
  return static_cast<T*>(cuda_on_cpu::shared_memory());
#endif
}

// Starts to copy `bytes`, 4, 8 or 16 and addresses at multiples of as many; zeros where `exists` does not hold, and
// then `from` may be any address.
template <int bytes>
__device__ inline void copy_async(void* to, const void* from, bool exists) {
#ifndef __CUDACC__
  cuda_on_cpu::copy_later(to, exists ? from : nullptr, bytes);
#elif __CUDA_ARCH__ >= 800
  const auto place = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int size = exists ? bytes : 0;
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(size) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(place), "l"(from), "n"(bytes), "r"(size)
                 : "memory");
#else
  struct alignas(bytes) Bytes {
    int v[bytes / 4];
  };
  *static_cast<Bytes*>(to) = exists ? *static_cast<const Bytes*>(from) : Bytes{};
#endif
}

// Those that this thread started since the last call belong together.
__device__ inline void close_copies() {
#ifndef __CUDACC__
  cuda_on_cpu::close_copies();
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until of this thread's closed groups at most the last `left` are on their way. What other threads copied is
// there only after a barrier.
template <int left>
__device__ inline void wait_copies() {
#ifndef __CUDACC__
  cuda_on_cpu::wait_copies(left);
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
#endif
}

}  // namespace atrous
