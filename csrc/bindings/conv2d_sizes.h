// The checked sizes of a convolution, on any device.
#pragma once
#include <vector>

#include "bindings/array.h"
#include "core/check.h"
#include "kernels/conv2d.h"

namespace atrous {
namespace {

inline int64_t output_size(int64_t input, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t room = input + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

// x is (N, IC, IH, IW), weight (OC, IC/G, KH, KW).
inline Conv2dShape conv2d_shape(const char* function, const std::vector<int64_t>& x, const std::vector<int64_t>& weight,
                                Pair stride, Pair padding, Pair dilation, int64_t groups) {
  check_size(function, "groups", groups, 1);
  for (int i = 0; i < 2; ++i) {
    check_size(function, "stride", stride[i], 1);
    check_size(function, "padding", padding[i], 0);
    check_size(function, "dilation", dilation[i], 1);
  }
  for (size_t i = 1; i < 4; ++i) {
    check_size(function, "a size of x", x[i], 1);
    check_size(function, "a size of weight", weight[i], 1);
  }
  check_size(function, "the number of output channels", weight[0], 1);
  require(x[1] == weight[1] * groups && weight[0] % groups == 0, function, ": ", x[1],
          " input channels and groups=", groups, " do not fit weight ", weight);
  Conv2dShape s{x[0],      x[1],      x[2],      x[3],       weight[0],  0,           0,           weight[2],
                weight[3], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1], groups};
  s.OH = output_size(s.IH, s.KH, s.sh, s.ph, s.dh);
  s.OW = output_size(s.IW, s.KW, s.sw, s.pw, s.dw);
  require(s.OH > 0 && s.OW > 0, function, ": the kernel (dilation included) is larger than the padded input");
  return s;
}

}  // namespace
}  // namespace atrous
