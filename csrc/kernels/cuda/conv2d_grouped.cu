// Convolutions in small groups on tensor cores, forward and backward_input. A block copies what its pixels see of
// several groups to shared memory; there its warps multiply units of them (conv2d_grouped_units.h), wherever the pieces
// lie.
#include "core/memory.h"
#include "kernels/cuda/conv2d_grouped_filters.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kMostFilters = 64;  // of a slab
constexpr int kMostParts = 64;    // for each of which there are fragments of the filters

template <typename T>
struct Shared {
  char* zeros;
  int64_t* rows;         // where the sums of pixels are stored, or -1
  int *pixels, *pieces;  // where they begin in the view; -1 for a piece that is missing
  char* view;
  float* sums;  // (kBatch, row_of_sums)

  __device__ explicit Shared(const Layer<T>& layer)
      : zeros(shared_memory<char>()),
        rows(reinterpret_cast<int64_t*>(zeros + kZeroBytes)),
        pixels(reinterpret_cast<int*>(rows + kTilePixels)),
        pieces(pixels + kTilePixels),
        view(zeros + layer.table_bytes()),
        sums(reinterpret_cast<float*>(layer.sums_in_view ? view : view + layer.room_of_view())) {}
};

// A block's part of a grid, from pixel (row, column) on, and the channels that it makes.
struct Region {
  int image, row, column;
  int channel, channels;
};

template <typename T, typename Target>
__device__ void fill_tables(const Layer<T>& layer, const Field& field, const View& view, int steps,
                            const Region& region, const Target& target, const Shared<T>& shared) {
  const int self = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int i = self; i < 2 * steps; i += kTileThreads) {
    const PlaceInK place(field, layer.pieces(), i);
    const int row = place.kh * field.h.tap - lowest(field.h), column = place.kw * field.w.tap - lowest(field.w);
    shared.pieces[i] = place.exists ? view.place(row, column) + place.piece * kPieceBytes : -1;
  }
  for (int i = self; i < kZeroBytes / 4; i += kTileThreads) reinterpret_cast<int*>(shared.zeros)[i] = 0;
  static_assert(kTilePixels == kTileThreads);
  const int down = static_cast<int>(threadIdx.x / static_cast<unsigned>(layer.tile.columns));
  const int across = self - down * layer.tile.columns;
  const int row = region.row + down, column = region.column + across;
  const bool inside = self < layer.tile.pixels();  // others stand for some pixel, whose sums nobody stores
  shared.pixels[self] = inside ? view.place(down * field.h.step, 0) + across * view.pitch : 0;
  shared.rows[self] = inside && row < layer.rows && column < layer.columns
                          ? target.row((int64_t{region.image} * layer.rows + row) * layer.columns + column)
                          : -1;
}

// The sums of 64 pixels; `pixels`: where they begin.
template <typename Way, typename T>
__device__ void multiply_batch(const Layer<T>& layer, int taps, const int* pixels, int groups, const Four* fragments,
                               const Shared<T>& shared) {
  const int pieces = taps * layer.pieces(), steps = (pieces + 1) / 2, run_bit = layer.runs - 1;
  const int* const of_lane = shared.pieces + lane_of() / 16;
  const int warp = static_cast<int>(threadIdx.x / 32);
  for (int first = 0; first < layer.units; first += kTileThreads / 32) {
    const int unit = first + warp, group = (unit >> run_bit) * Way::groups, run = unit & run_bit;
    UnitSums<Way> sums;
    if (group < groups) {
      // Where there is no second group, the first is read again: what lies behind may be anything.
      Windows windows{{}, shared.zeros, group + 1 < groups ? layer.group_bytes() : 0};
#pragma unroll
      for (int i = 0; i < kSets; ++i)
        windows.from[i] = shared.view + pixels[16 * i + lane_of() % 16] + group * layer.group_bytes();
      const Four* const filters = fragments + static_cast<unsigned>(unit) * static_cast<unsigned>(layer.steps) * 32;
      multiply<T>(windows, of_lane, pieces / 2, steps, filters, sums);
      if constexpr (Way::groups > 1)
        if (layer.pair() && may_have_nan(sums)) multiply_members<T>(windows, of_lane, steps, filters, sums);
    }
    if (layer.sums_in_view) __syncthreads();
    if (group < groups)
      put_sums(sums, {(groups - group) * layer.members(), group * layer.filters, layer.filters_of_one, layer.pair()},
               run * 8 * Way::tiles, layer.row_of_sums(), shared.sums);
    __syncwarp();
  }
}

// What a thread stores of a batch: of every step-th pixel the same channels, n side by side.
struct Share {
  int first, step, channel;

