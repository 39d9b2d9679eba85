// The sums over pixels run in Compute<T> within a thread, in double from there on: over its block, then over all
// pieces.
#include <cmath>

#include "core/memory.h"
#include "kernels/batch_norm.h"
#include "kernels/cuda/batch_norm_cut.h"
#include "kernels/cuda/half.h"

namespace atrous {
namespace {

// z = (x - center) * scale + offset. The part of the mean that T does not hold is in the offset.
template <typename T>
struct Affine {
  T center, scale, offset;

  __device__ T operator()(T x) const { return std::fma(x - center, scale, offset); }
};

// Written with fma, which leaves the compiler no choice: forward and backward find the same bits.
template <typename T>
__device__ inline Affine<Compute<T>> affine_of(const BatchNormParameters<T>& p, int64_t c) {
  const double scale = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) / std::sqrt(p.var[c] + p.eps);
  const auto near = static_cast<Compute<T>>(p.mean[c]);
  const double bias = p.bias ? static_cast<double>(p.bias[c]) : 0.0;
  const double offset = std::fma(static_cast<double>(near) - p.mean[c], scale, bias);
  return {near, static_cast<Compute<T>>(scale), static_cast<Compute<T>>(offset)};
}

// That of each lane of the block. Once a block and not once a thread: double is slow on many a GPU.
template <typename T>
__device__ inline void fill_affine(const Cut& cut, const Part& part, const BatchNormParameters<T>& p,
                                   Affine<Compute<T>>* table) {
  for (int i = static_cast<int>(threadIdx.x); i < part.width; i += kThreads) {
    const int64_t lane = part.block_lane + i;
    if (lane < cut.lanes) table[i] = affine_of(p, channel_of(cut, lane));
  }
  __syncthreads();
}

// relu is max(value, 0), and no relu max(value, -Inf): NaN stays, and -0.
template <typename T>
__device__ inline T at_least(T value, T floor) {
  return value < floor ? floor : value;
}

// What of grad_y reaches z.
template <typename T>
__device__ inline T through_relu(bool relu, T grad_y, T x, const Affine<T>& z) {
  return relu && z(x) <= T(0) ? T(0) : grad_y;
}

// Sums of x - base and of its square, for each lane of each piece; base is the channel's first x. A thread adds up the
// distances to a value amid its own, so that a float holds them well. Moving them to the base costs digits of double
// only, and as many as the base is far from the mean: where that is far beside the deviation of the P values, of which
// it is one, log10(P) at most.
template <typename M, typename T>
__global__ void moments_kernel(Cut cut, const T* x, Sums* partial) {
  constexpr int n = M::size;
  __shared__ Sums table[kThreads * n];
  const Part part(cut, false);
  Compute<T> shift[n] = {}, sum[n] = {}, squares[n] = {};
  int count = 0;
  for_rows<4>(cut, part, [&](auto rows) {
    const auto packs = load_rows<M>(x, rows);
    if (count == 0)
      for (int i = 0; i < n; ++i) {
        const auto first = to_compute(packs.of_row[0].v[i]);
        Compute<T> away = 0;
        for (int j = 1; j < rows.count; ++j) away += to_compute(packs.of_row[j].v[i]) - first;
        shift[i] = first + away / Compute<T>(rows.count);
      }
    for (int j = 0; j < rows.count; ++j)
      for (int i = 0; i < n; ++i) {
        const auto d = to_compute(packs.of_row[j].v[i]) - shift[i];
        sum[i] += d;
        squares[i] += d * d;
      }
    count += rows.count;
  });
  if (part.inside)
    for (int i = 0; i < n; ++i) {
      const double s = static_cast<double>(sum[i]), number = count;
      const auto base = to_compute(x[channel_of(cut, part.lane + i)]);
      const double move = static_cast<double>(shift[i]) - static_cast<double>(base);
      table[part.slot + i] =
          count == 0 ? Sums{0, 0}
                     : Sums{s + number * move, static_cast<double>(squares[i]) + move * (2 * s + number * move)};
    }
  store_sums(cut, part, table, partial);
}

template <typename T>
__device__ inline void move_towards(double batch, double momentum, T& running) {
  running = T((1 - momentum) * static_cast<double>(running) + momentum * batch);
}

template <typename T>
struct Statistics {
  int64_t P;
  const T* x;
  double *mean, *var;
  RunningStatistics<T> running;

