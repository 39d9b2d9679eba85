// batch_norm: per-channel normalisation of an NHWC tensor.  Reference: reference/batch_norm.py
//   y[p,c] = (x[p,c] - mean[c]) * rstd[c] * weight[c] + bias[c]        rstd = 1 / sqrt(var + eps)
// train: mean[c] = sum_p x[p,c] / P,  var[c] = sum_p (x[p,c] - mean[c])^2 / P, zeros where P is 0
//        y uses them unrounded
// eval:  mean and var are given
//   grad_weight[c] = sum_p grad_y[p,c] * (x[p,c] - mean[c]) * rstd[c]           grad_bias[c] = sum_p grad_y[p,c]
//   grad_x[p,c]    = weight[c] * rstd[c] * grad_y[p,c]                                                         eval
//   grad_x[p,c]    = weight[c] * rstd[c] * (grad_y[p,c] - grad_bias[c] / P
//                                           - (x[p,c] - mean[c]) * rstd[c] * grad_weight[c] / P)               train
// weight and bias may be nullptr: 1 and 0. Outputs are overwritten; y may be x, grad_x may be grad_y.
// Sums run in blocks of pixels, in T with x shifted by a value near the mean; blocks are added in double and in order,
// within pieces that follow from P and C alone: the same bits on any number of threads.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

struct BatchNormShape {
  int64_t P;  // pixels: N * H * W
  int64_t C;  // channels
  double eps;
};

template <typename T>
struct BatchNormKernels {
  void (*forward_train)(const BatchNormShape&, const T* x, const T* weight, const T* bias, T* y, T* mean, T* var);
  void (*backward_train)(const BatchNormShape&, const T* grad_y, const T* x, const T* weight, const T* mean,
                         const T* var, T* grad_x, T* grad_weight, T* grad_bias);
  void (*forward_eval)(const BatchNormShape&, const T* x, const T* weight, const T* bias, const T* mean, const T* var,
                       T* y);
  void (*backward_eval)(const BatchNormShape&, const T* grad_y, const T* x, const T* weight, const T* mean,
                        const T* var, T* grad_x, T* grad_weight, T* grad_bias);
};

template <Level L, typename T>
BatchNormKernels<T> batch_norm_kernels();  // specialised in kernels/cpu/batch_norm.cpp, once per level

}  // namespace atrous