  __device__ Share(int channels, int n) {
    const unsigned packs = static_cast<unsigned>(channels) / static_cast<unsigned>(n), column = threadIdx.x / packs;
    step = static_cast<int>(kTileThreads / packs);
    first = static_cast<int>(column) < step ? static_cast<int>(column) : kBatch;
    channel = static_cast<int>(threadIdx.x - column * packs) * n;
  }
};

// put(where a pixel is, its n sums).
template <int n, typename Put>
__device__ void for_sums(const Share& share, const RowOfSums& row, const int64_t* rows, const float* sums,
                         const Put& put) {
  constexpr int kTogether = n < 4 ? n : 4;
  const int step = share.step * row.pitch();
  sums += share.first * row.pitch();
#pragma unroll 1
  for (int pixel = share.first; pixel < kBatch; pixel += share.step, sums += step) {
    const int64_t to = rows[pixel];
    if (to < 0) continue;
    Pack<float, n> pack;
#pragma unroll
    for (int k = 0; k < n; k += kTogether) {
      const auto some = load_pack<kTogether>(sums + row.place(share.channel + k));
#pragma unroll
      for (int j = 0; j < kTogether; ++j) pack.v[k + j] = some.v[j];
    }
    put(to, pack);
  }
}

template <typename T, typename Target>
__device__ void store_batch(const Layer<T>& layer, const Share& share, int channel, const Target& target,
                            const int64_t* rows, const float* sums) {
  constexpr int n = 16 / sizeof(T);
  const RowOfSums row = layer.row_of_sums();
  channel += share.channel;
  T* const y = target.y + channel;
  if (!target.packed)
    for_sums<1>(share, row, rows, sums,
                [&](int64_t to, const auto& pack) { target.template put<1>(to, channel, pack); });
  else if (layer.plain)
    for_sums<n>(share, row, rows, sums, [&](int64_t to, const auto& pack) { store_pack(y + to, round_to<T>(pack)); });
  else
    for_sums<n>(share, row, rows, sums,
                [&](int64_t to, const auto& pack) { target.template put<n>(to, channel, pack); });
}

__device__ inline int smaller(int a, int b) { return a < b ? a : b; }

// number = number / count; the remainder.
__device__ inline int split_off(unsigned& number, int count) {
  const unsigned all = number;
  number = all / static_cast<unsigned>(count);
  return static_cast<int>(all - number * static_cast<unsigned>(count));
}

template <typename T, typename Way, typename Grid>
__global__ void __launch_bounds__(kTileThreads, is_half<T> ? 5 : 4)
    grouped_kernel(Layer<T> layer, Grid grid, const Four* fragments) {
  unsigned rest = blockIdx.x;
  const int slab = split_off(rest, layer.slabs), part = split_off(rest, layer.parts);
  const int across = split_off(rest, layer.tile.across), down = split_off(rest, layer.tile.down);
  const int first_group = slab * layer.slab, left = layer.groups - first_group;
  const int groups = smaller(left, layer.slab), first_filter = first_group * layer.filters;
  const Region region{static_cast<int>(rest), down * layer.tile.rows, across * layer.tile.columns, first_filter,
                      smaller(groups * layer.filters, layer.OC - first_filter)};
  const Field field = grid.field(static_cast<unsigned>(part));
  const auto target = grid.target(static_cast<unsigned>(part));
  const Axis &h = field.h, &w = field.w;
  const int steps = (field.taps() * layer.group_bytes() + kStepBytes - 1) / kStepBytes;
  const View view = view_of(layer.tile, h, w, region.row, region.column);
  const Shared<T> shared(layer);
  const int first_channel = first_group * layer.channels;
  const T* const image = layer.images + region.image * (int64_t{h.size} * w.size * layer.C) + first_channel;
  const int bytes = smaller(groups * layer.group_bytes(), (layer.C - first_channel) * static_cast<int>(sizeof(T)));
  if (steps > 0 && layer.packed)
    copy_view<16>(view, image, h.size, w.size, layer.C, bytes, shared.view);
  else if (steps > 0)
    copy_view<8>(view, image, h.size, w.size, layer.C, bytes, shared.view);
  close_copies();
  fill_tables(layer, field, view, steps, region, target, shared);
  wait_copies<0>();
  __syncthreads();
  fragments += part * layer.fragments() + int64_t{slab} * layer.units * layer.steps * 32;
  const Share share(region.channels, target.packed ? 16 / static_cast<int>(sizeof(T)) : 1);
  for (int first = 0; first < layer.tile.pixels(); first += kBatch) {
    multiply_batch<Way>(layer, field.taps(), shared.pixels + first, groups, fragments, shared);
    __syncthreads();
    store_batch(layer, share, region.channel, target, shared.rows + first, shared.sums);
    __syncthreads();
  }
}

