// Convolutions in small groups on tensor cores, forward and backward_input. A block copies what its pixels see of several
// groups to shared memory; there its warps multiply units of them (conv2d_grouped_units.h), wherever the pieces lie.
#include "core/memory.h"
#include "kernels/cuda/conv2d_grouped_units.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kMostFilters = 64;   // of a slab
constexpr int kMostParts = 64;     // for each of which there are fragments of the filters
constexpr int kZeroBytes = 3 * kSlabBytes;

template <typename T>
struct Layer {
  const T* images;  // (N, rows, columns, groups, channels), channels in whole pieces
  int N, groups, channels, filters;
  int rows, columns;  // of a grid
  int parts, slab, slabs;
  GridTile tile;
  int piece, unit_groups, unit_tiles;  // of a Way
  int steps, units;                    // of the longest part's K; of a slab
  bool packed;                         // images, 16 bytes at a time

  __host__ __device__ int group_bytes() const { return channels * static_cast<int>(sizeof(T)); }
  __host__ __device__ int runs() const { return (filters + 8 * unit_tiles - 1) / (8 * unit_tiles); }  // of a group
  __host__ __device__ int fours() const { return unit_groups * unit_tiles / 2; }
  __host__ __device__ int64_t fragments() const { return int64_t{slabs} * units * steps * fours() * 32; }  // of a part
  __host__ __device__ RowOfSums row_of_sums() const { return RowOfSums(slab * filters); }
  int other_bytes() const {
    return kZeroBytes + (8 + 4) * kTilePixels + 4 * (4 * steps + kBatch * row_of_sums().pitch());
  }
};

// Where piece number i of K is: a tap, and a piece of its channels. Where lanes side by side have pieces side by side,
// each row of taps is filled up to a step, if these are not more then: its taps are in different banks.
template <typename T>
struct PlaceInK {
  int kh, kw, piece;
  bool exists;

  __device__ PlaceInK(const Layer<T>& layer, const Field& field, int i) {
    const int pieces = layer.group_bytes() / layer.piece, row = fills_rows(layer, field) ? 4 : field.w.taps * pieces;
    kh = row > 0 ? i / row : 0;
    kw = (i - kh * row) / pieces;
    piece = i - kh * row - kw * pieces;
    exists = kh < field.h.taps && kw < field.w.taps;
  }
  __device__ static bool fills_rows(const Layer<T>& layer, const Field& field) {
    return layer.piece == 8 && field.w.taps <= 4 && (field.taps() + 3) / 4 == field.h.taps;
  }
};

// What each lane has of the filters, in the order in which warps read them: (part, slab, unit, step, four).
template <typename T, typename Grid>
__global__ void fragments_kernel(Layer<T> layer, Grid grid, Filters<T> filters, Four* fragments) {
  constexpr int kNumbers = 4 / sizeof(T);  // of a register
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= layer.parts * layer.fragments()) return;
  const int lane = static_cast<int>(i % 32), four = static_cast<int>(i / 32 % layer.fours());
  const int64_t steps = i / 32 / layer.fours(), units = steps / layer.steps, slabs = units / layer.units;
  const int step = static_cast<int>(steps - units * layer.steps), unit = static_cast<int>(units - slabs * layer.units);
  const int part = static_cast<int>(slabs / layer.slabs), slab = static_cast<int>(slabs - int64_t{part} * layer.slabs);
  const Field field = grid.field(static_cast<unsigned>(part));
  Pack<T, 4 * kNumbers> numbers{};
  for (int k = 0; k < 4; ++k) {  // registers: two of a tile of 8 filters, two of the next
    const int tile = 2 * four + k / 2, t = lane % 4;
    const int of_slab = unit / layer.runs() * layer.unit_groups + tile / layer.unit_tiles;
    const int64_t group = int64_t{slab} * layer.slab + of_slab;
    const int filter = (unit % layer.runs() * layer.unit_tiles + tile % layer.unit_tiles) * 8 + lane / 4;
    const int byte = layer.piece == 8 ? 8 * t + k % 2 * 4 : 4 * t + k % 2 * 16;  // of the step
    const PlaceInK<T> place(layer, field, step * (kStepBytes / layer.piece) + byte / layer.piece);
    const int channel = (place.piece * layer.piece + byte % layer.piece) / static_cast<int>(sizeof(T));
    if (!place.exists || filter >= layer.filters || of_slab >= layer.slab || group >= layer.groups) continue;
    const int64_t tap = field.tap(place.kh, place.kw, filters.KW);
    const T* from = filters.weight + group * filters.group + tap * filters.tap + filter * filters.filter;
    for (int j = 0; j < kNumbers; ++j)
      if (channel + j < filters.channels) numbers.v[k * kNumbers + j] = from[(channel + j) * filters.channel];
  }
  Four bits;
  memcpy(&bits, &numbers, 16);
  if constexpr (!is_half<T>)
    for (uint32_t& number : bits.v) number = to_tf32<false>(number);
  fragments[i] = bits;
}

