// Convolutions in small groups on tensor cores, forward and backward_input: products of windows (pixels, K) and filters
// (K, filters), for each group, with K its taps and channels. A block copies what its pixels see of several groups to
// shared memory; a warp there multiplies the windows of 32 pixels in a group, wherever their pieces lie.
//   K goes by pieces of 8 bytes, four a step: lane t of four has piece t, of two pixels and of a filter. Which of the
//   instruction's K a piece's numbers stand for is nothing to a sum, if both factors agree.
#include "core/memory.h"
#include "kernels/cuda/conv2d_grouped.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kBatch = 64;  // pixels whose sums are brought together in shared memory, to be stored 16 bytes at a time
constexpr int kUnitPixels = 32;   // of a warp's sums
constexpr int kMostFilters = 64;  // of a slab
constexpr int kMostParts = 64;    // for each of which there are fragments of the filters

using Piece = Pack<uint32_t, 2>;

template <typename T>
struct Layer {
  const T* images;  // (N, rows, columns, groups, channels), channels in whole pieces
  int N, groups, channels, filters;
  int rows, columns;  // of a grid
  int parts, slab, slabs;
  GridTile tile;
  int steps, filter_tiles;  // of the longest part's K; of 8 filters
  bool packed;              // images, 16 bytes at a time

  __host__ __device__ int pieces() const { return channels / kPiece<T>; }
  __host__ __device__ int64_t fragments() const { return int64_t{groups} * filter_tiles * steps * 32; }  // of a part
  __host__ __device__ int sums_pitch() const { return slab * filters + 8; }  // 8: lanes meet other banks
  int other_bytes() const { return 4 * (4 * steps + kTilePixels + kBatch * sums_pitch()); }  // tables and sums
};

// Where piece number i of K is: a tap, and a piece of its channels. With the pieces of a row of taps filled up to whole
// steps, if these are not more then: the taps of a step are then side by side, and in different banks.
struct PlaceInK {
  int kh, kw, piece;
  bool exists;

  __device__ PlaceInK(const Field& field, int pieces, int i) {
    const int exact = field.w.taps * pieces, filled = (exact + 3) / 4 * 4;
    const int row = (field.h.taps * exact + 3) / 4 == field.h.taps * filled / 4 ? filled : exact;
    kh = row > 0 ? i / row : 0;
    kw = (i - kh * row) / pieces;
    piece = i - kh * row - kw * pieces;
    exists = kh < field.h.taps && kw < field.w.taps;
  }
};

// Each lane's pieces of the filters, in the order in which warps read them: (part, group, tile of 8 filters, step).
template <typename T, typename Grid>
__global__ void fragments_kernel(Layer<T> layer, Grid grid, Filters<T> filters, Piece* fragments) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= layer.parts * layer.fragments()) return;
  const int lane = static_cast<int>(i % 32), step = static_cast<int>(i / 32 % layer.steps);
  const int64_t rest = i / 32 / layer.steps, group = rest / layer.filter_tiles % layer.groups;
  const int filter = static_cast<int>(rest % layer.filter_tiles) * 8 + lane / 4, piece = 4 * step + lane % 4;
  const Field field = grid.field(static_cast<unsigned>(rest / layer.filter_tiles / layer.groups));
  const PlaceInK place(field, layer.pieces(), piece);
  const int channel = place.piece * kPiece<T>;
  Pack<T, kPiece<T>> numbers{};
  if (place.exists && filter < layer.filters) {
    const int64_t tap = field.tap(place.kh, place.kw, filters.KW);
    const T* from = filters.weight + group * filters.group + tap * filters.tap + filter * filters.filter;
    for (int k = 0; k < kPiece<T>; ++k)
      if (channel + k < filters.channels) numbers.v[k] = from[(channel + k) * filters.channel];
  }
  Piece bits;
  memcpy(&bits, &numbers, 8);
  if constexpr (!is_half<T>)
    for (int k = 0; k < 2; ++k) bits.v[k] = to_tf32<false>(bits.v[k]);
  fragments[i] = bits;
}

template <typename T>
struct Shared {
  char* view;
  int *pieces, *pixels;  // where they begin in the view; -1 for a piece behind the last
  float* sums;           // (kBatch, sums_pitch)

