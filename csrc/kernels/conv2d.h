// conv2d: 2-D convolution (cross-correlation) of NHWC tensors.  Reference: reference/conv2d.py
//   y[n,oh,ow,oc]         = sum_{kh,kw,ic} x[n, ih, iw, g*ICG + ic] * weight[oc,kh,kw,ic], through the epilogue
//   grad_x[n,ih,iw,g,ic]  = sum over (oh,ow,kh,kw) that read this input, and oc in g,
//                           of grad_y[n,oh,ow,oc] * weight[oc,kh,kw,ic]
//   grad_weight[oc,kh,kw,ic] = sum_{n,oh,ow} grad_y[n,oh,ow,oc] * x[n, ih, iw, g*ICG + ic]
//   grad_bias[oc]         = sum_{n,oh,ow} grad_y[n,oh,ow,oc]
// with ih = oh*sh - ph + kh*dh (likewise iw; outside the image x is 0), ICG = IC/G, OCG = OC/G, g = oc / OCG.
// backward_input is also the forward of the transposed convolution.
// Memory: x (N,IH,IW,IC), y (N,OH,OW,OC), weight (OC,KH,KW,ICG), all dense. Outputs are overwritten and
// alias nothing. Where T has 16 bits, sums and the gradients of weight and bias are float. The order of every sum
// follows from the sizes: the same bits on any number of threads.
#pragma once
#include <cstdint>

#include "core/epilogue.h"
#include "core/level.h"

namespace atrous {

struct Conv2dShape {
  int64_t N, IC, IH, IW;   // input
  int64_t OC, OH, OW;      // output
  int64_t KH, KW;          // kernel
  int64_t sh, sw, ph, pw;  // stride, padding
  int64_t dh, dw, G;       // dilation (1: dense), groups
};

enum class Conv2dDirection { forward, backward_input, backward_weight };

enum class Conv2dAlgorithm {
  implicit_gemm,  // any sizes: register tiles fed through row pointers, no im2col buffer
  depthwise,      // IC == OC == G: one multiplication a lane, no sum over channels
  grouped,        // IC == OC, groups of 2, 4 or 8 channels: the same, with several groups in a vector
  winograd_2x2,   // 3x3, stride 1, any dilation and groups: 4 multiplications an output instead of 9
  winograd_4x4,   // the same: 2.25, with somewhat larger rounding errors
  tensor_cores,   // of a GPU: as implicit_gemm, of float16, bfloat16, or float32 rounded to TF32 (10 bits of mantissa)
};

template <typename T>
struct Conv2dKernels {
  bool (*supports)(const Conv2dShape&, Conv2dDirection, Conv2dAlgorithm);
  // From the sizes alone. `inexact` allows faster algorithms with larger rounding errors: Winograd's, tensor cores.
  Conv2dAlgorithm (*choose)(const Conv2dShape&, Conv2dDirection, bool inexact);
  void (*forward)(const Conv2dShape&, Conv2dAlgorithm, const T* x, const T* weight, const Epilogue<T>&, T* y);
  void (*backward_input)(const Conv2dShape&, Conv2dAlgorithm, const T* grad_y, const T* weight, T* grad_x);
  void (*backward_weight)(const Conv2dShape&, Conv2dAlgorithm, const T* grad_y, const T* x, Compute<T>* grad_weight);
  void (*backward_bias)(int64_t pixels, int64_t OC, const T* grad_y, Compute<T>* grad_bias);
};

template <Level L, typename T>
Conv2dKernels<T> conv2d_kernels();  // specialised in kernels/{cpu/conv2d.cpp, once per level, cuda/conv2d.cu}

}  // namespace atrous
