// Depthwise convolution: each channel by itself, a few multiplications for a number that is read. So memory limits it:
// a thread has 16 bytes of channels, and four pixels of a row for which it reads a weight once. What windows share
// comes from the first-level cache of a block, which has a tile of them. Sums are in Compute<T>; numbers of 16 bits
// stay as they are in registers until they are used.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_axes.h"
#include "kernels/cuda/conv2d_directions.h"
#include "kernels/cuda/conv2d_target.h"
#include "kernels/cuda/held.h"
#include "kernels/cuda/pixels.h"

namespace atrous {
namespace {

constexpr int kStrip = 4;  // pixels of a thread

// What a strip's pixels read of a row through K taps side by side, each number once. The pixels are `step` apart, the
// taps next to each other; K = 1 is any tap by itself, where the step is not known beforehand.
template <int K, int step>
struct Taps {
  static constexpr int count = K, stride = step, width = K == 1 ? kStrip : (kStrip - 1) * step + K;
  __device__ static int place(int pixel, int tap) { return K == 1 ? pixel : pixel * step + tap; }

  template <typename M, typename T>
  __device__ static Held<M, T> read(const T* row, int first, int any_step, int size, int64_t C, int i) {
    const int at = first + (K == 1 ? i * any_step : i);
    return at >= 0 && at < size ? hold<M>(row + at * C) : Held<M, T>{};
  }
};

// f(taps) with the Taps for these sizes along a row.
template <typename T, typename F>
void with_taps(int64_t taps, int64_t dilation, int64_t stride, F&& f) {
  if constexpr (sizeof(T) <= 4) {  // the fast path
    if (dilation == 1 && taps == 3 && stride == 1) return f(Taps<3, 1>{});
    if (dilation == 1 && taps == 3 && stride == 2) return f(Taps<3, 2>{});
    if (dilation == 1 && taps == 5 && stride == 1) return f(Taps<5, 1>{});
    if (dilation == 1 && taps == 5 && stride == 2) return f(Taps<5, 2>{});
  }
  f(Taps<1, 1>{});
}

// Pixels of a strip, with n channels of each.
template <int n, typename T>
struct Strip {
  Compute<T> sums[kStrip][n] = {};

  // Adds weight[k] * image[(first + i * step + k) * C] for each pixel i and tap k, where that is inside. Weights are C
  // apart, or -C where the taps go backwards. The weights stay in registers, what is read passes through them.
  template <typename Taps>
  __device__ void add(Taps, const T* weight, int64_t apart, const T* row, int first, int step, int size, int64_t C) {
    using M = Pack<T, n>;
    Held<M, T> factors[Taps::count];
#pragma unroll
    for (int k = 0; k < Taps::count; ++k) factors[k] = hold<M>(weight + k * apart);
#pragma unroll
    for (int at = 0; at < Taps::width; ++at) {
      const auto pack = Taps::template read<M>(row, first, step, size, C, at);
#pragma unroll
      for (int i = 0; i < kStrip; ++i)
#pragma unroll
        for (int k = 0; k < Taps::count; ++k)
#pragma unroll
          for (int j = 0; j < n; ++j)
            if (Taps::place(i, k) == at) add_product(number(pack, j), number(factors[k], j), sums[i][j]);
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

template <typename Taps, int n, typename T>
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
      for (int kw = 0; kw < w.taps; kw += Taps::count, weight += Taps::count * C)
        if (ih >= 0 && ih < h.size)
          strip.add(Taps{}, weight, C, row, first * w.step + w.first + kw * w.tap, w.step, w.size, C);
    }
    const int64_t pixel = (place.n * OH + place.h) * OW + first;
#pragma unroll
    for (int i = 0; i < kStrip; ++i)
      if (first + i < OW) y.template put<n>((pixel + i) * C, place.c, strip.pack(i));
  }
};

// The pixels of a strip are the stride apart: the same taps reach them.
template <typename Taps, int n, typename T>
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
      for (int j = 0; j < taps_w.taps; j += Taps::count, weight += taps_w.step * Taps::count * C) {
        const int leftmost = first + columns.first + (j + Taps::count - 1) * columns.tap;
        strip.add(Taps{}, weight + (Taps::count - 1) * C, -C, row, leftmost, 1, columns.size, C);
      }
    }
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      const int64_t iw = part + int64_t{first + i} * w.stride;
      if (iw < w.size)
        store_pack(grad_x + ((place.n * h.size + ih) * w.size + iw) * C + place.c, round_to<T>(strip.pack(i)));
    }
  }
};

// Of a thread, for the gradient of the weights: groups of taps side by side, 9 or 10 taps in all; 5 or less where
// registers hold no more, of numbers of 16 bits, 8 channels of them, or beside what a strip reads.
template <typename Taps, typename T>
constexpr int kGroups = is_half<T>         ? (Taps::count == 1 ? 5 : 1)
                        : Taps::count == 1 ? 9
                        : Taps::count == 3 ? 3
                        : Taps::width > 8  ? 1
                                           : 2;

