// The convolution on a GPU: which kernel does it, and the gradient of the bias.
#include "core/check.h"
#include "core/memory.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/batch_norm_cut.h"
#include "kernels/cuda/conv2d_directions.h"
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/conv2d_padded.h"
#include "kernels/cuda/half.h"

namespace atrous {
namespace {

// The sum of grad_y for each lane of each piece, in double throughout.
template <typename M, typename T>
__global__ void bias_kernel(Cut cut, const T* grad_y, Sums* partial) {
  constexpr int n = M::size;
  __shared__ Sums table[kThreads * n];
  const Part part(cut, false);
  double sum[n] = {};
  for_rows<4>(cut, part, [&](auto rows) {
    const auto packs = load_rows<M>(grad_y, rows);
    for (int j = 0; j < rows.count; ++j)
      for (int i = 0; i < n; ++i) sum[i] += static_cast<double>(to_compute(packs.of_row[j].v[i]));
  });
  if (part.inside)
    for (int i = 0; i < n; ++i) table[part.slot + i] = {sum[i], 0};
  store_sums(cut, part, table, partial);
}

template <typename T>  // Compute<> of what was added up
struct StoreFirst {
  T* to;
  __device__ void operator()(int64_t c, const Sums& sums) const { to[c] = static_cast<T>(sums.first); }
};

// Launchers.

// Those that know TF32 and bfloat16.
bool have_tensor_cores() {
  int device = 0, major = 0;
  check_cuda(cudaGetDevice(&device), "device");
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "device");
  return major >= 8;
}

bool is_depthwise(const Conv2dShape& s) { return s.IC == s.G && s.OC == s.G; }

template <typename T>
bool supports(const Conv2dShape& s, Conv2dDirection, Conv2dAlgorithm algorithm) {
  switch (algorithm) {
    case Conv2dAlgorithm::implicit_gemm:
      return true;
    case Conv2dAlgorithm::depthwise:
      return is_depthwise(s);
    case Conv2dAlgorithm::tensor_cores:
      return sizeof(T) <= 4 && have_tensor_cores() && !is_depthwise(s);
    default:
      return false;
  }
}

template <typename T>
Conv2dAlgorithm choose(const Conv2dShape& s, Conv2dDirection direction, bool inexact) {
  if (is_depthwise(s)) return Conv2dAlgorithm::depthwise;
  if ((inexact || is_half<T>) && supports<T>(s, direction, Conv2dAlgorithm::tensor_cores))
    return Conv2dAlgorithm::tensor_cores;
  return Conv2dAlgorithm::implicit_gemm;
}

#ifdef ATROUS_HOPPER  // this build has *_hopper.cu
constexpr bool kHopper = true;
#else
constexpr bool kHopper = false;
#endif

// Places in a padded image are 32-bit numbers, with room for one that is nowhere.
void check_sizes(const Conv2dShape& s) {
  constexpr int64_t kEnd = 1 << 30;
  for (int64_t size : {s.IH + 2 * s.ph, s.IW + 2 * s.pw, s.sh, s.sw, s.dh, s.dw})
    require(size < kEnd, "conv2d: on a GPU, padded rows and columns, stride and dilation must be below 2**30, not ",
            size);
}

// By products of matrices, where all may be read 16 bytes at a time if T has 16 bits.
template <typename T>
void forward_product(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& e,
                     T* y) {
  if constexpr (kHopper && sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores && forward_hopper(s, x, weight, e, y)) return;
  forward_tiles(s, algorithm, x, weight, e, y);
}

template <typename T>
void backward_input_product(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight,
                            T* grad_x) {
  if constexpr (kHopper && sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores && backward_input_hopper(s, grad_y, weight, grad_x)) return;
  backward_input_tiles(s, algorithm, grad_y, weight, grad_x);
}

template <typename T>
void backward_weight_product(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                             Compute<T>* grad_weight) {
  if constexpr (kHopper && is_half<T>) {
    if (algorithm == Conv2dAlgorithm::tensor_cores && backward_weight_half_hopper(s, grad_y, x, grad_weight)) return;
  } else if constexpr (kHopper && sizeof(T) == 4) {
    if (algorithm == Conv2dAlgorithm::tensor_cores && backward_weight_hopper(s, grad_y, x, grad_weight)) return;
  }
  backward_weight_tiles(s, algorithm, grad_y, x, grad_weight);
}

template <typename T>
void forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  check_sizes(s);
  if (algorithm == Conv2dAlgorithm::depthwise) return forward_depthwise(s, x, weight, e, y);
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::implicit_gemm && forward_grouped_direct(s, x, weight, e, y)) return;
  if constexpr (sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores && forward_grouped(s, x, weight, e, y)) return;
  if constexpr (is_half<T>) {
    const Conv2dShape wide = with_channels(s, multiple_of_8(s.IC / s.G), s.OC / s.G);
    const Padded<T> wide_x(x, x_of(s), x_of(wide)), wide_weight(weight, weight_of(s), weight_of(wide));
    forward_product(wide, algorithm, wide_x.data(), wide_weight.data(), e, y);
  } else {
    forward_product(s, algorithm, x, weight, e, y);
  }
}

