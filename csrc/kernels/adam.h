// adam: optimizer steps, in place over a list of tensors.  Reference: reference/adam.py
// Adam (g = gradient, p = parameter, t = step, counted from 1; a line applies where its option is on):
//   weight_decay, decoupled       p = p * (1 - lr * weight_decay)
//   weight_decay, not decoupled   g = g + weight_decay * p
//   m = m + (1 - beta1) * (g - m)          v = beta2 * v + (1 - beta2) * g * g          subnormal m, v become 0
//   AMSGrad                       v_max = max(v_max, v), used in place of v below; NaN wins
//   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// SGD (b = momentum buffer):
//   weight_decay                  g = g + weight_decay * p
//   momentum buffers              b = first ? g : momentum * b + (1 - dampening) * g
//                                 g = nesterov ? g + momentum * b : b
//   p = p - lr * g
// The arrays of a tensor hold n elements each, in the same memory order; those that are written overlap no other.
// What depends on the options alone is computed in double. An element's bits depend on its values and the level only.
#pragma once
#include <cstdint>

#include "core/level.h"

namespace atrous {

struct AdamOptions {
  int64_t step;
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};

template <typename T>
struct AdamTensor {
  int64_t n;
  T* param;
  const T* grad;
  T *exp_avg, *exp_avg_sq;
  T* max_exp_avg_sq;  // nullptr without AMSGrad, for all tensors alike
};

struct SgdOptions {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, first;
};

template <typename T>
struct SgdTensor {
  int64_t n;
  T* param;
  const T* grad;
  T* momentum_buffer;  // nullptr without momentum, for all tensors alike
};

template <typename T>
struct AdamKernels {
  void (*adam_step)(int64_t count, const AdamTensor<T>* tensors, const AdamOptions&);
  void (*sgd_step)(int64_t count, const SgdTensor<T>* tensors, const SgdOptions&);
};

template <Level L, typename T>
AdamKernels<T> adam_kernels();  // specialised in {cpu,cuda}/adam.*, once per level

}  // namespace atrous
