// conv2d: which product serves which direction. See docs/convolution.md.
#include "kernels/conv2d.h"

#include "kernels/cpu/conv2d_choose.h"
#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/conv2d_grouped.h"
#include "kernels/cpu/conv2d_grouped_weight.h"
#include "kernels/cpu/conv2d_scatter.h"
#include "kernels/cpu/conv2d_split.h"
#include "kernels/cpu/conv2d_weight.h"
#include "kernels/cpu/matmul.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// One pixel a window, everywhere: a plain matrix product of pixels and channels.
bool is_matmul(const Conv2dShape& s) {
  return s.KH == 1 && s.KW == 1 && s.sh == 1 && s.sw == 1 && s.ph == 0 && s.pw == 0 && s.G == 1;
}

// Windows as wide as their stride, side by side: the pixels of a window's row are one pixel of more channels.
Conv2dShape joined(Conv2dShape s) {
  if (s.G > 1 || s.KW != s.sw || s.pw != 0 || s.dw != 1 || s.IW != s.OW * s.sw) return s;
  s.IC *= s.KW, s.IW = s.OW, s.KW = s.sw = 1;
  return s;
}

template <typename T>
void multiply_forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& epilogue, T* y) {
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  if (is_matmul(s)) return matmul({1, s.N * s.OH * s.OW, s.OC, s.IC, 0, s.IC, 1, 0, 1, s.IC}, x, weight, epilogue, y);
  const bool few = has_few_channels(s), merged = few && can_merge_taps(s);
  const Sites sites = merged ? merged_forward_sites(s, storage.data()) : forward_sites(s, storage.data());
  const int64_t columns = s.OC / s.G, filter = s.KH * s.KW * (s.IC / s.G);
  gather_product(sites, few && !merged, x, weight, {columns * filter, sites.K, 1, filter}, epilogue, y);
}

template <typename T>
void multiply_backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const int64_t columns = s.IC / s.G, filter = s.KH * s.KW * columns;
  if (is_matmul(s))
    return matmul<T>({1, s.N * s.OH * s.OW, s.IC, s.OC, 0, s.OC, 1, 0, s.IC, 1}, grad_y, weight, {}, grad_x);
  if (has_few_channels(s)) return scatter_product(s, grad_y, weight, grad_x);
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  for (int64_t rh = 0; rh < min_of(s.sh, s.IH); ++rh)
    for (int64_t rw = 0; rw < min_of(s.sw, s.IW); ++rw)
      gather_product<T>(backward_sites(s, rh, rw, storage.data()), false, grad_y, weight,
                        {s.OC / s.G * filter, columns, filter, 1}, {}, grad_x);
}

template <typename T>
void multiply_backward_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  weight_product(forward_sites(s, storage.data()), has_few_channels(s), grad_y, x, grad_weight);
}

template <typename T>
void forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& epilogue,
             T* y) {
  if (is_winograd(algorithm)) return split_forward(s, algorithm, x, weight, epilogue, y);
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_forward(s, x, weight, epilogue, y);
  multiply_forward(joined(s), x, weight, epilogue, y);
}

template <typename T>
void backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight, T* grad_x) {
  if (is_winograd(algorithm)) return split_backward_input(s, algorithm, grad_y, weight, grad_x);
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_backward_input(s, grad_y, weight, grad_x);
  multiply_backward_input(joined(s), grad_y, weight, grad_x);
}

template <typename T>
void backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x, T* grad_weight) {
  if (s.N * s.OH * s.OW == 0) {
    for (int64_t i = 0; i < s.OC * s.KH * s.KW * (s.IC / s.G); ++i) grad_weight[i] = T(0);
    return;
  }
  if (is_winograd(algorithm)) return split_backward_weight(s, algorithm, grad_y, x, grad_weight);
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_backward_weight(s, grad_y, x, grad_weight);
  multiply_backward_weight(joined(s), grad_y, x, grad_weight);
}

template <typename T>
Conv2dKernels<T> table() {
  return {supports, choose, forward<T>, backward_input<T>, backward_weight<T>, column_sums<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
Conv2dKernels<float> conv2d_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
Conv2dKernels<double> conv2d_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}
}  // namespace atrous
