// The plain matrix product:  C[m,n] = sum_k A[m,k] * B[k,n], through the epilogue.  See kernels/linear.h.
// Few rows read B where it lies; more rows have it packed block by block where it is used, many rows all at once. A
// column-major A is turned, block by block, into rows.
#pragma once
#include "kernels/cpu/gemm.h"
#include "kernels/linear.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kInPlaceRows = kTileRows;  // up to so many rows, a row-major B is read in place
constexpr int64_t kTurned = kBlock + 16;     // stride of turned rows: no power of two, which would share cache sets

template <typename T>
struct Matmul {
  MatmulShape s;
  const T* a;
  const T* b;
  const Epilogue<T>& epilogue;
  T* c;
};

// The rows of B lie dense: columns [first, last), a multiple of the tile's, read where they are.
template <typename T, int NV, int MR>
void multiply_in_place(const Matmul<T>& p, int64_t first, int64_t last) {
  const T* rows[MR];
  T* out[MR];
  for (int64_t m = 0; m < min_of(MR, p.s.M); ++m) rows[m] = p.a + m * p.s.a_m, out[m] = p.c + m * p.s.N;
  constexpr int64_t columns = NV * Vec<T>::width;
  const Segment<T> segment{rows, 0, 0, p.s.K};
  for (int64_t n = first; n < last; n += columns)
    run_row_tile<T, NV, MR>(p.s.M, &segment, 1, p.b + n, TileOutput<T>{out, n, columns, false, &p.epilogue, p.c},
                            p.s.b_k);
}

// Rows [first, first + rows) and some panels; `packed` is all of B or nullptr, scratch this worker's.
template <typename T>
void multiply_block(const Matmul<T>& p, int64_t first, int64_t rows, int64_t first_panel, int64_t last_panel,
                    const T* packed, T* scratch, T* turned) {
  const MatmulShape& s = p.s;
  const T* table[kPieceRows];
  T* out[kPieceRows];
  const int64_t zero = 0, block = s.a_k == 1 ? s.K : kBlock;
  for (int64_t m = 0; m < rows; ++m) out[m] = p.c + (first + m) * s.N;
  for (int64_t k = 0; k < s.K; k += block) {
    const int64_t K = min_of(block, s.K - k);
    if (s.a_k != 1) transpose(K, rows, p.a + k * s.a_k + first, s.a_k, turned, kTurned);
    for (int64_t m = 0; m < rows; ++m) table[m] = s.a_k == 1 ? p.a + (first + m) * s.a_m : turned + m * kTurned;
    const Panels<T> panels{packed ? packed + k * kPanel<T> : nullptr, s.K, p.b + k * s.b_k, 0, s.b_k, s.b_n, scratch};
    const bool last = k + K == s.K;
    multiply_rows(RowProduct<T>{rows, 1, K, &zero, table, 0, nullptr, panels, out, 0, s.N, k > 0,
                                last ? &p.epilogue : nullptr, p.c},
                  first_panel, last_panel);
  }
}

template <typename T>
void multiply_packed(const Matmul<T>& p, int64_t first_column, int64_t tasks) {
  const MatmulShape& s = p.s;
  const int64_t first_panel = first_column / kPanel<T>, panels = panels_of<T>(s.N) - first_panel;
  const int64_t rows = divide_up(divide_up(s.M, divide_up(s.M, kPieceRows)), kTileRows) * kTileRows;
  const int64_t pieces = divide_up(s.M, rows);
  const int64_t most = s.a_k == 1 ? panels : max_of(1, panels / 8);  // turning a block of A pays for so many panels
  const int64_t groups = min_of(most, divide_up(tasks, pieces));
  const int threads = num_threads();
  const bool at_once = pieces > 2;  // then packing once for all pieces saves more than writing B costs
  Workspace<T> packed(at_once ? panels * s.K * kPanel<T> : 0);
  if (at_once)
    run_tasks(
        tasks == 1, panels,
        [&](int64_t panel, int) {
          const int64_t n = panel * kPanel<T>;
          pack_panel(s.K, min_of(kPanel<T>, s.N - n), p.b + n * s.b_n, s.b_k, s.b_n, packed.data() + n * s.K);
        },
        threads);
  constexpr int64_t panel_size = kBlock * kPanel<T>, turned_size = kPieceRows * kTurned;
  Workspace<T> scratch(at_once ? 0 : threads * panel_size), turned(s.a_k == 1 ? 0 : threads * turned_size);
  const auto run = [&](int64_t task, int worker) {
    const int64_t first = task / groups * rows, group = task % groups;
    multiply_block(p, first, min_of(rows, s.M - first), first_panel + group * panels / groups,
                   first_panel + (group + 1) * panels / groups, at_once ? packed.data() : nullptr,
                   scratch.data() + worker * panel_size, turned.data() + worker * turned_size);
  };
  run_tasks(tasks == 1, pieces * groups, run, threads);
}

// Shares columns out in groups that are multiples of `width`.
template <typename F>
void share_columns(int64_t columns, int64_t width, int64_t tasks, F&& f) {
  const int64_t strips = divide_up(columns, width), groups = min_of(strips, tasks);
  run_tasks(
      tasks == 1, groups,
      [&](int64_t group, int) {
        f(group * strips / groups * width, min_of((group + 1) * strips / groups * width, columns));
      },
      num_threads());
}

template <typename T>
void matmul_one(const Matmul<T>& p) {
  const MatmulShape& s = p.s;
  const int64_t tasks = tasks_of(static_cast<double>(s.M * s.N) * static_cast<double>(s.K));
  int64_t in_place = 0;  // columns
  if (s.a_k == 1 && s.b_n == 1 && s.M <= kInPlaceRows) {
    in_place = s.N / kPanel<T> * kPanel<T>;
    share_columns(in_place, kPanel<T>, tasks,
                  [&](int64_t first, int64_t last) { multiply_in_place<T, kTileVectors, kTileRows>(p, first, last); });
  }
  if (in_place < s.N) multiply_packed(p, in_place, tasks);
}

template <typename T>
void matmul(const MatmulShape& s, const T* a, const T* b, const Epilogue<T>& epilogue, T* c) {
  for (int64_t i = 0; i < s.batch; ++i, a += s.a_batch, b += s.b_batch, c += s.M * s.N) {
    if (s.K == 0) {
      for (int64_t m = 0; m < s.M; ++m)
        for (int64_t n = 0; n < s.N; ++n) c[m * s.N + n] = finished_at(epilogue, T(0), n, m * s.N + n);
    } else if (s.M > 0 && s.N > 0) {
      matmul_one(Matmul<T>{s, a, b, epilogue, c});
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
