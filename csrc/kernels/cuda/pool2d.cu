// Max pooling. pool2d_windows.cu has average and adaptive pooling.
#include "kernels/cuda/pixels.h"
#include "kernels/pool2d.h"

namespace atrous {
namespace {

// The taps [first, last) of one output coordinate that fall inside the image, and where the first one falls.
struct TapsInside {
  int64_t first, last, start;
  __device__ int64_t count() const { return last - first; }
};

__device__ inline TapsInside taps_inside(int64_t o, int64_t stride, int64_t padding, int64_t dilation, int64_t K,
                                         int64_t I) {
  const int64_t start = o * stride - padding;
  if (start >= 0 && start + (K - 1) * dilation < I) return {0, K, start};
  const int64_t first = start < 0 ? (-start + dilation - 1) / dilation : 0;
  const int64_t inside = start < I ? (I - start + dilation - 1) / dilation : 0, last = inside < K ? inside : K;
  return {first, last < first ? first : last, start + first * dilation};
}

// One output pixel. K > 0: most windows are whole ones of K x K, whose loads are all under way at once.
template <int n, int K, typename T, typename Tap>
struct MaxForward {
  MaxPool2dShape s;
  const T* x;
  T* y;
  Tap* taps;

  __device__ void operator()(const Place& out) const {
    const TapsInside rows = taps_inside(out.h, s.sh, s.ph, s.dh, s.KH, s.IH);
    const TapsInside columns = taps_inside(out.w, s.sw, s.pw, s.dw, s.KW, s.IW);
    const bool none = rows.count() == 0 || columns.count() == 0;
    const T* corner = x + ((out.n * s.IH + rows.start) * s.IW + columns.start) * s.C + out.c;
    const int64_t row_step = s.dh * s.IW * s.C, column_step = s.dw * s.C;
    const int64_t first_tap = none ? 0 : rows.first * s.KW + columns.first;
    Largest<n, T> largest(first_tap);
    if (K > 0 && rows.count() == K && columns.count() == K) {
      for (int k = 0; k < K * K; ++k)
        largest.see(load_pack<n>(corner + k / (K ? K : 1) * row_step + k % (K ? K : 1) * column_step), k);
    } else {
      for (int64_t kh = 0; kh < rows.count(); ++kh)
        for (int64_t kw = 0; kw < columns.count(); ++kw)
          largest.see(load_pack<n>(corner + kh * row_step + kw * column_step), first_tap + kh * s.KW + kw);
    }
    largest.store(y + out.at, taps + out.at);
  }
};

template <int K, typename T, typename Tap>
void forward_windows(const MaxPool2dShape& s, const T* x, T* y, Tap* taps) {
  const auto run = [&](auto n) {
    const MaxForward<n.value, K, T, Tap> job{s, x, y, taps};
    if constexpr (K == 2)  // mostly of stride 2: no window overlaps another
      for_pixels<n.value>(s.N, s.OH, s.OW, s.C, job);
    else
      for_tiles<n.value>(s.N, s.OH, s.OW, s.C, job);
  };
  with_packs<T>(run, s.C, x, y, taps);
}

template <typename T, typename Tap>
void forward(const MaxPool2dShape& s, const T* x, T* y, Tap* taps) {
  if (s.KH == 2 && s.KW == 2) return forward_windows<2>(s, x, y, taps);
  if (s.KH == 3 && s.KW == 3) return forward_windows<3>(s, x, y, taps);
  forward_windows<0>(s, x, y, taps);
}

// The S x S input pixels with (i + padding) / S == (bh, bw), for a dense K x K window of stride S: they are reached by
// the J x J outputs up to (bh, bw) only, each of which is loaded once.
template <int n, int K, int S, typename T, typename Tap>
struct MaxBackwardBlock {
  MaxPool2dShape s;
  const T* grad_y;
  const Tap* taps;
  T* grad_x;