  __device__ explicit Shared(const Layer<T>& layer)
      : view(shared_memory<char>()),
        pieces(reinterpret_cast<int*>(view + layer.tile.view_bytes())),
        pixels(pieces + 4 * layer.steps),
        sums(reinterpret_cast<float*>(pixels + kTilePixels)) {}
};

template <typename T>
__device__ void fill_tables(const Layer<T>& layer, const Field& field, const View& view, int steps,
                            const Shared<T>& shared) {
  const int self = static_cast<int>(threadIdx.x);
  for (int i = self; i < 4 * steps; i += kTileThreads) {
    const PlaceInK place(field, layer.pieces(), i);
    const int row = place.kh * field.h.tap - lowest(field.h), column = place.kw * field.w.tap - lowest(field.w);
    shared.pieces[i] = place.exists ? row * view.row_pitch + column * view.pitch + place.piece * 8 : -1;
  }
  static_assert(kTilePixels == kTileThreads);
  const int row = self / layer.tile.columns, column = self - row * layer.tile.columns;
  const int at = row * field.h.step * view.row_pitch + column * field.w.step * view.pitch;
  shared.pixels[self] = self < layer.tile.pixels() ? at : 0;  // 0: some pixel, whose sums nobody stores
}

// Sums for 32 pixels and `tiles` x 8 filters of a group, by a warp, as mma leaves them.
template <int tiles>
struct UnitSums {
  float v[kUnitPixels / 16][tiles][4] = {};
};

template <typename T, int tiles>
__device__ void multiply(const char* group, const int* pixels, const int* pieces, int steps, const Piece* fragments,
                         int fragments_of_tile, UnitSums<tiles>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const char* rows[kUnitPixels / 8];
#pragma unroll
  for (int i = 0; i < kUnitPixels / 8; ++i) rows[i] = group + pixels[8 * i + lane / 4];
  for (int step = 0; step < steps; ++step) {
    const int at = pieces[4 * step + lane % 4];
    Piece filters[tiles];
#pragma unroll
    for (int j = 0; j < tiles; ++j) filters[j] = load_as<Piece>(fragments + j * fragments_of_tile + 32 * step + lane);
#pragma unroll
    for (int i = 0; i < kUnitPixels / 16; ++i) {
      Piece upper{}, lower{};
      if (at >= 0) {
        upper = load_as<Piece>(rows[2 * i] + at);
        lower = load_as<Piece>(rows[2 * i + 1] + at);
      }
      uint32_t windows[4] = {upper.v[0], lower.v[0], upper.v[1], lower.v[1]};
      if constexpr (!is_half<T>)
        for (uint32_t& number : windows) number = to_tf32<false>(number);
#pragma unroll
      for (int j = 0; j < tiles; ++j) {
        float* const c = sums.v[i][j];
        multiply_add<T>(c[0], c[1], c[2], c[3], windows, filters[j].v);
      }
    }
  }
}

template <int tiles>
__device__ void put_sums(const UnitSums<tiles>& sums, int first_filter, int filters, int pitch, float* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < kUnitPixels / 16; ++i)
#pragma unroll
    for (int j = 0; j < tiles; ++j)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int filter = first_filter + 8 * j + 2 * (lane % 4) + k % 2;
        if (filter < filters) to[(16 * i + 8 * (k / 2) + lane / 4) * pitch + filter] = sums.v[i][j][k];
      }
}

// A block's part of a grid, from pixel (row, column) on, and the channels that it makes.
struct Region {
  int image, row, column;
  int channel, channels;
};

template <int n, typename T, typename Target>
__device__ void store_batch(const Layer<T>& layer, const Region& region, const Target& target, int first,
                            const float* sums) {
  const int packs = region.channels / n;
  for (int i = static_cast<int>(threadIdx.x); i < kBatch * packs; i += kTileThreads) {
    const int place = i / packs, channel = (i - place * packs) * n, pixel = first + place;
    const int down = pixel / layer.tile.columns, row = region.row + down;
    const int column = region.column + pixel - down * layer.tile.columns;
    if (pixel >= layer.tile.pixels() || row >= layer.rows || column >= layer.columns) continue;
    const int64_t to = target.row((int64_t{region.image} * layer.rows + row) * layer.columns + column);
    if (to < 0) continue;
    Pack<float, n> pack;
#pragma unroll
    for (int k = 0; k < n; ++k) pack.v[k] = sums[place * layer.sums_pitch() + channel + k];
    target.template put<n>(to, region.channel + channel, pack);
  }
}

