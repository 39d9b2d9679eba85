// Optimizer steps: one launch over all tensors, which are cut into chunks. A block has one chunk.
#include <cfloat>
#include <cmath>

#include "kernels/adam.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/upload.h"

namespace atrous {
namespace {

constexpr int64_t kChunk = 16 * kThreads;  // elements: four packs of float a thread, which hide the search for a tensor

template <typename Tensor>
struct Entry {
  Tensor tensor;
  int64_t first_chunk;  // how many chunks the tensors before it have
  bool aligned;         // all its arrays, to 16 bytes
};

template <typename T>
__device__ inline T flush_subnormal(T x) {
  return fabs(x) < T(sizeof(T) == 4 ? FLT_MIN : DBL_MIN) ? T(0) : x;
}

// fma, written out: an element's bits must not depend on how the compiler joins the operations of one loop.
template <typename T>
struct AdamStep {
  T keep, weight_decay, beta1, rest1, beta2, rest2, step_size, inverse_correction2, eps;
  bool add_decay, from_moment;

  explicit AdamStep(const AdamOptions& o) {
    const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
    const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
    keep = T(o.decoupled ? 1 - o.lr * o.weight_decay : 1);
    weight_decay = T(o.weight_decay);
    beta1 = T(o.beta1), rest1 = T(1 - o.beta1);
    beta2 = T(o.beta2), rest2 = T(1 - o.beta2);
    step_size = T(o.lr / correction1);
    inverse_correction2 = T(1 / std::sqrt(correction2));
    eps = T(o.eps);
    add_decay = !o.decoupled && o.weight_decay != 0;
    from_moment = o.beta1 > 0.5;  // the larger part of m's new value is the old one
  }

  __device__ void update_moments(T grad, T& param, T& m, T& v) const {
    param *= keep;
    if (add_decay) grad = fma(weight_decay, param, grad);
    m = flush_subnormal<T>(from_moment ? fma(rest1, grad - m, m) : fma(-beta1, grad - m, grad));
    v = flush_subnormal<T>(fma(beta2, v, rest2 * grad * grad));
  }

  __device__ void update_param(T& param, T m, T v) const {
    param -= step_size * m / fma(sqrt(v), inverse_correction2, eps);
  }

  __device__ void operator()(T grad, T& param, T& m, T& v) const {
    update_moments(grad, param, m, v);
    update_param(param, m, v);
  }

  __device__ void operator()(T grad, T& param, T& m, T& v, T& v_max) const {  // AMSGrad
    update_moments(grad, param, m, v);
    v_max = v <= v_max || v_max != v_max ? v_max : v;
    update_param(param, m, v_max);
  }
};

template <typename T>
struct SgdStep {
  T lr, weight_decay, momentum, rest;
  bool nesterov, first;

  __device__ T decayed(T grad, T param) const { return weight_decay != 0 ? fma(weight_decay, param, grad) : grad; }

  __device__ void operator()(T grad, T& param) const { param = fma(-lr, decayed(grad, param), param); }

  __device__ void operator()(T grad, T& param, T& buffer) const {
    grad = decayed(grad, param);
    buffer = first ? grad : fma(momentum, buffer, rest * grad);
    param = fma(-lr, nesterov ? fma(momentum, buffer, grad) : buffer, param);
  }
};

template <bool centered, typename T>
struct RmspropStep {
  T lr, alpha, rest, eps, weight_decay, momentum;
  bool from_average;  // the larger part of the average's new value is the old one

  __device__ T scaled(T grad, T& v) const {
    v = flush_subnormal<T>(fma(alpha, v, rest * grad * grad));
    return grad / (sqrt(v) + eps);
  }

  __device__ T scaled(T grad, T& v, T& average) const {
    v = flush_subnormal<T>(fma(alpha, v, rest * grad * grad));
    const T change = grad - average;
    average = flush_subnormal<T>(from_average ? fma(rest, change, average) : fma(-alpha, change, grad));
    return grad / (sqrt(fma(-average, average, v)) + eps);
  }

