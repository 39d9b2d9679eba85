// The convolution by Hopper's matrix units, as a product of matrices that is nowhere in memory:
//   y[m, oc] = sum over k of pixels[m, k] * filters[oc, k]
// m counts output pixels (n, oh, ow), k taps and input channels (kh, kw, ic), as they lie in weight. A block computes
// tiles of kRows pixels x kColumns channels, one after the other. One thread asks the copy engine to fill a ring of
// stages in shared memory, each with the tile's pixels and filters at one tap and 128 bytes of channels; two or three
// warpgroups multiply, each for 64 of the pixels, with all sums in registers. A stage has two barriers: `full`, on
// which the warpgroups wait, and `empty`, on which the engine's thread waits.
#include <utility>
#include <vector>

#include "core/memory.h"
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/conv2d_tiles.h"
#include "kernels/cuda/hopper.h"
#include "kernels/cuda/hopper_gpu.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

// Where pixels of the result stand in y: in each image of H x W, from `first` on, so many steps apart.
struct Grid {
  int64_t first;
  int H, W, step_h, step_w;
};

struct Layer : Geometry {
  int steps, column_tiles, tiles;
  Grid grid;

  __device__ int64_t place(int m) const {
    const int row = m / OW, n = row / OH;
    return grid.first + (int64_t{n} * grid.H + (row - n * OH) * grid.step_h) * grid.W + (m - row * OW) * grid.step_w;
  }
};

// A warp turns its sums into rows by way of a room in shared memory, 16 rows of 16 columns at a time; there they are so
// far apart that no two lanes write to one bank.
constexpr int kPass = 16;                // columns
constexpr int kPitch = 4 * (kPass + 8);  // bytes
constexpr int kRoom = 16 * kPitch;

template <int number>  // in kHopperTiles
struct Tile {
  static constexpr HopperTile kTile = kHopperTiles[number];
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kStages = kTile.stages, kBlocks = kTile.blocks;
  static constexpr int kWarps = kRows / 16;  // which multiply; the engine's thread is in a further one
  static constexpr int kThreads = 32 * (kWarps + 1);
  static constexpr int kPixelBytes = kRows * 128, kStageBytes = kPixelBytes + kColumns * 128;
  using Stages = atrous::Stages<kStages, kStageBytes>;  // pixels, then filters; behind them a room for each warp
  static constexpr int kShared = Stages::kBytes + kWarps * kRoom;
  static_assert(kBlocks * (kShared + 1024) <= 228 * 1024);
};

template <typename T, typename Tile>
__device__ void fill(const Layer& layer, const typename Tile::Stages& stages, const CUtensorMap* pixels,
                     const CUtensorMap* filters) {
  Ring<Tile::kStages> ring;
  for (int tile = blockIdx.x; tile < layer.tiles; tile += gridDim.x) {
    const int m = tile / layer.column_tiles * Tile::kRows, oc = tile % layer.column_tiles * Tile::kColumns;
    const Corner corner(layer, m);
    int kh = 0, kw = 0, c = 0;
    for (int step = 0; step < layer.steps; ++step, ring.next()) {
      barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
      const uint32_t to = stages.stage(ring.stage), full = stages.full(ring.stage);
      barrier_arrive_expecting(full, Tile::kStageBytes);
      copy_pixels(to, pixels, full, c, corner.w, corner.h, corner.n, static_cast<uint16_t>(kw * layer.dw),
                  static_cast<uint16_t>(kh * layer.dh));
      copy_box(to + Tile::kPixelBytes, filters, full, c, kh * layer.KW + kw, oc);
      if ((c += kHopperDepth<T>) < layer.IC) continue;
      c = 0;
      if (++kw == layer.KW) kw = 0, ++kh;
    }
  }
}