  __device__ void operator()(const Place& block) const {
    constexpr int J = (K + S - 1) / S;
    const int64_t bh = s.ph / S + block.h, bw = s.pw / S + block.w;
    Pack<Compute<T>, n> sum[S][S] = {};
    for (int j = J * J - 1; j >= 0; --j) {
      const int64_t oh = bh - j / J, ow = bw - j % J;
      if (oh < 0 || oh >= s.OH || ow < 0 || ow >= s.OW) continue;
      const int64_t at = ((block.n * s.OH + oh) * s.OW + ow) * s.C + block.c;
      add_window<J>(j, to_compute(load_pack<n>(grad_y + at)), load_pack<n>(taps + at), sum);
    }
    for (int r = 0; r < S * S; ++r) {
      const int64_t ih = bh * S - s.ph + r / S, iw = bw * S - s.pw + r % S;
      if (ih >= 0 && ih < s.IH && iw >= 0 && iw < s.IW)
        store_pack(grad_x + ((block.n * s.IH + ih) * s.IW + iw) * s.C + block.c, round_to<T>(sum[r / S][r % S]));
    }
  }

  template <int J>
  __device__ static void add_window(int j, const Pack<Compute<T>, n>& grad, const Pack<Tap, n>& tap,
                                    Pack<Compute<T>, n> (&sum)[S][S]) {
    for (int r = 0; r < S * S; ++r) {
      const int kh = r / S + j / J * S, kw = r % S + j % J * S;
      for (int i = 0; kh < K && kw < K && i < n; ++i)
        if (tap.v[i] == kh * K + kw) sum[r / S][r % S].v[i] += grad.v[i];
    }
  }
};

template <int K, int S, typename T, typename Tap>
void backward_blocks(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  const auto blocks = [](int64_t I, int64_t padding) { return (I + padding + S - 1) / S - padding / S; };
  const auto run = [&](auto n) {
    const MaxBackwardBlock<n.value, K, S, T, Tap> job{s, grad_y, taps, grad_x};
    const int64_t H = blocks(s.IH, s.ph), W = blocks(s.IW, s.pw);
    if constexpr (K > S)
      for_tiles<n.value>(s.N, H, W, s.C, job);
    else
      for_pixels<n.value>(s.N, H, W, s.C, job);
  };
  with_packs<T>(run, s.C, grad_y, taps, grad_x);
}

// The outputs [first, last) of one axis whose windows reach over an input coordinate.
struct Reach {
  int64_t first, last;

  // padded: the coordinate, counted from the first pixel of the padding. size: of a window.
  __device__ Reach(int64_t padded, int64_t size, const Divisor& stride, int64_t O) {
    first = padded < size ? 0 : (padded - size) / stride + 1;
    last = padded / stride + 1;
    if (last > O) last = O;
  }
};

// One input pixel, for any window.
template <int n, typename T, typename Tap>
struct MaxBackward {
  MaxPool2dShape s;
  Divisor sh, sw, dh, dw;
  const T* grad_y;
  const Tap* taps;
  T* grad_x;

  __device__ void operator()(const Place& in) const {
    const int64_t h = in.h + s.ph, w = in.w + s.pw;
    const Reach rows(h, (s.KH - 1) * s.dh + 1, sh, s.OH), columns(w, (s.KW - 1) * s.dw + 1, sw, s.OW);
    Pack<Compute<T>, n> sum = {};
    for (int64_t oh = rows.first; oh < rows.last; ++oh) {
      const int64_t far_h = h - oh * s.sh, kh = far_h / dh;
      for (int64_t ow = columns.first; kh * s.dh == far_h && ow < columns.last; ++ow) {
        const int64_t far_w = w - ow * s.sw, kw = far_w / dw;
        if (kw * s.dw == far_w) add(((in.n * s.OH + oh) * s.OW + ow) * s.C + in.c, kh * s.KW + kw, sum);
      }
    }
    store_pack(grad_x + in.at, round_to<T>(sum));
  }

