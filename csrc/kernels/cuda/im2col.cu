#include "kernels/cuda/im2col.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"

namespace atrous {
namespace {

// Takes the last of several indices off a flat one. A division of 32 bits costs a fraction of one of 64, so Index is
// unsigned where that is enough.
template <typename Index>
__device__ inline int64_t take_last(Index& flat, int64_t extent) {
  const auto last = static_cast<int64_t>(flat % static_cast<Index>(extent));
  flat /= static_cast<Index>(extent);
  return last;
}

template <int n, typename Index, typename T>
__global__ void im2col_kernel(Conv2dShape s, int64_t count, const T* x, T* columns) {
  const int64_t ICG = s.IC / s.G, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    auto rest = static_cast<Index>(i);
    const int64_t ic = take_last(rest, ICG / n) * n, kw = take_last(rest, s.KW), kh = take_last(rest, s.KH);
    const int64_t ow = take_last(rest, s.OW), oh = take_last(rest, s.OH), image = take_last(rest, s.N);
    const auto g = static_cast<int64_t>(rest);
    const int64_t ih = oh * s.sh - s.ph + kh * s.dh, iw = ow * s.sw - s.pw + kw * s.dw;
    Pack<T, n> pack{};
    if (ih >= 0 && ih < s.IH && iw >= 0 && iw < s.IW)
      pack = load_pack<n>(x + ((image * s.IH + ih) * s.IW + iw) * s.IC + g * ICG + ic);
    store_pack(columns + i * n, pack);
  }
}

// The output row (or column) whose tap `offset` reads input row `i`; negative where there is none.
__host__ __device__ inline int64_t reader(int64_t i, int64_t padding, int64_t offset, int64_t stride, int64_t outputs) {
  const int64_t start = i + padding - offset;
  if (start < 0 || start % stride != 0 || start / stride >= outputs) return -1;
  return start / stride;
}

template <int n, typename Index, typename T>
__global__ void col2im_kernel(Conv2dShape s, int64_t count, const T* columns, T* grad_x) {
  const int64_t ICG = s.IC / s.G, P = s.N * s.OH * s.OW, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    auto rest = static_cast<Index>(i);
    const int64_t ic = take_last(rest, ICG / n) * n, g = take_last(rest, s.G);
    const int64_t iw = take_last(rest, s.IW), ih = take_last(rest, s.IH);
    const auto image = static_cast<int64_t>(rest);
    Pack<T, n> sum{};
    for (int64_t kh = 0; kh < s.KH; ++kh) {
      const int64_t oh = reader(ih, s.ph, kh * s.dh, s.sh, s.OH);
      for (int64_t kw = 0; oh >= 0 && kw < s.KW; ++kw) {
        const int64_t ow = reader(iw, s.pw, kw * s.dw, s.sw, s.OW);
        if (ow < 0) continue;
        const int64_t row = (g * P + (image * s.OH + oh) * s.OW + ow) * s.KH * s.KW + kh * s.KW + kw;
        const auto part = load_pack<n>(columns + row * ICG + ic);
        for (int j = 0; j < n; ++j) sum.v[j] += part.v[j];
      }
    }
    store_pack(grad_x + i * n, sum);
  }
}

// kernel<n, Index> for packs where channels and pointers allow, and for short indices where those are enough.
template <typename T, typename Pick>
void launch_over(int64_t elements, int64_t channels, const T* a, const T* b, Pick pick) {
  constexpr int n = 16 / sizeof(T);
  const bool packs = channels % n == 0 && are_aligned(a, b);
  const int64_t count = packs ? elements / n : elements;
  const bool is_short = count < int64_t{1} << 32;
  const auto kernel = packs ? (is_short ? pick.template kernel<n, unsigned>() : pick.template kernel<n, uint64_t>())
                            : (is_short ? pick.template kernel<1, unsigned>() : pick.template kernel<1, uint64_t>());
  launch(kernel, blocks_for(count), kThreads, pick.shape, count, a, const_cast<T*>(b));
}

template <typename T>
struct PickIm2col {
  Conv2dShape shape;
  template <int n, typename Index>
  auto kernel() const {
    return im2col_kernel<n, Index, T>;
  }
};

template <typename T>
struct PickCol2im {
  Conv2dShape shape;
  template <int n, typename Index>
  auto kernel() const {
    return col2im_kernel<n, Index, T>;
  }
};

template <int n, typename T>
__global__ void epilogue_kernel(int64_t P, int64_t C, Epilogue<T> e, T* y) {
  const int64_t packs = P * (C / n), step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < packs; i += step) {
    const int64_t c = i % (C / n) * n;
    auto value = load_pack<n>(y + i * n);
    const auto residual = e.residual ? load_pack<n>(e.residual + i * n) : Pack<T, n>{};
    for (int j = 0; j < n; ++j) {
      T& v = value.v[j];
      v = v * (e.scale ? e.scale[c + j] : T(1)) + (e.bias ? e.bias[c + j] : T(0));
      if (e.relu && v < T(0)) v = 0;
      if (e.residual) v += residual.v[j];
      if (e.relu_last && v < T(0)) v = 0;
    }
    store_pack(y + i * n, value);
  }
}

}  // namespace

template <typename T>
void im2col(const Conv2dShape& s, const T* x, T* columns) {
  const int64_t elements = s.N * s.OH * s.OW * s.KH * s.KW * s.IC;
  launch_over(elements, s.IC / s.G, x, static_cast<const T*>(columns), PickIm2col<T>{s});
}

template <typename T>
void col2im(const Conv2dShape& s, const T* columns, T* grad_x) {
  const int64_t elements = s.N * s.IH * s.IW * s.IC;
  launch_over(elements, s.IC / s.G, columns, static_cast<const T*>(grad_x), PickCol2im<T>{s});
}

template <typename T>
void apply_epilogue(int64_t P, int64_t C, const Epilogue<T>& e, T* y) {
  if (P * C == 0 || does_nothing(e)) return;
  constexpr int n = 16 / sizeof(T);
  if (C % n == 0 && are_aligned(y, e.residual))
    launch(epilogue_kernel<n, T>, blocks_for(P * C / n), kThreads, P, C, e, y);
  else
    launch(epilogue_kernel<1, T>, blocks_for(P * C), kThreads, P, C, e, y);
}

template void im2col(const Conv2dShape&, const float*, float*);
template void im2col(const Conv2dShape&, const double*, double*);
template void col2im(const Conv2dShape&, const float*, float*);
template void col2im(const Conv2dShape&, const double*, double*);
template void apply_epilogue(int64_t, int64_t, const Epilogue<float>&, float*);
template void apply_epilogue(int64_t, int64_t, const Epilogue<double>&, double*);

}  // namespace atrous
