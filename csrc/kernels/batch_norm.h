// batch_norm: per-channel normalisation of an NHWC tensor.  Reference: reference/batch_norm.py
// statistics: mean[c] = sum_p x[p,c] / P,  var[c] = sum_p (x[p,c] - mean[c])^2 / P, zeros where P is 0
//   and where running statistics are given, in place, computed in double; one batch more is counted:
//   running.mean[c] = (1 - momentum) * running.mean[c] + momentum * mean[c]
//   running.var[c]  = (1 - momentum) * running.var[c] + momentum * P / (P - 1) * var[c]
// forward:    z[p,c] = (x[p,c] - mean[c]) * rstd[c] * weight[c] + bias[c]        rstd = 1 / sqrt(var + eps)
//             y      = relu_last(relu(z) + residual)                             each where it is asked for
// backward, of relu(z) or z alone; g[p,c] = 0 where there is a relu and z[p,c] <= 0, else grad_y[p,c]:
//   grad_weight[c] = sum_p g[p,c] * (x[p,c] - mean[c]) * rstd[c]                 grad_bias[c] = sum_p g[p,c]
//   grad_x[p,c]    = weight[c] * rstd[c] * g[p,c]                                                              eval
//   grad_x[p,c]    = weight[c] * rstd[c] * (g[p,c] - grad_bias[c] / P
//                                           - (x[p,c] - mean[c]) * rstd[c] * grad_weight[c] / P)               train
// The backward computes z again, bit for bit as the forward did. relu is that of activation.h: NaN stays, and -0.
// Outputs are overwritten; y may be x or residual, grad_x may be grad_y.
// Where T has 16 bits all is computed in float, weight, bias, their gradients and running are float, and y and grad_x
// are rounded once: relu looks at z itself, which may round to 0.
// Sums run in blocks of pixels, in Compute<T> with x shifted by a value near the mean; blocks are added in double and
// in order, within pieces that follow from P and C alone: the same bits on any number of threads.
#pragma once
#include <cstdint>

#include "core/half.h"
#include "core/level.h"

namespace atrous {

struct BatchNormShape {
  int64_t P;  // pixels: N * H * W
  int64_t C;  // channels
};

template <typename T>
struct BatchNormParameters {
  const Compute<T>*weight, *bias;  // nullptr: 1 and 0
  const double *mean, *var;
  double eps;
};

// What training keeps for evaluation, each with the stride between its elements; mean and var are nullptr where that is
// nothing.
template <typename T>
struct RunningStatistics {
  Compute<T>*mean, *var;
  int64_t mean_stride, var_stride;
  int64_t* batches;  // how many there were, or nullptr
  double momentum;
};

template <typename T>
struct BatchNormKernels {
  void (*statistics)(const BatchNormShape&, const T* x, double* mean, double* var, const RunningStatistics<T>&);
  // residual is laid out as x, or nullptr: 0.
  void (*forward)(const BatchNormShape&, const T* x, const BatchNormParameters<T>&, bool relu, const T* residual,
                  bool relu_last, T* y);
  void (*backward_train)(const BatchNormShape&, const T* grad_y, const T* x, const BatchNormParameters<T>&, bool relu,
                         T* grad_x, Compute<T>* grad_weight, Compute<T>* grad_bias);
  void (*backward_eval)(const BatchNormShape&, const T* grad_y, const T* x, const BatchNormParameters<T>&, bool relu,
                        T* grad_x, Compute<T>* grad_weight, Compute<T>* grad_bias);
};

template <Level L, typename T>
BatchNormKernels<T> batch_norm_kernels();  // specialised in {cpu,cuda}/batch_norm.*, once per level

}  // namespace atrous
