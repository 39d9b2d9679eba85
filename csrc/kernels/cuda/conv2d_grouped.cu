// Convolutions in small groups on tensor cores, forward and backward_input. A block copies what its pixels see of
// several groups to shared memory; there its warps multiply units of them (conv2d_grouped_units.h), wherever the pieces
// lie.
#include "core/memory.h"
#include "kernels/cuda/conv2d_grouped_units.h"
#include "kernels/cuda/conv2d_padded.h"

namespace atrous {
namespace {

constexpr int kMostFilters = 64;  // of a slab
constexpr int kMostParts = 64;    // for each of which there are fragments of the filters
constexpr int kZeroBytes = 128;

// Groups as they are multiplied: each one of the convolution's or, of small ones, a pair.
template <typename T>
struct Layer {
  const T* images;  // (N, rows, columns, C)
  int N, C, OC;
  int groups, channels, filters;  // channels in whole pieces
  int pair;                       // groups of the convolution in each, 1 or 2
  int rows, columns;              // of a grid
  int parts, slab, slabs;
  GridTile tile;
  int steps, units;  // of the longest part's K; of a slab
  int runs;          // of units, for a group's filters
  bool packed;       // images, 16 bytes at a time

  __host__ __device__ int group_bytes() const { return channels * static_cast<int>(sizeof(T)); }
  __host__ __device__ int pieces() const { return group_bytes() / kPieceBytes; }
  __host__ __device__ int64_t fragments() const { return int64_t{slabs} * units * steps * 32; }  // of a part
  __host__ __device__ RowOfSums row_of_sums() const { return RowOfSums(slab * filters); }
  int other_bytes() const {
    return kZeroBytes + (8 + 4) * kTilePixels + 4 * (4 * steps + kBatch * row_of_sums().pitch());
  }
};

// Where piece number i of K is: a tap, and a piece of its channels.
struct PlaceInK {
  int kh, kw, piece;
  bool exists;

