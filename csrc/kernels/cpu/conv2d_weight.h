// The weight gradient as a matrix product: rows are output channels, columns (tap, channel), sums run over sites.
#pragma once
#include "kernels/cpu/conv2d_patches.h"
#include "kernels/cpu/gemm.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kWeightRows = 192;  // output channels of a block
constexpr int64_t kStripPanels = 8;   // panels packed together: with the tiles of a block they stay in L2
constexpr int64_t kLeastSites = 512;  // of a slice: beside them its partial sums cost little

// Blocks of output channels and groups of panels have sums of their own; slices of the sites have partial sums, which
// are added in order.
struct WeightCut {
  int64_t OCG, taps, K;    // of a group; columns are taps x K
  int64_t rows, blocks;    // output channels of a block, blocks of a group
  int64_t tap_panels;      // of a tap
  int64_t panels, groups;  // panels of all taps, groups of them
  int64_t pieces, slices;  // pieces of kBlock sites, slices of pieces
  bool serial;
};

template <typename T>
WeightCut cut_weight(const Sites& s, bool few_channels) {
  WeightCut cut;
  const int64_t sites = count_of(s);
  cut.OCG = s.DC / s.G, cut.taps = few_channels ? 1 : s.taps, cut.K = few_channels ? s.taps * s.K : s.K;
  cut.blocks = divide_up(cut.OCG, kWeightRows);
  cut.rows = divide_up(divide_up(cut.OCG, cut.blocks), kTileRows) * kTileRows;
  cut.blocks = divide_up(cut.OCG, cut.rows);
  cut.tap_panels = panels_of<T>(cut.K), cut.panels = cut.taps * cut.tap_panels;
  cut.groups = max_of(1, cut.panels / 16);  // packing grad_y pays for so many panels
  cut.pieces = divide_up(sites, kBlock);
  const int64_t tasks = tasks_of(static_cast<double>(sites * s.taps) * static_cast<double>(s.K * s.DC));
  cut.slices = max_of(1, min_of(sites / kLeastSites, tasks / (s.G * cut.blocks * cut.groups)));
  cut.serial = tasks == 1;
  return cut;
}

// The segments of a sum over sites that a tap reads: runs of sites that are not padding, which short gaps of padding do
// not part. packed[k] are the pointers of the sites in the segments. Returns the number of segments.
template <typename T>
int64_t runs_of_sites(const T* const* table, int64_t sites, const T* zeros, Segment<T>* segments, const T** packed) {
  constexpr int64_t kShort = 8;
  int64_t count = 0, k = 0, end = 0;  // of the last run
  for (;;) {
    int64_t i = end;
    while (i < sites && table[i] == zeros) ++i;
    if (i == sites) return count;
    if (count > 0 && i - end < kShort)
      i = end;
    else
      segments[count++] = {nullptr, i, k, 0};
    for (end = i; end < sites && (table[end] != zeros || end == i); ++end) packed[k++] = table[end];
    segments[count - 1].length += end - i;
  }
}

// Adds what one piece of sites contributes to some panels; `out` is the gradient of a block of output channels.
template <typename T>
struct WeightPiece {
  int64_t sites, rows;  // output channels
  const T* patches;     // [sites][patch_stride], which serve as panels where they lie; or nullptr, and then
  int64_t patch_stride;
  const T* const* table;  // [taps][sites]
  const T* zeros;
  int64_t offset;  // first channel of the group
  const T* tiles;  // grad_y, packed: [tile][site][kTileRows]
  T* out;
  int64_t out_stride;
  bool accumulate;
};

// All output channels times some panels, which lie panel_step apart: columns [column, column + width).
template <typename T>
void weight_tiles(const WeightPiece<T>& p, const Segment<T>* segments, int64_t count, const T* panels,
                  int64_t panel_step, int64_t panel_stride, int64_t column, int64_t width) {
  T* out[kTileRows];
  for (int64_t m = 0; m < p.rows; m += kTileRows) {
    for (int64_t i = 0; i < kTileRows; ++i) out[i] = p.out + (m + i) * p.out_stride;
    for (int64_t c = 0; c < width; c += kPanel<T>)
      run_packed_tile(p.rows - m, segments, count, p.tiles + m * p.sites, panels + c / kPanel<T> * panel_step,
                      panel_stride,
                      TileOutput<T>{out, column + c, min_of(kPanel<T>, width - c), p.accumulate, nullptr, nullptr});
  }
}

// Packs `width` columns of K rows, which lie anywhere, into panels that lie panel_step apart, some rows at a time.
template <typename T>
void pack_strip(int64_t K, int64_t width, const T* const* rows, int64_t offset, T* panels, int64_t panel_step) {
  constexpr int64_t kRows = 16;
  for (int64_t k = 0; k < K; k += kRows)
    for (int64_t c = 0; c < width; c += kPanel<T>) {
      for (int64_t i = k + kRows; i < min_of(k + 2 * kRows, K); ++i) __builtin_prefetch(rows[i] + offset + c);
      pack_panel(min_of(kRows, K - k), min_of(kPanel<T>, width - c), rows + k, offset + c,
                 panels + c / kPanel<T> * panel_step + k * kPanel<T>);
    }
}