// How blocks share the sums over strips: `columns` packs of channels side by side, `groups` threads for each, which
// take every groups-th strip of a piece; and a turn for each kGroups groups of taps.
struct WeightCut {
  int64_t strips, C, taps, column_blocks, pieces, strips_of_piece;
  int columns, groups, turns;

  static WeightCut of(int64_t strips, int64_t C, int64_t taps, int taps_of_turn, int n) {
    constexpr int64_t kColumns = 32, kBlocks = 1024, kLeast = 4;  // blocks on a large GPU, strips of a thread
    WeightCut cut{strips, C, taps, (C / n + kColumns - 1) / kColumns, 0, 0, 0, 0, 0};
    cut.turns = narrow((taps + taps_of_turn - 1) / taps_of_turn);
    cut.columns = narrow((C / n + cut.column_blocks - 1) / cut.column_blocks);
    cut.groups = kThreads / cut.columns;
    const int64_t others = cut.column_blocks * cut.turns, pieces = (kBlocks + others - 1) / others;
    const int64_t even = (strips + pieces - 1) / pieces, least = cut.groups * kLeast;
    cut.strips_of_piece = even < least ? least : even;
    cut.pieces = strips > 0 ? (strips + cut.strips_of_piece - 1) / cut.strips_of_piece : 1;
    return cut;
  }
};

// Sums of grad_y * x for each channel and tap of a piece, to partial (pieces, taps, C).
template <typename Taps, typename M, typename T>
__global__ void __launch_bounds__(kThreads)
    weight_sums_kernel(WeightCut cut, Axis h, Axis w, Divisor OH, int OW, Divisor strips_of_row, const T* grad_y,
                       const T* x, Compute<T>* partial) {
  constexpr int n = M::size, kTaps = kGroups<Taps, T> * Taps::count;
  __shared__ Compute<T> table[kThreads * kTaps * n];
  const int64_t block = blockIdx.x / cut.turns, piece = block / cut.column_blocks;
  const int turn = static_cast<int>(blockIdx.x % cut.turns), group = static_cast<int>(threadIdx.x) / cut.columns;
  const int column = static_cast<int>(threadIdx.x) % cut.columns;
  const int64_t first_channel = block % cut.column_blocks * cut.columns * n, c = first_channel + column * n;
  int64_t end = (piece + 1) * cut.strips_of_piece;
  if (end > cut.strips) end = cut.strips;
  Compute<T> sums[kTaps][n] = {};
  if (group < cut.groups && c < cut.C) {
    for (int64_t strip = piece * cut.strips_of_piece + group; strip < end; strip += cut.groups) {
      const int64_t row = strip / strips_of_row, image = row / OH;
      const int first = static_cast<int>(strip - row * strips_of_row.value()) * kStrip;
      const int top = static_cast<int>(row - image * OH.value()) * h.step + h.first, left = first * w.step + w.first;
      Held<M, T> g[kStrip];
#pragma unroll
      for (int i = 0; i < kStrip; ++i)
        g[i] = first + i < OW ? hold<M>(grad_y + (row * OW + first + i) * cut.C + c) : Held<M, T>{};
      const T* const images = x + image * h.size * w.size * cut.C + c;
      int kh = turn * kTaps / w.taps, kw = turn * kTaps % w.taps;
#pragma unroll
      for (int some = 0; some < kGroups<Taps, T>; ++some) {
        const int ih = top + kh * h.tap;
        if (kh < h.taps && ih >= 0 && ih < h.size) {
          Held<M, T> packs[Taps::width];
#pragma unroll
          for (int i = 0; i < Taps::width; ++i)
            packs[i] = Taps::template read<M>(images + int64_t{ih} * w.size * cut.C, left + kw * w.tap, w.step, w.size,
                                              cut.C, i);
#pragma unroll
          for (int k = 0; k < Taps::count; ++k)
#pragma unroll
            for (int i = 0; i < kStrip; ++i)
#pragma unroll
              for (int j = 0; j < n; ++j)
                add_product(number(g[i], j), number(packs[Taps::place(i, k)], j), sums[some * Taps::count + k][j]);
        }
        if ((kw += Taps::count) >= w.taps) kw = 0, ++kh;
      }
    }
  }
  const int width = cut.columns * n;
  if (group < cut.groups) {
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap)
#pragma unroll
      for (int j = 0; j < n; ++j) table[(group * kTaps + tap) * width + column * n + j] = sums[tap][j];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTaps * width; i += kThreads) {
    const int64_t tap = turn * kTaps + i / width, channel = first_channel + i % width;
    Compute<T> sum = table[i];
    for (int k = 1; k < cut.groups; ++k) sum += table[k * kTaps * width + i];
    if (tap < cut.taps && channel < cut.C) partial[(piece * cut.taps + tap) * cut.C + channel] = sum;
  }
}

// Sums by tap (taps, C), to (C, taps).
template <typename T>
struct ByChannel {
  Divisor C;
  int64_t taps;
  T* grad_weight;

  template <int n>
  __device__ void operator()(int64_t i, const Pack<T, n>& sums) const {
    for (int j = 0; j < n; ++j) {
      const int64_t tap = (i + j) / C, c = i + j - tap * C.value();
      grad_weight[c * taps + tap] = sums.v[j];
    }
  }
};

