// What launchers for Hopper (compute capability 9.0) ask and need.
#pragma once
#include <optional>

#include "core/memory.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

int attribute(cudaDeviceAttr of) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "device");
  check_cuda(cudaDeviceGetAttribute(&value, of, device), "device");
  return value;
}

// Code of *_hopper.cu is for compute capability 9.0 and no other.
bool is_hopper() {
  return attribute(cudaDevAttrComputeCapabilityMajor) == 9 && attribute(cudaDevAttrComputeCapabilityMinor) == 0 &&
         MapEncoders::get().exist();
}

// Numbers where the copy engine can read them: itself, or a copy that begins at a multiple of 16 bytes.
class Aligned {
 public:
  Aligned(const float* from, int64_t n) : data_(from) {
    if (are_aligned(from)) return;
    copy_.emplace(n);
    data_ = copy_->data();
    check_cuda(cudaMemcpyAsync(copy_->data(), from, static_cast<size_t>(n) * sizeof(float), cudaMemcpyDeviceToDevice,
                               current_stream()),
               "copy");
  }
  const float* data() const { return data_; }

 private:
  std::optional<Workspace<float>> copy_;
  const float* data_;
};

}  // namespace
}  // namespace atrous
