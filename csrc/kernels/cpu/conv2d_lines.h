// The rows of an image that a grouped convolution is reading, copied into lines: a line is the kLine channels of a
// pixel that fill one cache line. Memory is read once and in the order in which it lies; what the taps then read is
// dense, whatever the number of channels, has its padding beside it, and is one line further for the next pixel,
// whatever the stride. In both directions position i of an axis of the destination reads, at tap k, the position of the
// source
//   (i * up + shift + k * spread) / down    where that is whole and inside.
// Forward: up = stride, down = 1. Backward-input: up = 1, down = stride.
#pragma once
#include "core/memory.h"
#include "kernels/conv2d.h"
#include "kernels/cpu/micro_kernel.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
constexpr int64_t kLine = 64 / sizeof(T);
template <typename T>
constexpr int kLineVectors = kLine<T> / Vec<T>::width;

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

// Places [place, place + count) of a row of lines belong to the pixels pixel, pixel + up, ... of the image's row.
struct Stretch {
  int64_t remainder, place, pixel, count;
};

// Pixels first, first + down, ... of a row of the destination read the lines place, place + 1, ... at tap k.
struct ColumnTap {
  int64_t k, first, place;
};

inline int64_t floor_divide(int64_t a, int64_t b) { return a >= 0 ? a / b : -divide_up(-a, b); }

// How a row of lines is laid out: a stretch for each remainder modulo `up` that some tap reads.
struct Columns {
  Workspace<Stretch> stretches;
  Workspace<ColumnTap> taps;
  int64_t stretch_count = 0, tap_count = 0, width = 0;  // width: places

  const Stretch* begin() const { return stretches.data(); }
  const Stretch* end() const { return stretches.data() + stretch_count; }

  explicit Columns(const Axis& w) : stretches(w.K), taps(w.K) {
    for (int64_t k = 0; k < w.K; ++k) {
      const int64_t first = w.down - 1 - floor_modulo(w.numerator(0, k) - 1, w.down);
      if (first >= w.destination) continue;
      const int64_t at = w.position(first, k), remainder = floor_modulo(at, w.up);
      taps.data()[tap_count++] = {k, first, at};
      include(remainder, at, at + w.up * divide_up(w.destination - first, w.down), w.up);
    }
    for (int64_t i = 0; i < stretch_count; ++i) {
      Stretch& s = stretches.data()[i];
      s.place = width;
      width += s.count;
    }
    for (int64_t i = 0; i < tap_count; ++i) {
      ColumnTap& tap = taps.data()[i];
      const Stretch& s = *find(floor_modulo(tap.place, w.up));
      tap.place = s.place + (tap.place - s.pixel) / w.up;
    }
  }

 private:
  static int64_t floor_modulo(int64_t a, int64_t b) { return a - floor_divide(a, b) * b; }

  Stretch* find(int64_t remainder) const {
    Stretch* s = stretches.data();
    while (s != stretches.data() + stretch_count && s->remainder != remainder) ++s;
    return s;
  }

  void include(int64_t remainder, int64_t begin, int64_t end, int64_t up) {
    Stretch* s = find(remainder);
    if (s == stretches.data() + stretch_count) {
      ++stretch_count;
      *s = {remainder, 0, begin, 0};
    }
    const int64_t pixel = min_of(s->pixel, begin);
    s->count = (max_of(s->pixel + s->count * up, end) - pixel) / up;
    s->pixel = pixel;
  }
};

template <typename T>
inline void copy_line(const T* from, T* to) {
  for (int j = 0; j < kLineVectors<T>; ++j) store(to + j * Vec<T>::width, load(from + j * Vec<T>::width));
}

// `count` pixels, `step` elements apart, with `channels` channels each: lines of one pixel come to lie `stride` apart.
template <typename T>
void copy_pixels(const T* from, int64_t count, int64_t step, int64_t channels, T* to, int64_t stride) {
  const int64_t whole = channels / kLine<T>, rest = channels % kLine<T>;
  for (; count > 0; --count, from += step, to += kLine<T>) {
    T* line = to;
    for (int64_t i = 0; i < whole; ++i, line += stride) copy_line(from + i * kLine<T>, line);
    if (rest == 0) continue;
    typename Vec<T>::type last[kLineVectors<T>];
    load_columns<T, kLineVectors<T>>(from + whole * kLine<T>, rest, last);
    store_columns<T, kLineVectors<T>>(line, kLine<T>, last);
  }
}

// A row of the kernel and the slot of the window that it reads; a tap and the first elements of what it reads, from the
// window's first line and from the line's weights on.
struct RowTap {
  int64_t k, slot;
};
struct LineTap {
  int64_t source, weight;
};

