// The register tile at the bottom of every convolution and matrix product: MR rows x NV vectors of accumulators.
//
//   out[m][n] (+)= sum over segments s, k < s.length:  a(s, m, k) * b[s.k0 + k][n]
//
// b is a packed panel: [k][NV * width], zero-padded. `a` is reached through row pointers, so that stride, dilation and
// padding cost nothing in the inner loop (the "indirect convolution algorithm", Dukhan 2019, arXiv:1907.02129).
// Padding points to a row of zeros.
#pragma once
#include <type_traits>

#include "core/simd.h"
#include "kernels/cpu/finish.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Accumulators fill the register file: 16 of 32 (AVX-512, NEON with room for loads), 12 of 16 (AVX2), 8 of 16 (SSE2).
constexpr int kTileVectors = 2;
#if ATROUS_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kTileRows = 8;
#elif ATROUS_VECTOR_BYTES == 32
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif

template <typename T>
constexpr int64_t kPanel = kTileVectors * Vec<T>::width;  // columns of a packed panel

// Consecutive k that lie in one row of memory.
template <typename T>
struct Segment {
  const T* const* rows;  // one pointer for each row m of `a`; not looked at where `a` is a packed tile
  int64_t offset;        // first element of the row
  int64_t k0;            // first row of the packed panel
  int64_t length;
};

// Where a tile writes, and what it starts from.
template <typename T>
struct TileOutput {
  T* const* rows;               // one pointer for each row m
  int64_t offset;               // first column
  int64_t columns;              // valid ones, 1 .. NV * width
  bool accumulate;              // add to what is there
  const Epilogue<T>* epilogue;  // nullptr: none, or the sums go on in another block
  const T* y;                   // with an epilogue: where all rows lie; `offset` is then the channel
};

// The accumulators of a tile stay in registers as long as every loop over them is unrolled.
template <typename T, int MR, int NV>
using Accumulators = typename Vec<T>::type[MR][NV];

// f(m, j) for every accumulator.
template <int MR, int NV, typename F>
inline void for_each_accumulator(F f) {
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) f(m, j);
}

template <typename T, int NV>
inline void load_columns(const T* from, int64_t columns, typename Vec<T>::type (&v)[NV]) {
  constexpr int W = Vec<T>::width;
  if (columns == NV * W) {
    for (int j = 0; j < NV; ++j) v[j] = load(from + j * W);
    return;
  }
  T padded[NV * W] = {};
  for (int64_t c = 0; c < columns; ++c) padded[c] = from[c];
  for (int j = 0; j < NV; ++j) v[j] = load(padded + j * W);
}

template <typename T, int NV>
inline void store_columns(T* to, int64_t columns, const typename Vec<T>::type (&v)[NV]) {
  constexpr int W = Vec<T>::width;
  if (columns == NV * W) {
    for (int j = 0; j < NV; ++j) store(to + j * W, v[j]);
    return;
  }
  T padded[NV * W];
  for (int j = 0; j < NV; ++j) store(padded + j * W, v[j]);
  for (int64_t c = 0; c < columns; ++c) to[c] = padded[c];
}

template <typename T, int MR, int NV>
inline void start_tile(const TileOutput<T>& out, Accumulators<T, MR, NV>& acc) {
  constexpr int W = Vec<T>::width;
  if (!out.accumulate)
    for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] = typename Vec<T>::type{}; });
  else if (out.columns == NV * W)
    for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] = load(out.rows[m] + out.offset + j * W); });
  else
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) load_columns<T, NV>(out.rows[m] + out.offset, out.columns, acc[m]);
}

// The columns from `channel` on through the epilogue; residual(m) is where row m of its residual begins.
template <typename T, int MR, int NV, typename F>
inline void apply_epilogue(const Epilogue<T>& e, int64_t channel, int64_t columns, F residual,
                           Accumulators<T, MR, NV>& acc) {
  typename Vec<T>::type v[NV];
  if (e.scale) {
    load_columns<T, NV>(e.scale + channel, columns, v);
    for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] *= v[j]; });
  }
  if (e.bias) {
    load_columns<T, NV>(e.bias + channel, columns, v);
    for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] += v[j]; });
  }
  if (e.relu) for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] = rectified(acc[m][j]); });
  if (e.residual)
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      load_columns<T, NV>(residual(m), columns, v);
      for (int j = 0; j < NV; ++j) acc[m][j] += v[j];
    }
  if (e.relu_last) for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] = rectified(acc[m][j]); });
}

