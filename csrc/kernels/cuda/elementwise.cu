#include "kernels/cuda/map.h"
#include "kernels/elementwise.h"

namespace atrous {
namespace {

template <typename T>
struct Add {
  __device__ T operator()(T x, T residual) const { return x + residual; }
};

template <typename T>
struct AddRelu {
  __device__ T operator()(T x, T residual) const {
    const T sum = x + residual;
    return sum < T(0) ? T(0) : sum;
  }
};

template <typename T>
void add_forward(int64_t n, const T* x, const T* residual, bool relu, T* y) {
  relu ? map(n, AddRelu<Compute<T>>{}, y, x, residual) : map(n, Add<Compute<T>>{}, y, x, residual);
}

template <typename T>
void add_into(int64_t n, T* total, const T* part) {
  map(n, Add<Compute<T>>{}, total, total, part);
}

template <typename T>
ElementwiseKernels<T> table() {
  return {add_forward<T>, add_into<T>};
}

}  // namespace

template <>
ElementwiseKernels<float> elementwise_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
ElementwiseKernels<double> elementwise_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
ElementwiseKernels<Float16> elementwise_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
ElementwiseKernels<BFloat16> elementwise_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