// The sums of a warp, of 16 pixels from m on and the columns from oc on, through the epilogue into y.
template <typename T, int n>
__device__ void store(const Layer& layer, const Target<T>& target, uint32_t room, int m, int oc,
                      const float (&sums)[n]) {
  constexpr int kNumbers = Target<T>::kPack, kLanes = kPass / kNumbers;  // that share a row
  constexpr int kAtOnce = 32 / kLanes, kTurns = 16 / kAtOnce;
  const int lane = lane_number(), row = lane / kLanes, column = lane % kLanes * kNumbers;
  int64_t places[kTurns];
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) places[turn] = layer.place(m + row + kAtOnce * turn) * layer.OC;
#pragma unroll
  for (int pass = 0; pass < 2 * n / kPass; ++pass) {
    const int first = oc + pass * kPass, own = first + column;
    if (first >= layer.OC) break;
#pragma unroll
    for (int j = 0; j < kPass / 8; ++j) {
      const float* const four = sums + (pass * (kPass / 8) + j) * 4;
      const uint32_t to = room + lane / 4 * kPitch + 4 * (8 * j + lane % 4 * 2);
      store_shared(to, four[0], four[1]);
      store_shared(to + 8 * kPitch, four[2], four[3]);
    }
    __syncwarp();
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      if (m + row + kAtOnce * turn >= layer.M || own >= layer.OC) continue;
      const uint32_t from = room + (row + kAtOnce * turn) * kPitch + 4 * column;
      if (target.packed) {
        target.put(places[turn], own, load_shared<kNumbers>(from));
      } else {
#pragma unroll 1
        for (int e = 0; e < kNumbers && own + e < layer.OC; ++e)
          target.put(places[turn], own + e, load_shared<1>(from + 4 * e));
      }
    }
    __syncwarp();
  }
}

template <typename T, typename Tile>
__device__ void multiply(const Layer& layer, const typename Tile::Stages& stages, int warp, const Target<T>& target) {
  const int group = warp / 4;
  Ring<Tile::kStages> ring;
  for (int tile = blockIdx.x; tile < layer.tiles; tile += gridDim.x) {
    float sums[Tile::kColumns / 2];
    add_steps(stages, ring, layer.steps, sums, [&](uint32_t stage) {
      const uint64_t pixels = matrix_descriptor(stage + group * 64 * 128);
      const uint64_t filters = matrix_descriptor(stage + Tile::kPixelBytes);
#pragma unroll
      for (int k = 0; k < 4; ++k)  // 32 bytes of each row
        wgmma<T>(sums, pixels + 2 * k, filters + 2 * k);
    });
    const int m = tile / layer.column_tiles * Tile::kRows + 16 * warp, oc = tile % layer.column_tiles * Tile::kColumns;
    store(layer, target, stages.end() + warp * kRoom, m, oc, sums);
  }
}

template <typename T, typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    hopper_kernel(const __grid_constant__ Layer layer, const __grid_constant__ Target<T> target,
                  const __grid_constant__ CUtensorMap pixels, const __grid_constant__ CUtensorMap filters) {
  const typename Tile::Stages stages;
  const int warp =
      __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);  // tells the compiler: the same in all lanes
  if (threadIdx.x == 0) stages.begin(Tile::kWarps);
  __syncthreads();
  if (warp < Tile::kWarps)
    multiply<T, Tile>(layer, stages, warp, target);
  else if (threadIdx.x == 32 * Tile::kWarps)
    fill<T, Tile>(layer, stages, &pixels, &filters);
}

// Some taps of a kernel.
struct Taps {
  int KW, first_h, first_w, step_h, step_w, h, w;
};

// to (IC, h * w, OC) = from (OC, taps, IC), with these taps in reverse. A block takes 32 x 32 numbers of a tap by way
// of shared memory, so that both sides are read and written along their rows.
template <typename T>
__global__ void reverse_kernel(const T* from, Taps taps, int64_t all_taps, int OC, int IC, int oc_tiles, int ic_tiles,
                               T* to) {
  __shared__ T square[32][33];
  const int x = static_cast<int>(threadIdx.x) % 32, y = static_cast<int>(threadIdx.x) / 32;
  const int rest = blockIdx.x / ic_tiles, tap = rest / oc_tiles, h = tap / taps.w, w = tap - h * taps.w;
  const int64_t first_ic = blockIdx.x % ic_tiles * 32, first_oc = rest % oc_tiles * 32;
  const int64_t kernel_tap = int64_t{taps.first_h + h * taps.step_h} * taps.KW + taps.first_w + w * taps.step_w;
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t oc = first_oc + i, ic = first_ic + x;
    if (oc < OC && ic < IC) square[i][x] = from[(oc * all_taps + kernel_tap) * IC + ic];
  }
  __syncthreads();
  const int64_t count = int64_t{taps.h} * taps.w;
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t ic = first_ic + i, oc = first_oc + x;
    if (oc < OC && ic < IC) to[(ic * count + (count - 1 - tap)) * OC + oc] = square[x][i];
  }
}

// Launchers.

