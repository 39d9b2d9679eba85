// conv2d as an implicit matrix product: sites x (taps, channels) times the packed weights. See docs/convolution.md.
#include "kernels/conv2d.h"

#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_sites.h"
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
void gather_product(const Sites& sites, int64_t all_taps, int64_t G, const T* source, const T* packed, const T* bias,
                    T* destination) {
  const int64_t K = sites.SC / G, columns = sites.DC / G, total = sites.N * sites.QH * sites.QW;
  if (total == 0) return;  // fewer input rows than the stride
  const Cut cut = cut_sites<T>(total, max_of(sites.taps, 1), sites.SC, columns);
  const int threads = num_threads();
  Workspace<T> zeros(sites.SC);
  for (int64_t c = 0; c < sites.SC; ++c) zeros.data()[c] = T(0);
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
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t c = 0; c < sites.DC; ++c) out[i][c] = T(0);
      return;
    }
    for (int64_t g = 0; g < G; ++g) {
      const RowProduct<T> product{
          rows,         sites.taps,    K,   table,       g * K,   packed + g * cut.panels * all_taps * K * kPanel<T>,
          all_taps * K, tap_k0.data(), out, g * columns, columns, bias ? bias + g * columns : nullptr};
      multiply_rows(product, group * cut.panels / cut.panel_groups, (group + 1) * cut.panels / cut.panel_groups);
    }
  };
  run_tasks(
      cut.serial, cut.pieces * cut.panel_groups,
      [&](int64_t task, int worker) { run_piece(task / cut.panel_groups, task % cut.panel_groups, worker); }, threads);
}

// Packs each group's b[tap][k][n] into panels; b(g, tap, k, n) = weight[g_offset*g + tap*tap_stride + k*k_stride +
// n*n_stride].
template <typename T>
void pack_weight(int64_t G, int64_t taps, int64_t K, int64_t columns, const T* weight, int64_t g_stride,
                 int64_t tap_stride, int64_t k_stride, int64_t n_stride, T* packed) {
  const int64_t panels = panels_of<T>(columns);
  const auto pack = [&](int64_t index, int) {
    const int64_t g = index / panels, panel = index % panels, column = panel * kPanel<T>;
    for (int64_t tap = 0; tap < taps; ++tap)
      pack_panel(K, min_of(kPanel<T>, columns - column), weight + g * g_stride + tap * tap_stride + column * n_stride,
                 k_stride, n_stride, packed + (index * taps + tap) * K * kPanel<T>);
  };
  run_tasks(G * taps * K * columns < 65536, G * panels, pack, num_threads());
}

template <typename T>
void forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight, const T* bias, T* y) {
  const int64_t taps = s.KH * s.KW, K = s.IC / s.G, columns = s.OC / s.G;
  Workspace<int64_t> storage(3 * taps);
  const Sites sites = forward_sites(s, storage.data());
  if (algorithm == Conv2dAlgorithm::depthwise) return depthwise_gather(sites, taps, x, weight, bias, y);
  Workspace<T> packed(s.G * panels_of<T>(columns) * taps * K * kPanel<T>);
  pack_weight(s.G, taps, K, columns, weight, columns * taps * K, K, 1, taps * K, packed.data());
  gather_product(sites, taps, s.G, x, packed.data(), bias, y);
}

template <typename T>
void backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight, T* grad_x) {
  const int64_t taps = s.KH * s.KW, K = s.OC / s.G, columns = s.IC / s.G;
  Workspace<int64_t> storage(3 * taps);
  const bool dense = algorithm == Conv2dAlgorithm::implicit_gemm;
  Workspace<T> packed(dense ? s.G * panels_of<T>(columns) * taps * K * kPanel<T> : 1);
  if (dense) pack_weight(s.G, taps, K, columns, weight, K * taps * columns, columns, taps * columns, 1, packed.data());
  for (int64_t rh = 0; rh < s.sh; ++rh)
    for (int64_t rw = 0; rw < s.sw; ++rw) {
      const Sites sites = backward_sites(s, rh, rw, storage.data());
      if (dense)
        gather_product<T>(sites, taps, s.G, grad_y, packed.data(), nullptr, grad_x);
      else
        depthwise_gather<T>(sites, taps, grad_y, weight, nullptr, grad_x);
    }
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
  const int64_t taps = s.KH * s.KW, ICG = s.IC / s.G, OCG = s.OC / s.G, total = s.N * s.OH * s.OW;
  Workspace<int64_t> storage(3 * taps);
  const Sites sites = forward_sites(s, storage.data());
  if (total == 0) {
    for (int64_t i = 0; i < s.OC * taps * ICG; ++i) grad_weight[i] = T(0);
    return;
  }
  if (algorithm == Conv2dAlgorithm::depthwise) return depthwise_weight(sites, grad_y, x, grad_weight);
  const WeightCut cut = cut_weight<T>(s, total);
  const int64_t group_panels = cut.panels / s.G;
  const int threads = num_threads();
  Workspace<T> zeros(s.IC);
  for (int64_t c = 0; c < s.IC; ++c) zeros.data()[c] = T(0);
  Workspace<const T*> tables(threads * taps * kPieceRows);
  Workspace<T> panels(threads * kPieceRows * kPanel<T>);
  Workspace<T> partial(cut.slices * s.OC * taps * ICG);

  const auto run = [&](int64_t task, int worker) {
    const int64_t slice = task / cut.panels, g = task % cut.panels / group_panels;
    const int64_t column = task % group_panels * kPanel<T>, width = min_of(kPanel<T>, OCG - column);
    const int64_t begin = slice * cut.pieces / cut.slices, end = (slice + 1) * cut.pieces / cut.slices;
    const T** table = tables.data() + worker * taps * kPieceRows;
    T* panel = panels.data() + worker * kPieceRows * kPanel<T>;
    T* sums = partial.data() + slice * s.OC * taps * ICG + g * taps * ICG * OCG + column;
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kPieceRows, rows = min_of(kPieceRows, total - first);
      fill_table<T>(sites, first, rows, x, zeros.data(), nullptr, table, nullptr);
      pack_panel(rows, width, grad_y + first * s.OC + g * OCG + column, s.OC, 1, panel);
      for (int64_t t = 0; t < taps; ++t)
        multiply_columns<T>(ICG, rows, width, table + t * rows, g * ICG, panel, nullptr, piece > begin,
                            sums + t * ICG * OCG, OCG);
    }
  };
  run_tasks(cut.serial, cut.slices * cut.panels, run, threads);
  sum_slices(s, cut.slices, partial.data(), grad_weight);
}

template <typename T>
Conv2dKernels<T> table() {
  return {forward<T>, backward_input<T>, backward_weight<T>, column_sums<T>};
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