template <typename T>
struct Shared {
  char *zeros, *view;
  int64_t* rows;         // where the sums of pixels are stored, or -1
  int *pixels, *pieces;  // where they begin in the view; -1 for a piece that does not exist
  float* sums;           // (kBatch, row_of_sums)

  __device__ explicit Shared(const Layer<T>& layer)
      : zeros(shared_memory<char>()),
        view(zeros + kZeroBytes),
        rows(reinterpret_cast<int64_t*>(view + layer.tile.view_bytes())),
        pixels(reinterpret_cast<int*>(rows + kTilePixels)),
        pieces(pixels + kTilePixels),
        sums(reinterpret_cast<float*>(pieces + 4 * layer.steps)) {}
};

// A block's part of a grid, from pixel (row, column) on, and the channels that it makes.
struct Region {
  int image, row, column;
  int groups, channel;
};

template <typename T, typename Target>
__device__ void fill_tables(const Layer<T>& layer, const Field& field, const View& view, int steps,
                            const Region& region, const Target& target, const Shared<T>& shared) {
  const int self = static_cast<int>(threadIdx.x);
  const bool filled = PlaceInK<T>::fills_rows(layer, field);
  for (int i = self; i < kStepBytes / layer.piece * steps; i += kTileThreads) {
    const PlaceInK<T> place(layer, field, i);
    const int row = place.kh * field.h.tap - lowest(field.h), column = place.kw * field.w.tap - lowest(field.w);
    const int at = row * view.row_pitch + column * view.pitch + place.piece * layer.piece;
    shared.pieces[i] = place.exists ? at : filled ? zero_place(at + view.pitch) : -1;
  }
  for (int i = self; i < kZeroBytes / 4; i += kTileThreads) reinterpret_cast<int*>(shared.zeros)[i] = 0;
  static_assert(kTilePixels == kTileThreads);
  const int down = self / layer.tile.columns, across = self - down * layer.tile.columns;
  const int row = region.row + down, column = region.column + across;
  const bool inside = self < layer.tile.pixels();  // others stand for some pixel, whose sums nobody stores
  shared.pixels[self] = inside ? down * field.h.step * view.row_pitch + across * field.w.step * view.pitch : 0;
  shared.rows[self] = inside && row < layer.rows && column < layer.columns
                          ? target.row((int64_t{region.image} * layer.rows + row) * layer.columns + column)
                          : -1;
}

// This lane's windows of a batch, for the groups from `group` on. Where rows are filled up, lanes that have no tap read
// zeros at every step.
template <typename Way, typename T>
__device__ Windows<Way> windows_of(const Layer<T>& layer, const Shared<T>& shared, int first, int group, bool exists) {
  const int lane = static_cast<int>(threadIdx.x) % 32, at = group * layer.group_bytes();
  Windows<Way> windows;
  windows.group_bytes = layer.group_bytes();
  windows.zeros = shared.zeros + at;
  if constexpr (Way::narrow) {
#pragma unroll
    for (int i = 0; i < 2 * kSets; ++i) {
      const int pixel = shared.pixels[first + 8 * i + lane / 4];
      windows.from[i] = exists ? shared.view + pixel + at : shared.zeros + zero_place(pixel) + at;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSets; ++i) windows.from[i] = shared.view + shared.pixels[first + 16 * i + lane % 16] + at;
  }
  return windows;
}

