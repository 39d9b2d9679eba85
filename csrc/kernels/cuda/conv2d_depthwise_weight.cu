// The weight gradient of a depthwise convolution: a thread has 16 bytes of channels and some taps, and adds up over
// strips of pixels; the threads of a block share those of a piece, and pieces are added up afterwards.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_strips.h"

namespace atrous {
namespace {

// Of a thread: groups of taps side by side, 9 or 10 taps in all; 5 or less where
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

}  // namespace

template <typename T>
void backward_weight_depthwise(const Conv2dShape& s, const T* grad_y, const T* x, Compute<T>* grad_weight) {
  if (backward_weight_by_walks(s, grad_y, x, grad_weight)) return;
  with_taps<T>(s.KW, s.dw, s.sw, [&](auto taps) { sum_weights<decltype(taps)>(s, grad_y, x, grad_weight); });
}

template void backward_weight_depthwise(const Conv2dShape&, const float*, const float*, float*);
template void backward_weight_depthwise(const Conv2dShape&, const double*, const double*, double*);
template void backward_weight_depthwise(const Conv2dShape&, const Float16*, const Float16*, float*);
template void backward_weight_depthwise(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