  __device__ void move(T& param, T by) const { param = fma(-lr, by, param); }

  __device__ void move(T& param, T by, T& buffer) const {
    buffer = flush_subnormal<T>(fma(momentum, buffer, by));
    param = fma(-lr, buffer, param);
  }

  // state: the gradient's average if centered, then the momentum buffer if there is one.
  template <typename... State>
  __device__ void operator()(T grad, T& param, T& v, State&... state) const {
    if (weight_decay != 0) grad = fma(weight_decay, param, grad);
    if constexpr (centered)
      [&](T& average, auto&... buffer) { move(param, scaled(grad, v, average), buffer...); }(state...);
    else
      move(param, scaled(grad, v), state...);
  }
};

template <typename T>
struct AdagradStep {
  T lr, eps, weight_decay;

  __device__ void operator()(T grad, T& param, T& sum) const {
    if (weight_decay != 0) grad = fma(weight_decay, param, grad);
    sum = fma(grad, grad, sum);
    param -= lr * grad / (sqrt(sum) + eps);
  }
};

// step(grad, state...) for n elements.
template <int n, typename T, typename Step, typename... State>
__device__ inline void update_pack(const Step& step, const T* grad, State*... state) {
  const Pack<T, n> g = load_pack<n>(grad);
  [&](Pack<State, n>... values) {
    for (int i = 0; i < n; ++i) step(g.v[i], values.v[i]...);
    (store_pack(state, values), ...);
  }(load_pack<n>(state)...);
}

// Elements [first, last), by the threads of a block.
template <typename T, typename Step, typename... State>
__device__ void update(bool aligned, int64_t first, int64_t last, const Step& step, const T* grad, State*... state) {
  constexpr int n = 16 / sizeof(T);
  const int64_t packed = aligned ? first + (last - first) / n * n : first;
  for (int64_t i = first + threadIdx.x * n; i < packed; i += kThreads * n)
    update_pack<n>(step, grad + i, (state + i)...);
  for (int64_t i = packed + threadIdx.x; i < last; i += kThreads) update_pack<1>(step, grad + i, (state + i)...);
}

template <typename Tensor>
struct Chunk {
  Tensor tensor;
  bool aligned;
  int64_t first, last;
};

// The elements of a block: of the last tensor that does not begin behind it.
template <typename Tensor>
__device__ Chunk<Tensor> chunk_of(int64_t block, int64_t count, const Entry<Tensor>* entries) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (entries[middle].first_chunk <= block ? low : high) = middle;
  }
  const Entry<Tensor>& entry = entries[low];
  const int64_t first = (block - entry.first_chunk) * kChunk, n = entry.tensor.n;
  return {entry.tensor, entry.aligned, first, first + kChunk < n ? first + kChunk : n};
}

template <bool amsgrad, typename T>
__global__ void adam_kernel(int64_t count, const Entry<AdamTensor<T>>* entries, AdamStep<T> step) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  if constexpr (amsgrad)
    update(aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq);
  else
    update(aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq);
}

template <bool has_buffer, typename T>
__global__ void sgd_kernel(int64_t count, const Entry<SgdTensor<T>>* entries, SgdStep<T> step) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  if constexpr (has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.momentum_buffer);
  else
    update(aligned, first, last, step, t.grad, t.param);
}

template <bool centered, bool has_buffer, typename T>
__global__ void rmsprop_kernel(int64_t count, const Entry<RmspropTensor<T>>* entries, RmspropStep<centered, T> step) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  if constexpr (centered && has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.grad_avg, t.momentum_buffer);
  else if constexpr (centered)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.grad_avg);
  else if constexpr (has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.momentum_buffer);
  else
    update(aligned, first, last, step, t.grad, t.param, t.square_avg);
}