template <typename T>
void backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight, T* grad_x) {
  check_sizes(s);
  if (algorithm == Conv2dAlgorithm::depthwise) return backward_input_depthwise(s, grad_y, weight, grad_x);
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::implicit_gemm && backward_input_grouped_direct(s, grad_y, weight, grad_x)) return;
  if constexpr (sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores && backward_input_grouped(s, grad_y, weight, grad_x)) return;
  if constexpr (is_half<T>) {
    const Conv2dShape wide = with_channels(s, multiple_of_8(s.IC / s.G), multiple_of_8(s.OC / s.G));
    const Padded<T> wide_grad(grad_y, y_of(s), y_of(wide)), wide_weight(weight, weight_of(s), weight_of(wide));
    const Narrowed<T> result(grad_x, x_of(s), x_of(wide));
    backward_input_product(wide, algorithm, wide_grad.data(), wide_weight.data(), result.data());
    result.finish();
  } else {
    backward_input_product(s, algorithm, grad_y, weight, grad_x);
  }
}

template <typename T>
void backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                     Compute<T>* grad_weight) {
  check_sizes(s);
  if (algorithm == Conv2dAlgorithm::depthwise) return backward_weight_depthwise(s, grad_y, x, grad_weight);
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::implicit_gemm && backward_weight_grouped_direct(s, grad_y, x, grad_weight))
      return;
  if constexpr (sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores && backward_weight_grouped(s, grad_y, x, grad_weight)) return;
  if constexpr (is_half<T>) {
    const Conv2dShape wide = with_channels(s, multiple_of_8(s.IC / s.G), multiple_of_8(s.OC / s.G));
    const Padded<T> wide_grad(grad_y, y_of(s), y_of(wide)), wide_x(x, x_of(s), x_of(wide));
    const Narrowed<float> result(grad_weight, weight_of(s), weight_of(wide));
    backward_weight_product(wide, algorithm, wide_grad.data(), wide_x.data(), result.data());
    result.finish();
  } else {
    backward_weight_product(s, algorithm, grad_y, x, grad_weight);
  }
}

template <typename T>
void backward_bias(int64_t pixels, int64_t OC, const T* grad_y, Compute<T>* grad_bias) {
  constexpr int n = 16 / sizeof(T);
  const Cut cut = Cut::for_sums<T>({pixels, OC});
  const Workspace<Sums> partial(cut.pieces * cut.lanes);
  const auto run = [&](auto pack) {
    launch(bias_kernel<decltype(pack), T>, cut.blocks(), kThreads, cut, grad_y, partial.data());
  };
  if (cut.pack == 1)
    run(Elements<T, 1>{});
  else if (are_aligned(grad_y))
    run(Pack<T, n>{});
  else
    run(Elements<T, n>{});
  sum_rows(cut.pieces * cut.pixels(), OC, partial.data(), StoreFirst<Compute<T>>{grad_bias});
}

template <typename T>
Conv2dKernels<T> table() {
  return {supports<T>, choose<T>, forward<T>, backward_input<T>, backward_weight<T>, backward_bias<T>};
}

}  // namespace

template <>
Conv2dKernels<float> conv2d_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
Conv2dKernels<double> conv2d_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
Conv2dKernels<Float16> conv2d_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
Conv2dKernels<BFloat16> conv2d_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