template <typename T, typename Tile>
void launch_hopper(const Conv2dShape& s, const T* x, const T* weight, const Target<T>& target, const Grid& grid) {
  constexpr int kDepth = kHopperDepth<T>;
  const int64_t M = s.N * s.OH * s.OW, column_tiles = divide_up(s.OC, Tile::kColumns);
  const int64_t tiles = divide_up(M, Tile::kRows) * column_tiles;
  const Layer layer{geometry_of(s), narrow(hopper_steps(s, kDepth)), narrow(column_tiles), narrow(tiles), grid};
  const int64_t at_once = Tile::kBlocks * int64_t{attribute(cudaDevAttrMultiProcessorCount)};
  launch_shared(hopper_kernel<T, Tile>, static_cast<unsigned>(tiles < at_once ? tiles : at_once), Tile::kThreads,
                Tile::kShared, layer, target, map_of_pixels(s, x, Tile::kRows, kDepth),
                map_of_filters(s, weight, Tile::kColumns, kDepth));
}

// Both factors aligned.
template <typename T>
void run_hopper(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y, const Grid& grid) {
  const Target<T> target{y, e, may_be_packed<Target<T>::kPack>(s.OC, y, e.scale, e.bias, e.residual)};
  with_number(hopper_tile(s, kHopperDepth<T>),
              [&](auto number) { launch_hopper<T, Tile<decltype(number)::value>>(s, x, weight, target, grid); });
}

}  // namespace

template <typename T>
bool forward_hopper(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  if (!hopper_fits(s, kHopperDepth<T>) || !is_hopper()) return false;
  const Aligned pixels(x, s.N * s.IH * s.IW * s.IC), filters(weight, s.OC * s.KH * s.KW * s.IC);
  run_hopper(s, pixels.data(), filters.data(), e, y, {0, narrow(s.OH), narrow(s.OW), 1, 1});
  return true;
}

template <typename T>
bool backward_input_hopper(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  constexpr int64_t kMostPhases = 16;  // each is a launch
  const int64_t taps = s.KH * s.KW, oc_tiles = divide_up(s.OC, 32), ic_tiles = divide_up(s.IC, 32);
  if (s.sh * s.sw > kMostPhases || taps * oc_tiles * ic_tiles >= int64_t{1} << 31 || !is_hopper()) return false;
  std::vector<std::pair<Phase, Phase>> phases;
  bool reached = true;
  for (int64_t first_h = 0; first_h < s.sh && first_h < s.IH; ++first_h)
    for (int64_t first_w = 0; first_w < s.sw && first_w < s.IW; ++first_w) {
      const Phase h = rows_of(s, first_h), w = columns_of(s, first_w);
      if (h.taps * w.taps == 0)
        reached = false;
      else if (hopper_fits(backward_of(s, h, w), kHopperDepth<T>))
        phases.emplace_back(h, w);
      else
        return false;
    }
  if (!reached)
    check_cuda(cudaMemsetAsync(grad_x, 0, static_cast<size_t>(s.N * s.IH * s.IW * s.IC) * sizeof(T), current_stream()),
               "fill");
  const Workspace<T> filters(s.IC * taps * s.OC);
  const Aligned pixels(grad_y, s.N * s.OH * s.OW * s.OC);
  for (const auto& [h, w] : phases) {
    const Taps some{narrow(s.KW),     narrow(h.tap),  narrow(w.tap), narrow(h.period),
                    narrow(w.period), narrow(h.taps), narrow(w.taps)};
    launch(reverse_kernel<T>, static_cast<unsigned>(h.taps * w.taps * oc_tiles * ic_tiles), kThreads, weight, some,
           taps, narrow(s.OC), narrow(s.IC), narrow(oc_tiles), narrow(ic_tiles), filters.data());
    run_hopper<T>(backward_of(s, h, w), pixels.data(), filters.data(), {}, grad_x,
                  {h.first * s.IW + w.first, narrow(s.IH), narrow(s.IW), narrow(s.sh), narrow(s.sw)});
  }
  return true;
}

template bool forward_hopper(const Conv2dShape&, const float*, const float*, const Epilogue<float>&, float*);
template bool forward_hopper(const Conv2dShape&, const Float16*, const Float16*, const Epilogue<Float16>&, Float16*);
template bool forward_hopper(const Conv2dShape&, const BFloat16*, const BFloat16*, const Epilogue<BFloat16>&,
                             BFloat16*);
template bool backward_input_hopper(const Conv2dShape&, const float*, const float*, float*);
template bool backward_input_hopper(const Conv2dShape&, const Float16*, const Float16*, Float16*);
template bool backward_input_hopper(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