// Launchers.

// f(the Way for so many filters of a group).
template <typename F>
void with_way(int64_t filters, const F& f) {
  return filters <= 8 ? f(WayOfEights{}) : f(WayOfMore{});
}

// images: of so many groups and channels, in pieces; filters: for each group. No tile if none fits a multiprocessor.
template <typename T>
Layer<T> layer_of(int64_t N, int64_t groups, int64_t channels, int64_t filters, int64_t rows, int64_t columns,
                  const Extent& h, const Extent& w, int64_t taps) {
  constexpr int64_t kPiece = kPieceBytes / sizeof(T);
  Layer<T> layer{};
  layer.N = narrow(N), layer.OC = narrow(groups * filters);
  const int members = channels <= kPiece / 2 && filters <= 4 ? 2 : 1;
  layer.groups = narrow(divide_up(groups, members)), layer.filters = narrow(filters * members);
  layer.filters_of_one = narrow(filters);
  layer.channels = narrow(divide_up(channels, kPiece) * kPiece);
  layer.C = narrow(groups * (layer.channels / members));
  layer.rows = narrow(rows), layer.columns = narrow(columns);
  layer.parts = 1;
  layer.slab = std::min({layer.groups, kSlabBytes / layer.group_bytes(), std::max(1, kMostFilters / layer.filters)});
  layer.slabs = narrow(divide_up(layer.groups, layer.slab));
  with_way(layer.filters, [&](auto way) {
    layer.runs = narrow(divide_up(layer.filters, 8 * way.tiles));
    layer.units = narrow(divide_up(layer.slab, way.groups)) * layer.runs;
  });
  layer.steps = narrow(divide_up(taps * layer.pieces(), 2));
  layer.tile = choose_grid_tile(rows, columns, h, w, {layer.slab * layer.group_bytes(), 16}, [&](const GridTile& tile) {
    layer.tile = tile;
    layer.sums_in_view = tile.pixels() <= kBatch && layer.units <= kTileThreads / 32;
    const int batches = (tile.pixels() + kBatch - 1) / kBatch;
    return TileCost{layer.bytes(), 300 + batches * (300 + 34 * layer.steps)};
  });
  layer.sums_in_view = layer.tile.pixels() <= kBatch && layer.units <= kTileThreads / 32;
  return layer;
}

template <typename T, typename Grid>
void run(Layer<T> layer, const Grid& grid, const Filters<T>& filters, const T* images) {
  layer.images = images;
  layer.packed = layer.C * sizeof(T) % 16 == 0;
  const int64_t count = layer.parts * layer.fragments();
  const Workspace<Four> fragments(count + 32);  // the step behind the last is read, too
  const int64_t blocks = int64_t{layer.N} * layer.tile.down * layer.tile.across * layer.parts * layer.slabs;
  require(blocks < int64_t{1} << 31, "conv2d: ", blocks, " tiles are more than a GPU takes at once");
  with_way(layer.filters, [&](auto way) {
    using Way = decltype(way);
    launch(fragments_kernel<T, Way, Grid>, static_cast<unsigned>(divide_up(count, kThreads)), kThreads, layer, grid,
           filters, fragments.data());
    launch_shared(grouped_kernel<T, Way, Grid>, static_cast<unsigned>(blocks), kTileThreads, layer.bytes(), layer, grid,
                  fragments.data());
  });
}

}  // namespace

template <typename T>
bool forward_grouped(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  if (!has_small_groups(s)) return false;
  const int64_t OCG = s.OC / s.G;
  auto layer = layer_of<T>(s.N, s.G, s.IC / s.G, OCG, s.OH, s.OW, {narrow(s.sh), narrow((s.KH - 1) * s.dh)},
                           {narrow(s.sw), narrow((s.KW - 1) * s.dw)}, s.KH * s.KW);
  if (layer.tile.pixels() == 0) return false;
  const Padded<T> images(x, x_of(s), x_of(with_channels(s, layer.channels / layer.members(), OCG)));
  const bool packed =
      s.OC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * layer.filters, y, e.scale, e.bias, e.residual);
  layer.plain = does_nothing(e);
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
  layer.parts = grid.parts(), layer.plain = true;
  if (layer.tile.pixels() == 0 || layer.parts > kMostParts) return false;
  grid.grad_x.packed = s.IC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * layer.filters, grad_x);
  const Padded<T> images(grad_y, y_of(s), y_of(with_channels(s, ICG, layer.channels / layer.members())));
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
