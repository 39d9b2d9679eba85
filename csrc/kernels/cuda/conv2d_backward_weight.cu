// grad_weight (OCG, taps and channels) = grad_y (pixels, OCG) transposed * windows of x (pixels, taps and channels),
// for each group. The sum is over all pixels, and the result is small: so that all of the GPU has work, the pixels are
// cut into pieces, whose sums a second kernel adds up in their order.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_tiles.h"

namespace atrous {
namespace {

template <typename T>
struct BackwardWeight {
  const T* grad_y;
  Scene<T> x;
  int64_t pixels, OC, filters, columns, steps;  // of a piece
  unsigned groups;
  MatrixTarget<Compute<T>> sums;  // a matrix for each piece

  struct Part {
    const T* grad_y;
    Scene<T> x;
    int64_t first, pixels, OC, filters, steps;
    MatrixTarget<Compute<T>> target;

    template <int n, int extent>
    __device__ MatrixColumns<T, n, extent> rows(int64_t first_filter) const {
      return {grad_y, OC, first, pixels, first_filter, filters};
    }
    template <int n, int extent>
    __device__ WindowColumns<T, n, extent> columns(int64_t first_column) const {
      return {x, first, first_column};
    }
  };

  __device__ Part part(unsigned number) const {
    const unsigned piece = number / groups, group = number - piece * groups;
    const int64_t first = piece * steps * kDepth<T>, left = (pixels - first + kDepth<T> - 1) / kDepth<T>;
    Part part{grad_y + group * filters, x, first, pixels, OC, filters, left < steps ? left : steps, sums};
    part.x.images += group * x.channels;
    part.target.y += (piece * OC + group * filters) * columns;
    return part;
  }
};

// Pieces of so many steps that their blocks are about two for each place on a large GPU, but not shorter than is worth
// the memory that their sums pass through.
template <typename T>
int64_t steps_of_piece(int64_t blocks, int64_t pixels) {
  constexpr int64_t kBlocks = 512, kLeastPixels = 512;
  const int64_t pieces = divide_up(kBlocks, blocks), even = divide_up(pixels, pieces);
  return divide_up(even < kLeastPixels ? kLeastPixels : even, kDepth<T>);
}

}  // namespace

template <typename T>
void backward_weight_tiles(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                           Compute<T>* grad_weight) {
  using C = Compute<T>;
  const int64_t pixels = s.N * s.OH * s.OW, ICG = s.IC / s.G, OCG = s.OC / s.G, columns = s.KH * s.KW * ICG;
  const bool whole = ICG % kChunk<T> == 0 && OCG % kChunk<T> == 0, packed = whole && are_aligned(grad_y, x);
  const TileSize size = whole && sizeof(T) <= 4 && OCG > 64 && columns > 64 ? TileSize{128, 128} : TileSize{64, 64};
  const int64_t steps = steps_of_piece<T>(size.blocks(OCG, columns, s.G), pixels);  // whatever the addresses are
  const int64_t pieces = pixels > 0 ? divide_up(pixels, steps * kDepth<T>) : 1, weights = s.OC * columns;
  const bool direct = pieces == 1 && are_aligned(grad_weight);
  const Workspace<C> workspace(direct ? 0 : pieces * weights);
  C* const sums = direct ? grad_weight : workspace.data();
  const bool packed_out = may_be_packed<kChunk<C>>(columns, sums);
  const BackwardWeight<T> problem{grad_y,
                                  windows_of(s, x),
                                  pixels,
                                  s.OC,
                                  OCG,
                                  columns,
                                  steps,
                                  static_cast<unsigned>(s.G),
                                  {{sums, {}, packed_out}, OCG, columns}};
  run_tiles<T>(algorithm, problem, OCG, s.G * pieces, size, packed);
  if (!direct) add_pieces(pieces, weights, sums, Total<C>{grad_weight}, grad_weight);
}

template void backward_weight_tiles(const Conv2dShape&, Conv2dAlgorithm, const float*, const float*, float*);
template void backward_weight_tiles(const Conv2dShape&, Conv2dAlgorithm, const double*, const double*, double*);
template void backward_weight_tiles(const Conv2dShape&, Conv2dAlgorithm, const Float16*, const Float16*, float*);
template void backward_weight_tiles(const Conv2dShape&, Conv2dAlgorithm, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
