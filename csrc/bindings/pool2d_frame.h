// Where pooling windows lie: checked sizes, how many windows there are, and which pixels each of them holds.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "bindings/array.h"
#include "core/check.h"
#include "kernels/pool2d.h"

namespace atrous::pooling {

inline void check_image(const char* function, int64_t H, int64_t W) {
  check_size(function, "the input's height", H, 1);
  check_size(function, "the input's width", W, 1);
}

struct Frame {
  Pair input, kernel, stride, padding, dilation;

  void check(const char* function) const {
    check_image(function, input[0], input[1]);
    for (size_t i = 0; i < 2; ++i) {
      check_size(function, "kernel_size", kernel[i], 1);
      check_size(function, "stride", stride[i], 1);
      check_size(function, "padding", padding[i], 0);
      check_size(function, "dilation", dilation[i], 1);
    }
  }

  // In ceil_mode the last window may overhang the right padding, but must not start in it.
  int64_t output_size(size_t axis, bool ceil_mode) const {
    const int64_t I = input[axis], s = stride[axis], p = padding[axis];
    const int64_t room = I + 2 * p - dilation[axis] * (kernel[axis] - 1) - 1;
    const int64_t last = room >= 0 ? (room + (ceil_mode ? s - 1 : 0)) / s : (ceil_mode && room > -s ? 0 : -1);
    return ceil_mode && last * s >= I + p ? last : last + 1;
  }

  Pair output_sizes(const char* function, bool ceil_mode) const {
    const Pair size{output_size(0, ceil_mode), output_size(1, ceil_mode)};
    require(size[0] > 0 && size[1] > 0, function, ": the window (dilation included) is larger than the padded input");
    return size;
  }
};

using Windows = std::vector<PoolWindow>;

// An axis of avg_pool2d. A window's divisor counts its pixels, those in the padding too with count_include_pad; what
// overhangs the padding never counts.
inline Windows average_windows(const Frame& f, size_t axis, int64_t O, bool count_include_pad) {
  const int64_t I = f.input[axis], K = f.kernel[axis], p = f.padding[axis];
  Windows windows(static_cast<size_t>(O));
  for (int64_t o = 0; o < O; ++o) {
    const int64_t start = o * f.stride[axis] - p;
    const int64_t begin = std::clamp<int64_t>(start, 0, I), end = std::clamp<int64_t>(start + K, 0, I);
    const int64_t count = count_include_pad ? std::min(start + K, I + p) - start : end - begin;
    windows[static_cast<size_t>(o)] = {begin, end, std::max<int64_t>(count, 1)};
  }
  return windows;
}

// Window o of O over a size I is [floor(o*I / O), ceil((o + 1)*I / O)).
inline Windows adaptive_windows(int64_t I, int64_t O) {
  Windows windows(static_cast<size_t>(O));
  for (int64_t o = 0; o < O; ++o) {
    const int64_t begin = o * I / O, end = ((o + 1) * I + O - 1) / O;
    windows[static_cast<size_t>(o)] = {begin, end, end - begin};
  }
  return windows;
}

}  // namespace atrous::pooling
