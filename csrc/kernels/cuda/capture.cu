#include <cstring>

#include "kernels/cuda/capture.h"
#include "kernels/cuda/launch.h"

namespace atrous {
namespace {

struct Bytes {
  static constexpr int64_t kMost = 3840;  // a launch has at most 4096 bytes of arguments
  char values[kMost];
};

__global__ void store_kernel(Bytes from, int64_t n, char* to) {
  for (int64_t i = threadIdx.x; i < n; i += kThreads) to[i] = from.values[i];
}

__global__ void replace_kernel(int64_t n, const int64_t* classes, int64_t end, int64_t except, int64_t* clean,
                               int64_t* found) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int64_t value = classes[i];
  const bool outside = (value < 0 || value >= end) && value != except;
  clean[i] = outside ? except : value;
  if (!outside) return;
  found[1] = value;  // any of them
  found[0] = 1;
}

}  // namespace

void copy_by_launches(void* to, const void* from, int64_t bytes) {
  for (int64_t done = 0; done < bytes; done += Bytes::kMost) {
    const int64_t n = bytes - done < Bytes::kMost ? bytes - done : Bytes::kMost;
    Bytes part{};
    std::memcpy(part.values, static_cast<const char*>(from) + done, static_cast<size_t>(n));
    launch(store_kernel, 1, kThreads, part, n, static_cast<char*>(to) + done);
  }
}

void replace_outside(int64_t n, const int64_t* classes, int64_t end, int64_t except, int64_t* clean, int64_t* found) {
  launch(replace_kernel, static_cast<unsigned>(divide_up(n, kThreads)), kThreads, n, classes, end, except, clean,
         found);
}

}  // namespace atrous
