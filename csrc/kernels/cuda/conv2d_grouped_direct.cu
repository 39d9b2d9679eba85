// Convolutions in small groups by plain multiply-adds, forward and backward_input: a thread has four filters of a group
// at eight pixels of a row, and adds up tap by tap and channel by channel. What windows and groups share comes from the
// caches.
#include "core/memory.h"
#include "kernels/cuda/conv2d_grids.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kStrip = 8;     // pixels of a thread
constexpr int kTogether = 4;  // of which are on their way from memory at a time
constexpr int kLanes = 4;     // of filters, and of channels read at a time

// To (taps, channels of a group, all filters).
__global__ void by_tap_kernel(int64_t count, int64_t filters, int64_t all_filters, Filters<float> from, float* by_tap) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t f = i % all_filters, rest = i / all_filters, group = f / filters;
  by_tap[i] = from.weight[group * from.group + (f - group * filters) * from.filter +
                          rest % from.channels * from.channel + rest / from.channels * from.tap];
}

template <typename Grid>
struct Direct {
  const float *images, *by_tap;
  int64_t C, all_filters;
  int channels, filters, KW;  // of a group
  int rows, columns, parts;   // of a grid
  Grid grid;

  struct Sums {
    float v[kStrip][kLanes] = {};
  };

  __device__ void operator()(const Place& place) const {
    const int64_t image = place.n / parts;
    const auto part = static_cast<unsigned>(place.n - image * parts);
    const Field field = grid.field(part);
    const Axis &h = field.h, &w = field.w;
    const int first = static_cast<int>(place.w) * kStrip;
    const int top = static_cast<int>(place.h) * h.step + h.first, left = first * w.step + w.first;
    const float* const from = images + image * h.size * w.size * C + place.c / filters * channels;
    Sums sums;
    for (int kh = 0; kh < h.taps; ++kh) {
      const int ih = top + kh * h.tap;
      if (ih < 0 || ih >= h.size) continue;
      for (int kw = 0; kw < w.taps; ++kw) {
        const float* const weight = by_tap + field.tap(kh, kw, KW) * channels * all_filters + place.c;
        add_tap(from + int64_t{ih} * w.size * C, left + kw * w.tap, w, weight, sums);
      }
    }
    const auto target = grid.target(part);
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      if (first + i >= columns) break;
      const int64_t to = target.row((image * rows + place.h) * columns + first + i);
      if (to >= 0) put(target, to, place.c, sums.v[i]);
    }
  }

  template <typename Target>
  __device__ static void put(const Target& target, int64_t row, int64_t filter, const float (&sums)[kLanes]) {
    if (target.packed) return target.template put<kLanes>(row, filter, {sums[0], sums[1], sums[2], sums[3]});
#pragma unroll
    for (int j = 0; j < kLanes; ++j) target.template put<1>(row, filter + j, {sums[j]});
  }

  // Adds what a tap sees of a row, from column `left` on.
  __device__ void add_tap(const float* row, int left, const Axis& w, const float* weight, Sums& sums) const {
    for (int c = 0; c < channels; c += kLanes) {
      Pack<float, kLanes> of_channel[kLanes];
#pragma unroll
      for (int k = 0; k < kLanes; ++k) of_channel[k] = load_pack<kLanes>(weight + (c + k) * all_filters);
#pragma unroll
      for (int first = 0; first < kStrip; first += kTogether) {
        Pack<float, kLanes> seen[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          const int iw = left + (first + i) * w.step;
          seen[i] = iw >= 0 && iw < w.size ? load_pack<kLanes>(row + iw * C + c) : Pack<float, kLanes>{};
        }
#pragma unroll
        for (int k = 0; k < kLanes; ++k)
#pragma unroll
          for (int i = 0; i < kTogether; ++i)
#pragma unroll
            for (int j = 0; j < kLanes; ++j) add_product(seen[i].v[k], of_channel[k].v[j], sums.v[first + i][j]);
      }
    }
  }
};

// Launchers.

template <typename Grid>
void run(const Conv2dShape& s, Direct<Grid> job, const Filters<float>& filters) {
  const int64_t weights = s.KH * s.KW * job.channels * job.all_filters;
  const Workspace<float> by_tap(weights);
  launch(by_tap_kernel, static_cast<unsigned>(divide_up(weights, kThreads)), kThreads, weights, job.filters,
         job.all_filters, filters, by_tap.data());
  job.by_tap = by_tap.data();
  for_tiles<kLanes>(s.N * job.parts, job.rows, divide_up(job.columns, kStrip), job.all_filters, job);
}

}  // namespace

bool forward_grouped_direct(const Conv2dShape& s, const float* x, const float* weight, const Epilogue<float>& e,
                            float* y) {
  if (!has_small_groups_of_fours(s)) return false;
  const Padded<float> images(x, x_of(s), x_of(s));
  const OutputGrid<float> grid(s, e, y, are_aligned(y, e.scale, e.bias, e.residual));
  run(s,
      Direct<OutputGrid<float>>{images.data(), nullptr, s.IC, s.OC, narrow(s.IC / s.G), narrow(s.OC / s.G),
                                narrow(s.KW), narrow(s.OH), narrow(s.OW), 1, grid},
      Filters<float>::of_y(s, weight));
  return true;
}

bool backward_input_grouped_direct(const Conv2dShape& s, const float* grad_y, const float* weight, float* grad_x) {
  if (!has_small_groups_of_fours(s)) return false;
  const Padded<float> images(grad_y, y_of(s), y_of(s));
  const InputGrid<float> grid(s, grad_x, are_aligned(grad_x));
  run(s,
      Direct<InputGrid<float>>{images.data(), nullptr, s.OC, s.IC, narrow(s.OC / s.G), narrow(s.IC / s.G), narrow(s.KW),
                               narrow(grid.h().pixels()), narrow(grid.w().pixels()), grid.parts(), grid},
      Filters<float>::of_grad_x(s, weight));
  return true;
}

}  // namespace atrous
