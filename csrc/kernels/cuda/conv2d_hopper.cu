// The convolution by Hopper's matrix units, as a product of matrices that is nowhere in memory:
//   y[m, oc] = sum over k of pixels[m, k] * filters[oc, k]
// m counts output pixels (n, oh, ow), k taps and input channels (kh, kw, ic), as they lie in weight. A block computes
// tiles of kRows pixels x kColumns channels, one after the other, of one convolution or of some. One thread asks the
// copy engine to fill a ring of stages in shared memory, each with the tile's pixels and filters at one tap and 128
// bytes of channels; two or three warpgroups multiply, each for 64 of the pixels, with all sums in registers. A stage
// has two barriers: `full`, on which the warpgroups wait, and `empty`, on which the engine's thread waits.
#include <algorithm>

#include "core/memory.h"
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/conv2d_phases.h"
#include "kernels/cuda/conv2d_tiles.h"
#include "kernels/cuda/hopper.h"
#include "kernels/cuda/hopper_gpu.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

// A warp turns its sums into rows by way of a room in shared memory: 8 rows of 128 bytes at a time. Their 16-byte units
// are permuted, by XOR with this, so that no two lanes write to one bank; rooms begin at multiples of 128 bytes.
constexpr int kRoom = 8 * 128;
__device__ inline uint32_t permutation_of(uint32_t row) { return (row % 4 * 2 + row / 4) * 16; }

template <int number>  // in kHopperTiles
struct Tile {
  static constexpr HopperTile kTile = kHopperTiles[number];
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kStages = kTile.stages, kBlocks = kTile.blocks;
  static constexpr int kWarps = kRows / 16;  // which multiply; the engine's thread is in a further one
  static constexpr int kThreads = 32 * (kWarps + 1);
  static constexpr int kPixelBytes = kRows * 128, kStageBytes = kPixelBytes + kColumns * 128;
  using Stages = atrous::Stages<kStages, kStageBytes>;  // pixels, then filters; behind them a room for each warp
  static constexpr int kShared = Stages::kBytes + 128 + kWarps * kRoom;
  static_assert(kBlocks * (kShared + 1024) <= 228 * 1024);
};

// Filters lie along K, the channels of the sum; or, of the input's gradient, along the columns, whose channels are
// weight's last axis. Of 16-bit numbers the matrix units take both.
constexpr int kBox = 64;  // such columns and channels at a time
template <typename Tile, bool by_columns>
__device__ void fill_filters(const CUtensorMap* filters, uint32_t to, uint32_t full, int c, int tap, int column) {
  if constexpr (by_columns)
    for (int i = 0; i < Tile::kColumns; i += kBox) copy_box(to + i * 128, filters, full, column + i, tap, c);
  else
    copy_box(to, filters, full, c, tap, column);
}

template <typename T, typename Tile, bool by_columns>
__device__ void fill(const Layers& layers, const typename Tile::Stages& stages, const CUtensorMap* filters) {
  Ring<Tile::kStages> ring;
  each_tile<Tile>(layers, [&](const Layer& layer, int m, int oc) {
    const Corner corner(layer, m);
    const Taps taps = layer.taps;  // in registers: else all of it would be read again at each step
    const CUtensorMap* const pixels = &layer.pixels;
    const int steps = layer.steps, IC = layer.IC, KW = layer.KW, dh = layer.dh, dw = layer.dw;
    int kh = 0, kw = 0, c = 0;
    for (int step = 0; step < steps; ++step, ring.next()) {
      barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
      const uint32_t to = stages.stage(ring.stage), full = stages.full(ring.stage);
      barrier_arrive_expecting(full, Tile::kStageBytes);
      copy_pixels(to, pixels, full, c, corner.w, corner.h, corner.n, static_cast<uint16_t>(kw * dw),
                  static_cast<uint16_t>(kh * dh));
      fill_filters<Tile, by_columns>(filters, to + Tile::kPixelBytes, full, c,
                                     taps.first + kh * taps.step_h + kw * taps.step_w, oc);
      if ((c += kHopperDepth<T>) < IC) continue;
      c = 0;
      if (++kw == KW) kw = 0, ++kh;
    }
  });
}

template <typename T, int n>
__device__ void store_row(const Target<T>& target, int64_t place, int column, int columns, const Pack<T, n>& numbers) {
  if (column >= columns) return;
  T* const to = target.y + place + column;
  if (target.packed) return store_pack(to, numbers);
#pragma unroll
  for (int e = 0; e < n; ++e)
    if (column + e < columns) to[e] = numbers.v[e];
}

// The sums of eight pixels from m on go through the epilogue, where they are: of eight columns a lane has two, of pixel
// lane / 4, and of the next four sums two are of the eighth pixel behind it.
template <typename T, int n>
__device__ void change(const Layer& layer, const Target<T>& target, int m, int oc, float* sums) {
  const uint32_t lane = lane_number();
  const int pixel = m + static_cast<int>(lane / 4), column = oc + static_cast<int>(lane % 4 * 2);
  if (pixel >= layer.M) return;
  const int64_t place = layer.place(pixel) * layer.OC;
#pragma unroll
  for (int i = 0; i < n; i += 4) {
    Pack<float, 2> two{{sums[i], sums[i + 1]}};
    target.change(place, column + 2 * i, layer.OC, two);
    sums[i] = two.v[0], sums[i + 1] = two.v[1];
  }
}

