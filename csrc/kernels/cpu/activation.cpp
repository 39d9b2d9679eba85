#include "kernels/activation.h"

#include "core/simd.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
void relu_forward(int64_t n, const T* x, T* y) {
  map(n, [](V<T> v) { return v < T(0) ? V<T>{} : v; }, y, x);
}

template <typename T>
void relu_backward(int64_t n, const T* grad_y, const T* y, T* grad_x) {
  map(n, [](V<T> g, V<T> v) { return v <= T(0) ? V<T>{} : g; }, grad_x, grad_y, y);
}

template <typename T>
void leaky_relu_forward(int64_t n, const T* x, T slope, T* y) {
  map(n, [=](V<T> v) { return v > T(0) ? v : v * slope; }, y, x);
}

template <typename T>
void leaky_relu_backward(int64_t n, const T* grad_y, const T* x, T slope, T* grad_x) {
  map(n, [=](V<T> g, V<T> v) { return v > T(0) ? g : g * slope; }, grad_x, grad_y, x);
}

template <typename T>
void sigmoid_forward(int64_t n, const T* x, T* y) {
  map(n, [](V<T> v) { return sigmoid<T>(v); }, y, x);
}

template <typename T>
void sigmoid_backward(int64_t n, const T* grad_y, const T* y, T* grad_x) {
  map(n, [](V<T> g, V<T> v) { return g * (T(1) - v) * v; }, grad_x, grad_y, y);
}

template <typename T>
void tanh_forward(int64_t n, const T* x, T* y) {
  map(n, [](V<T> v) { return tanh<T>(v); }, y, x);
}

template <typename T>
void tanh_backward(int64_t n, const T* grad_y, const T* y, T* grad_x) {
  map(n, [](V<T> g, V<T> v) { return g * (T(1) - v * v); }, grad_x, grad_y, y);
}

template <typename T>
ActivationKernels<T> table() {
  return {relu_forward<T>,    relu_backward<T>,    leaky_relu_forward<T>, leaky_relu_backward<T>,
          sigmoid_forward<T>, sigmoid_backward<T>, tanh_forward<T>,       tanh_backward<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
ActivationKernels<float> activation_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}

template <>
ActivationKernels<double> activation_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}

}  // namespace atrous