// Writes the tile, through the epilogue where there is one.
template <typename T, int MR, int NV>
inline void finish_tile(const TileOutput<T>& out, Accumulators<T, MR, NV>& acc) {
  constexpr int W = Vec<T>::width;
  if (const Epilogue<T>* e = out.epilogue)
    apply_epilogue<T, MR, NV>(
        *e, out.offset, out.columns, [&](int m) { return e->residual + (out.rows[m] - out.y) + out.offset; }, acc);
  if (out.columns == NV * W)
    for_each_accumulator<MR, NV>([&](int m, int j) { store(out.rows[m] + out.offset + j * W, acc[m][j]); });
  else
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) store_columns<T, NV>(out.rows[m] + out.offset, out.columns, acc[m]);
}

// How a tile reads `a`: element (m, k) through row pointers, from a packed tile, or from a matrix.
template <typename T, int MR>
struct RowsOfA {
  const T* row[MR];
  T operator()(int m, int64_t k) const { return row[m][k]; }
};

template <typename T>
struct TileOfA {
  const T* tile;
  T operator()(int m, int64_t k) const { return tile[k * kTileRows + m]; }
};

template <typename T, int MR>
struct MatrixOfA {
  const T* row[MR];
  int64_t step;
  T operator()(int m, int64_t k) const { return row[m][k * step]; }
};

// The loop that everything ends in: acc[m] += a(m, k) * b[k], rows of b b_stride apart.
template <typename T, int MR, int NV, typename A>
inline void multiply_add(int64_t K, const A& a, const T* b, int64_t b_stride, Accumulators<T, MR, NV>& acc) {
  using V = typename Vec<T>::type;
  for (int64_t k = 0; k < K; ++k, b += b_stride) {
    V bk[NV];
    for (int j = 0; j < NV; ++j) bk[j] = load(b + j * Vec<T>::width);
    for (int m = 0; m < MR; ++m) {
      const V am = broadcast<T>(a(m, k));
      for (int j = 0; j < NV; ++j) acc[m][j] += am * bk[j];
    }
  }
}

// a(s, m, k) = s.rows[m][s.offset + k]: the rows of `a` run along k. b may also be read where it lies: row k of it then
// starts at panel + k * panel_stride, and NV whole vectors must be there.
template <typename T, int MR, int NV>
void row_tile(const Segment<T>* segments, int64_t count, const T* panel, int64_t panel_stride,
              const TileOutput<T>& out) {
  Accumulators<T, MR, NV> acc;
  start_tile<T, MR, NV>(out, acc);
  for (const Segment<T>* s = segments; s != segments + count; ++s) {
    RowsOfA<T, MR> a;
    for (int m = 0; m < MR; ++m) a.row[m] = s->rows[m] + s->offset;
    multiply_add<T, MR, NV>(s->length, a, panel + s->k0 * panel_stride, panel_stride, acc);
  }
  finish_tile<T, MR, NV>(out, acc);
}

// a(s, m, k) = tile[s.offset + k][m], of a packed tile.
template <typename T, int MR, int NV>
void packed_tile(const Segment<T>* segments, int64_t count, const T* tile, const T* panel, int64_t panel_stride,
                 const TileOutput<T>& out) {
  Accumulators<T, MR, NV> acc;
  start_tile<T, MR, NV>(out, acc);
  for (const Segment<T>* s = segments; s != segments + count; ++s)
    multiply_add<T, MR, NV>(s->length, TileOfA<T>{tile + s->offset * kTileRows}, panel + s->k0 * panel_stride,
                            panel_stride, acc);
  finish_tile<T, MR, NV>(out, acc);
}

// Dense matrices: out[m][n] (+)= sum_k a[m * a_m + k * a_k] * b[k][n], rows of out kPanel apart.
template <typename T, int MR, int NV>
void dense_tile(int64_t K, const T* a, int64_t a_m, int64_t a_k, const T* b, bool accumulate, T* out) {
  Accumulators<T, MR, NV> acc = {};
  if (accumulate)
    for_each_accumulator<MR, NV>([&](int m, int j) { acc[m][j] = load(out + m * kPanel<T> + j * Vec<T>::width); });
  MatrixOfA<T, MR> matrix{{}, a_k};
  for (int m = 0; m < MR; ++m) matrix.row[m] = a + m * a_m;
  multiply_add<T, MR, NV>(K, matrix, b, kPanel<T>, acc);
  for_each_accumulator<MR, NV>([&](int m, int j) { store(out + m * kPanel<T> + j * Vec<T>::width, acc[m][j]); });
}

// Calls f(MR) as an integral constant: the rows of a tile, at most kMost.
template <int kMost, typename F>
inline void with_rows(int64_t rows, F&& f) {
  if constexpr (kMost > 1)
    if (rows < kMost) return with_rows<kMost - 1>(rows, f);
  f(std::integral_constant<int, kMost>{});
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
