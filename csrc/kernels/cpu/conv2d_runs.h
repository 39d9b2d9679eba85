// Where a grouped convolution reads and writes, for both directions: destination position i of an axis reads, at tap k,
//   source position (i * up + shift + k * spread) / down    where that is whole and inside.
// Forward: up = stride, down = 1. Backward-input: up = 1, down = stride, and neighbours in memory read different taps:
// positions with the same remainder modulo `down` read the same ones. A run is the longest stretch of such pixels in a
// row that see the same taps: inside the image all of them, at a border fewer. No kernel multiplies by padding.
#pragma once
#include "core/simd.h"
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

struct Axis {
  int64_t K, up, down, shift, spread, source, destination;

  int64_t numerator(int64_t i, int64_t k) const { return i * up + shift + k * spread; }
  bool reads(int64_t i, int64_t k) const { return numerator(i, k) % down == 0; }
  int64_t position(int64_t i, int64_t k) const { return numerator(i, k) / down; }
  bool inside(int64_t at) const { return at >= 0 && at < source; }
};

struct Gather {
  Axis h, w;
  int64_t N, C;
};

Gather forward_gather(const Conv2dShape& s) {
  return {{s.KH, s.sh, 1, -s.ph, s.dh, s.IH, s.OH}, {s.KW, s.sw, 1, -s.pw, s.dw, s.IW, s.OW}, s.N, s.IC};
}

Gather backward_gather(const Conv2dShape& s) {
  return {{s.KH, 1, s.sh, s.ph, -s.dh, s.OH, s.IH}, {s.KW, 1, s.sw, s.pw, -s.dw, s.OW, s.IW}, s.N, s.IC};
}

struct Tap {
  int64_t k;   // which of the kernel's
  int64_t at;  // the source pixel that it reads
};

// Pixels first, first + w.down, ... of a row of the destination; tap t of pixel i reads source pixel
// taps[t].at + i * w.up of the image.
struct Run {
  int64_t first, pixels;
  const Tap* taps;
  int64_t count;
};

// The pixels from the one whose taps are at steps[...].at on see the same taps as that one: how many, `most` at most.
int64_t run_length(const Axis& w, const Tap* steps, int64_t count, int64_t most) {
  for (int64_t t = 0; t < count; ++t) {
    const int64_t at = steps[t].at;
    if (at < 0) most = min_of(most, divide_up(-at, w.up));
    if (w.inside(at)) most = min_of(most, divide_up(w.source - at, w.up));
  }
  return most;
}

int64_t tap_storage(const Gather& g) { return g.h.K * g.w.K + g.h.K + g.w.K; }

// Calls f(run) for the runs of row i of the destination. storage holds tap_storage(g).
template <typename F>
void for_each_run(const Gather& g, int64_t i, Tap* storage, F&& f) {
  Tap *taps = storage, *rows = taps + g.h.K * g.w.K, *columns = rows + g.h.K;
  int64_t row_count = 0;
  for (int64_t k = 0; k < g.h.K; ++k)
    if (g.h.reads(i, k) && g.h.inside(g.h.position(i, k))) rows[row_count++] = {k, g.h.position(i, k)};
  for (int64_t first = 0; first < min_of(g.w.down, g.w.destination); ++first) {
    int64_t column_count = 0, left = divide_up(g.w.destination - first, g.w.down);
    for (int64_t k = 0; k < g.w.K; ++k)
      if (g.w.reads(first, k)) columns[column_count++] = {k, g.w.position(first, k)};
    for (int64_t column = first; left > 0;) {
      int64_t count = 0;
      for (int64_t r = 0; r < row_count; ++r)
        for (int64_t c = 0; c < column_count; ++c)
          if (g.w.inside(columns[c].at))
            taps[count++] = {rows[r].k * g.w.K + columns[c].k, rows[r].at * g.w.source + columns[c].at};
      const int64_t pixels = run_length(g.w, columns, column_count, left);
      f(Run{column, pixels, taps, count});
      for (int64_t c = 0; c < column_count; ++c) columns[c].at += pixels * g.w.up;
      column += pixels * g.w.down, left -= pixels;
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
