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
  relu ? map(n, AddRelu<T>{}, y, x, residual) : map(n, Add<T>{}, y, x, residual);
}

template <typename T>
void add_into(int64_t n, T* total, const T* part) {
  map(n, Add<T>{}, total, total, part);
}

}  // namespace

template <>
ElementwiseKernels<float> elementwise_kernels<Level::cuda, float>() {
  return {add_forward<float>, add_into<float>};
}

template <>
ElementwiseKernels<double> elementwise_kernels<Level::cuda, double>() {
  return {add_forward<double>, add_into<double>};
}

}  // namespace atrous
