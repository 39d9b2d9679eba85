// conv2d as an implicit matrix product: sites x (taps, channels) times the packed weights. See docs/convolution.md.
#include "kernels/conv2d.h"

#include "kernels/cpu/conv2d_choose.h"
#include "kernels/cpu/conv2d_grouped.h"
#include "kernels/cpu/conv2d_sites.h"
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/conv2d_winograd_weight.h"
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
  constexpr int64_t kTasks = 16;
  const double operations = 2.0 * static_cast<double>(sites * taps) * static_cast<double>(SC * columns);
  const int64_t most = max_of(kTileRows, min_of(kPieceRows, 32768 / taps));  // bounds the table of pointers
  const int64_t rows = divide_up(divide_up(sites, divide_up(sites, most)), kTileRows) * kTileRows;
  const int64_t pieces = divide_up(sites, rows), panels = panels_of<T>(columns);
  const bool serial = operations <= kSerialOperations;
  return {rows, pieces, panels, serial ? 1 : min_of(panels, divide_up(kTasks, pieces)), serial};
}

// Sums over taps and source channels for every site: both directions of the convolution.
// packed: for each group, panels of (KH*KW*K) x kPanel.
template <typename T>
void gather_product(const Sites& sites, const T* source, const T* packed, const Epilogue<T>& epilogue, T* destination) {
  const int64_t K = sites.K, columns = sites.DC / sites.G, total = count_of(sites), packed_rows = sites.all_taps * K;
  if (total == 0) return;
  const Cut cut = cut_sites<T>(total, max_of(sites.taps, 1), K * sites.G, columns);
  const int threads = num_threads();
  Workspace<T> zeros(K * sites.G);
  for (int64_t c = 0; c < K * sites.G; ++c) zeros.data()[c] = T(0);
  Workspace<int64_t> tap_k0(sites.taps);
  for (int64_t t = 0; t < sites.taps; ++t) tap_k0.data()[t] = sites.tap_id[t] * K;
  Workspace<const T*> tables(threads * sites.taps * cut.rows);
  Workspace<T*> outs(threads * cut.rows);

  const auto run_piece = [&](int64_t piece, int64_t group, int worker) {
    const int64_t first = piece * cut.rows, rows = min_of(cut.rows, total - first);
    const T** table = tables.data() + worker * sites.taps * cut.rows;
    T** out = outs.data() + worker * cut.rows;
    fill_table(sites, first, rows, source, zeros.data(), destination, table, out);
    if (sites.taps == 0) {  // no output pixel reads these
      for (int64_t i = 0; i < rows && group == 0; ++i)
        for (int64_t c = 0; c < sites.DC; ++c) out[i][c] = T(0);  // of backward-input alone: no epilogue
      return;
    }
    for (int64_t g = 0; g < sites.G; ++g) {
      RowProduct<T> product;
      product.rows = rows, product.taps = sites.taps, product.K = K;
      product.table = table, product.a_offset = g * K;
      product.packed = packed + g * cut.panels * packed_rows * kPanel<T>, product.packed_rows = packed_rows;
      product.tap_k0 = tap_k0.data();
      product.out = out, product.out_offset = g * columns;
      product.columns = columns, product.epilogue = &epilogue, product.y = destination;
      multiply_rows(product, group * cut.panels / cut.panel_groups, (group + 1) * cut.panels / cut.panel_groups);
    }
  };
  run_tasks(
      cut.serial, cut.pieces * cut.panel_groups,
      [&](int64_t task, int worker) { run_piece(task / cut.panel_groups, task % cut.panel_groups, worker); }, threads);
}

// Strides of b(g, tap, k, n) in the weight; columns n of each group.
struct WeightStrides {
  int64_t columns, g, tap, k, n;
};

// Packs b(g, tap, k, n) into panels for each group: [g][panel][tap][k][kPanel].
template <typename T>
void pack_weight(const Sites& s, const T* weight, const WeightStrides& stride, T* packed) {
  const int64_t panels = panels_of<T>(stride.columns);
  const auto pack = [&](int64_t index, int) {
    const int64_t g = index / panels, column = index % panels * kPanel<T>;
    const T* from = weight + g * stride.g + column * stride.n;
    for (int64_t tap = 0; tap < s.all_taps; ++tap)
      pack_panel(s.K, min_of(kPanel<T>, stride.columns - column), from + tap * stride.tap, stride.k, stride.n,
                 packed + (index * s.all_taps + tap) * s.K * kPanel<T>);
  };
  run_tasks(s.G * s.all_taps * s.K * stride.columns < 65536, s.G * panels, pack, num_threads());
}

template <typename T>
int64_t packed_size(const Sites& s) {
  return s.G * panels_of<T>(s.DC / s.G) * s.all_taps * s.K * kPanel<T>;
}

template <typename T>
void forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const Epilogue<T>& epilogue,
             T* y) {
  if (is_winograd(algorithm)) return winograd_forward(s, algorithm, x, weight, epilogue, y);
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_forward(s, x, weight, epilogue, y);
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  const Sites sites = can_merge_taps(s) ? merged_forward_sites(s, storage.data()) : forward_sites(s, storage.data());
  Workspace<T> packed(packed_size<T>(sites));
  const int64_t filter = s.KH * s.KW * s.IC / s.G, columns = s.OC / s.G;
  pack_weight(sites, weight, {columns, columns * filter, sites.K, 1, filter}, packed.data());
  gather_product(sites, x, packed.data(), epilogue, y);
}

