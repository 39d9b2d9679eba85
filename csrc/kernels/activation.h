// activation: elementwise functions.  Reference: reference/activation.py
//   relu         y = x < 0 ? 0 : x                    grad_x = y <= 0 ? 0 : grad_y
//   leaky_relu   y = x > 0 ? x : x * negative_slope   grad_x = x > 0 ? grad_y : grad_y * negative_slope
//   sigmoid      y = 1 / (1 + exp(-x))                grad_x = grad_y * (1 - y) * y
//   tanh         y = tanh(x)                          grad_x = grad_y * (1 - y * y)
// n elements in any order, the same for every array of a call. Outputs are overwritten; an output may be an input.
// Numbers of 16 bits are computed with in float, and y and grad_x rounded once. NaN stays NaN,
// and relu keeps -0. An element's bits depend on nothing but its value and the level.
#pragma once
#include <cstdint>

#include "core/half.h"
#include "core/level.h"

namespace atrous {

template <typename T>
struct ActivationKernels {
  void (*relu_forward)(int64_t n, const T* x, T* y);
  void (*relu_backward)(int64_t n, const T* grad_y, const T* y, T* grad_x);
  void (*leaky_relu_forward)(int64_t n, const T* x, Compute<T> negative_slope, T* y);
  void (*leaky_relu_backward)(int64_t n, const T* grad_y, const T* x, Compute<T> negative_slope, T* grad_x);
  void (*sigmoid_forward)(int64_t n, const T* x, T* y);
  void (*sigmoid_backward)(int64_t n, const T* grad_y, const T* y, T* grad_x);
  void (*tanh_forward)(int64_t n, const T* x, T* y);
  void (*tanh_backward)(int64_t n, const T* grad_y, const T* y, T* grad_x);
};

template <Level L, typename T>
ActivationKernels<T> activation_kernels();  // specialised in {cpu,cuda}/activation.*, once per level

}  // namespace atrous
