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
  int64_t C;  // channels in and out
  int group;  // channels, a power of two
  int rows, columns;
  Axis h, w;
  int slabs, tap_runs;
  GridTile tile;
  int64_t tiles, tiles_of_piece, pieces;
  bool packed;

  __host__ __device__ int taps() const { return h.taps * w.taps; }
};

template <typename T>
struct Shared {
  char *zeros, *grad_y, *x;
  int *pixels, *taps;  // where they begin in x; -1 for pixels that the grid does not have

  __device__ explicit Shared(const Layer<T>& layer)
      : zeros(shared_memory<char>()),
        grad_y(zeros + kPitch<T>),
        x(grad_y + kTilePixels * kPitch<T>),
        pixels(reinterpret_cast<int*>(x + layer.tile.view_bytes())),
        taps(pixels + kTilePixels) {}
};

// What a lane gives to mma of grad_y and of windows, for pixels from `first` on.
template <typename T>
struct Factors {
  const Layer<T>& layer;
  const Shared<T>& shared;
  int oc, ic;  // first of the warp, in the slab

  // Pixel number i of a step, in grad_y or, moved by a tap, in x.
  __device__ const T* grad_y(int first, int i) const {
    const int pixel = first + i;
    return reinterpret_cast<const T*>(shared.pixels[pixel] < 0 ? shared.zeros : shared.grad_y + pixel * kPitch<T>);
  }
  __device__ const T* window(int first, int i, int tap) const {
    const int at = shared.pixels[first + i];
    return reinterpret_cast<const T*>(at < 0 ? shared.zeros : shared.x + at + shared.taps[tap]);
  }

  __device__ void load_rows(int first, uint32_t (&to)[4]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (is_half<T>) {
      load_matrices_transposed(grad_y(first, lane % 8 + lane / 16 * 8) + oc + lane / 8 % 2 * 8, to);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const T* from = grad_y(first, lane % 4 + k / 2 * 4) + oc + k % 2 * 8 + lane / 4;
        to[k] = to_tf32<false>(__float_as_uint(*from));
      }
    }
  }

  // Of 16 ic, number `sixteen` of them.
  __device__ void load_columns(int first, int tap, int sixteen, uint32_t (&to)[2][2]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, channel = ic + sixteen * 16;
    if constexpr (is_half<T>) {
      uint32_t four[4];
      load_matrices_transposed(window(first, lane % 16, tap) + channel + lane / 16 * 8, four);
#pragma unroll
      for (int k = 0; k < 4; ++k) to[k / 2][k % 2] = four[k];
    } else {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const T* from = window(first, lane % 4 + k * 4, tap) + channel + lane / 4;
#pragma unroll
        for (int j = 0; j < 2; ++j) to[j][k] = to_tf32<false>(__float_as_uint(from[8 * j]));
      }
    }
  }
};

// A warp's sums: for each tap, of 16 oc and `tiles` x 8 ic, as mma leaves them.
template <int tiles>
struct TapSums {
  float v[kTaps<tiles>][tiles][4] = {};
};

// Adds the products of a tile's pixels, of which this warp takes every kTurns-th step.
template <typename T, int tiles>
__device__ void multiply(const Factors<T>& factors, int turn, int taps, TapSums<tiles>& sums) {
  constexpr int kStep = kStepPixels<T>;
  for (int first = turn * kStep; first < factors.layer.tile.pixels(); first += kTurns<T> * kStep) {
    uint32_t rows[4];
    factors.load_rows(first, rows);
#pragma unroll
    for (int tap = 0; tap < kTaps<tiles>; ++tap) {
      if (tap >= taps) break;
#pragma unroll
      for (int i = 0; i < tiles / 2; ++i) {
        uint32_t columns[2][2];
        factors.load_columns(first, tap, i, columns);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float* const c = sums.v[tap][2 * i + j];
          multiply_add<T>(c[0], c[1], c[2], c[3], rows, columns[j]);
        }
      }
    }
  }
}

// Those products that are of one group, to grad_weight (C, taps, group).
template <int tiles, typename T>
__device__ void store(const Layer<T>& layer, const TapSums<tiles>& sums, int64_t oc, int64_t ic, int first_tap,
                      int taps, float* grad_weight) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tap = 0; tap < kTaps<tiles>; ++tap)
#pragma unroll
    for (int j = 0; j < tiles; ++j)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int64_t row = oc + k / 2 * 8 + lane / 4, column = ic + 8 * j + 2 * (lane % 4) + k % 2;
        if (tap < taps && row < layer.C && row / layer.group == column / layer.group)
          grad_weight[(row * layer.taps() + first_tap + tap) * layer.group + column % layer.group] = sums.v[tap][j][k];
      }
}

// Starts to copy what a tile needs of both factors, and notes where its pixels are.
template <typename T>
__device__ void load_tile(const Layer<T>& layer, int64_t tile, int64_t first_channel, const Shared<T>& shared) {
  const int64_t C = layer.C, rest = tile / layer.tile.across, image = rest / layer.tile.down;
  const int row = static_cast<int>(rest - image * layer.tile.down) * layer.tile.rows;
  const int column = static_cast<int>(tile - rest * layer.tile.across) * layer.tile.columns;
  const View grid{row, column, layer.tile.rows, layer.tile.columns, kPitch<T>, layer.tile.columns * kPitch<T>};
  const View view{row * layer.h.step + layer.h.first,
                  column * layer.w.step + layer.w.first,
                  layer.tile.seen_rows,
                  layer.tile.seen_columns,
                  layer.tile.pitch,
                  layer.tile.row_pitch};
  const T* const grad_y = layer.grad_y + image * layer.rows * layer.columns * C + first_channel;
  const T* const x = layer.x + image * layer.h.size * layer.w.size * C + first_channel;
  const int64_t left = C - first_channel;
  const int bytes = left < kSlab<T> ? static_cast<int>(left * sizeof(T)) : kSlabBytes;
  if (layer.packed) {
    copy_view<16>(grid, grad_y, layer.rows, layer.columns, C, bytes, shared.grad_y);
    copy_view<16>(view, x, layer.h.size, layer.w.size, C, bytes, shared.x);
  } else {
    copy_view<8>(grid, grad_y, layer.rows, layer.columns, C, bytes, shared.grad_y);
    copy_view<8>(view, x, layer.h.size, layer.w.size, C, bytes, shared.x);
  }
  close_copies();
  const int self = static_cast<int>(threadIdx.x), down = self / layer.tile.columns;
  const int across = self - down * layer.tile.columns;
  const bool exists = self < layer.tile.pixels() && row + down < layer.rows && column + across < layer.columns;
  const int at = down * layer.h.step * view.row_pitch + across * layer.w.step * view.pitch;
  shared.pixels[self] = exists ? at : -1;
}

