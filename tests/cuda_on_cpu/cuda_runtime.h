// Runs CUDA kernels on a CPU, so that their results can be tested where there is no GPU: stands in for NVIDIA's header
// of the same name when kernels/cuda/*.cu are compiled as plain C++. The threads of a block are fibers, which take
// turns at barriers and shuffles, in an order that set_order() changes: a kernel that forgets a barrier gives other
// bits in another order. Threads that disturb each other between two barriers are looked for in a build of its own
// (races.h). What it cannot show is speed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
// Blocks run one after the other, but for clusters, whose kernels declare none.
#ifdef ATROUS_CUDA_RACES
#define __shared__ static thread_local  // nothing else is: so races.cpp knows where it lies
#else
#define __shared__ static
#endif

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace cuda_on_cpu {

constexpr unsigned kMostThreads = 4096;  // of a cluster: four blocks

struct Place {
  dim3 thread, block, block_size, grid;
  unsigned number;  // of the thread among those of its cluster
};
extern Place* place;  // of the thread that runs now

// The blocks of a cluster, neighbours along x, run at a time.
void run(dim3 grid, dim3 block, const std::function<void()>& thread, size_t shared_bytes = 0, unsigned cluster = 1);

// While a stream captures a graph, what it is given is put down here and not done (cupy/capture.py).
using Recorded = std::vector<std::function<void()>>;
inline Recorded* recording = nullptr;
void set_order(int order);  // 1: descending, blocks, too, 2: ascending, as at first, from 3 on: shuffled
int order();

int racy_kernels();  // racy.cpp
void run_racy(int number);

void cluster_barrier();  // for those that have not ended
void block_barrier();
void warp_barrier();
void lanes_meet();  // a warp's, to give one another registers, which says nothing of memory
uint64_t exchange(uint64_t bits, unsigned lane);  // the bits that this lane of the warp gave

template <typename T>
T shuffle(T value, unsigned lane) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline unsigned lane() { return place->thread.x % 32; }

// What each lane of the warp gives. All lanes call it; the table lasts until the next call but one.
template <typename T>
const T* of_warp(const T& given) {
  static T table[2][kMostThreads];
  static bool turn[kMostThreads];
  const unsigned self = place->number;
  T* const half = table[turn[self] = !turn[self]];
  half[self] = given;
  lanes_meet();
  return half + self / 32 * 32;
}

// Notes an address at which a GPU cannot read or write so many bytes at once: run() then throws.
void require_aligned(const void* address, size_t bytes);

// Of the thread's block, of the size that it was launched with: NaN at first, and again when the block has ended.
void* shared_memory();
void* shared_memory_of(unsigned rank);  // in the cluster
unsigned rank();

// Copies that are put off until they are waited for, thread by thread; zeros from nullptr.
void copy_later(void* to, const void* from, size_t bytes);
void close_copies();
void wait_copies(int left);

// What others than the threads do, at some time; the thread waits until then. (hopper_on_cpu.h)
void do_later(uint64_t barrier, std::function<void()> copy);
void wait_until(std::function<bool()> holds);
void give_way();  // in order 3, all others have some turns before the thread goes on

inline int capability = 80;  // of the device, times ten
inline void set_capability(int value) { capability = value; }
inline int64_t engine_copies = 0;  // by Hopper's copy engine, of pixels

}  // namespace cuda_on_cpu

#define threadIdx (cuda_on_cpu::place->thread)
#define blockIdx (cuda_on_cpu::place->block)
#define blockDim (cuda_on_cpu::place->block_size)
#define gridDim (cuda_on_cpu::place->grid)

inline void __syncthreads() { cuda_on_cpu::block_barrier(); }
inline void __syncwarp() { cuda_on_cpu::warp_barrier(); }

// Every kernel shuffles with whole warps of one-dimensional blocks.
template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return cuda_on_cpu::shuffle(value, cuda_on_cpu::lane() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned, T value, unsigned lane) {
  return cuda_on_cpu::shuffle(value, lane);
}

inline int __any_sync(unsigned, int holds) {
  for (unsigned mask = 16; mask > 0; mask /= 2) holds |= __shfl_xor_sync(~0u, holds, mask);
  return holds;
}

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }

// The runtime's functions: host and device memory are the same, and nothing is put off but what is captured.
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorStreamCaptureUnsupported = 900 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };

// CUDA captures copies from and to host memory, too: of what the host has there at each replay, which none of our
// callers means.
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (cuda_on_cpu::recording && kind != cudaMemcpyDeviceToDevice) return cudaErrorStreamCaptureUnsupported;
  if (cuda_on_cpu::recording)
    cuda_on_cpu::recording->push_back([=] { std::memcpy(to, from, bytes); });
  else
    std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (cuda_on_cpu::recording)
    cuda_on_cpu::recording->push_back([=] { std::memset(to, value, bytes); });
  else
    std::memset(to, value, bytes);
  return cudaSuccess;
}
enum cudaDeviceAttr {
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMultiProcessorCount
};
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const int values[] = {cuda_on_cpu::capability / 10, cuda_on_cpu::capability % 10, 2};
  *value = values[attribute];
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cuda_on_cpu::recording ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "operation not permitted when stream is capturing";
}
