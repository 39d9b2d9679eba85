// What the convolution's kernels for Hopper (compute capability 9.0) and their launchers share.
#pragma once
#include <memory>
#include <type_traits>

#include "core/memory.h"
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

// A convolution in 32-bit numbers, of which hopper_fits() has made sure. M counts output pixels.
struct Geometry {
  int M, OC, OH, OW, sh, sw, ph, pw, IC, KW, dh, dw;
};

inline Geometry geometry_of(const Conv2dShape& s) {
  return {narrow(s.N * s.OH * s.OW),
          narrow(s.OC),
          narrow(s.OH),
          narrow(s.OW),
          narrow(s.sh),
          narrow(s.sw),
          narrow(s.ph),
          narrow(s.pw),
          narrow(s.IC),
          narrow(s.KW),
          narrow(s.dh),
          narrow(s.dw)};
}

// What output pixel m reads at tap 0.
struct Corner {
  int n, h, w;
  __device__ Corner(const Geometry& g, int m) {
    const int row = m / g.OW;
    n = row / g.OH;
    h = (row - n * g.OH) * g.sh - g.ph;
    w = (m - row * g.OW) * g.sw - g.pw;
  }
  __device__ Corner(int n_, int h_, int w_) : n(n_), h(h_), w(w_) {}

  // The one that a lane of this warp has.
  __device__ Corner of(int lane) const {
    return {__shfl_sync(~0u, n, lane), __shfl_sync(~0u, h, lane), __shfl_sync(~0u, w, lane)};
  }
};

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

// f(integral_constant<int, number>), for the number of one of so many tiles.
template <int count, typename F>
void with_number(int number, const F& f) {
  if constexpr (count > 1)
    if (number < count - 1) return with_number<count - 1>(number, f);
  f(std::integral_constant<int, count - 1>{});
}

// Numbers where the copy engine can read them: itself, or a copy that begins at a multiple of 16 bytes.
template <typename T>
class Aligned {
 public:
  Aligned(const T* from, int64_t n) : data_(from) {
    if (are_aligned(from)) return;
    copy_ = std::make_unique<Workspace<T>>(n);
    data_ = copy_->data();
    check_cuda(cudaMemcpyAsync(copy_->data(), from, static_cast<size_t>(n) * sizeof(T), cudaMemcpyDeviceToDevice,
                               current_stream()),
               "copy");
  }
  const T* data() const { return data_; }

 private:
  std::unique_ptr<Workspace<T>> copy_;
  const T* data_;
};

}  // namespace
}  // namespace atrous
