// Convolution as an implicit matrix product, sites x (taps, channels) times the weights: the forward direction, and
// the input gradient of many channels.
#pragma once
#include "kernels/cpu/conv2d_patches.h"
#include "kernels/cpu/gemm.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// How the work is cut, from the sizes alone. No sum crosses a piece or a panel, so the cut changes no bits.
struct Cut {
  int64_t rows, pieces;          // sites of a piece, pieces
  int64_t panels, panel_groups;  // panels are shared out too where there are few pieces
  bool serial;                   // too small to share
};

template <typename T>
Cut cut_sites(int64_t sites, int64_t taps, int64_t SC, int64_t columns) {
  const int64_t tasks = tasks_of(static_cast<double>(sites * taps) * static_cast<double>(SC * columns));
  const int64_t most = max_of(kTileRows, min_of(kPieceRows, 32768 / taps));  // bounds the table of pointers
  const int64_t rows = divide_up(divide_up(sites, divide_up(sites, most)), kTileRows) * kTileRows;
  const int64_t pieces = divide_up(sites, rows), panels = panels_of<T>(columns);
  return {rows, pieces, panels, min_of(panels, divide_up(tasks, pieces)), tasks == 1};
}

// Strides of b(g, tap, k, n) in the weight.
struct WeightStrides {
  int64_t g, tap, k, n;
};

// Packs b(g, tap, k, n) into panels for each group, the listed taps alone: [g][panel][tap][k][kPanel].
template <typename T>
void pack_weight(const Sites& s, const T* weight, const WeightStrides& stride, T* packed) {
  const int64_t columns = s.DC / s.G, panels = panels_of<T>(columns);
  const auto pack = [&](int64_t index, int) {
    const int64_t g = index / panels, column = index % panels * kPanel<T>;
    const T* from = weight + g * stride.g + column * stride.n;
    for (int64_t t = 0; t < s.taps; ++t)
      pack_panel(s.K, min_of(kPanel<T>, columns - column), from + s.tap_id[t] * stride.tap, stride.k, stride.n,
                 packed + (index * s.taps + t) * s.K * kPanel<T>);
  };
  run_tasks(s.G * s.taps * s.K * columns < 65536, s.G * panels, pack, num_threads());
}

// Sites that no tap reaches: pixels that the stride skips.
template <typename T>
void write_zeros(const Sites& s, T* destination) {
  parallel_for(s.N * s.QH, [&](int64_t index, int) {
    const int64_t n = index / s.QH, h = s.start_h + index % s.QH * s.stride_h;
    for (int64_t qw = 0; qw < s.QW; ++qw) {
      T* to = destination + ((n * s.DH + h) * s.DW + s.start_w + qw * s.stride_w) * s.DC;
      for (int64_t c = 0; c < s.DC; ++c) to[c] = T(0);
    }
  });
}

// Sums over taps and source channels for every site: both directions of the convolution.
template <typename T>
void gather_product(const Sites& sites, bool few_channels, const T* source, const T* weight,
                    const WeightStrides& stride, const Epilogue<T>& epilogue, T* destination) {
  const int64_t total = count_of(sites), columns = sites.DC / sites.G;
  if (total == 0) return;
  if (sites.taps == 0) return write_zeros(sites, destination);  // of backward-input alone: no epilogue
  const Cut cut = cut_sites<T>(total, sites.taps, sites.K * sites.G, columns);
  const int threads = num_threads();
  Workspace<T> zeros(sites.K * sites.G);
  for (int64_t c = 0; c < sites.K * sites.G; ++c) zeros.data()[c] = T(0);
  const int64_t packed_rows = sites.taps * sites.K;
  const bool at_once = cut.pieces > 2;  // else each panel is packed where it is used
  Workspace<T> packed(at_once ? sites.G * cut.panels * packed_rows * kPanel<T> : 0);
  if (at_once) pack_weight(sites, weight, stride, packed.data());
  constexpr int64_t panel_size = kBlock * kPanel<T>;
  const int64_t table_size = sites.taps * cut.rows, patch_size = few_channels ? cut.rows * patch_stride(sites) : 0;
  Workspace<T> scratch(at_once ? 0 : threads * panel_size), patches(threads * patch_size);
  Workspace<const T*> tables(threads * table_size);
  Workspace<T*> outs(threads * cut.rows);

  const auto run = [&](int64_t task, int worker) {
    const int64_t first = task / cut.panel_groups * cut.rows, group = task % cut.panel_groups, one_tap = 0;
    const int64_t rows = min_of(cut.rows, total - first);
    const T** table = tables.data() + worker * table_size;
    T** out = outs.data() + worker * cut.rows;
    fill_table<T>(sites, first, rows, source, zeros.data(), destination, few_channels ? nullptr : table, out);
    if (few_channels) fill_patches(sites, first, rows, source, patches.data() + worker * patch_size, table);
    for (int64_t g = 0; g < sites.G; ++g) {
      const Panels<T> panels{at_once ? packed.data() + g * cut.panels * packed_rows * kPanel<T> : nullptr,
                             packed_rows,
                             weight + g * stride.g,
                             stride.tap,
                             stride.k,
                             stride.n,
                             scratch.data() + worker * panel_size};
      RowProduct<T> product{rows,   sites.taps, sites.K,     sites.tap_id, table, g * sites.K, zeros.data(),
                            panels, out,        g * columns, columns,      false, &epilogue,   destination};
      if (few_channels) product.taps = 1, product.K = packed_rows, product.tap_id = &one_tap;
      multiply_rows(product, group * cut.panels / cut.panel_groups, (group + 1) * cut.panels / cut.panel_groups);
    }
  };
  run_tasks(cut.serial, cut.pieces * cut.panel_groups, run, threads);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
