// The plain matrix product:  C[m,n] = sum_k A[m,k] * B[k,n], through the epilogue.  See kernels/linear.h.
// Few rows read B where it lies (matmul_few_rows.h); for more of them blocks of it are packed where they are used, or
// for many all at once. A is packed where it lies along m, or where many panels use it.
#pragma once
#include "kernels/cpu/matmul_few_rows.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kManyPanels = 32;   // packing tiles of A costs nothing beside so many panels,
constexpr int64_t kFewPanels = 4;     // and a part of them beside these
constexpr int64_t kNearPanels = 8;    // so many, of kBlock rows, stay in L2 beside the tiles of A,
constexpr int64_t kNear = 1 << 15;    // which are so many numbers,
constexpr int64_t kShared = 1 << 20;  // and so many stay in the last cache while pieces of rows pass:
constexpr int64_t kLong = 1 << 13;    // of longer sums some panels at least

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
  T* tiles = nullptr;           // of A: kPieceRows x kBlock of this worker; or A is read where it lies
  const T* a[kPieceRows] = {};  // where its rows begin
  T* c[kPieceRows] = {};
};

// Rows m .. of a piece times a panel, over the block of K at k.
template <typename T>
void multiply_tile(const Matmul<T>& p, const MatmulPiece<T>& piece, int64_t m, int64_t panel, const T* b, int64_t k,
                   int64_t K) {
  const int64_t column = panel * kPanel<T>, columns = min_of(kPanel<T>, p.s.N - column);
  const Epilogue<T>* epilogue = k + K == p.s.K ? p.epilogue : nullptr;
  const TileOutput<T> to{piece.c + m, column, columns, p.accumulate || k > 0, epilogue, p.c};
  const Segment<T> all{piece.a + m, piece.tiles ? 0 : k, 0, K};
  if (piece.tiles) return run_packed_tile(piece.rows - m, &all, 1, piece.tiles + m * K, b, kPanel<T>, to);
  with_rows<kTileRows>(piece.rows - m, [&](auto MR) {
    if (columns <= Vec<T>::width)
      row_tile<T, MR, 1>(&all, 1, b, kPanel<T>, to);
    else
      row_tile<T, MR, kTileVectors>(&all, 1, b, kPanel<T>, to);
  });
}

// All rows of a piece times panels [first, last), which lie `stride` apart, over the block of K at k. Where they fit
// into L2, C is written row by row; else a panel stays in L1 while the rows pass.
template <typename T>
void multiply_block(const Matmul<T>& p, const MatmulPiece<T>& piece, int64_t first, int64_t last, const T* b,
                    int64_t stride, int64_t k, int64_t K) {
  const bool near = K * (last - first) * kPanel<T> <= kNear;
  const int64_t panels = near ? last - first : 1;  // at a time
  for (int64_t begin = first; begin < last; begin += panels)
    for (int64_t m = 0; m < piece.rows; m += kTileRows)
      for (int64_t panel = begin; panel < begin + panels; ++panel)
        multiply_tile(p, piece, m, panel, b + (panel - first) * stride, k, K);
}

// `b` has the panels of the piece, all of K; or it is scratch for kNearPanels of them and kBlock of K.
template <typename T>
void multiply_piece(const Matmul<T>& p, const MatmulPiece<T>& piece, bool packed, T* b) {
  const MatmulShape& s = p.s;
  for (int64_t k = 0; k < s.K; k += kBlock) {
    const int64_t K = min_of(kBlock, s.K - k), strip = packed ? s.N : s.b_n == 1 ? kNearPanels : 1;
    if (piece.tiles) pack_tiles(piece.rows, K, p.a + piece.first * s.a_m + k * s.a_k, s.a_m, s.a_k, piece.tiles);
    for (int64_t panel = piece.first_panel; panel < piece.last_panel; panel += strip) {
      const int64_t end = min_of(piece.last_panel, panel + strip);
      if (!packed) pack_b(p, k, K, panel, end, b, (K + 1) * kPanel<T>);
      multiply_block(p, piece, panel, end, packed ? b + k * kPanel<T> : b, (packed ? s.K : K + 1) * kPanel<T>, k, K);
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

// Rows cut into pieces of whole tiles, as even as tiles are, and several of them in a number that two or four threads
// share evenly: nine pieces keep one of two threads waiting for a tenth of the time.
struct RowPieces {
  int64_t rows, tiles, count;

  explicit RowPieces(int64_t all)
      : rows(all),
        tiles(divide_up(all, kTileRows)),
        count(all <= kPieceRows ? 1 : divide_up(all, 4 * kPieceRows) * 4) {}
  int64_t begin(int64_t piece) const { return min_of(rows, piece * tiles / count * kTileRows); }
};

template <typename T>
void multiply_packed(const Matmul<T>& p, int64_t tasks) {
  const MatmulShape& s = p.s;
  const RowPieces pieces(s.M);
  const int64_t panel_size = s.K * kPanel<T>, panels = panels_of<T>(s.N);
  const bool at_once = pieces.count > 1;  // else a block is packed where it is used
  const int64_t group = at_once ? min_of(panels, max_of(1, kShared / panel_size)) : panels;
  const int threads = num_threads();
  constexpr int64_t tiles_size = kPieceRows * kBlock, scratch_size = kNearPanels * (kBlock + 1) * kPanel<T>;
  const bool in_tiles = s.a_k != 1 || group >= kManyPanels;  // else A is read where it lies
  Workspace<T> tiles(in_tiles ? threads * tiles_size : 0);
  Workspace<T> packed(at_once ? group * panel_size : threads * scratch_size);
  for (int64_t begin = 0; begin < panels; begin += group) {
    const int64_t count = min_of(group, panels - begin), least = at_once ? kManyPanels : kFewPanels;
    const int64_t cuts = min_of(divide_up(count, least), divide_up(tasks, pieces.count));
    if (at_once) pack_at_once(p, begin, begin + count, tasks == 1, packed.data());
    const auto run = [&](int64_t task, int worker) {
      const int64_t row = pieces.begin(task / cuts), end = pieces.begin(task / cuts + 1);
      const int64_t cut = task % cuts, first = cut * count / cuts;
      MatmulPiece<T> piece{row, end - row, begin + first, begin + (cut + 1) * count / cuts};
      if (in_tiles) piece.tiles = tiles.data() + worker * tiles_size;
      for (int64_t m = 0; m < piece.rows; ++m) piece.a[m] = p.a + (row + m) * s.a_m, piece.c[m] = p.c + (row + m) * s.N;
      multiply_piece(p, piece, at_once, packed.data() + (at_once ? first * panel_size : worker * scratch_size));
    };
    run_tasks(tasks == 1, pieces.count * cuts, run, threads);
  }
}

template <typename T>
void matmul_one(const Matmul<T>& p) {
  const MatmulShape& s = p.s;
  const int64_t tasks = tasks_of(static_cast<double>(s.M * s.N) * static_cast<double>(s.K));
  if (has_few_rows<T>(s)) return multiply_few_rows(p, tasks);
  if (s.K == 1 && s.b_n == 1 && !p.epilogue) return multiply_outer(p, tasks);
  for (int64_t k = 0; k < s.K; k += kLong) {
    Matmul<T> part{s, p.a + k * s.a_k, p.b + k * s.b_k, k + kLong < s.K ? nullptr : p.epilogue, p.c, k > 0};
    part.s.K = min_of(kLong, s.K - k);
    multiply_packed(part, tasks);
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