// The sums of a warp, of 16 pixels from m on and the columns from oc on, through the epilogue into y.
template <typename T, int n>
__device__ void store(const Layer& layer, const Target<T>& target, uint32_t room, int m, int oc, float (&sums)[n]) {
  constexpr int kPack = Target<T>::kPack, kPass = 8 * kPack, kBytes = sizeof(T);
  const uint32_t lane = lane_number();
  const uint32_t to = (room + lane / 4 * 128) ^ permutation_of(lane / 4) ^ lane % 4 * (2 * kBytes);
  const uint32_t from = (room + lane / 8 * 128) ^ permutation_of(lane / 8) ^ lane % 8 * 16;
  const int own_row = static_cast<int>(lane / 8), own_column = static_cast<int>(lane % 8) * kPack;
#pragma unroll
  for (int half = 0; half < 2; ++half, m += 8) {
    const int64_t upper = layer.place(m + own_row) * layer.OC, lower = layer.place(m + own_row + 4) * layer.OC;
#pragma unroll
    for (int pass = 0; pass < 2 * n / kPass; ++pass) {
      const int first = oc + pass * kPass, column = first + own_column;
      if (first >= layer.OC) break;
      float* const of_pass = sums + pass * kPass / 2 + 2 * half;
      if (!layer.plain) change<T, kPass / 2>(layer, target, m, first, of_pass);
#pragma unroll
      for (int i = 0; i < kPass / 2; i += 4)
        store_shared(to ^ 2 * i * kBytes, round_to<T>(Pack<float, 2>{{of_pass[i], of_pass[i + 1]}}));
      __syncwarp();
      if (m + own_row < layer.M) store_row(target, upper, column, layer.OC, load_shared<kPack, T>(from));
      if (m + own_row + 4 < layer.M)
        store_row(target, lower, column, layer.OC, load_shared<kPack, T>((from ^ 16) + 4 * 128));
      __syncwarp();
    }
  }
}

template <typename T, typename Tile, bool by_columns>
__device__ void multiply(const Layers& layers, const typename Tile::Stages& stages, int warp, const Target<T>& target) {
  const int group = warp / 4;
  const uint32_t rooms = (stages.end() + 127) & ~127u;
  Ring<Tile::kStages> ring;
  each_tile<Tile>(layers, [&](const Layer& layer, int m, int oc) {
    float sums[Tile::kColumns / 2];
    add_steps(stages, ring, layer.steps, sums, [&](uint32_t stage) {
      const uint64_t pixels = matrix_descriptor(stage + group * 64 * 128);
      const uint64_t filters = matrix_descriptor(stage + Tile::kPixelBytes, by_columns ? kBox * 128 : 16);
      constexpr int kNext = by_columns ? 16 * 128 / 16 : 2;
#pragma unroll
      for (int k = 0; k < 4; ++k)  // 32 bytes of each pixel, and as much of each filter, or 16 of its rows
        wgmma<T, false, by_columns>(sums, pixels + 2 * k, filters + kNext * k);
    });
    store(layer, target, rooms + warp * kRoom, m + 16 * warp, oc, sums);
  });
}

template <typename T, typename Tile, bool by_columns>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    hopper_kernel(const __grid_constant__ Layers layers, const __grid_constant__ Target<T> target,
                  const __grid_constant__ CUtensorMap filters) {
  const typename Tile::Stages stages;
  const int warp =
      __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);  // tells the compiler: the same in all lanes
  if (threadIdx.x == 0) stages.begin(Tile::kWarps);
  __syncthreads();
  if (warp < Tile::kWarps)
    multiply<T, Tile, by_columns>(layers, stages, warp, target);
  else if (threadIdx.x == 32 * Tile::kWarps)
    fill<T, Tile, by_columns>(layers, stages, &filters);
}

// to (IC, taps, OC) = from (OC, taps, IC). A block takes 32 x 32 numbers of a tap by way of shared memory, so that both
// sides are read and written along their rows.
__global__ void transpose_kernel(const float* from, int64_t taps, int OC, int IC, int oc_tiles, int ic_tiles,
                                 float* to) {
  __shared__ float square[32][33];
  const int x = static_cast<int>(threadIdx.x) % 32, y = static_cast<int>(threadIdx.x) / 32;
  const int rest = blockIdx.x / ic_tiles, tap = rest / oc_tiles;
  const int64_t first_ic = blockIdx.x % ic_tiles * 32, first_oc = rest % oc_tiles * 32;
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t oc = first_oc + i, ic = first_ic + x;
    if (oc < OC && ic < IC) square[i][x] = from[(oc * taps + tap) * IC + ic];
  }
  __syncthreads();
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t ic = first_ic + i, oc = first_oc + x;
    if (oc < OC && ic < IC) to[(ic * taps + tap) * OC + oc] = square[x][i];
  }
}

