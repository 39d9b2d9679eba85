// The weight gradient of small groups on tensor cores: for each tap, grad_y (pixels, oc) transposed * windows (pixels,
// ic). A warp multiplies 16 oc by the ic of all their groups, and of these products keeps those within a group: the
// others are sums of their own, which nobody reads. A block walks over tiles of its piece of the grid, with a slab of
// channels of both factors in shared memory; pieces are added up afterwards, in their order.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_grouped.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kRows = 16;  // oc of a warp
constexpr int kWarps = kTileThreads / 32;

template <typename T>
constexpr int kSlab = kSlabBytes / static_cast<int>(sizeof(T));  // channels
template <typename T>
constexpr int kStepPixels = is_half<T> ? 16 : 8;  // that mma adds up
// Warps with the same rows, which take turns along the pixels; each makes a piece of its own.
template <typename T>
constexpr int kTurns = kWarps / (kSlab<T> / kRows);

// By ic of a warp in eights, 2 or 4: the taps whose sums it holds.
template <int tiles>
constexpr int kTaps = tiles == 2 ? 9 : 5;

// Bytes from pixel to pixel of grad_y: eight of 16 bytes, or four of 32, lie in different banks.
template <typename T>
constexpr int kPitch = kSlabBytes + (is_half<T> ? 16 : 32);

template <typename T>
struct Layer {
  const T *grad_y, *x;
  int C;            // channels in and out
  int group_shift;  // a group has 2^this channels
  int rows, columns;
  Axis h, w;
  int slabs, tap_runs;
  GridTile tile;
  int tiles, tiles_of_piece, pieces;
  bool packed;

  __host__ __device__ int taps() const { return h.taps * w.taps; }
  __host__ __device__ int group() const { return 1 << group_shift; }
  __host__ __device__ int64_t weights() const { return int64_t{C} * taps() << group_shift; }
};

// Pixels of grad_y in shared memory: whole steps.
__host__ __device__ inline int room_of(int pixels) { return (pixels + 15) / 16 * 16; }

template <typename T>
struct Shared {
  char *zeros, *grad_y, *x;  // grad_y: zeros for those that the grid does not have
  int *pixels, *taps;        // where they begin in x; -1 for pixels that the grid does not have

  __device__ explicit Shared(const Layer<T>& layer)
      : zeros(shared_memory<char>()),
        grad_y(zeros + kPitch<T>),
        x(grad_y + room_of(layer.tile.pixels()) * kPitch<T>),
        pixels(reinterpret_cast<int*>(x + layer.tile.view_bytes())),
        taps(pixels + kTilePixels) {}
};

// What a lane reads of a pixel for mma: where, and number i of those that it reads.
template <typename T>
struct Lane {
  int rows[is_half<T> ? 1 : 2], columns[is_half<T> ? 1 : 2];  // pixels of a step
  int row_channel, column_channel;

  __device__ Lane() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (is_half<T>) {
      rows[0] = lane % 8 + lane / 16 * 8, row_channel = lane / 8 % 2 * 8;
      columns[0] = lane % 16, column_channel = lane / 16 * 8;
    } else {
      for (int k = 0; k < 2; ++k) rows[k] = columns[k] = lane % 4 + 4 * k;
      row_channel = column_channel = lane / 4;
    }
  }
};

// grad_y of 16 oc, from where each of this lane's pixels begins.
template <typename T>
__device__ void load_rows(const char* const (&pixels)[is_half<T> ? 1 : 2], uint32_t (&to)[4]) {
  if constexpr (is_half<T>)
    load_matrices_transposed(pixels[0], to);
  else
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float* from = reinterpret_cast<const float*>(pixels[k / 2]) + k % 2 * 8;
      to[k] = to_tf32<false>(__float_as_uint(*from));
    }
}

// Windows of 16 ic.
template <typename T>
__device__ void load_columns(const char* const (&pixels)[is_half<T> ? 1 : 2], uint32_t (&to)[2][2]) {
  if constexpr (is_half<T>) {
    uint32_t four[4];
    load_matrices_transposed(pixels[0], four);
#pragma unroll
    for (int k = 0; k < 4; ++k) to[k / 2][k % 2] = four[k];
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float* from = reinterpret_cast<const float*>(pixels[k % 2]) + k / 2 * 8;
      to[k / 2][k % 2] = to_tf32<false>(__float_as_uint(*from));
    }
  }
}

