#include <cmath>

#include "kernels/activation.h"
#include "kernels/cuda/map.h"

namespace atrous {
namespace {

template <typename T>
struct Relu {
  __device__ T operator()(T x) const { return x < T(0) ? T(0) : x; }
};

template <typename T>
struct ReluGradient {
  __device__ T operator()(T grad_y, T y) const { return y <= T(0) ? T(0) : grad_y; }
};

template <typename T>
struct LeakyRelu {
  T slope;
  __device__ T operator()(T x) const { return x > T(0) ? x : x * slope; }
};

template <typename T>
struct LeakyReluGradient {
  T slope;
  __device__ T operator()(T grad_y, T x) const { return x > T(0) ? grad_y : grad_y * slope; }
};

// By exp of what is not positive, which cannot overflow.
template <typename T>
struct Sigmoid {
  __device__ T operator()(T x) const {
    const T e = exp(x < T(0) ? x : -x);
    return (x < T(0) ? e : T(1)) / (T(1) + e);
  }
};

template <typename T>
struct SigmoidGradient {
  __device__ T operator()(T grad_y, T y) const { return grad_y * (T(1) - y) * y; }
};

template <typename T>
struct Tanh {
  __device__ T operator()(T x) const { return tanh(x); }
};

template <typename T>
struct TanhGradient {
  __device__ T operator()(T grad_y, T y) const { return grad_y * (T(1) - y * y); }
};

template <template <typename> class F, typename T>
void forward(int64_t n, const T* x, T* y) {
  map(n, F<Compute<T>>{}, y, x);
}

template <template <typename> class F, typename T>
void backward(int64_t n, const T* grad_y, const T* saved, T* grad_x) {
  map(n, F<Compute<T>>{}, grad_x, grad_y, saved);
}

template <typename T>
void leaky_relu_forward(int64_t n, const T* x, Compute<T> slope, T* y) {
  map(n, LeakyRelu<Compute<T>>{slope}, y, x);
}

template <typename T>
void leaky_relu_backward(int64_t n, const T* grad_y, const T* x, Compute<T> slope, T* grad_x) {
  map(n, LeakyReluGradient<Compute<T>>{slope}, grad_x, grad_y, x);
}

template <typename T>
ActivationKernels<T> table() {
  return {forward<Relu, T>,    backward<ReluGradient, T>,    leaky_relu_forward<T>, leaky_relu_backward<T>,
          forward<Sigmoid, T>, backward<SigmoidGradient, T>, forward<Tanh, T>,      backward<TanhGradient, T>};
}

}  // namespace

template <>
ActivationKernels<float> activation_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
ActivationKernels<double> activation_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
ActivationKernels<Float16> activation_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
ActivationKernels<BFloat16> activation_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
