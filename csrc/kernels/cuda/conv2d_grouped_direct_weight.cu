// The weight gradient of small groups by plain multiply-adds: a thread has four oc, four ic of their group and three
// taps, and adds up over strips of pixels; the threads of a block share the strips of a piece, and pieces are added up
// afterwards, in their order.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_grids.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kStrip = 4;  // pixels of a row
constexpr int kLanes = 4;  // oc, and ic, of a thread
constexpr int kTaps = 3;

struct Layer {
  const float *grad_y, *x;
  int64_t IC, OC;
  int ICG, OCG;
  Axis h, w;
  Divisor rows, strips_of_row;  // of y
  int OW;
  int64_t strips, strips_of_piece = 0, pieces = 0;
  // Of a block: fours of oc side by side, and threads for each; of a piece: blocks of them, then turns of ic and taps.
  int columns = 0, groups = 0, column_blocks = 0, tap_turns = 0, turns = 0;

  __host__ __device__ int taps() const { return h.taps * w.taps; }
};

// For each tap, oc and ic.
struct Sums {
  float v[kTaps][kLanes][kLanes] = {};
};

// What a thread adds up: channels from `oc` and `ic` on, taps from `tap` on.
struct Task {
  int64_t oc, ic;
  int tap;
};

__device__ void add_strip(const Layer& layer, const Task& task, int64_t strip, Sums& sums) {
  const int64_t row = strip / layer.strips_of_row, image = row / layer.rows;
  const int first = static_cast<int>(strip - row * layer.strips_of_row.value()) * kStrip;
  const int top = static_cast<int>(row - image * layer.rows.value()) * layer.h.step + layer.h.first;
  Pack<float, kLanes> grads[kStrip];
#pragma unroll
  for (int i = 0; i < kStrip; ++i)
    grads[i] = first + i < layer.OW
                   ? load_pack<kLanes>(layer.grad_y + (row * layer.OW + first + i) * layer.OC + task.oc)
                   : Pack<float, kLanes>{};
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
    const int kh = (task.tap + t) / layer.w.taps, kw = task.tap + t - kh * layer.w.taps;
    const int ih = top + kh * layer.h.tap, left = first * layer.w.step + layer.w.first + kw * layer.w.tap;
    if (kh >= layer.h.taps || ih < 0 || ih >= layer.h.size) continue;
    const float* const from = layer.x + (image * layer.h.size + ih) * layer.w.size * layer.IC + task.ic;
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      const int iw = left + i * layer.w.step;
      if (first + i >= layer.OW || iw < 0 || iw >= layer.w.size) continue;
      const auto seen = load_pack<kLanes>(from + iw * layer.IC);
#pragma unroll
      for (int o = 0; o < kLanes; ++o)
#pragma unroll
        for (int c = 0; c < kLanes; ++c) add_product(grads[i].v[o], seen.v[c], sums.v[t][o][c]);
    }
  }
}

// To pieces (OC, taps, ICG).
__global__ void __launch_bounds__(kThreads) direct_weight_kernel(Layer layer, float* pieces) {
  constexpr int kSums = kLanes * kLanes;  // of a tap
  __shared__ float table[kSums][kThreads];
  const int self = static_cast<int>(threadIdx.x), group = self / layer.columns, column = self % layer.columns;
  const int turn = static_cast<int>(blockIdx.x % layer.turns), tap = turn % layer.tap_turns * kTaps;
  const int ic = turn / layer.tap_turns * kLanes;  // in its group
  const int64_t block = blockIdx.x / layer.turns, piece = block / layer.column_blocks;
  const int64_t first_oc = block % layer.column_blocks * layer.columns * kLanes, oc = first_oc + column * kLanes;
  Sums sums;
  if (group < layer.groups && oc < layer.OC) {
    const Task task{oc, oc / layer.OCG * layer.ICG + ic, tap};
    const int64_t behind = (piece + 1) * layer.strips_of_piece;
    for (int64_t strip = piece * layer.strips_of_piece + group; strip < behind && strip < layer.strips;
         strip += layer.groups)
      add_strip(layer, task, strip, sums);
  }
  for (int t = 0; t < kTaps; ++t) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kSums; ++k) table[k][self] = sums.v[t][k / kLanes][k % kLanes];
    __syncthreads();
    for (int i = self; i < kSums * layer.columns; i += kThreads) {
      const int k = i % kSums, of_column = i / kSums;
      const int64_t row = first_oc + of_column * kLanes + k / kLanes;
      float sum = table[k][of_column];
      for (int j = 1; j < layer.groups; ++j) sum += table[k][j * layer.columns + of_column];
      if (row < layer.OC && tap + t < layer.taps())
        pieces[((piece * layer.OC + row) * layer.taps() + tap + t) * layer.ICG + ic + k % kLanes] = sum;
    }
  }
}

// Launchers.

Layer layer_of(const Conv2dShape& s, const float* grad_y, const float* x) {
  constexpr int64_t kColumns = 32, kBlocks = 1024, kLeast = 4;  // 512 bytes; on a large GPU; strips of a thread
  Layer layer{grad_y,
              x,
              s.IC,
              s.OC,
              narrow(s.IC / s.G),
              narrow(s.OC / s.G),
              height_of(s),
              width_of(s),
              s.OH,
              divide_up(s.OW, kStrip),
              narrow(s.OW),
              s.N * s.OH * divide_up(s.OW, kStrip)};
  const int64_t fours = s.OC / kLanes;
  layer.column_blocks = narrow(divide_up(fours, kColumns));
  layer.columns = narrow(divide_up(fours, layer.column_blocks));
  layer.groups = kThreads / layer.columns;
  layer.tap_turns = narrow(divide_up(layer.taps(), kTaps));
  layer.turns = layer.tap_turns * layer.ICG / kLanes;
  const int64_t pieces = divide_up(kBlocks, int64_t{layer.column_blocks} * layer.turns);
  layer.strips_of_piece = std::max(divide_up(layer.strips, pieces), layer.groups * kLeast);
  layer.pieces = std::max(divide_up(layer.strips, layer.strips_of_piece), int64_t{1});
  return layer;
}

}  // namespace

bool backward_weight_grouped_direct(const Conv2dShape& s, const float* grad_y, const float* x, float* grad_weight) {
  if (!has_small_groups_of_fours(s)) return false;
  const Padded<float> aligned_grad(grad_y, y_of(s), y_of(s)), aligned_x(x, x_of(s), x_of(s));
  const Layer layer = layer_of(s, aligned_grad.data(), aligned_x.data());
  const int64_t weights = s.OC * layer.taps() * layer.ICG;
  const Workspace<float> workspace(layer.pieces > 1 ? layer.pieces * weights : 0);
  float* const sums = layer.pieces > 1 ? workspace.data() : grad_weight;
  launch(direct_weight_kernel, static_cast<unsigned>(layer.pieces * layer.column_blocks * layer.turns), kThreads, layer,
         sums);
  if (layer.pieces > 1) add_pieces(layer.pieces, weights, sums, Total<float>{grad_weight}, grad_weight);
  return true;
}

}  // namespace atrous
