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
// RMSprop:
//   weight_decay                  g = g + weight_decay * p
//   v = alpha * v + (1 - alpha) * g * g                                             subnormal v, a, b become 0
//   gradient averages             a = a + (1 - alpha) * (g - a)
//   g = g / (sqrt(v - a * a) + eps), without a: g / (sqrt(v) + eps)
//   momentum buffers              g = b = momentum * b + g
//   p = p - lr * g
// Adagrad:
//   weight_decay                  g = g + weight_decay * p
//   s = s + g * g                 p = p - lr * g / (sqrt(s) + eps)
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

struct RmspropOptions {
  double lr, alpha, eps, weight_decay, momentum;
};

template <typename T>
struct RmspropTensor {
  int64_t n;
  T* param;
  const T* grad;
  T* square_avg;
  T *grad_avg, *momentum_buffer;  // either may be nullptr, for all tensors alike
};

struct AdagradOptions {
  double lr, eps, weight_decay;
};

template <typename T>
struct AdagradTensor {
  int64_t n;
  T* param;
  const T* grad;
  T* sum;
};

template <typename T>
struct AdamKernels {
  void (*adam_step)(int64_t count, const AdamTensor<T>* tensors, const AdamOptions&);
  void (*sgd_step)(int64_t count, const SgdTensor<T>* tensors, const SgdOptions&);
  void (*rmsprop_step)(int64_t count, const RmspropTensor<T>* tensors, const RmspropOptions&);
  void (*adagrad_step)(int64_t count, const AdagradTensor<T>* tensors, const AdagradOptions&);
};

template <Level L, typename T>
AdamKernels<T> adam_kernels();  // specialised in {cpu,cuda}/adam.*, once per level

}  // namespace atrous