template <typename Way, typename T>
__device__ void multiply_batch(const Layer<T>& layer, const Field& field, int first, int groups, int steps,
                               const Four* fragments, const Shared<T>& shared) {
  constexpr int kPieces = kStepBytes / Way::piece;
  const int lane = static_cast<int>(threadIdx.x) % 32, runs = layer.runs();
  const bool filled = PlaceInK<T>::fills_rows(layer, field);
  const int place = Way::narrow ? lane % 4 : lane / 16;  // of a lane's piece
  const int certain = filled ? steps : field.taps() * (layer.group_bytes() / Way::piece) / kPieces;
  for (int unit = static_cast<int>(threadIdx.x) / 32;; unit += kTileThreads / 32) {
    const int set = unit / runs, group = set * Way::groups;
    if (group >= groups) break;
    UnitSums<Way> sums;
    const auto windows = windows_of<Way>(layer, shared, first, group, !filled || place < field.w.taps);
    multiply<T>(windows, shared.pieces + place, certain, steps,
                fragments + int64_t{unit} * layer.steps * (Way::fours * 32), sums);
    put_sums(sums, groups - group, group * layer.filters, (unit - set * runs) * (8 * Way::tiles), layer.filters,
             layer.row_of_sums(), shared.sums);
  }
}

template <int n, typename T, typename Target>
__device__ void store_batch(const Layer<T>& layer, const Region& region, const Target& target, const int64_t* rows,
                            const float* sums) {
  const int packs = region.groups * layer.filters / n, self = static_cast<int>(threadIdx.x);
  const int at_once = kTileThreads / packs, first = self / packs, channel = (self - first * packs) * n;
  if (first >= at_once) return;
  const RowOfSums row = layer.row_of_sums();
#pragma unroll 1
  for (int pixel = first; pixel < kBatch; pixel += at_once) {
    const int64_t to = rows[pixel];
    if (to < 0) continue;
    constexpr int kTogether = n < 4 ? n : 4;
    Pack<float, n> pack;
#pragma unroll
    for (int k = 0; k < n; k += kTogether) {
      const auto some = load_pack<kTogether>(sums + pixel * row.pitch() + row.place(channel + k));
#pragma unroll
      for (int j = 0; j < kTogether; ++j) pack.v[k + j] = some.v[j];
    }
    target.template put<n>(to, region.channel + channel, pack);
  }
}

// number = number / count; the remainder.
__device__ inline int split_off(unsigned& number, int count) {
  const unsigned all = number;
  number = all / static_cast<unsigned>(count);
  return static_cast<int>(all - number * static_cast<unsigned>(count));
}

template <typename T, typename Way, typename Grid>
__global__ void __launch_bounds__(kTileThreads, 4) grouped_kernel(Layer<T> layer, Grid grid, const Four* fragments) {
  unsigned rest = blockIdx.x;
  const int slab = split_off(rest, layer.slabs), part = split_off(rest, layer.parts);
  const int across = split_off(rest, layer.tile.across), down = split_off(rest, layer.tile.down);
  const int first_group = slab * layer.slab, left = layer.groups - first_group;
  const int groups = left < layer.slab ? left : layer.slab;
  const Region region{static_cast<int>(rest), down * layer.tile.rows, across * layer.tile.columns, groups,
                      first_group * layer.filters};
  const Field field = grid.field(static_cast<unsigned>(part));
  const auto target = grid.target(static_cast<unsigned>(part));
  const Axis &h = field.h, &w = field.w;
  const int steps = (field.taps() * layer.group_bytes() + kStepBytes - 1) / kStepBytes;
  const View view{region.row * h.step + h.first + lowest(h),
                  region.column * w.step + w.first + lowest(w),
                  seen(layer.tile.rows, h.step, reach(h)),
                  seen(layer.tile.columns, w.step, reach(w)),
                  layer.tile.pitch,
                  layer.tile.row_pitch};
  const Shared<T> shared(layer);
  const int64_t C = int64_t{layer.groups} * layer.channels;
  const T* const image = layer.images + region.image * (int64_t{h.size} * w.size * C) + first_group * layer.channels;
  if (steps > 0 && layer.packed)
    copy_view<16>(view, image, h.size, w.size, C, groups * layer.group_bytes(), shared.view);
  else if (steps > 0)
    copy_view<8>(view, image, h.size, w.size, C, groups * layer.group_bytes(), shared.view);
  close_copies();
  fill_tables(layer, field, view, steps, region, target, shared);
  wait_copies<0>();
  __syncthreads();
  fragments += part * layer.fragments() + int64_t{slab} * layer.units * layer.steps * (Way::fours * 32);
  for (int first = 0; first < layer.tile.pixels(); first += kBatch) {
    multiply_batch<Way>(layer, field, first, groups, steps, fragments, shared);
    __syncthreads();
    if (target.packed)
      store_batch<16 / static_cast<int>(sizeof(T))>(layer, region, target, shared.rows + first, shared.sums);
    else
      store_batch<1>(layer, region, target, shared.rows + first, shared.sums);
    __syncthreads();
  }
}

