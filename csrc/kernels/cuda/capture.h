// What changes where the caller's stream captures a graph (python/atrous/cuda_graph.py). A launch is then put down with
// its arguments as they are, to be done again and again: numbers that differ from one replay to the next are read from
// memory that the host fills before each, tables come by launches as well, and nothing may wait for the GPU.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace atrous {

// Defined by the bindings, for the thread.
bool capturing();

// The memory that the host fills for the next launch, of which it was told (capture_numbers). Throws where it was not:
// the launch's numbers would stay what they are.
const void* captured_numbers(const char* function);

// What a kernel takes by value, or from that memory.
template <typename T>
struct ByValue {
  T value;
  __device__ const T& get() const { return value; }
};
template <typename T>
struct FromMemory {
  const T* memory;
  __device__ T get() const { return *memory; }
};

// Bytes of the host to the device, as arguments of launches: a graph keeps them, and the host may change its own.
void copy_by_launches(void* to, const void* from, int64_t bytes);

// Copies n classes, those that are neither in [0, end) nor `except` as `except`. Of the latter found[1] becomes one,
// and found[0] 1: it is pinned memory of the host's, who looks at it later.
void replace_outside(int64_t n, const int64_t* classes, int64_t end, int64_t except, int64_t* clean, int64_t* found);

}  // namespace atrous