template <typename T, int tiles>
__global__ void __launch_bounds__(kTileThreads, 4) grouped_weight_kernel(Layer<T> layer, float* pieces) {
  constexpr int kIc = 8 * tiles;
  const int slab = static_cast<int>(blockIdx.x % layer.slabs);
  const int64_t rest = blockIdx.x / layer.slabs, piece = rest / layer.tap_runs;
  const int first_tap = static_cast<int>(rest % layer.tap_runs) * kTaps<tiles>, self = static_cast<int>(threadIdx.x);
  const int taps = layer.taps() - first_tap < kTaps<tiles> ? layer.taps() - first_tap : kTaps<tiles>;
  const int warp = self / 32, turn = warp % kTurns<T>, oc = warp / kTurns<T> * kRows, ic = oc / kIc * kIc;
  const Shared<T> shared(layer);
  for (int i = self; i < kPitch<T> / 4; i += kTileThreads) reinterpret_cast<int*>(shared.zeros)[i] = 0;
  if (self < taps) {
    const int kh = (first_tap + self) / layer.w.taps, kw = first_tap + self - kh * layer.w.taps;
    shared.taps[self] = kh * layer.h.tap * layer.tile.row_pitch + kw * layer.w.tap * layer.tile.pitch;
  }
  TapSums<tiles> sums;
  const int64_t first = piece * layer.tiles_of_piece, behind = first + layer.tiles_of_piece;
  for (int64_t tile = first; tile < behind && tile < layer.tiles; ++tile) {
    __syncthreads();  // the tile before is done with
    load_tile(layer, tile, int64_t{slab} * kSlab<T>, shared);
    wait_copies<0>();
    __syncthreads();
    multiply(Factors<T>{layer, shared, oc, ic}, turn, taps, sums);
  }
  const int64_t weights = layer.C * layer.taps() * layer.group, channel = int64_t{slab} * kSlab<T>;
  store(layer, sums, channel + oc, channel + ic, first_tap, taps, pieces + (piece * kTurns<T> + turn) * weights);
}

// Launchers.

template <typename T>
constexpr int other_bytes(int taps) {
  return (1 + kTilePixels) * kPitch<T> + 4 * (kTilePixels + taps);
}

template <typename T>
Layer<T> layer_of(const Conv2dShape& s, const T* grad_y, const T* x, int taps_of_warp) {
  Layer<T> layer{};
  layer.grad_y = grad_y, layer.x = x;
  layer.C = s.IC, layer.group = narrow(s.IC / s.G);
  layer.rows = narrow(s.OH), layer.columns = narrow(s.OW);
  layer.h = height_of(s), layer.w = width_of(s);
  layer.slabs = narrow(divide_up(s.IC, kSlab<T>));
  layer.tap_runs = narrow(divide_up(layer.taps(), taps_of_warp));
  layer.packed = s.IC * sizeof(T) % 16 == 0;
  layer.tile =
      choose_grid_tile(s.OH, s.OW, {layer.h.step, narrow((s.KH - 1) * s.dh)}, {layer.w.step, narrow((s.KW - 1) * s.dw)},
                       kSlabBytes, is_half<T> ? 16 : 32, other_bytes<T>(taps_of_warp));
  layer.tiles = s.N * layer.tile.down * layer.tile.across;
  return layer;
}

// Pieces of so many tiles that their blocks are some four for each multiprocessor of a large GPU, if there is work.
template <typename T>
void cut(Layer<T>& layer) {
  constexpr int64_t kBlocks = 512, kLeastTiles = 4;
  const int64_t pieces = divide_up(kBlocks, int64_t{layer.slabs} * layer.tap_runs);
  layer.tiles_of_piece = std::max(divide_up(layer.tiles, pieces), kLeastTiles);
  layer.pieces = std::max(divide_up(layer.tiles, layer.tiles_of_piece), int64_t{1});
}

template <typename T, int tiles>
bool run(const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  Layer<T> layer = layer_of(s, grad_y, x, kTaps<tiles>);
  if (layer.tile.pixels() == 0) return false;
  cut(layer);
  const int64_t pieces = layer.pieces * kTurns<T>, weights = s.IC * layer.taps() * layer.group;
  const Workspace<float> workspace(pieces > 1 ? pieces * weights : 0);
  float* const sums = pieces > 1 ? workspace.data() : grad_weight;
  launch_shared(grouped_weight_kernel<T, tiles>, static_cast<unsigned>(layer.pieces * layer.tap_runs * layer.slabs),
                kTileThreads, narrow(layer.tile.view_bytes()) + other_bytes<T>(kTaps<tiles>), layer, sums);
  if (pieces > 1) add_pieces(pieces, weights, sums, Total<float>{grad_weight}, grad_weight);
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