// number = number / count; the remainder.
__device__ inline int split_off(unsigned& number, int count) {
  const unsigned all = number;
  number = all / static_cast<unsigned>(count);
  return static_cast<int>(all - number * static_cast<unsigned>(count));
}

template <typename T, int tiles, typename Grid>
__global__ void __launch_bounds__(kTileThreads, 4) grouped_kernel(Layer<T> layer, Grid grid, const Piece* fragments) {
  unsigned rest = blockIdx.x;
  const int slab = split_off(rest, layer.slabs), part = split_off(rest, layer.parts);
  const int across = split_off(rest, layer.tile.across), down = split_off(rest, layer.tile.down);
  const int first_group = slab * layer.slab, left = layer.groups - first_group;
  const int groups = left < layer.slab ? left : layer.slab;
  const Region region{static_cast<int>(rest), down * layer.tile.rows, across * layer.tile.columns,
                      first_group * layer.filters, groups * layer.filters};
  const Field field = grid.field(static_cast<unsigned>(part));
  const auto target = grid.target(static_cast<unsigned>(part));
  const Axis &h = field.h, &w = field.w;
  const int steps = (field.taps() * layer.pieces() + 3) / 4;
  const View view{region.row * h.step + h.first + lowest(h),
                  region.column * w.step + w.first + lowest(w),
                  seen(layer.tile.rows, h.step, reach(h)),
                  seen(layer.tile.columns, w.step, reach(w)),
                  layer.tile.pitch,
                  layer.tile.row_pitch};
  const Shared<T> shared(layer);
  const int64_t C = int64_t{layer.groups} * layer.channels;
  const T* const image = layer.images + region.image * (int64_t{h.size} * w.size * C) + first_group * layer.channels;
  const int group_bytes = layer.channels * static_cast<int>(sizeof(T));
  if (steps > 0 && layer.packed)
    copy_view<16>(view, image, h.size, w.size, C, groups * group_bytes, shared.view);
  else if (steps > 0)
    copy_view<8>(view, image, h.size, w.size, C, groups * group_bytes, shared.view);
  close_copies();
  fill_tables(layer, field, view, steps, shared);
  wait_copies<0>();
  __syncthreads();
  fragments += part * layer.fragments() + int64_t{first_group} * layer.filter_tiles * layer.steps * 32;
  const int warp = static_cast<int>(threadIdx.x) / 32, runs = layer.filter_tiles / tiles;
  for (int first = 0; first < layer.tile.pixels(); first += kBatch) {
    for (int unit = warp; unit < kBatch / kUnitPixels * groups * runs; unit += kTileThreads / 32) {
      const int run = unit % runs, group = unit / runs % groups, pixel = unit / runs / groups * kUnitPixels;
      const int tile = run * tiles;
      UnitSums<tiles> sums;
      multiply<T>(shared.view + group * group_bytes, shared.pixels + first + pixel, shared.pieces, steps,
                  fragments + (int64_t{group} * layer.filter_tiles + tile) * layer.steps * 32, layer.steps * 32, sums);
      put_sums(sums, tile * 8, layer.filters, layer.sums_pitch(),
               shared.sums + pixel * layer.sums_pitch() + group * layer.filters);
    }
    __syncthreads();
    if (target.packed)
      store_batch<16 / static_cast<int>(sizeof(T))>(layer, region, target, first, shared.sums);
    else
      store_batch<1>(layer, region, target, first, shared.sums);
    __syncthreads();
  }
}

// Launchers.

