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

  __device__ static T flush_subnormal(T x) { return fabs(x) < T(sizeof(T) == 4 ? FLT_MIN : DBL_MIN) ? T(0) : x; }

  __device__ void update_moments(T grad, T& param, T& m, T& v) const {
    param *= keep;
    if (add_decay) grad = fma(weight_decay, param, grad);
    m = flush_subnormal(from_moment ? fma(rest1, grad - m, m) : fma(-beta1, grad - m, grad));
    v = flush_subnormal(fma(beta2, v, rest2 * grad * grad));
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

// The tensor that has a chunk: the last that does not begin behind it.
template <typename Tensor>
__device__ const Entry<Tensor>& tensor_of(int64_t chunk, int64_t count, const Entry<Tensor>* entries) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (entries[middle].first_chunk <= chunk ? low : high) = middle;
  }
  return entries[low];
}

template <bool amsgrad, typename T>
__global__ void adam_kernel(int64_t count, const Entry<AdamTensor<T>>* entries, AdamStep<T> step) {
  const auto& entry = tensor_of(blockIdx.x, count, entries);
  const AdamTensor<T> t = entry.tensor;
  const int64_t first = (blockIdx.x - entry.first_chunk) * kChunk, last = first + kChunk < t.n ? first + kChunk : t.n;
  if constexpr (amsgrad)
    update(entry.aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq);
  else
    update(entry.aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq);
}

template <bool has_buffer, typename T>
__global__ void sgd_kernel(int64_t count, const Entry<SgdTensor<T>>* entries, SgdStep<T> step) {
  const auto& entry = tensor_of(blockIdx.x, count, entries);
  const SgdTensor<T> t = entry.tensor;
  const int64_t first = (blockIdx.x - entry.first_chunk) * kChunk, last = first + kChunk < t.n ? first + kChunk : t.n;
  if constexpr (has_buffer)
    update(entry.aligned, first, last, step, t.grad, t.param, t.momentum_buffer);
  else
    update(entry.aligned, first, last, step, t.grad, t.param);
}

template <typename T>
bool is_aligned(const AdamTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq);
}

template <typename T>
bool is_aligned(const SgdTensor<T>& t) {
  return are_aligned(t.param, t.grad, t.momentum_buffer);
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

}  // namespace

template <>
AdamKernels<float> adam_kernels<Level::cuda, float>() {
  return {adam_step<float>, sgd_step<float>};
}

template <>
AdamKernels<double> adam_kernels<Level::cuda, double>() {
  return {adam_step<double>, sgd_step<double>};
}

}  // namespace atrous