// Launchers.

// Filters in memory, and of how many taps.
template <typename T>
struct Filters {
  const T* data;
  int64_t taps;
};

template <typename T, typename Tile, bool by_columns>
void launch_hopper(const Parts& parts, const T* x, const Filters<T>& filters, const Target<T>& target) {
  const Layers layers = layers_of<T, Tile>(parts, x, does_nothing(target.then));
  const int at_once = Tile::kBlocks * attribute(cudaDevAttrMultiProcessorCount);
  const int64_t IC = parts[0].IC, OC = parts[0].OC;
  const CUtensorMap map =
      by_columns ? map_of_boxes(filters.data, OC, filters.taps, IC, kBox, kBox, "the weight")
                 : map_of_boxes(filters.data, IC, filters.taps, OC, kHopperDepth<T>, Tile::kColumns, "the weight");
  launch_shared(hopper_kernel<T, Tile, by_columns>, static_cast<unsigned>(std::min(layers.tiles, at_once)),
                Tile::kThreads, Tile::kShared, layers, target, map);
}

// Both factors aligned; kHopperLayers parts at most.
template <typename T, bool by_columns = false>
void run_hopper(const Parts& parts, const T* x, const Filters<T>& filters, const Epilogue<T>& e, T* y) {
  const Target<T> target{y, e, may_be_packed<Target<T>::kPack>(parts[0].OC, y, e.scale, e.bias, e.residual)};
  with_number<std::size(kHopperTiles)>(hopper_tile(parts, kHopperDepth<T>), [&](auto number) {
    launch_hopper<T, Tile<decltype(number)::value>, by_columns>(parts, x, filters, target);
  });
}

template <bool by_columns, typename T>
void run_phases(const Parts& phases, const T* grad_y, const Filters<T>& filters, T* grad_x) {
  for (size_t i = 0; i < phases.size(); i += kHopperLayers) {
    const auto first = phases.data() + i, end = phases.data() + std::min(i + kHopperLayers, phases.size());
    run_hopper<T, by_columns>({first, end}, grad_y, filters, {}, grad_x);
  }
}

void transpose(const Conv2dShape& s, const float* weight, float* to) {
  const int64_t taps = s.KH * s.KW, oc_tiles = divide_up(s.OC, 32), ic_tiles = divide_up(s.IC, 32);
  launch(transpose_kernel, static_cast<unsigned>(taps * oc_tiles * ic_tiles), kThreads, weight, taps, narrow(s.OC),
         narrow(s.IC), narrow(oc_tiles), narrow(ic_tiles), to);
}

template <typename T>
bool can_read_filters(const Conv2dShape& s) {
  constexpr int64_t kPack = 16 / static_cast<int64_t>(sizeof(T));
  return std::is_same_v<T, float> || s.IC % kPack == 0;
}

}  // namespace

template <typename T>
bool forward_hopper(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  if (!hopper_fits(s, kHopperDepth<T>) || !is_hopper()) return false;
  const int64_t taps = s.KH * s.KW;
  const Aligned pixels(x, s.N * s.IH * s.IW * s.IC), filters(weight, s.OC * taps * s.IC);
  const Part all{s, {0, narrow(s.OH), narrow(s.OW), 1, 1, true}, {0, narrow(s.KW), 1}};
  run_hopper<T>({all}, pixels.data(), {filters.data(), taps}, e, y);
  return true;
}

template <typename T>
bool backward_input_hopper(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  constexpr int64_t kMostPhases = 4 * kHopperLayers;  // more would take more launches
  const int64_t taps = s.KH * s.KW, most_blocks = taps * divide_up(s.OC, 32) * divide_up(s.IC, 32);
  if (s.sh * s.sw > kMostPhases || most_blocks >= int64_t{1} << 31 || !can_read_filters<T>(s) || !is_hopper())
    return false;
  const Parts phases = phases_of(s);
  for (const Part& phase : phases)
    if (!hopper_fits(phase, kHopperDepth<T>)) return false;
  if (static_cast<int64_t>(phases.size()) < std::min(s.sh, s.IH) * std::min(s.sw, s.IW))  // some get nothing
    check_cuda(cudaMemsetAsync(grad_x, 0, static_cast<size_t>(s.N * s.IH * s.IW * s.IC) * sizeof(T), current_stream()),
               "fill");
  const Aligned pixels(grad_y, s.N * s.OH * s.OW * s.OC), filters(weight, s.OC * taps * s.IC);
  if constexpr (std::is_same_v<T, float>) {  // of which the matrix units take only filters that lie along K, here OC
    const Workspace<float> transposed(s.IC * taps * s.OC);
    transpose(s, filters.data(), transposed.data());
    run_phases<false>(phases, pixels.data(), {transposed.data(), taps}, grad_x);
  } else {
    run_phases<true>(phases, pixels.data(), {filters.data(), taps}, grad_x);
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
