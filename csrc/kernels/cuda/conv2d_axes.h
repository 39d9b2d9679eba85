// One axis of a convolution: what meets what.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <numeric>

#include "kernels/conv2d.h"

namespace atrous {

inline int narrow(int64_t value) { return static_cast<int>(value); }  // of a checked size

// Along one axis, pixel i of a grid meets tap k at i * step + first + k * tap of an image.
struct Axis {
  int size;  // of the image
  int step, first, tap, taps;
};

// What output pixels meet of x.
inline Axis height_of(const Conv2dShape& s) {
  return {narrow(s.IH), narrow(s.sh), narrow(-s.ph), narrow(s.dh), narrow(s.KH)};
}
inline Axis width_of(const Conv2dShape& s) {
  return {narrow(s.IW), narrow(s.sw), narrow(-s.pw), narrow(s.dw), narrow(s.KW)};
}

// Taps of the kernel, some apart.
struct TapsOfAxis {
  int first, step, taps;  // in the kernel
};

// Along one axis, of pixels that are a multiple of the stride apart, the first `parts` start one.
struct Stride {
  int stride, padding, dilation, taps, size;
  int period, jump;  // the taps that reach a pixel are a period apart, and what they come from `jump` output pixels
  int outputs, parts;

  static Stride of(int64_t stride, int64_t padding, int64_t dilation, int64_t taps, int64_t size, int64_t outputs) {
    const int64_t common = std::gcd(stride, dilation);
    return {narrow(stride),
            narrow(padding),
            narrow(dilation),
            narrow(taps),
            narrow(size),
            narrow(stride / common),
            narrow(dilation / common),
            narrow(outputs),
            narrow(stride < size ? stride : size)};
  }

  int64_t pixels() const { return (int64_t{size} + stride - 1) / stride; }  // of the longest part

  int most_taps() const { return (taps + period - 1) / period; }  // that reach a pixel

  // The taps that reach pixel `first`, and where in grad_y the first of them comes from.
  __device__ TapsOfAxis reach(int first, Axis& axis) const {
    if (stride == 1) {  // nothing to divide
      axis = {outputs, 1, first + padding, -jump, taps};
      return {0, 1, taps};
    }
    for (int tap = 0; tap < taps && tap < period; ++tap) {
      const int away = first + padding - tap * dilation;
      if (away % stride != 0) continue;
      const int reaching = (taps - tap + period - 1) / period;
      axis = {outputs, 1, away / stride, -jump, reaching};
      return {tap, period, reaching};
    }
    axis = {outputs, 1, 0, 0, 0};
    return {0, 0, 0};
  }
};

}  // namespace atrous
