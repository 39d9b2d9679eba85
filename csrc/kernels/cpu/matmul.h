// The plain matrix product:  C[m,n] = sum_k A[m,k] * B[k,n], through the epilogue.  See kernels/linear.h.
// Few rows read B where it lies; more rows have it packed block by block where it is used, many rows all at once.
#pragma once
#include "kernels/cpu/gemm.h"
#include "kernels/linear.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kInPlaceRows = kTileRows;  // up to so many rows, a row-major B is read in place
constexpr int64_t kManyPanels = 32;          // packing tiles of A costs nothing beside so many panels,
constexpr int64_t kFewPanels = 4;            // and a part of them beside these
constexpr int64_t kNearPanels = 8;           // so many, of kBlock rows, stay in L2 beside the tiles of A,
constexpr int64_t kNear = 1 << 15;           // which are so many numbers,
constexpr int64_t kShared = 1 << 20;         // and so many stay in the last cache while pieces of rows pass:
constexpr int64_t kLong = 1 << 13;           // of longer sums some panels at least

template <typename T>
struct Matmul {
  MatmulShape s;
  const T* a;
  const T* b;
  const Epilogue<T>* epilogue;  // nullptr: none
  T* c;
  bool accumulate = false;  // add to what is in C
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
    with_rows<MR>(p.s.M, [&](auto R) {
      row_tile<T, R, NV>(&segment, 1, p.b + n, p.s.b_k, TileOutput<T>{out, n, columns, false, p.epilogue, p.c});
    });
}

// Rows [k, k + K) of some panels, which lie `stride` apart in `to`. A row-major B is read along its rows: a panel alone
// would touch a page of memory for each row.
template <typename T>
void pack_b(const Matmul<T>& p, int64_t k, int64_t K, int64_t first_panel, int64_t last_panel, T* to, int64_t stride) {
  const MatmulShape& s = p.s;
  const T* b = p.b + k * s.b_k;
  constexpr int64_t kRows = 16;
  const int64_t strip = s.b_n == 1 ? kRows : K;  // rows at a time
  for (int64_t row = 0; row < K; row += strip)
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      const int64_t n = panel * kPanel<T>;
      if (s.b_n == 1)  // the next strip, which the processor would not foresee
        for (int64_t i = row + kRows; i < min_of(row + 2 * kRows, s.K - k); ++i) __builtin_prefetch(b + i * s.b_k + n);
      pack_panel(min_of(strip, K - row), min_of(kPanel<T>, s.N - n), b + row * s.b_k + n * s.b_n, s.b_k, s.b_n,
                 to + (panel - first_panel) * stride + row * kPanel<T>);
    }
}

// A task: some rows of some panels.
template <typename T>
struct MatmulPiece {
  int64_t first, rows;
  int64_t first_panel, last_panel;
  T* tiles;  // kPieceRows x kBlock of this worker
};

// Rows m .. of a piece times a panel, over the block of K at k.
template <typename T>
void multiply_tile(const Matmul<T>& p, const MatmulPiece<T>& piece, int64_t m, int64_t panel, const T* b, int64_t k,
                   int64_t K, T* const* out) {
  const int64_t column = panel * kPanel<T>, columns = min_of(kPanel<T>, p.s.N - column);
  const TileOutput<T> to{out + m, column, columns, p.accumulate || k > 0, k + K == p.s.K ? p.epilogue : nullptr, p.c};
  const Segment<T> all{nullptr, 0, 0, K};
  run_packed_tile(piece.rows - m, &all, 1, piece.tiles + m * K, b, kPanel<T>, to);
}

// All rows of a piece times panels [first, last), which lie `stride` apart, over the block of K at k. Where they fit
// into L2, C is written row by row; else a panel stays in L1 while the rows pass.
template <typename T>
void multiply_block(const Matmul<T>& p, const MatmulPiece<T>& piece, int64_t first, int64_t last, const T* b,
                    int64_t stride, int64_t k, int64_t K, T* const* out) {
  const bool near = K * (last - first) * kPanel<T> <= kNear;
  const int64_t panels = near ? last - first : 1;  // at a time
  for (int64_t begin = first; begin < last; begin += panels)
    for (int64_t m = 0; m < piece.rows; m += kTileRows)
      for (int64_t panel = begin; panel < begin + panels; ++panel)
        multiply_tile(p, piece, m, panel, b + (panel - first) * stride, k, K, out);
}