  __device__ void add(int64_t at, int64_t this_tap, Pack<Compute<T>, n>& sum) const {
    const auto grad = to_compute(load_pack<n>(grad_y + at));
    const Pack<Tap, n> tap = load_pack<n>(taps + at);
    for (int i = 0; i < n; ++i)
      if (tap.v[i] == static_cast<int32_t>(this_tap)) sum.v[i] += grad.v[i];
  }
};

template <typename T, typename Tap>
void backward(const MaxPool2dShape& s, const T* grad_y, const Tap* taps, T* grad_x) {
  if (s.dh == 1 && s.dw == 1 && s.KH == s.KW && s.sh == s.sw) {
    if (s.KH == 2 && s.sh == 2) return backward_blocks<2, 2>(s, grad_y, taps, grad_x);
    if (s.KH == 3 && s.sh == 2) return backward_blocks<3, 2>(s, grad_y, taps, grad_x);
    if (s.KH == 3 && s.sh == 1) return backward_blocks<3, 1>(s, grad_y, taps, grad_x);
  }
  const auto run = [&](auto n) {
    for_tiles<n.value>(s.N, s.IH, s.IW, s.C,
                       MaxBackward<n.value, T, Tap>{s, s.sh, s.sw, s.dh, s.dw, grad_y, taps, grad_x});
  };
  with_packs<T>(run, s.C, grad_y, taps, grad_x);
}

template <int n, typename Tap>
struct MaxIndices {
  MaxPool2dShape s;
  Divisor KW;
  const Tap* taps;
  int64_t* indices;

  __device__ void operator()(const Place& out) const {
    const int64_t h = out.h * s.sh - s.ph, w = out.w * s.sw - s.pw;
    const Pack<Tap, n> tap = load_pack<n>(taps + out.at);
    Pack<int64_t, n> index;
    for (int i = 0; i < n; ++i) {
      const int64_t kh = tap.v[i] / KW, kw = tap.v[i] - kh * s.KW;
      index.v[i] = (h + kh * s.dh) * s.IW + w + kw * s.dw;
    }
    store_pack(indices + out.at, index);
  }
};

template <typename Tap>
void indices(const MaxPool2dShape& s, const Tap* taps, int64_t* indices) {
  const auto run = [&](auto n) {
    for_pixels<n.value>(s.N, s.OH, s.OW, s.C, MaxIndices<n.value, Tap>{s, s.KW, taps, indices});
  };
  with_packs<int64_t>(run, s.C, taps, indices);
}

template <typename T, typename Tap>
MaxPool2dKernels<T, Tap> table() {
  return {forward<T, Tap>, backward<T, Tap>, indices<Tap>};
}

}  // namespace

template <>
MaxPool2dKernels<float, uint8_t> max_pool2d_kernels<Level::cuda, float, uint8_t>() {
  return table<float, uint8_t>();
}

template <>
MaxPool2dKernels<float, int32_t> max_pool2d_kernels<Level::cuda, float, int32_t>() {
  return table<float, int32_t>();
}

template <>
MaxPool2dKernels<double, uint8_t> max_pool2d_kernels<Level::cuda, double, uint8_t>() {
  return table<double, uint8_t>();
}

template <>
MaxPool2dKernels<double, int32_t> max_pool2d_kernels<Level::cuda, double, int32_t>() {
  return table<double, int32_t>();
}

template <>
MaxPool2dKernels<Float16, uint8_t> max_pool2d_kernels<Level::cuda, Float16, uint8_t>() {
  return table<Float16, uint8_t>();
}

template <>
MaxPool2dKernels<Float16, int32_t> max_pool2d_kernels<Level::cuda, Float16, int32_t>() {
  return table<Float16, int32_t>();
}

template <>
MaxPool2dKernels<BFloat16, uint8_t> max_pool2d_kernels<Level::cuda, BFloat16, uint8_t>() {
  return table<BFloat16, uint8_t>();
}

template <>
MaxPool2dKernels<BFloat16, int32_t> max_pool2d_kernels<Level::cuda, BFloat16, int32_t>() {
  return table<BFloat16, int32_t>();
}

}  // namespace atrous
