// What an optimizer step does to an element. These structs are a kernel's numbers, too.
#pragma once
#include <cfloat>
#include <cmath>

#include "kernels/adam.h"
#include "kernels/cuda/launch.h"

namespace atrous {
namespace {

template <typename T>
__device__ inline T flush_subnormal(T x) {
  return fabs(x) < T(sizeof(T) == 4 ? FLT_MIN : DBL_MIN) ? T(0) : x;
}

// fma, written out: an element's bits must not depend on how the compiler joins the operations of one loop.
template <typename T>
struct AdamStep {
  T keep, weight_decay, beta1, rest1, beta2, rest2, step_size, inverse_correction2, eps;
  bool add_decay, from_moment;

  explicit AdamStep(const AdamOptions& o) {
    const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
    const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
    keep = T(o.decoupled ? 1 - o.lr * o.weight_decay : 1);
    weight_decay = T(o.weight_decay);
    beta1 = T(o.beta1), rest1 = T(1 - o.beta1);
    beta2 = T(o.beta2), rest2 = T(1 - o.beta2);
    step_size = T(o.lr / correction1);
    inverse_correction2 = T(1 / std::sqrt(correction2));
    eps = T(o.eps);
    add_decay = !o.decoupled && o.weight_decay != 0;
    from_moment = o.beta1 > 0.5;  // the larger part of m's new value is the old one
  }

  __device__ void update_moments(T grad, T& param, T& m, T& v) const {
    param *= keep;
    if (add_decay) grad = fma(weight_decay, param, grad);
    m = flush_subnormal<T>(from_moment ? fma(rest1, grad - m, m) : fma(-beta1, grad - m, grad));
    v = flush_subnormal<T>(fma(beta2, v, rest2 * grad * grad));
  }

  __device__ void update_param(T& param, T m, T v) const {
    param -= step_size * m / fma(sqrt(v), inverse_correction2, eps);
  }

  __device__ void operator()(T grad, T& param, T& m, T& v) const {
    update_moments(grad, param, m, v);
    update_param(param, m, v);
  }

  __device__ void operator()(T grad, T& param, T& m, T& v, T& v_max) const {  // AMSGrad
    update_moments(grad, param, m, v);
    v_max = v <= v_max || v_max != v_max ? v_max : v;
    update_param(param, m, v_max);
  }
};

template <typename T>
struct SgdStep {
  T lr, weight_decay, momentum, rest;
  bool nesterov, first;

  __device__ T decayed(T grad, T param) const { return weight_decay != 0 ? fma(weight_decay, param, grad) : grad; }

  __device__ void operator()(T grad, T& param) const { param = fma(-lr, decayed(grad, param), param); }

  __device__ void operator()(T grad, T& param, T& buffer) const {
    grad = decayed(grad, param);
    buffer = first ? grad : fma(momentum, buffer, rest * grad);
    param = fma(-lr, nesterov ? fma(momentum, buffer, grad) : buffer, param);
  }
};

template <bool centered, typename T>
struct RmspropStep {
  T lr, alpha, rest, eps, weight_decay, momentum;
  bool from_average;  // the larger part of the average's new value is the old one

  __device__ T scaled(T grad, T& v) const {
    v = flush_subnormal<T>(fma(alpha, v, rest * grad * grad));
    return grad / (sqrt(v) + eps);
  }

  __device__ T scaled(T grad, T& v, T& average) const {
    v = flush_subnormal<T>(fma(alpha, v, rest * grad * grad));
    const T change = grad - average;
    average = flush_subnormal<T>(from_average ? fma(rest, change, average) : fma(-alpha, change, grad));
    return grad / (sqrt(fma(-average, average, v)) + eps);
  }

  __device__ void move(T& param, T by) const { param = fma(-lr, by, param); }

  __device__ void move(T& param, T by, T& buffer) const {
    buffer = flush_subnormal<T>(fma(momentum, buffer, by));
    param = fma(-lr, buffer, param);
  }

  // state: the gradient's average if centered, then the momentum buffer if there is one.
  template <typename... State>
  __device__ void operator()(T grad, T& param, T& v, State&... state) const {
    if (weight_decay != 0) grad = fma(weight_decay, param, grad);
    if constexpr (centered)
      [&](T& average, auto&... buffer) { move(param, scaled(grad, v, average), buffer...); }(state...);
    else
      move(param, scaled(grad, v), state...);
  }
};

template <typename T>
struct AdagradStep {
  T lr, eps, weight_decay;

  __device__ void operator()(T grad, T& param, T& sum) const {
    if (weight_decay != 0) grad = fma(weight_decay, param, grad);
    sum = fma(grad, grad, sum);
    param -= lr * grad / (sqrt(sum) + eps);
  }
};

}  // namespace
}  // namespace atrous