// Launchers.

template <typename T, typename Way>
void take(Layer<T>& layer) {
  layer.piece = Way::piece, layer.unit_groups = Way::groups, layer.unit_tiles = Way::tiles;
}

// f(the Way for such groups). Numbers of 32 bits have no pieces of 8 bytes: groups of two are rare.
template <typename T, typename F>
void with_way(int64_t channels, int64_t filters, const F& f) {
  if constexpr (is_half<T>)
    if (channels <= 4 && filters <= 8) return f(WayOfFours{});
  return filters <= 8 ? f(WayOfEights{}) : f(WayOfMore{});
}

// images: of so many groups and channels, in pieces; filters: for each group. No tile if none fits a multiprocessor.
template <typename T>
Layer<T> layer_of(int64_t N, int64_t groups, int64_t channels, int64_t filters, int64_t rows, int64_t columns,
                  const Extent& h, const Extent& w, int64_t taps) {
  Layer<T> layer{};
  with_way<T>(channels, filters, [&](auto way) { take<T, decltype(way)>(layer); });
  const int numbers = layer.piece / static_cast<int>(sizeof(T));
  layer.N = narrow(N), layer.groups = narrow(groups), layer.filters = narrow(filters);
  layer.channels = narrow(divide_up(channels, numbers)) * numbers;
  layer.rows = narrow(rows), layer.columns = narrow(columns);
  layer.parts = 1;
  layer.slab = std::min({layer.groups, kSlabBytes / layer.group_bytes(), std::max(1, kMostFilters / layer.filters)});
  layer.slabs = narrow(divide_up(groups, layer.slab));
  layer.units = narrow(divide_up(layer.slab, layer.unit_groups)) * layer.runs();
  layer.steps = narrow(divide_up(taps * layer.group_bytes(), kStepBytes));
  layer.tile = choose_grid_tile(rows, columns, h, w, layer.slab * layer.group_bytes(), 16, layer.other_bytes());
  return layer;
}

template <typename T, typename Grid>
void run(Layer<T> layer, const Grid& grid, const Filters<T>& filters, const T* images) {
  const int64_t row_bytes = int64_t{layer.groups} * layer.group_bytes();
  layer.images = images;
  layer.packed = row_bytes % 16 == 0 && layer.slab * layer.group_bytes() % 16 == 0;
  const int64_t count = layer.parts * layer.fragments();
  const Workspace<Four> fragments(count + layer.fours() * 32);  // the step behind the last is read, too
  launch(fragments_kernel<T, Grid>, static_cast<unsigned>(divide_up(count, kThreads)), kThreads, layer, grid, filters,
         fragments.data());
  const int64_t blocks = int64_t{layer.N} * layer.tile.down * layer.tile.across * layer.parts * layer.slabs;
  require(blocks < int64_t{1} << 31, "conv2d: ", blocks, " tiles are more than a GPU takes at once");
  with_way<T>(layer.channels, layer.filters, [&](auto way) {
    launch_shared(grouped_kernel<T, decltype(way), Grid>, static_cast<unsigned>(blocks), kTileThreads,
                  narrow(layer.tile.view_bytes()) + layer.other_bytes(), layer, grid, fragments.data());
  });
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
