// linear: matrix products on the register tile, A through row pointers, B packed.
#include "kernels/linear.h"

#include "kernels/cpu/gemm.h"

namespace atrous::ATROUS_LEVEL {
namespace {

bool is_small(const MatmulShape& s) {
  return 2.0 * static_cast<double>(s.M * s.N) * static_cast<double>(s.K) <= kSerialOperations;
}

// A row-major: all of B is packed once, then pieces of rows are shared out.
template <typename T>
void matmul_rows(const MatmulShape& s, const T* a, const T* b, const Epilogue<T>& epilogue, T* c) {
  const int64_t panels = panels_of<T>(s.N), pieces = divide_up(s.M, kPieceRows);
  Workspace<T> packed(panels * s.K * kPanel<T>);
  const auto pack = [&](int64_t panel, int) {
    const int64_t column = panel * kPanel<T>;
    pack_panel(s.K, min_of(kPanel<T>, s.N - column), b + column * s.b_n, s.b_k, s.b_n, packed.data() + column * s.K);
  };
  Workspace<const T*> rows(s.M);
  Workspace<T*> out(s.M);
  for (int64_t m = 0; m < s.M; ++m) rows.data()[m] = a + m * s.a_m, out.data()[m] = c + m * s.N;
  const int64_t groups = min_of(panels, max_of(1, 16 / pieces));
  const auto run = [&](int64_t task, int) {
    const int64_t first = task / groups * kPieceRows, group = task % groups, zero = 0;
    const RowProduct<T> product{min_of(kPieceRows, s.M - first),
                                1,
                                s.K,
                                rows.data() + first,
                                0,
                                packed.data(),
                                s.K,
                                &zero,
                                out.data() + first,
                                0,
                                s.N,
                                &epilogue,
                                c};
    multiply_rows(product, group * panels / groups, (group + 1) * panels / groups);
  };
  run_tasks(s.K * s.N < 65536, panels, pack, num_threads());
  run_tasks(is_small(s), pieces * groups, run, num_threads());
}

// A column-major: tiles read A along m; panels of B are packed block by block where they are used.
template <typename T>
void matmul_columns(const MatmulShape& s, const T* a, const T* b, T* c) {
  const int64_t panels = panels_of<T>(s.N), pieces = divide_up(s.M, kPieceRows);
  const int threads = num_threads();
  Workspace<const T*> rows(s.K);
  for (int64_t k = 0; k < s.K; ++k) rows.data()[k] = a + k * s.a_k;
  Workspace<T> workspace(threads * kBlock * kPanel<T>);
  const auto run = [&](int64_t task, int worker) {
    const int64_t first = task / panels * kPieceRows, column = task % panels * kPanel<T>;
    const int64_t M = min_of(kPieceRows, s.M - first), width = min_of(kPanel<T>, s.N - column);
    T* panel = workspace.data() + worker * kBlock * kPanel<T>;
    for (int64_t k = 0; k < s.K; k += kBlock) {
      const int64_t K = min_of(kBlock, s.K - k);
      pack_panel(K, width, b + k * s.b_k + column * s.b_n, s.b_k, s.b_n, panel);
      multiply_columns(M, K, width, rows.data() + k, first, panel, k > 0, c + first * s.N + column, s.N);
    }
  };
  run_tasks(is_small(s), pieces * panels, run, threads);
}

template <typename T>
void matmul(const MatmulShape& s, const T* a, const T* b, const Epilogue<T>& epilogue, T* c) {
  for (int64_t i = 0; i < s.batch; ++i, a += s.a_batch, b += s.b_batch, c += s.M * s.N) {
    if (s.K == 0) {
      for (int64_t m = 0; m < s.M; ++m)
        for (int64_t n = 0; n < s.N; ++n) c[m * s.N + n] = finished_at(epilogue, T(0), n, m * s.N + n);
    } else if (s.M > 0 && s.N > 0) {
      s.a_k == 1 ? matmul_rows(s, a, b, epilogue, c) : matmul_columns(s, a, b, c);
    }
  }
}

template <typename T>
LinearKernels<T> table() {
  return {matmul<T>, column_sums<T>};
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
LinearKernels<float> linear_kernels<Level::ATROUS_LEVEL, float>() {
  return ATROUS_LEVEL::table<float>();
}
template <>
LinearKernels<double> linear_kernels<Level::ATROUS_LEVEL, double>() {
  return ATROUS_LEVEL::table<double>();
}
}  // namespace atrous