  __device__ void operator()(int64_t c, const Sums& sums) const {
    const double pixels = static_cast<double>(P > 0 ? P : 1), away = sums.first / pixels;
    const double squares = sums.second - sums.first * away;
    const double m = (P > 0 ? static_cast<double>(to_compute(x[c])) : 0.0) + away;
    const double v = (squares < 0 ? 0 : squares) / pixels;
    mean[c] = m;
    var[c] = v;
    if (!running.mean) return;
    move_towards(m, running.momentum, running.mean[c * running.mean_stride]);
    move_towards(pixels / (pixels - 1) * v, running.momentum, running.var[c * running.var_stride]);
    if (c == 0 && running.batches) ++*running.batches;
  }
};

template <bool has_residual, typename M, typename T>
__global__ void forward_kernel(Cut cut, const T* x, BatchNormParameters<T> p, Compute<T> floor, const T* residual,
                               Compute<T> last_floor, T* y) {
  constexpr int n = M::size;
  __shared__ Affine<Compute<T>> table[kThreads * n];
  const Part part(cut, true);
  fill_affine(cut, part, p, table);
  Affine<Compute<T>> z[n];
  for (int i = 0; i < n; ++i) z[i] = table[part.offset + i];
  for_rows<has_residual ? 2 : 4>(cut, part, [&](auto rows) {
    auto packs = load_rows<M>(x, rows);
    auto added = packs;
    if (has_residual) added = load_rows<M>(residual, rows);
    for (int j = 0; j < rows.count; ++j)
      for (int i = 0; i < n; ++i) {
        auto v = at_least(z[i](to_compute(packs.of_row[j].v[i])), floor);
        if (has_residual) v = at_least(v + to_compute(added.of_row[j].v[i]), last_floor);
        packs.of_row[j].v[i] = round_to<T>(v);
      }
    store_rows(y, rows, packs);
  });
}

// Of a block: what it reads at first, and what it leaves behind. Both at once would not fit, with 8 numbers to a pack.
template <typename T, int n>
union Tables {
  Affine<T> affine[kThreads * n];
  Sums sums[kThreads * n];
};

// Sums of g and of g * (x - center), for each lane of each piece. Where that is all of grad_x (eval), grad_x too.
template <bool train, typename M, typename T>
__global__ void gradient_sums_kernel(Cut cut, const T* grad_y, const T* x, BatchNormParameters<T> p, bool relu,
                                     T* grad_x, Sums* partial) {
  constexpr int n = M::size;
  __shared__ Tables<Compute<T>, n> table;
  const Part part(cut, false);
  fill_affine(cut, part, p, table.affine);
  Affine<Compute<T>> z[n];
  for (int i = 0; i < n; ++i) z[i] = table.affine[part.offset + i];
  __syncthreads();  // before any thread writes its sums
  Compute<T> sum[n] = {}, products[n] = {};
  for_rows<2>(cut, part, [&](auto rows) {
    auto g = load_rows<M>(grad_y, rows);
    const auto packs = load_rows<M>(x, rows);
    for (int j = 0; j < rows.count; ++j)
      for (int i = 0; i < n; ++i) {
        const auto v = to_compute(packs.of_row[j].v[i]);
        const auto passed = through_relu(relu, to_compute(g.of_row[j].v[i]), v, z[i]);
        sum[i] += passed;
        products[i] += passed * (v - z[i].center);
        g.of_row[j].v[i] = round_to<T>(z[i].scale * passed);
      }
    if (!train) store_rows(grad_x, rows, g);
  });
  if (part.inside)
    for (int i = 0; i < n; ++i)
      table.sums[part.slot + i] = {static_cast<double>(sum[i]), static_cast<double>(products[i])};
  store_sums(cut, part, table.sums, partial);
}

// grad_x = scale * g + slope * (x - center) + shift, in training.
template <typename T>
struct Gradient {
  Affine<T> z;
  T slope, shift;
};

// For the part of the mean that center does not hold: in a channel with an infinite sum it must not make NaN of Inf.
__device__ inline double minus_small(double x, double small) { return std::isfinite(small) ? x - small : x; }

template <typename T>
struct Gradients {
  int64_t P;
  BatchNormParameters<T> p;
  Compute<T>* grad_weight;
  Compute<T>* grad_bias;
  Gradient<Compute<T>>* table;  // or nullptr

  __device__ void operator()(int64_t c, const Sums& sums) const {
    const auto z = affine_of(p, c);
    const double rstd = 1 / std::sqrt(p.var[c] + p.eps), far = p.mean[c] - static_cast<double>(z.center);
    const double scale = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) * rstd;
    const double sum = sums.first, product = minus_small(sums.second, far * sum) * rstd;
    grad_bias[c] = static_cast<Compute<T>>(sum);
    grad_weight[c] = static_cast<Compute<T>>(product);
    if (!table) return;
    const double pixels = static_cast<double>(P > 0 ? P : 1), slope = -scale * rstd * product / pixels;
    const double shift = minus_small(-scale * sum / pixels, slope * far);
    table[c] = {z, static_cast<Compute<T>>(slope), static_cast<Compute<T>>(shift)};
  }
};

