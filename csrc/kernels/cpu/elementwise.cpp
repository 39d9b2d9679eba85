#include "kernels/elementwise.h"

#include "core/simd.h"
#include "kernels/cpu/map.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
void add_forward(int64_t n, const T* x, const T* residual, bool relu, T* y) {
  if (relu)
    map(n, [](V<T> a, V<T> b) { return a + b < T(0) ? V<T>{} : a + b; }, y, x, residual);
  else
    map(n, [](V<T> a, V<T> b) { return a + b; }, y, x, residual);
}

template <typename T>
void add_into(int64_t n, T* total, const T* part) {
  map(n, [](V<T> a, V<T> b) { return a + b; }, total, total, part);
}

template <typename T>
ElementwiseKernels<T> table() {
  return {add_forward<T>, add_into<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {

template <>
ElementwiseKernels<float> elementwise_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}

template <>
ElementwiseKernels<double> elementwise_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}

}  // namespace atrous