// `b` has the panels of the piece, all of K; or it is scratch for kNearPanels of them and kBlock of K.
template <typename T>
void multiply_piece(const Matmul<T>& p, const MatmulPiece<T>& piece, bool packed, T* b) {
  const MatmulShape& s = p.s;
  T* out[kPieceRows];
  for (int64_t m = 0; m < piece.rows; ++m) out[m] = p.c + (piece.first + m) * s.N;
  for (int64_t k = 0; k < s.K; k += kBlock) {
    const int64_t K = min_of(kBlock, s.K - k), strip = packed ? s.N : s.b_n == 1 ? kNearPanels : 1;
    pack_tiles(piece.rows, K, p.a + piece.first * s.a_m + k * s.a_k, s.a_m, s.a_k, piece.tiles);
    for (int64_t panel = piece.first_panel; panel < piece.last_panel; panel += strip) {
      const int64_t end = min_of(piece.last_panel, panel + strip);
      if (!packed) pack_b(p, k, K, panel, end, b, (K + 1) * kPanel<T>);
      multiply_block(p, piece, panel, end, packed ? b + k * kPanel<T> : b, (packed ? s.K : K + 1) * kPanel<T>, k, K,
                     out);
    }
  }
}

// Some panels of B, packed once for all pieces of rows.
template <typename T>
void pack_at_once(const Matmul<T>& p, int64_t first_panel, int64_t last_panel, bool serial, T* packed) {
  const int64_t strips = divide_up(last_panel - first_panel, kNearPanels), blocks = divide_up(p.s.K, kBlock);
  const auto pack = [&](int64_t task, int) {
    const int64_t strip = task / blocks * kNearPanels, k = task % blocks * kBlock;
    pack_b(p, k, min_of(kBlock, p.s.K - k), first_panel + strip, min_of(last_panel, first_panel + strip + kNearPanels),
           packed + strip * p.s.K * kPanel<T> + k * kPanel<T>, p.s.K * kPanel<T>);
  };
  run_tasks(serial, strips * blocks, pack, num_threads());
}

template <typename T>
void multiply_packed(const Matmul<T>& p, int64_t first_column, int64_t tasks) {
  const MatmulShape& s = p.s;
  const int64_t pieces = divide_up(s.M, kPieceRows), rows = divide_up(divide_up(s.M, pieces), kTileRows) * kTileRows;
  const int64_t panel_size = s.K * kPanel<T>, first_panel = first_column / kPanel<T>, panels = panels_of<T>(s.N);
  const bool at_once = pieces > 1;  // else a block is packed where it is used
  const int64_t group = at_once ? min_of(panels, max_of(1, kShared / panel_size)) : panels;
  const int threads = num_threads();
  constexpr int64_t tiles_size = kPieceRows * kBlock, scratch_size = kNearPanels * (kBlock + 1) * kPanel<T>;
  Workspace<T> tiles(threads * tiles_size), packed(at_once ? group * panel_size : threads * scratch_size);
  for (int64_t begin = first_panel; begin < panels; begin += group) {
    const int64_t count = min_of(group, panels - begin), least = at_once ? kManyPanels : kFewPanels;
    const int64_t cuts = min_of(divide_up(count, least), divide_up(tasks, pieces));
    if (at_once) pack_at_once(p, begin, begin + count, tasks == 1, packed.data());
    const auto run = [&](int64_t task, int worker) {
      const int64_t row = task / cuts * rows, cut = task % cuts, first = cut * count / cuts;
      const MatmulPiece<T> piece{row, min_of(rows, s.M - row), begin + first, begin + (cut + 1) * count / cuts,
                                 tiles.data() + worker * tiles_size};
      multiply_piece(p, piece, at_once, packed.data() + (at_once ? first * panel_size : worker * scratch_size));
    };
    run_tasks(tasks == 1, divide_up(s.M, rows) * cuts, run, threads);
  }
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
  for (int64_t k = 0; in_place < s.N && k < s.K; k += kLong) {
    Matmul<T> part{s, p.a + k * s.a_k, p.b + k * s.b_k, k + kLong < s.K ? nullptr : p.epilogue, p.c, k > 0};
    part.s.K = min_of(kLong, s.K - k);
    multiply_packed(part, in_place, tasks);
  }
}

template <typename T>
void matmul(const MatmulShape& s, const T* a, const T* b, const Epilogue<T>& epilogue, T* c) {
  for (int64_t i = 0; i < s.batch; ++i, a += s.a_batch, b += s.b_batch, c += s.M * s.N) {
    if (s.K == 0) {
      for (int64_t m = 0; m < s.M; ++m)
        for (int64_t n = 0; n < s.N; ++n) c[m * s.N + n] = finished_at(epilogue, T(0), n, m * s.N + n);
    } else if (s.M > 0 && s.N > 0) {
      matmul_one(Matmul<T>{s, a, b, does_nothing(epilogue) ? nullptr : &epilogue, c});
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