// The last rows of a source that were read, some channels of them: [line][slot][place][kLine].
template <typename T>
struct Window {
  const Gather& g;
  const Columns& columns;
  int64_t slots, channel, channels;
  T* lines;
  int64_t* held;  // [slots] the row that each holds, counted over all images
  RowTap* rows;   // [h.K] those that a row of the destination reads
  LineTap* taps;  // [h.K * w.K]
  int64_t row_count = 0;

  int64_t row_size() const { return columns.width * kLine<T>; }
  int64_t line_stride() const { return slots * row_size(); }
  int64_t line_count() const { return divide_up(channels, kLine<T>); }

  // Rows that a row of the destination reads lie within so many.
  static int64_t slots_of(const Axis& h) {
    const int64_t spread = h.spread < 0 ? -h.spread : h.spread;
    return min_of(h.source, (h.K - 1) * spread / h.down + 1);
  }

  // It holds nothing but the padding, which stays.
  void clear() {
    for (int64_t slot = 0; slot < slots; ++slot) held[slot] = -1;
    for (const Stretch* s = columns.begin(); s != columns.end(); ++s)
      for (int64_t row = 0; row < line_count() * slots; ++row) {
        T* to = lines + row * row_size() + s->place * kLine<T>;
        for (int64_t i = 0; i < begin_of(*s) * kLine<T>; ++i) to[i] = T(0);
        for (int64_t i = end_of(*s) * kLine<T>; i < s->count * kLine<T>; ++i) to[i] = T(0);
      }
  }

  // Finds and fetches the rows that row i of the destination reads.
  void fetch(const T* source, int64_t i) {
    const int64_t n = i / g.h.destination, ih = i % g.h.destination;
    row_count = 0;
    for (int64_t k = 0; k < g.h.K; ++k) {
      if (!g.h.reads(ih, k) || !g.h.inside(g.h.position(ih, k))) continue;
      const int64_t row = n * g.h.source + g.h.position(ih, k), slot = row % slots;
      if (held[slot] != row) copy_row(source + row * g.w.source * g.C + channel, lines + slot * row_size());
      held[slot] = row;
      rows[row_count++] = {k, slot};
    }
  }

  // The taps that pixels first, first + down, ... of this row of the destination see; weights: of one tap.
  int64_t find_taps(int64_t first, int64_t weights) {
    int64_t count = 0;
    for (const RowTap* row = rows; row != rows + row_count; ++row)
      for (const ColumnTap* tap = columns.taps.data(); tap != columns.taps.data() + columns.tap_count; ++tap)
        if (tap->first == first)
          taps[count++] = {row->slot * row_size() + tap->place * kLine<T>, (row->k * g.w.K + tap->k) * weights};
    return count;
  }

 private:
  int64_t begin_of(const Stretch& s) const { return s.pixel < 0 ? min_of(s.count, divide_up(-s.pixel, g.w.up)) : 0; }
  int64_t end_of(const Stretch& s) const {
    return max_of(begin_of(s), min_of(s.count, floor_divide(g.w.source - 1 - s.pixel, g.w.up) + 1));
  }

  void copy_row(const T* from, T* to) {
    for (const Stretch* s = columns.begin(); s != columns.end(); ++s) {
      const int64_t begin = begin_of(*s);
      copy_pixels(from + (s->pixel + begin * g.w.up) * g.C, end_of(*s) - begin, g.w.up * g.C, channels,
                  to + (s->place + begin) * kLine<T>, line_stride());
    }
  }
};

// Pixels whose memory will be needed soon, a few lines at a time.
struct Ahead {
  const char *at, *end;
  int64_t pixel, chunk, lines;  // bytes of a pixel, those wanted of it; lines at a time
  int64_t offset = 0;

  void step() {
    for (int64_t i = 0; i < lines && at < end; ++i) {
      __builtin_prefetch(at + offset);
      offset += 64;
      if (offset >= chunk) offset = 0, at += pixel;
    }
  }
};

// Some channels, from `first` on, of the pixels [from, to), to be fetched in so many steps.
template <typename T>
Ahead ahead(const T* first, int64_t from, int64_t to, int64_t C, int64_t channels, int64_t steps) {
  const int64_t size = sizeof(T), lines = max_of(0, to - from) * divide_up(channels, kLine<T>);
  const auto at = [&](int64_t pixel) { return reinterpret_cast<const char*>(first + pixel * C); };
  return {at(from), at(to), C * size, channels * size, divide_up(lines, max_of(1, steps))};
}

// The end of the rows of the source that rows up to i of the destination read.
int64_t rows_read(const Gather& g, int64_t i) {
  const int64_t n = i / g.h.destination, ih = i % g.h.destination, last = g.h.spread > 0 ? g.h.K - 1 : 0;
  return n * g.h.source + max_of(0, min_of(g.h.source, floor_divide(g.h.numerator(ih, last), g.h.down) + 1));
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