// A warp's sums: for each tap, of 16 oc and `tiles` x 8 ic, as mma leaves them.
template <int tiles>
struct TapSums {
  float v[kTaps<tiles>][tiles][4] = {};
};

// Adds the products of a tile's pixels, of which this warp takes every kTurns-th step. `all`: whatever is in `offsets`;
// else those of `taps`. oc, ic: the warp's first in the slab.
template <bool all, typename T, int tiles>
__device__ void multiply(const Shared<T>& shared, int pixels, int turn, int oc, int ic,
                         const int (&offsets)[kTaps<tiles>], int taps, TapSums<tiles>& sums) {
  constexpr int kStep = kStepPixels<T>, n = is_half<T> ? 1 : 2;
  const Lane<T> lane;
  const char* const grad_y = shared.grad_y + (oc + lane.row_channel) * sizeof(T);
  const char *const zeros = shared.zeros, *const x = shared.x + (ic + lane.column_channel) * sizeof(T);
#pragma unroll 1
  for (int first = turn * kStep; first < pixels; first += kTurns<T> * kStep) {
    uint32_t rows[4];
    const char* from[n];
    int at[n];
#pragma unroll
    for (int k = 0; k < n; ++k) from[k] = grad_y + (first + lane.rows[k]) * kPitch<T>;
    load_rows<T>(from, rows);
#pragma unroll
    for (int k = 0; k < n; ++k) at[k] = shared.pixels[first + lane.columns[k]];
#pragma unroll
    for (int tap = 0; tap < kTaps<tiles>; ++tap) {
      if (!all && tap >= taps) break;
#pragma unroll
      for (int k = 0; k < n; ++k) from[k] = at[k] < 0 ? zeros : x + (at[k] + offsets[tap]);
#pragma unroll
      for (int i = 0; i < tiles / 2; ++i) {
        uint32_t columns[2][2];
        load_columns<T>(from, columns);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float* const c = sums.v[tap][2 * i + j];
          multiply_add<T>(c[0], c[1], c[2], c[3], rows, columns[j]);
        }
#pragma unroll
        for (int k = 0; k < n; ++k) from[k] += 16 * sizeof(T);
      }
    }
  }
}

// Those products that are of one group, to grad_weight (C, taps, group), two at a time: a group has an even number.
template <int tiles, typename T>
__device__ void store(const Layer<T>& layer, const TapSums<tiles>& sums, int oc, int ic, int first_tap, int taps,
                      float* grad_weight) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = oc + half * 8 + lane / 4;
    float* const to = grad_weight + ((int64_t{row} * layer.taps() + first_tap) << layer.group_shift);
#pragma unroll
    for (int j = 0; j < tiles; ++j) {
      const int column = ic + 8 * j + 2 * (lane % 4);
      if (row >= layer.C || (row ^ column) >> layer.group_shift != 0) continue;
      float* const first = to + (column & (layer.group() - 1));
#pragma unroll
      for (int tap = 0; tap < kTaps<tiles>; ++tap)
        if (tap < taps)
          store_as(first + (tap << layer.group_shift),
                   Pack<float, 2>{{sums.v[tap][j][2 * half], sums.v[tap][j][2 * half + 1]}});
    }
  }
}

