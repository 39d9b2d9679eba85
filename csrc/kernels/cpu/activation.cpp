#include "kernels/activation.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kPiece = 1 << 15;  // elements

// y[i] = f(inputs[i]...)
template <typename T, typename F, typename... Inputs>
void map_piece(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int width = Vec<T>::width;
  int64_t i = 0;
  for (; i + width <= n; i += width) store(y + i, f(load(inputs + i)...));
  if (i < n) store_first(y + i, n - i, f(load_first(inputs + i, n - i)...));
}

template <typename T, typename F, typename... Inputs>
void map(int64_t n, F f, T* y, const Inputs*... inputs) {
  if (n <= 2 * kPiece) return map_piece(n, f, y, inputs...);
  parallel_for(divide_up(n, kPiece), [&](int64_t piece, int) {
    const int64_t i = piece * kPiece;
    map_piece(min_of(n - i, kPiece), f, y + i, (inputs + i)...);
  });
}

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