template <typename T>
void backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight, T* grad_x) {
  if (is_winograd(algorithm)) return winograd_backward_input(s, algorithm, grad_y, weight, grad_x);
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_backward_input(s, grad_y, weight, grad_x);
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  const Sites any = backward_sites(s, 0, 0, storage.data());
  Workspace<T> packed(packed_size<T>(any));
  const int64_t columns = s.IC / s.G, filter = s.KH * s.KW * columns;
  pack_weight(any, weight, {columns, s.OC / s.G * filter, columns, filter, 1}, packed.data());
  for (int64_t rh = 0; rh < min_of(s.sh, s.IH); ++rh)
    for (int64_t rw = 0; rw < min_of(s.sw, s.IW); ++rw)
      gather_product<T>(backward_sites(s, rh, rw, storage.data()), grad_y, packed.data(), {}, grad_x);
}

// Cuts of backward-weight: slices of the sites have partial sums of their own, panels of OC none.
struct WeightCut {
  int64_t pieces;  // of at most kPieceRows sites
  int64_t slices;  // of pieces
  int64_t panels;  // of all groups
  bool serial;
};

template <typename T>
WeightCut cut_weight(const Conv2dShape& s, int64_t sites) {
  constexpr int64_t kTasks = 16;
  const double operations = 2.0 * static_cast<double>(sites * s.KH * s.KW) * static_cast<double>(s.IC * s.OC / s.G);
  const int64_t pieces = divide_up(sites, kPieceRows), panels = s.G * panels_of<T>(s.OC / s.G);
  const bool serial = operations <= kSerialOperations;
  return {pieces, serial ? 1 : max_of(1, min_of(pieces, kTasks / panels)), panels, serial};
}

// grad_weight[oc][tap][ic] = sum over slices, in order, of partial[slice][g][tap][ic][oc]
template <typename T>
void sum_slices(const Conv2dShape& s, int64_t slices, const T* partial, T* grad_weight) {
  const int64_t taps = s.KH * s.KW, ICG = s.IC / s.G, OCG = s.OC / s.G, size = s.OC * taps * ICG;
  const int64_t blocks = divide_up(OCG, 16);
  parallel_for(s.G * blocks, [&](int64_t index, int) {
    const int64_t g = index / blocks, oc0 = index % blocks * 16, width = min_of(16, OCG - oc0);
    for (int64_t row = 0; row < taps * ICG; ++row) {
      T sum[16] = {};
      const T* from = partial + (g * taps * ICG + row) * OCG + oc0;
      for (int64_t slice = 0; slice < slices; ++slice, from += size)
        for (int64_t i = 0; i < width; ++i) sum[i] += from[i];
      for (int64_t i = 0; i < width; ++i) grad_weight[(g * OCG + oc0 + i) * taps * ICG + row] = sum[i];
    }
  });
}

template <typename T>
void backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x, T* grad_weight) {
  const int64_t size = s.OC * s.KH * s.KW * (s.IC / s.G), OCG = s.OC / s.G, total = s.N * s.OH * s.OW;
  Workspace<int64_t> storage(3 * s.KH * s.KW);
  if (total == 0) {
    for (int64_t i = 0; i < size; ++i) grad_weight[i] = T(0);
    return;
  }
  if (is_winograd(algorithm))
    return winograd_backward_weight(s, algorithm, grad_y, x, [&](int64_t slices, const T* partial) {
      sum_slices(s, slices, partial, grad_weight);
    });
  if (algorithm != Conv2dAlgorithm::implicit_gemm) return grouped_backward_weight(s, grad_y, x, grad_weight);
  const Sites sites = can_merge_taps(s) ? merged_forward_sites(s, storage.data()) : forward_sites(s, storage.data());
  const WeightCut cut = cut_weight<T>(s, total);
  const int64_t group_panels = cut.panels / s.G, K = sites.K;
  const int threads = num_threads();
  Workspace<T> zeros(K * s.G);
  for (int64_t c = 0; c < K * s.G; ++c) zeros.data()[c] = T(0);
  Workspace<const T*> tables(threads * sites.taps * kPieceRows);
  Workspace<T> panels(threads * kPieceRows * kPanel<T>);
  Workspace<T> partial(cut.slices * size);

  const auto run = [&](int64_t task, int worker) {
    const int64_t slice = task / cut.panels, g = task % cut.panels / group_panels;
    const int64_t column = task % group_panels * kPanel<T>, width = min_of(kPanel<T>, OCG - column);
    const int64_t begin = slice * cut.pieces / cut.slices, end = (slice + 1) * cut.pieces / cut.slices;
    const T** table = tables.data() + worker * sites.taps * kPieceRows;
    T* panel = panels.data() + worker * kPieceRows * kPanel<T>;
    T* sums = partial.data() + slice * size + g * sites.taps * K * OCG + column;
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kPieceRows, rows = min_of(kPieceRows, total - first);
      fill_table<T>(sites, first, rows, x, zeros.data(), nullptr, table, nullptr);
      pack_panel(rows, width, grad_y + first * s.OC + g * OCG + column, s.OC, 1, panel);
      for (int64_t t = 0; t < sites.taps; ++t)
        multiply_columns<T>(K, rows, width, table + t * rows, g * K, panel, piece > begin, sums + t * K * OCG, OCG);
    }
  };
  run_tasks(cut.serial, cut.slices * cut.panels, run, threads);
  sum_slices(s, cut.slices, partial.data(), grad_weight);
}

template <typename T>
Conv2dKernels<T> table() {
  return {supports, choose, forward<T>, backward_input<T>, backward_weight<T>, column_sums<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
Conv2dKernels<float> conv2d_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
Conv2dKernels<double> conv2d_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}
}  // namespace atrous
