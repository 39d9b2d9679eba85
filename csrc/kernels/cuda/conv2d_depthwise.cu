// Depthwise convolution: each channel by itself, a few multiplications for a number that is read. So memory limits it.
// The common windows have walks (conv2d_walks.h). For any other, a thread has 16 bytes of channels, and four pixels of
// a row for which it reads a weight once. What windows share comes from the first-level cache of a block, which has a
// tile of them. Sums are in Compute<T>; numbers of 16 bits stay as they are in registers until they are used.
#include "core/memory.h"
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_strips.h"
#include "kernels/cuda/conv2d_target.h"

namespace atrous {
namespace {

// Pixels of a strip, with n channels of each.
template <int n, typename T>
struct Strip {
  Compute<T> sums[kStrip][n] = {};

  // Adds weight * image[(first + i * step) * C] for each pixel i, where that is inside.
  __device__ void add(const T* weight, const T* row, int first, int step, int size, int64_t C) {
    using M = Pack<T, n>;
    const auto factors = hold<M>(weight);
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      const auto pack = hold_pixel<M>(row, first + i * step, size, C);
#pragma unroll
      for (int j = 0; j < n; ++j) add_product(number(pack, j), number(factors, j), sums[i][j]);
    }
  }

  __device__ Pack<Compute<T>, n> pack(int i) const {
    Pack<Compute<T>, n> pack;
#pragma unroll
    for (int j = 0; j < n; ++j) pack.v[j] = sums[i][j];
    return pack;
  }
};

// (C, taps) to (taps, C).
template <typename T>
__global__ void by_tap_kernel(int64_t C, int64_t taps, const T* weight, T* by_tap) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < C * taps) by_tap[i] = weight[i % C * taps + i / C];
}

template <int n, typename T>
struct Forward {
  int64_t C;
  Axis h, w;
  int OH, OW;
  const T *x, *by_tap;
  Target<T> y;

  __device__ void operator()(const Place& place) const {
    const int first = static_cast<int>(place.w) * kStrip, top = static_cast<int>(place.h) * h.step + h.first;
    const T* weight = by_tap + place.c;
    Strip<n, T> strip;
    for (int kh = 0; kh < h.taps; ++kh) {
      const int ih = top + kh * h.tap;
      const T* row = x + (place.n * h.size + ih) * w.size * C + place.c;
      for (int kw = 0; kw < w.taps; ++kw, weight += C)
        if (ih >= 0 && ih < h.size) strip.add(weight, row, first * w.step + w.first + kw * w.tap, w.step, w.size, C);
    }
    const int64_t pixel = (place.n * OH + place.h) * OW + first;
#pragma unroll
    for (int i = 0; i < kStrip; ++i)
      if (first + i < OW) y.template put<n>((pixel + i) * C, place.c, strip.pack(i));
  }
};

// The pixels of a strip are the stride apart: the same taps reach them.
template <int n, typename T>
struct BackwardInput {
  int64_t C, KW;
  Stride h, w;
  const T *grad_y, *by_tap;
  T* grad_x;

  __device__ void operator()(const Place& place) const {
    const int ih = static_cast<int>(place.h), part = static_cast<int>(place.w) % w.parts;
    const int first = static_cast<int>(place.w) / w.parts * kStrip;
    Axis rows, columns;
    const TapsOfAxis taps_h = h.reach(ih % h.stride, rows), taps_w = w.reach(part, columns);
    Strip<n, T> strip;
    for (int i = 0; i < taps_h.taps; ++i) {
      const int oh = ih / h.stride + rows.first + i * rows.tap;
      if (oh < 0 || oh >= rows.size) continue;
      const T* row = grad_y + (place.n * rows.size + oh) * columns.size * C + place.c;
      const T* weight = by_tap + ((taps_h.first + i * taps_h.step) * KW + taps_w.first) * C + place.c;
      for (int j = 0; j < taps_w.taps; ++j, weight += taps_w.step * C)
        strip.add(weight, row, first + columns.first + j * columns.tap, 1, columns.size, C);
    }
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      const int64_t iw = part + int64_t{first + i} * w.stride;
      if (iw < w.size)
        store_pack(grad_x + ((place.n * h.size + ih) * w.size + iw) * C + place.c, round_to<T>(strip.pack(i)));
    }
  }
};

// Launchers.

template <typename T>
void order_by_tap(int64_t C, int64_t taps, const T* weight, T* by_tap) {
  launch(by_tap_kernel<T>, static_cast<unsigned>(divide_up(C * taps, kThreads)), kThreads, C, taps, weight, by_tap);
}

template <typename T>
void forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  const Workspace<T> by_tap(s.KH * s.KW * s.OC);
  order_by_tap(s.OC, s.KH * s.KW, weight, by_tap.data());
  const auto run = [&](auto n) {
    const Forward<n, T> job{s.IC, height_of(s),  width_of(s),  narrow(s.OH), narrow(s.OW),
                            x,    by_tap.data(), {y, e, n > 1}};
    for_tiles<n>(s.N, s.OH, strips(s.OW), s.OC, job);
  };
  with_packs<T>(run, s.OC, x, y, e.scale, e.bias, e.residual);
}

template <typename T>
void backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const Workspace<T> by_tap(s.KH * s.KW * s.OC);
  order_by_tap(s.OC, s.KH * s.KW, weight, by_tap.data());
  const Stride h = Stride::of(s.sh, s.ph, s.dh, s.KH, s.IH, s.OH), w = Stride::of(s.sw, s.pw, s.dw, s.KW, s.IW, s.OW);
  const auto run = [&](auto n) {
    const BackwardInput<n, T> job{s.IC, s.KW, h, w, grad_y, by_tap.data(), grad_x};
    for_tiles<n>(s.N, s.IH, strips(w.pixels()) * w.parts, s.IC, job);
  };
  with_packs<T>(run, s.IC, grad_y, grad_x);
}

}  // namespace

template <typename T>
void forward_depthwise(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  if (!forward_by_walks(s, x, weight, e, y)) forward(s, x, weight, e, y);
}

template <typename T>
void backward_input_depthwise(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  if (backward_input_by_walks(s, grad_y, weight, grad_x)) return;
  if (!backward_input_by_walks_of_2(s, grad_y, weight, grad_x)) backward_input(s, grad_y, weight, grad_x);
}

template void forward_depthwise(const Conv2dShape&, const float*, const float*, const Epilogue<float>&, float*);
template void forward_depthwise(const Conv2dShape&, const double*, const double*, const Epilogue<double>&, double*);
template void forward_depthwise(const Conv2dShape&, const Float16*, const Float16*, const Epilogue<Float16>&, Float16*);
template void forward_depthwise(const Conv2dShape&, const BFloat16*, const BFloat16*, const Epilogue<BFloat16>&,
                                BFloat16*);
template void backward_input_depthwise(const Conv2dShape&, const float*, const float*, float*);
template void backward_input_depthwise(const Conv2dShape&, const double*, const double*, double*);
template void backward_input_depthwise(const Conv2dShape&, const Float16*, const Float16*, Float16*);
template void backward_input_depthwise(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