template <typename T>
void weight_panels(const WeightCut& cut, const WeightPiece<T>& p, int64_t first_panel, int64_t last_panel, T* panels) {
  if (p.patches) {
    const Segment<T> all{nullptr, 0, 0, p.sites};
    for (int64_t c = first_panel * kPanel<T>; c < min_of(last_panel * kPanel<T>, cut.K); c += kPanel<T>)
      weight_tiles(p, &all, 1, p.patches + c, 0, p.patch_stride, c, min_of(kPanel<T>, cut.K - c));
    return;
  }
  Segment<T> segments[kBlock];
  const T* packed[kBlock];
  int64_t count = 0, seen = -1;
  for (int64_t index = first_panel, end; index < last_panel; index = end) {
    const int64_t tap = index / cut.tap_panels, c = index % cut.tap_panels * kPanel<T>;
    end = min_of(min_of(last_panel, (tap + 1) * cut.tap_panels), index + kStripPanels);
    if (tap != seen) count = runs_of_sites(p.table + tap * p.sites, p.sites, p.zeros, segments, packed);
    seen = tap;
    if (count == 0 && p.accumulate) continue;
    const int64_t width = min_of((end - index) * kPanel<T>, cut.K - c);
    const int64_t K = count == 0 ? 0 : segments[count - 1].k0 + segments[count - 1].length;
    const int64_t step = (K + 1) * kPanel<T>;
    pack_strip(K, width, packed, p.offset + c, panels, step);
    weight_tiles(p, segments, count, panels, step, kPanel<T>, tap * cut.K + c, width);
  }
}

// sums[i] = sum over slices, in order, of partial[slice][i]
template <typename T>
void add_slices(bool serial, int64_t slices, int64_t size, const T* partial, T* sums) {
  constexpr int64_t kChunk = 4096;
  const auto add = [&](int64_t chunk, int) {
    const int64_t begin = chunk * kChunk, end = min_of(size, begin + kChunk);
    for (int64_t i = begin; i < end; ++i) sums[i] = partial[i];
    for (int64_t slice = 1; slice < slices; ++slice)
      for (int64_t i = begin; i < end; ++i) sums[i] += partial[slice * size + i];
  };
  run_tasks(serial, divide_up(size, kChunk), add, num_threads());
}

template <typename T>
void weight_product(const Sites& s, bool few_channels, const T* grad_y, const T* x, T* grad_weight) {
  const WeightCut cut = cut_weight<T>(s, few_channels);
  const int64_t total = count_of(s), filter = s.taps * s.K, size = s.DC * filter;
  const int threads = num_threads();
  constexpr int64_t panel_size = kStripPanels * (kBlock + 1) * kPanel<T>, tiles_size = kWeightRows * kBlock;
  const int64_t table_size = cut.taps * kBlock, patch_size = few_channels ? kBlock * patch_stride(s) : 0;
  Workspace<T> zeros(s.SC), partial(cut.slices > 1 ? cut.slices * size : 0);
  for (int64_t c = 0; c < s.SC; ++c) zeros.data()[c] = T(0);
  Workspace<T> panels(threads * panel_size), tiles(threads * tiles_size), patches(threads * patch_size);
  Workspace<const T*> tables(threads * table_size);

  const auto run = [&](int64_t task, int worker) {
    const int64_t group = task % cut.groups, block = task / cut.groups % (s.G * cut.blocks);
    const int64_t slice = task / cut.groups / (s.G * cut.blocks), g = block / cut.blocks;
    const int64_t oc = block % cut.blocks * cut.rows, rows = min_of(cut.rows, cut.OCG - oc);
    const T** table = tables.data() + worker * table_size;
    T* const turned = tiles.data() + worker * tiles_size;
    T* out = (cut.slices > 1 ? partial.data() + slice * size : grad_weight) + (g * cut.OCG + oc) * filter;
    const int64_t begin = slice * cut.pieces / cut.slices, end = (slice + 1) * cut.pieces / cut.slices;
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kBlock, sites = min_of(kBlock, total - first);
      T* own = few_channels ? patches.data() + worker * patch_size : nullptr;
      if (few_channels)
        fill_patches(s, first, sites, x, own, table);
      else
        fill_table<T>(s, first, sites, x, zeros.data(), nullptr, table, nullptr);
      pack_tiles(rows, sites, grad_y + first * s.DC + g * cut.OCG + oc, 1, s.DC, turned);
      const WeightPiece<T> part{sites,   rows,   own, patch_stride(s), table,        zeros.data(),
                                g * s.K, turned, out, filter,          piece > begin};
      weight_panels(cut, part, group * cut.panels / cut.groups, (group + 1) * cut.panels / cut.groups,
                    panels.data() + worker * panel_size);
    }
  };
  run_tasks(cut.serial, cut.slices * s.G * cut.blocks * cut.groups, run, threads);
  if (cut.slices > 1) add_slices(cut.serial, cut.slices, size, partial.data(), grad_weight);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
