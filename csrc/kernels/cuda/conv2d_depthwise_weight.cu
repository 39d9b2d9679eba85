// The weight gradient of a depthwise convolution: a thread has 16 bytes of channels and some taps, and adds up over
// strips of pixels; the threads of a block share those of a piece, and pieces are added up afterwards.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_strips.h"

namespace atrous {
namespace {

template <typename T>
constexpr int kTaps = is_half<T> ? 5 : 9;  // of a thread: of 8 channels, registers hold no more

// How blocks share the sums over strips: `columns` packs of channels side by side, `groups` threads for each, which
// take every groups-th strip of a piece; and a turn for each kTaps taps.
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
template <typename M, typename T>
__global__ void __launch_bounds__(kThreads)
    weight_sums_kernel(WeightCut cut, Axis h, Axis w, Divisor OH, int OW, Divisor strips_of_row, const T* grad_y,
                       const T* x, Compute<T>* partial) {
  constexpr int n = M::size, taps = kTaps<T>;
  __shared__ Compute<T> table[kThreads * taps * n];
  const int64_t block = blockIdx.x / cut.turns, piece = block / cut.column_blocks;
  const int turn = static_cast<int>(blockIdx.x % cut.turns), group = static_cast<int>(threadIdx.x) / cut.columns;
  const int column = static_cast<int>(threadIdx.x) % cut.columns;
  const int64_t first_channel = block % cut.column_blocks * cut.columns * n, c = first_channel + column * n;
  int64_t end = (piece + 1) * cut.strips_of_piece;
  if (end > cut.strips) end = cut.strips;
  Compute<T> sums[taps][n] = {};
  if (group < cut.groups && c < cut.C) {
    for (int64_t strip = piece * cut.strips_of_piece + group; strip < end; strip += cut.groups) {
      const int64_t row = strip / strips_of_row, image = row / OH;
      const int first = static_cast<int>(strip - row * strips_of_row.value()) * kStrip;
      const int top = static_cast<int>(row - image * OH.value()) * h.step + h.first, left = first * w.step + w.first;
      Held<M, T> g[kStrip];
#pragma unroll
      for (int i = 0; i < kStrip; ++i) g[i] = hold_pixel<M>(grad_y + row * OW * cut.C + c, first + i, OW, cut.C);
      const T* const images = x + image * h.size * w.size * cut.C + c;
      int kh = turn * taps / w.taps, kw = turn * taps % w.taps;
#pragma unroll
      for (int tap = 0; tap < taps; ++tap) {
        const int ih = top + kh * h.tap;
        if (kh < h.taps && ih >= 0 && ih < h.size) {
#pragma unroll
          for (int i = 0; i < kStrip; ++i) {
            const auto pack =
                hold_pixel<M>(images + int64_t{ih} * w.size * cut.C, left + kw * w.tap + i * w.step, w.size, cut.C);
            if (i == 0 || first + i < OW)  // else grad_y has no such pixel, and x may be Inf
#pragma unroll
              for (int j = 0; j < n; ++j) add_product(number(g[i], j), number(pack, j), sums[tap][j]);
          }
        }
        if (++kw == w.taps) kw = 0, ++kh;
      }
    }
  }
  const int width = cut.columns * n;
  if (group < cut.groups) {
#pragma unroll
    for (int tap = 0; tap < taps; ++tap)
#pragma unroll
      for (int j = 0; j < n; ++j) table[(group * taps + tap) * width + column * n + j] = sums[tap][j];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < taps * width; i += kThreads) {
    const int64_t tap = turn * taps + i / width, channel = first_channel + i % width;
    Compute<T> sum = table[i];
    for (int k = 1; k < cut.groups; ++k) sum += table[k * taps * width + i];
    if (tap < cut.taps && channel < cut.C) partial[(piece * cut.taps + tap) * cut.C + channel] = sum;
  }
}

// Launchers.

// The order of the sums does not depend on addresses.
template <typename T>
void sum_weights(const Conv2dShape& s, const T* grad_y, const T* x, Compute<T>* grad_weight) {
  constexpr int n = 16 / sizeof(T);
  const bool whole = s.IC % n == 0;
  const WeightCut cut = WeightCut::of(s.N * s.OH * strips(s.OW), s.IC, s.KH * s.KW, kTaps<T>, whole ? n : 1);
  const Workspace<Compute<T>> partial(cut.pieces * cut.taps * cut.C);
  const auto run = [&](auto pack) {
    launch(weight_sums_kernel<decltype(pack), T>, static_cast<unsigned>(cut.pieces * cut.column_blocks * cut.turns),
           kThreads, cut, height_of(s), width_of(s), s.OH, narrow(s.OW), strips(s.OW), grad_y, x, partial.data());
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
  if (!backward_weight_by_walks(s, grad_y, x, grad_weight)) sum_weights(s, grad_y, x, grad_weight);
}

template void backward_weight_depthwise(const Conv2dShape&, const float*, const float*, float*);
template void backward_weight_depthwise(const Conv2dShape&, const double*, const double*, double*);
template void backward_weight_depthwise(const Conv2dShape&, const Float16*, const Float16*, float*);
template void backward_weight_depthwise(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