template <typename T>
__global__ void adagrad_kernel(int64_t count, const Entry<AdagradTensor<T>>* entries, AdagradStep<T> step) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  update(aligned, first, last, step, t.grad, t.param, t.sum);
}

template <typename T>
bool is_aligned(const AdamTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq);
}

template <typename T>
bool is_aligned(const SgdTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.momentum_buffer);
}

template <typename T>
bool is_aligned(const RmspropTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.square_avg, t.grad_avg, t.momentum_buffer);
}

template <typename T>
bool is_aligned(const AdagradTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.sum);
}

// Launches kernel(count, entries, step) with a block for each chunk. The table of tensors is small, and a search in it
// cheap, where a table of chunks would have to be copied for every step.
template <typename Tensor, typename Step>
void step_all(int64_t count, const Tensor* tensors, Step step, void (*kernel)(int64_t, const Entry<Tensor>*, Step)) {
  std::vector<Entry<Tensor>> entries;
  int64_t chunks = 0;
  for (int64_t t = 0; t < count; ++t)
    if (tensors[t].n > 0) {
      entries.push_back({tensors[t], chunks, is_aligned(tensors[t])});
      chunks += (tensors[t].n + kChunk - 1) / kChunk;
    }
  if (chunks == 0) return;
  const auto used = static_cast<int64_t>(entries.size());
  Upload upload;
  const size_t table = upload.add(entries.data(), used);
  upload.send();
  launch(kernel, static_cast<unsigned>(chunks), kThreads, used, upload.at<Entry<Tensor>>(table), step);
}

template <typename T>
void adam_step(int64_t count, const AdamTensor<T>* tensors, const AdamOptions& options) {
  const bool amsgrad = count > 0 && tensors[0].max_exp_avg_sq != nullptr;
  step_all(count, tensors, AdamStep<T>(options), amsgrad ? adam_kernel<true, T> : adam_kernel<false, T>);
}

template <typename T>
void sgd_step(int64_t count, const SgdTensor<T>* tensors, const SgdOptions& o) {
  const SgdStep<T> step{T(o.lr), T(o.weight_decay), T(o.momentum), T(1 - o.dampening), o.nesterov, o.first};
  const bool has_buffer = count > 0 && tensors[0].momentum_buffer != nullptr;
  step_all(count, tensors, step, has_buffer ? sgd_kernel<true, T> : sgd_kernel<false, T>);
}

template <bool centered, typename T>
void rmsprop_step_as(int64_t count, const RmspropTensor<T>* tensors, const RmspropOptions& o) {
  const RmspropStep<centered, T> step{T(o.lr),           T(o.alpha),    T(1 - o.alpha), T(o.eps),
                                      T(o.weight_decay), T(o.momentum), o.alpha > 0.5};
  const bool has_buffer = tensors[0].momentum_buffer != nullptr;
  step_all(count, tensors, step, has_buffer ? rmsprop_kernel<centered, true, T> : rmsprop_kernel<centered, false, T>);
}

template <typename T>
void rmsprop_step(int64_t count, const RmspropTensor<T>* tensors, const RmspropOptions& options) {
  if (count == 0) return;
  if (tensors[0].grad_avg)
    rmsprop_step_as<true>(count, tensors, options);
  else
    rmsprop_step_as<false>(count, tensors, options);
}

template <typename T>
void adagrad_step(int64_t count, const AdagradTensor<T>* tensors, const AdagradOptions& o) {
  step_all(count, tensors, AdagradStep<T>{T(o.lr), T(o.eps), T(o.weight_decay)}, adagrad_kernel<T>);
}

}  // namespace

template <>
AdamKernels<float> adam_kernels<Level::cuda, float>() {
  return {adam_step<float>, sgd_step<float>, rmsprop_step<float>, adagrad_step<float>};
}

template <>
AdamKernels<double> adam_kernels<Level::cuda, double>() {
  return {adam_step<double>, sgd_step<double>, rmsprop_step<double>, adagrad_step<double>};
}

}  // namespace atrous
