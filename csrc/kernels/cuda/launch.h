// Launches. Where the compiler knows no CUDA, a kernel is an ordinary function that is called for every thread in turn
// (tests/cuda_on_cpu/).
#pragma once
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/stream.h"

namespace atrous {

constexpr int kThreads = 256;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of kThreads that give each of n items a thread, or fewer blocks, whose threads then walk on to further items.
inline unsigned blocks_for(int64_t n) {
  constexpr int64_t kMost = 1 << 14;  // some 15 waves over the largest GPUs
  const int64_t blocks = (n + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

template <typename P>
using Exactly = std::enable_if_t<true, P>;  // P is not deduced from such an argument

#ifdef __CUDACC__
template <typename... P>
void ask_for_shared(void (*kernel)(P...), int bytes) {
  constexpr int kUnasked = 48 * 1024;
  if (bytes > kUnasked)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory");
}
#endif

// kernel(args...) by blocks of `threads`, on the caller's stream, with `bytes` of shared memory beside what it
// declares; nothing where there are no blocks.
template <typename... P>
void launch_shared(void (*kernel)(P...), dim3 blocks, unsigned threads, int bytes, Exactly<P>... args) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
#ifdef __CUDACC__
  ask_for_shared(kernel, bytes);
  kernel<<<blocks, threads, static_cast<size_t>(bytes), current_stream()>>>(args...);
  check_cuda(cudaGetLastError(), "launch");
#else
  cuda_on_cpu::run(blocks, threads, [=] { kernel(args...); }, static_cast<size_t>(bytes));
#endif
}

// The same by clusters of so many blocks, which compute capability 9.0 has.
template <typename... P>
void launch_clusters(void (*kernel)(P...), unsigned clusters, unsigned cluster, unsigned threads, int bytes,
                     Exactly<P>... args) {
#ifdef __CUDACC__
  ask_for_shared(kernel, bytes);
  cudaLaunchAttribute size{};
  size.id = cudaLaunchAttributeClusterDimension;
  size.val.clusterDim = {cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = clusters * cluster;
  config.blockDim = threads;
  config.dynamicSmemBytes = static_cast<size_t>(bytes);
  config.stream = current_stream();
  config.attrs = &size;
  config.numAttrs = cluster == 1 ? 0 : 1;
  check_cuda(cudaLaunchKernelEx(&config, kernel, args...), "launch");
#else
  cuda_on_cpu::run(clusters * cluster, threads, [=] { kernel(args...); }, static_cast<size_t>(bytes), cluster);
#endif
}

template <typename... P>
void launch(void (*kernel)(P...), dim3 blocks, unsigned threads, Exactly<P>... args) {
  launch_shared(kernel, blocks, threads, 0, args...);
}

}  // namespace atrous