// Launchers.

unsigned blocks_of_all(int64_t n) { return static_cast<unsigned>((n + kThreads - 1) / kThreads); }

template <typename T>
void order_by_tap(int64_t C, int64_t taps, const T* weight, T* by_tap) {
  launch(by_tap_kernel<T>, blocks_of_all(C * taps), kThreads, C, taps, weight, by_tap);
}

Axis height_of(const Conv2dShape& s) { return {narrow(s.IH), narrow(s.sh), narrow(-s.ph), narrow(s.dh), narrow(s.KH)}; }

Axis width_of(const Conv2dShape& s) { return {narrow(s.IW), narrow(s.sw), narrow(-s.pw), narrow(s.dw), narrow(s.KW)}; }

int64_t strips(int64_t pixels) { return (pixels + kStrip - 1) / kStrip; }

template <typename T>
void forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  const Workspace<T> by_tap(s.KH * s.KW * s.OC);
  order_by_tap(s.OC, s.KH * s.KW, weight, by_tap.data());
  const auto run = [&](auto taps, auto n) {
    const Forward<decltype(taps), n, T> job{s.IC, height_of(s),  width_of(s),  narrow(s.OH), narrow(s.OW),
                                            x,    by_tap.data(), {y, e, n > 1}};
    for_tiles<n>(s.N, s.OH, strips(s.OW), s.OC, job);
  };
  const auto run_with = [&](auto n) {
    with_taps<T>(s.KW, s.dw, s.sw, [&](auto taps) {
      if constexpr (is_half<T> && taps.width > 10)  // too many numbers for the registers
        run(Taps<1, 1>{}, n);
      else
        run(taps, n);
    });
  };
  with_packs<T>(run_with, s.OC, x, y, e.scale, e.bias, e.residual);
}

template <typename T>
void backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const Workspace<T> by_tap(s.KH * s.KW * s.OC);
  order_by_tap(s.OC, s.KH * s.KW, weight, by_tap.data());
  const Stride h = Stride::of(s.sh, s.ph, s.dh, s.KH, s.IH, s.OH), w = Stride::of(s.sw, s.pw, s.dw, s.KW, s.IW, s.OW);
  const auto run = [&](auto taps, auto n) {
    const BackwardInput<decltype(taps), n, T> job{s.IC, s.KW, h, w, grad_y, by_tap.data(), grad_x};
    for_tiles<n>(s.N, s.IH, strips(w.pixels()) * w.parts, s.IC, job);
  };
  with_packs<T>(
      [&](auto n) {
        if (s.sw == 1)
          with_taps<T>(s.KW, s.dw, s.sw, [&](auto taps) {
            if constexpr (taps.stride == 1) run(taps, n);
          });
        else  // of the taps, those that reach a pixel are some apart
          run(Taps<1, 1>{}, n);
      },
      s.IC, grad_y, grad_x);
}

// The order of the sums does not depend on addresses.
template <typename Taps, typename T>
void sum_weights(const Conv2dShape& s, const T* grad_y, const T* x, Compute<T>* grad_weight) {
  constexpr int n = 16 / sizeof(T);
  const bool whole = s.IC % n == 0;
  const WeightCut cut =
      WeightCut::of(s.N * s.OH * strips(s.OW), s.IC, s.KH * s.KW, kGroups<Taps, T> * Taps::count, whole ? n : 1);
  const Workspace<Compute<T>> partial(cut.pieces * cut.taps * cut.C);
  const auto run = [&](auto pack) {
    launch(weight_sums_kernel<Taps, decltype(pack), T>,
           static_cast<unsigned>(cut.pieces * cut.column_blocks * cut.turns), kThreads, cut, height_of(s), width_of(s),
           s.OH, narrow(s.OW), strips(s.OW), grad_y, x, partial.data());
  };
  if (!whole)
    run(Elements<T, 1>{});
  else if (are_aligned(grad_y, x))
    run(Pack<T, n>{});
  else
    run(Elements<T, n>{});
  add_pieces(cut.pieces, cut.C * cut.taps, partial.data(), ByChannel<Compute<T>>{cut.C, cut.taps, grad_weight});
}

template <typename T>
void backward_weight(const Conv2dShape& s, const T* grad_y, const T* x, Compute<T>* grad_weight) {
  with_taps<T>(s.KW, s.dw, s.sw, [&](auto taps) { sum_weights<decltype(taps)>(s, grad_y, x, grad_weight); });
}

template <typename T>
DepthwiseKernels<T> table() {
  return {forward<T>, backward_input<T>, backward_weight<T>};
}

}  // namespace

template <>
DepthwiseKernels<float> depthwise_kernels<float>() {
  return table<float>();
}

template <>
DepthwiseKernels<double> depthwise_kernels<double>() {
  return table<double>();
}

template <>
DepthwiseKernels<Float16> depthwise_kernels<Float16>() {
  return table<Float16>();
}

template <>
DepthwiseKernels<BFloat16> depthwise_kernels<BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