  __device__ PlaceInK(const Field& field, int pieces, int i) {
    const int tap = i / pieces;
    piece = i - tap * pieces;
    exists = tap < field.taps();
    kh = exists ? tap / field.w.taps : 0;
    kw = tap - kh * field.w.taps;
  }
};

// The numbers of a register of filters: at one tap, for one filter of a group, the channels from `channel` on.
template <int n, typename T>
__device__ void load_filters(const Layer<T>& layer, const Filters<T>& filters, int64_t group, int64_t tap, int filter,
                             int channel, T* to) {
  const int channels = layer.channels / layer.pair, of_one = layer.filters / layer.pair;
  const int member = channel / channels;  // of a pair
  group = group * layer.pair + member, channel -= member * channels, filter -= member * of_one;
  if (filter < 0 || filter >= of_one || group * channels >= layer.C) return;
  const T* from = filters.weight + group * filters.group + tap * filters.tap + filter * filters.filter;
  for (int j = 0; j < n; ++j)
    if (channel + j < filters.channels) to[j] = from[(channel + j) * filters.channel];
}

// What each lane has of the filters, in the order in which warps read them: (part, slab, unit, step).
template <typename T, typename Way, typename Grid>
__global__ void fragments_kernel(Layer<T> layer, Grid grid, Filters<T> filters, Four* fragments) {
  constexpr int n = 4 / sizeof(T);  // numbers of a register
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= layer.parts * layer.fragments()) return;
  const int64_t units = i / 32 / layer.steps, slabs = units / layer.units;
  const int step = static_cast<int>(i / 32 - units * layer.steps), unit = static_cast<int>(units - slabs * layer.units);
  const int part = static_cast<int>(slabs / layer.slabs), slab = static_cast<int>(slabs - int64_t{part} * layer.slabs);
  const int lane = lane_of(), set = unit / layer.runs;
  const Field field = grid.field(static_cast<unsigned>(part));
  Pack<T, 4 * n> numbers{};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const PlaceInK place(field, layer.pieces(), 2 * step + k % 2);
    const int of_slab = set * Way::groups + k / 2 / Way::tiles;
    const int filter = ((unit - set * layer.runs) * Way::tiles + k / 2 % Way::tiles) * 8 + lane / 4;
    if (!place.exists || of_slab >= layer.slab) continue;
    load_filters<n>(layer, filters, int64_t{slab} * layer.slab + of_slab, field.tap(place.kh, place.kw, filters.KW),
                    filter, (place.piece * 4 + lane % 4) * n, numbers.v + k * n);
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
    const int at = row * view.row_pitch + column * view.pitch + place.piece * kPieceBytes;
    shared.pieces[i] = place.exists ? at : -1;
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

template <typename Way, typename T>
__device__ void multiply_batch(const Layer<T>& layer, int taps, const int* pixels, int groups, const Four* fragments,
                               const Shared<T>& shared) {
  const int lane = lane_of(), of_one = layer.filters / layer.pair;
  const int pieces = taps * layer.pieces(), steps = (pieces + 1) / 2;
  const int* const of_lane = shared.pieces + lane / 16;
  for (int unit = static_cast<int>(threadIdx.x) / 32;; unit += kTileThreads / 32) {
    const int set = unit / layer.runs, group = set * Way::groups, at = group * layer.group_bytes();
    if (group >= groups) break;
    Windows windows{{}, shared.zeros, layer.group_bytes(), -1};
#pragma unroll
    for (int i = 0; i < kSets; ++i) windows.from[i] = shared.view + pixels[16 * i + lane % 16] + at;
    const Four* const filters = fragments + int64_t{unit} * layer.steps * 32;
#pragma unroll 1
    for (; windows.part < layer.pair; ++windows.part) {
      const bool all = windows.part < 0;
      UnitSums<Way> sums;
      multiply<T>(windows, of_lane, pieces / 2, steps, filters, sums);
      put_sums(sums, groups - group, group * layer.filters, layer.filters, (unit - set * layer.runs) * 8 * Way::tiles,
               {all ? 0 : windows.part * of_one, all ? layer.filters : (windows.part + 1) * of_one, of_one % 2 == 0},
               layer.row_of_sums(), shared.sums);
      if (all && (Way::groups == 1 || layer.pair == 1 || !may_have_nan(sums))) break;
    }
  }
}

template <int n, typename T, typename Target>
__device__ void store_batch(const Layer<T>& layer, const Region& region, const Target& target, const int64_t* rows,
                            const float* sums) {
  const int packs = region.channels / n, self = static_cast<int>(threadIdx.x);
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

__device__ inline int smaller(int a, int b) { return a < b ? a : b; }

// number = number / count; the remainder.
__device__ inline int split_off(unsigned& number, int count) {
  const unsigned all = number;
  number = all / static_cast<unsigned>(count);
  return static_cast<int>(all - number * static_cast<unsigned>(count));
}

template <typename T, typename Way, typename Grid>
__global__ void __launch_bounds__(kTileThreads, 5) grouped_kernel(Layer<T> layer, Grid grid, const Four* fragments) {
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
  const View view{region.row * h.step + h.first + lowest(h),
                  region.column * w.step + w.first + lowest(w),
                  seen(layer.tile.rows, h.step, reach(h)),
                  seen(layer.tile.columns, w.step, reach(w)),
                  layer.tile.pitch,
                  layer.tile.row_pitch};
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
  for (int first = 0; first < layer.tile.pixels(); first += kBatch) {
    multiply_batch<Way>(layer, field.taps(), shared.pixels + first, groups, fragments, shared);
    __syncthreads();
    if (target.packed)
      store_batch<16 / static_cast<int>(sizeof(T))>(layer, region, target, shared.rows + first, shared.sums);
    else
      store_batch<1>(layer, region, target, shared.rows + first, shared.sums);
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
  layer.pair = channels <= kPiece / 2 && filters <= 4 ? 2 : 1;
  layer.groups = narrow(divide_up(groups, layer.pair)), layer.filters = narrow(filters * layer.pair);
  layer.channels = narrow(divide_up(channels, kPiece) * kPiece);
  layer.C = narrow(groups * (layer.channels / layer.pair));
  layer.rows = narrow(rows), layer.columns = narrow(columns);
  layer.parts = 1;
  layer.slab = std::min({layer.groups, kSlabBytes / layer.group_bytes(), std::max(1, kMostFilters / layer.filters)});
  layer.slabs = narrow(divide_up(layer.groups, layer.slab));
  with_way(layer.filters, [&](auto way) {
    layer.runs = narrow(divide_up(layer.filters, 8 * way.tiles));
    layer.units = narrow(divide_up(layer.slab, way.groups)) * layer.runs;
  });
  layer.steps = narrow(divide_up(taps * layer.pieces(), 2));
  layer.tile = choose_grid_tile(rows, columns, h, w, layer.slab * layer.group_bytes(), 16, layer.other_bytes());
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
    launch_shared(grouped_kernel<T, Way, Grid>, static_cast<unsigned>(blocks), kTileThreads,
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
  const Padded<T> images(x, x_of(s), x_of(with_channels(s, layer.channels / layer.pair, OCG)));
  const bool packed =
      s.OC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * layer.filters, y, e.scale, e.bias, e.residual);
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
  grid.grad_x.packed = s.IC % kChunk<T> == 0 && may_be_packed<kChunk<T>>(layer.slab * layer.filters, grad_x);
  const Padded<T> images(grad_y, y_of(s), y_of(with_channels(s, ICG, layer.channels / layer.pair)));
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