// images: of so many groups and channels, in pieces; filters: for each group. No tile if none fits a multiprocessor.
template <typename T>
Layer<T> layer_of(int64_t N, int64_t groups, int64_t channels, int64_t filters, int64_t rows, int64_t columns,
                  const Extent& h, const Extent& w, int64_t taps) {
  Layer<T> layer{};
  layer.N = narrow(N), layer.groups = narrow(groups), layer.filters = narrow(filters);
  layer.channels = narrow(divide_up(channels, kPiece<T>)) * kPiece<T>;
  layer.rows = narrow(rows), layer.columns = narrow(columns);
  layer.parts = 1;
  const int bytes = layer.channels * static_cast<int>(sizeof(T));
  layer.slab = std::min({layer.groups, kSlabBytes / bytes, std::max(1, kMostFilters / layer.filters)});
  layer.slabs = narrow(divide_up(groups, layer.slab));
  layer.filter_tiles = layer.filters <= 8 ? 1 : narrow(divide_up(filters, 16)) * 2;
  layer.steps = narrow(divide_up(taps * layer.pieces(), 4));
  layer.tile = choose_grid_tile(rows, columns, h, w, layer.slab * bytes, bytes, layer.other_bytes());
  return layer;
}

template <typename T, typename Grid>
void run(Layer<T> layer, const Grid& grid, const Filters<T>& filters, const T* images) {
  const int64_t row_bytes = int64_t{layer.groups} * layer.channels * sizeof(T);
  layer.images = images;
  layer.packed = row_bytes % 16 == 0 && layer.slab * layer.channels * sizeof(T) % 16 == 0;
  const Workspace<Piece> fragments(layer.parts * layer.fragments());
  launch(fragments_kernel<T, Grid>, static_cast<unsigned>(divide_up(layer.parts * layer.fragments(), kThreads)),
         kThreads, layer, grid, filters, fragments.data());
  const int64_t blocks = int64_t{layer.N} * layer.tile.down * layer.tile.across * layer.parts * layer.slabs;
  require(blocks < int64_t{1} << 31, "conv2d: ", blocks, " tiles are more than a GPU takes at once");
  launch_shared(layer.filter_tiles == 1 ? grouped_kernel<T, 1, Grid> : grouped_kernel<T, 2, Grid>,
                static_cast<unsigned>(blocks), kTileThreads, narrow(layer.tile.view_bytes()) + layer.other_bytes(),
                layer, grid, fragments.data());
}

}  // namespace

template <typename T>
bool forward_grouped(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  if (!has_small_groups(s)) return false;
  const int64_t OCG = s.OC / s.G;
  const auto layer = layer_of<T>(s.N, s.G, s.IC / s.G, OCG, s.OH, s.OW, {narrow(s.sh), narrow((s.KH - 1) * s.dh)},
                                 {narrow(s.sw), narrow((s.KW - 1) * s.dw)}, s.KH * s.KW);
  if (layer.tile.pixels() == 0) return false;
  const Padded<T> images(x, x_of(s), x_of(with_channels(s, layer.channels, OCG)));
  const bool packed =
      s.OC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * OCG, y, e.scale, e.bias, e.residual);
  run(layer, OutputGrid<T>(s, e, y, packed), Filters<T>::of_y(s, weight), images.data());
  return true;
}

template <typename T>
bool backward_input_grouped(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  if (!has_small_groups(s)) return false;
  const int64_t ICG = s.IC / s.G;
  InputGrid<T> grid(s, grad_x, false);
  const Stride &h = grid.h(), &w = grid.w();
  auto layer = layer_of<T>(s.N, s.G, s.OC / s.G, ICG, h.pixels(), w.pixels(), {1, (h.most_taps() - 1) * h.jump},
                           {1, (w.most_taps() - 1) * w.jump}, h.most_taps() * w.most_taps());
  layer.parts = grid.parts();
  if (layer.tile.pixels() == 0 || layer.parts > kMostParts) return false;
  grid.grad_x.packed = s.IC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * ICG, grad_x);
  const Padded<T> images(grad_y, y_of(s), y_of(with_channels(s, ICG, layer.channels)));
  run(layer, grid, Filters<T>::of_grad_x(s, weight), images.data());
  return true;
}

template bool forward_grouped(const Conv2dShape&, const float*, const float*, const Epilogue<float>&, float*);
template bool forward_grouped(const Conv2dShape&, const Float16*, const Float16*, const Epilogue<Float16>&, Float16*);
template bool forward_grouped(const Conv2dShape&, const BFloat16*, const BFloat16*, const Epilogue<BFloat16>&,
                              BFloat16*);
template bool backward_input_grouped(const Conv2dShape&, const float*, const float*, float*);
template bool backward_input_grouped(const Conv2dShape&, const Float16*, const Float16*, Float16*);
template bool backward_input_grouped(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