template <typename M, typename T>
__global__ void input_gradient_kernel(Cut cut, const T* grad_y, const T* x, const Gradient<Compute<T>>* table,
                                      bool relu, T* grad_x) {
  constexpr int n = M::size;
  const Part part(cut, true);
  if (!part.inside) return;
  Gradient<Compute<T>> of[n];
  for (int i = 0; i < n; ++i) of[i] = table[channel_of(cut, part.lane + i)];
  for_rows<2>(cut, part, [&](auto rows) {
    auto g = load_rows<M>(grad_y, rows);
    const auto packs = load_rows<M>(x, rows);
    for (int j = 0; j < rows.count; ++j)
      for (int i = 0; i < n; ++i) {
        const auto v = to_compute(packs.of_row[j].v[i]);
        const auto passed = through_relu(relu, to_compute(g.of_row[j].v[i]), v, of[i].z);
        const auto through_statistics = of[i].slope * (v - of[i].z.center) + of[i].shift;
        g.of_row[j].v[i] = round_to<T>(of[i].z.scale * passed + through_statistics);
      }
    store_rows(grad_x, rows, g);
  });
}

// Launchers.

// f(a pack as the kernels read it): of 16 bytes where addresses allow. The order of sums does not depend on addresses.
template <typename T, typename F>
void with_packs(const Cut& cut, bool aligned, F f) {
  constexpr int n = 16 / sizeof(T);
  if (cut.pack == 1)
    f(Elements<T, 1>{});
  else if (aligned)
    f(Pack<T, n>{});
  else
    f(Elements<T, n>{});
}

template <typename T>
void statistics(const BatchNormShape& s, const T* x, double* mean, double* var, const RunningStatistics<T>& running) {
  const Cut cut = Cut::for_sums<T>(s);
  const Workspace<Sums> partial(cut.pieces * cut.lanes);
  with_packs<T>(cut, are_aligned(x), [&](auto pack) {
    launch(moments_kernel<decltype(pack), T>, cut.blocks(), kThreads, cut, x, partial.data());
  });
  sum_rows(cut.pieces * cut.pixels(), s.C, partial.data(), Statistics<T>{s.P, x, mean, var, running});
}

template <typename T>
void forward(const BatchNormShape& s, const T* x, const BatchNormParameters<T>& p, bool relu, const T* residual,
             bool relu_last, T* y) {
  const Cut cut = Cut::for_maps<T>(s);
  const Compute<T> lowest = -static_cast<Compute<T>>(INFINITY);
  const Compute<T> floor = relu || (relu_last && !residual) ? 0 : lowest, last_floor = relu_last ? 0 : lowest;
  with_packs<T>(cut, are_aligned(x, residual, y), [&](auto pack) {
    launch(residual ? forward_kernel<true, decltype(pack), T> : forward_kernel<false, decltype(pack), T>, cut.blocks(),
           kThreads, cut, x, p, floor, residual, last_floor, y);
  });
}

template <bool train, typename T>
void backward(const BatchNormShape& s, const T* grad_y, const T* x, const BatchNormParameters<T>& p, bool relu,
              T* grad_x, Compute<T>* grad_weight, Compute<T>* grad_bias) {
  const Cut cut = Cut::for_sums<T>(s), map_cut = Cut::for_maps<T>(s);
  const Workspace<Sums> partial(cut.pieces * cut.lanes);
  const Workspace<Gradient<Compute<T>>> table(train ? s.C : 0);
  with_packs<T>(cut, are_aligned(grad_y, x, grad_x), [&](auto pack) {
    using M = decltype(pack);
    launch(gradient_sums_kernel<train, M, T>, cut.blocks(), kThreads, cut, grad_y, x, p, relu, grad_x, partial.data());
    sum_rows(cut.pieces * cut.pixels(), s.C, partial.data(),
             Gradients<T>{s.P, p, grad_weight, grad_bias, train ? table.data() : nullptr});
    if (!train) return;
    launch(input_gradient_kernel<M, T>, map_cut.blocks(), kThreads, map_cut, grad_y, x, table.data(), relu, grad_x);
  });
}

template <typename T>
BatchNormKernels<T> table() {
  return {statistics<T>, forward<T>, backward<true, T>, backward<false, T>};
}

}  // namespace

template <>
BatchNormKernels<float> batch_norm_kernels<Level::cuda, float>() {
  return table<float>();
}

template <>
BatchNormKernels<double> batch_norm_kernels<Level::cuda, double>() {
  return table<double>();
}

template <>
BatchNormKernels<Float16> batch_norm_kernels<Level::cuda, Float16>() {
  return table<Float16>();
}

template <>
BatchNormKernels<BFloat16> batch_norm_kernels<Level::cuda, BFloat16>() {
  return table<BFloat16>();
}

}  // namespace atrous
