// The tiles that Winograd's convolution works on. With dilation d, an output pixel reads inputs of its own residue
// modulo d only: the convolution is d x d dense ones on interleaved grids. A tile is M x M output pixels of one grid,
// and reads (M + 2) x (M + 2) input pixels, d apart.
#pragma once
#include "core/memory.h"
#include "core/simd.h"
#include "kernels/conv2d.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// One axis: where the tiles of all grids start.
struct TileAxis {
  int64_t out, in;  // sizes of the image written and the one read
  int64_t step;     // between neighbouring pixels of a grid: the dilation
  int64_t offset;   // input position of tap 0, less the output position: minus the padding
  int64_t M;        // outputs of a tile
  int64_t count;    // of tiles
  int64_t* starts;  // [count] output position of each tile's first pixel
};

int64_t count_tiles(int64_t out, int64_t step, int64_t M) {
  int64_t count = 0;
  for (int64_t residue = 0; residue < min_of(step, out); ++residue)
    count += divide_up(divide_up(out - residue, step), M);
  return count;
}

TileAxis tile_axis(int64_t out, int64_t in, int64_t step, int64_t offset, int64_t M, int64_t* starts) {
  TileAxis axis{out, in, step, offset, M, 0, starts};
  for (int64_t residue = 0; residue < min_of(step, out); ++residue)
    for (int64_t start = residue; start < out; start += step * M) starts[axis.count++] = start;
  return axis;
}

struct Tiles {
  TileAxis h, w;
  int64_t count;  // of all images
};

// The forward's tiles; those of backward-input are the same with the roles of input and output swapped.
struct TileSizes {
  int64_t N, OH, OW, IH, IW, dh, dw, offset_h, offset_w;
};

TileSizes forward_tiles(const Conv2dShape& s) { return {s.N, s.OH, s.OW, s.IH, s.IW, s.dh, s.dw, -s.ph, -s.pw}; }

TileSizes backward_tiles(const Conv2dShape& s) {
  return {s.N, s.IH, s.IW, s.OH, s.OW, s.dh, s.dw, s.ph - 2 * s.dh, s.pw - 2 * s.dw};
}

int64_t starts_of(const TileSizes& s, int64_t M) { return count_tiles(s.OH, s.dh, M) + count_tiles(s.OW, s.dw, M); }

// starts holds starts_of(s, M) numbers.
Tiles make_tiles(const TileSizes& s, int64_t M, int64_t* starts) {
  Tiles tiles;
  tiles.h = tile_axis(s.OH, s.IH, s.dh, s.offset_h, M, starts);
  tiles.w = tile_axis(s.OW, s.IW, s.dw, s.offset_w, M, starts + tiles.h.count);
  tiles.count = s.N * tiles.h.count * tiles.w.count;
  return tiles;
}

// Calls pixel(i, j, p) for the count x count pixels of a tile, starting `offset` from its output position in an image
// of H x W; p is the pixel's number among all images, -1 outside its image.
template <typename F>
inline void visit_tile(const Tiles& tiles, int64_t tile, int count, int64_t H, int64_t W, int64_t offset_h,
                       int64_t offset_w, F&& pixel) {
  const int64_t n = tile / (tiles.h.count * tiles.w.count);
  const int64_t h0 = tiles.h.starts[tile / tiles.w.count % tiles.h.count] + offset_h;
  const int64_t w0 = tiles.w.starts[tile % tiles.w.count] + offset_w;
  for (int i = 0; i < count; ++i) {
    const int64_t h = h0 + i * tiles.h.step;
    for (int j = 0; j < count; ++j) {
      const int64_t w = w0 + j * tiles.w.step;
      pixel(i, j, h >= 0 && h < H && w >= 0 && w < W ? (n * H + h) * W + w : -1);
    }
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