// Starts to copy what a tile needs of both factors, and notes where its pixels are.
template <typename T>
__device__ void load_tile(const Layer<T>& layer, int tile, int first_channel, const Shared<T>& shared) {
  const int C = layer.C, rest = tile / layer.tile.across, down_tile = rest % layer.tile.down;
  const int64_t image = rest / layer.tile.down;
  const int row = down_tile * layer.tile.rows, column = (tile - rest * layer.tile.across) * layer.tile.columns;
  const View grid{row, column, layer.tile.rows, 1, layer.tile.columns, 1, kPitch<T>, layer.tile.columns * kPitch<T>};
  const View view = view_of(layer.tile, layer.h, layer.w, row, column);
  const T* const grad_y = layer.grad_y + image * (layer.rows * layer.columns) * C + first_channel;
  const T* const x = layer.x + image * (layer.h.size * layer.w.size) * C + first_channel;
  const int left = C - first_channel, bytes = (left < kSlab<T> ? left : kSlab<T>)*static_cast<int>(sizeof(T));
  if (layer.packed) {
    copy_view<16>(grid, grad_y, layer.rows, layer.columns, C, bytes, shared.grad_y);
    copy_view<16>(view, x, layer.h.size, layer.w.size, C, bytes, shared.x);
  } else {
    copy_view<8>(grid, grad_y, layer.rows, layer.columns, C, bytes, shared.grad_y);
    copy_view<8>(view, x, layer.h.size, layer.w.size, C, bytes, shared.x);
  }
  close_copies();
  const int self = static_cast<int>(threadIdx.x);
  const int down = static_cast<int>(threadIdx.x / static_cast<unsigned>(layer.tile.columns));
  const int across = self - down * layer.tile.columns;
  const bool exists = self < layer.tile.pixels() && row + down < layer.rows && column + across < layer.columns;
  const int at = view.place(down * layer.h.step, 0) + across * view.pitch;
  shared.pixels[self] = exists ? at : -1;
}

template <typename T, int tiles>
__global__ void __launch_bounds__(kTileThreads, 4) grouped_weight_kernel(Layer<T> layer, float* pieces) {
  constexpr int kIc = 8 * tiles;
  const int slab = static_cast<int>(blockIdx.x) % layer.slabs, rest = static_cast<int>(blockIdx.x) / layer.slabs;
  const int piece = rest / layer.tap_runs, first_tap = (rest - piece * layer.tap_runs) * kTaps<tiles>;
  const int left = layer.taps() - first_tap, taps = left < kTaps<tiles> ? left : kTaps<tiles>;
  const int self = static_cast<int>(threadIdx.x), first_channel = slab * kSlab<T>, pixels = layer.tile.pixels();
  const int warp = self / 32, turn = warp % kTurns<T>, oc = warp / kTurns<T> * kRows, ic = oc / kIc * kIc;
  const Shared<T> shared(layer);
  for (int i = self; i < kPitch<T> / 4; i += kTileThreads) reinterpret_cast<int*>(shared.zeros)[i] = 0;
  for (int i = pixels * (kPitch<T> / 4) + self; i < room_of(pixels) * (kPitch<T> / 4); i += kTileThreads)
    reinterpret_cast<int*>(shared.grad_y)[i] = 0;
  if (self < kTaps<tiles>) {  // those that are none have the sums of the last, which nobody stores
    const int tap = first_tap + (self < taps ? self : taps - 1), kh = tap / layer.w.taps, kw = tap - kh * layer.w.taps;
    shared.taps[self] = view_of(layer.tile, layer.h, layer.w, 0, 0).place(kh * layer.h.tap, kw * layer.w.tap);
  }
  TapSums<tiles> sums;
  const int first = piece * layer.tiles_of_piece, behind = first + layer.tiles_of_piece;
  for (int tile = first; tile < behind && tile < layer.tiles; ++tile) {
    __syncthreads();  // the tile before is done with
    load_tile(layer, tile, first_channel, shared);
    wait_copies<0>();
    __syncthreads();
    int offsets[kTaps<tiles>];  // not in registers while tiles are copied
#pragma unroll
    for (int tap = 0; tap < kTaps<tiles>; ++tap) offsets[tap] = shared.taps[tap];
    if (taps >= kTaps<tiles> - 1)
      multiply<true>(shared, pixels, turn, oc, ic, offsets, taps, sums);
    else
      multiply<false>(shared, pixels, turn, oc, ic, offsets, taps, sums);
  }
  store(layer, sums, first_channel + oc, first_channel + ic, first_tap, taps,
        pieces + (int64_t{piece} * kTurns<T> + turn) * layer.weights());
}

// Launchers.

template <typename T>
int64_t shared_bytes(const GridTile& tile, int taps) {
  return tile.view_bytes() + (1 + room_of(tile.pixels())) * kPitch<T> + 4 * (kTilePixels + taps);
}

