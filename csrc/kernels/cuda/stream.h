// The stream that the caller's array library works on now, and copies in its order.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace atrous {

cudaStream_t current_stream();  // defined by the bindings

inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// Bytes from the host, which may change them after the call.
inline void copy_to_device(void* to, const void* from, int64_t bytes) {
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, current_stream()), "copy");
}

// Bytes to the host, after all that the stream was given before.
inline void copy_to_host(void* to, const void* from, int64_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, current_stream()), "copy");
  check_cuda(cudaStreamSynchronize(current_stream()), "copy");
}

}  // namespace atrous
