// linear: the matrix product, and the sums of a bias' gradient.
#include "kernels/linear.h"

#include "kernels/cpu/matmul.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
LinearKernels<T> table() {
  return {matmul<T>, column_sums<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
LinearKernels<float> linear_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
LinearKernels<double> linear_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}
}  // namespace atrous