template <typename T>
Layer<T> layer_of(const Conv2dShape& s, const T* grad_y, const T* x, int taps_of_warp) {
  Layer<T> layer{};
  layer.grad_y = grad_y, layer.x = x;
  layer.C = narrow(s.IC);
  while (layer.group() < s.IC / s.G) ++layer.group_shift;
  layer.rows = narrow(s.OH), layer.columns = narrow(s.OW);
  layer.h = height_of(s), layer.w = width_of(s);
  layer.slabs = narrow(divide_up(s.IC, kSlab<T>));
  layer.tap_runs = narrow(divide_up(layer.taps(), taps_of_warp));
  layer.packed = s.IC * sizeof(T) % 16 == 0;
  constexpr int kAtOnce = kTileThreads * 16 / kSlabBytes;
  layer.tile = choose_grid_tile(
      s.OH, s.OW, {layer.h.step, narrow((s.KH - 1) * s.dh)}, {layer.w.step, narrow((s.KW - 1) * s.dw)},
      {kSlabBytes, is_half<T> ? 16 : 32}, [&](const GridTile& tile) {
        const int copies = (tile.pixels() + kAtOnce - 1) / kAtOnce;
        const int steps = (tile.pixels() + kStepPixels<T> - 1) / kStepPixels<T>;
        return TileCost{shared_bytes<T>(tile, taps_of_warp), 250 + 22 * copies + 7 * taps_of_warp * steps / kTurns<T>};
      });
  return layer;
}

// Pieces of so many tiles that their blocks are some four for each multiprocessor of a large GPU, if there is work.
template <typename T>
void cut(int64_t tiles, Layer<T>& layer) {
  constexpr int64_t kBlocks = 512, kLeastTiles = 2;
  const int64_t pieces = divide_up(kBlocks, int64_t{layer.slabs} * layer.tap_runs);
  layer.tiles = narrow(tiles);
  layer.tiles_of_piece = narrow(std::max(divide_up(tiles, pieces), kLeastTiles));
  layer.pieces = narrow(std::max(divide_up(tiles, layer.tiles_of_piece), int64_t{1}));
}

template <typename T, int tiles>
bool run(const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  Layer<T> layer = layer_of(s, grad_y, x, kTaps<tiles>);
  const int64_t grid_tiles = s.N * layer.tile.down * layer.tile.across;
  if (layer.tile.pixels() == 0 || grid_tiles >= int64_t{1} << 30) return false;
  cut(grid_tiles, layer);
  const int64_t pieces = int64_t{layer.pieces} * kTurns<T>, weights = layer.weights();
  const bool directly = pieces == 1 && are_aligned(grad_weight);
  const Workspace<float> workspace(directly ? 0 : pieces * weights);
  float* const sums = directly ? grad_weight : workspace.data();
  launch_shared(grouped_weight_kernel<T, tiles>, static_cast<unsigned>(layer.pieces * layer.tap_runs * layer.slabs),
                kTileThreads, narrow(shared_bytes<T>(layer.tile, kTaps<tiles>)), layer, sums);
  if (!directly) add_pieces(pieces, weights, sums, Total<float>{grad_weight}, grad_weight);
  return true;
}

}  // namespace

template <typename T>
bool backward_weight_grouped(const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  const int64_t group = s.IC / s.G;
  if (!has_small_groups(s) || s.IC != s.OC || (group & (group - 1)) != 0 || s.IC * sizeof(T) % 8 != 0) return false;
  const Padded<T> aligned_grad(grad_y, y_of(s), y_of(s)), aligned_x(x, x_of(s), x_of(s));
  return group <= kRows ? run<T, 2>(s, aligned_grad.data(), aligned_x.data(), grad_weight)
                        : run<T, 4>(s, aligned_grad.data(), aligned_x.data(), grad_weight);
}

template bool backward_weight_grouped(const Conv2dShape&, const float*, const float*, float*);
template bool backward_weight_grouped(const Conv2dShape&, const Float16*, const Float16*, float*);
template bool backward_weight_grouped(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
