// Optimizer steps: one launch over all tensors.
#include "kernels/adam.h"
#include "kernels/cuda/adam_numbers.h"
#include "kernels/cuda/adam_steps.h"
#include "kernels/cuda/capture.h"
#include "kernels/cuda/chunks.h"

namespace atrous {
namespace {

// given: ByValue or FromMemory of a step.
template <bool amsgrad, typename T, typename Given>
__global__ void adam_kernel(int64_t count, const Entry<AdamTensor<T>>* entries, Given given) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  const AdamStep<T> step = given.get();
  if constexpr (amsgrad)
    update(aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq);
  else
    update(aligned, first, last, step, t.grad, t.param, t.exp_avg, t.exp_avg_sq);
}

template <bool has_buffer, typename T, typename Given>
__global__ void sgd_kernel(int64_t count, const Entry<SgdTensor<T>>* entries, Given given) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  const SgdStep<T> step = given.get();
  if constexpr (has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.momentum_buffer);
  else
    update(aligned, first, last, step, t.grad, t.param);
}

template <bool centered, bool has_buffer, typename T, typename Given>
__global__ void rmsprop_kernel(int64_t count, const Entry<RmspropTensor<T>>* entries, Given given) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  const RmspropStep<centered, T> step = given.get();
  if constexpr (centered && has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.grad_avg, t.momentum_buffer);
  else if constexpr (centered)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.grad_avg);
  else if constexpr (has_buffer)
    update(aligned, first, last, step, t.grad, t.param, t.square_avg, t.momentum_buffer);
  else
    update(aligned, first, last, step, t.grad, t.param, t.square_avg);
}

template <typename T, typename Given>
__global__ void adagrad_kernel(int64_t count, const Entry<AdagradTensor<T>>* entries, Given given) {
  const auto [t, aligned, first, last] = chunk_of(blockIdx.x, count, entries);
  const AdagradStep<T> step = given.get();
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

// Launches kernel(count, entries, step) with a block for each chunk.
template <typename Tensor, typename Step>
void step_all(int64_t count, const Tensor* tensors, Step step, void (*kernel)(int64_t, const Entry<Tensor>*, Step)) {
  const Chunks<Tensor> chunks(count, tensors, [](const Tensor& tensor) { return is_aligned(tensor); });
  launch(kernel, chunks.count(), kThreads, chunks.tensors(), chunks.entries(), step);
}

// A kernel for the step at hand, and one for the steps of a graph's replays.
template <typename Tensor, typename Step>
struct Kernels {
  void (*by_value)(int64_t, const Entry<Tensor>*, ByValue<Step>);
  void (*from_memory)(int64_t, const Entry<Tensor>*, FromMemory<Step>);
};

template <typename Tensor, typename Step>
void step_all(const char* function, int64_t count, const Tensor* tensors, const Step& step,
              const Kernels<Tensor, Step>& kernels) {
  if (capturing())
    step_all(count, tensors, FromMemory<Step>{static_cast<const Step*>(captured_numbers(function))},
             kernels.from_memory);
  else
    step_all(count, tensors, ByValue<Step>{step}, kernels.by_value);
}

template <bool amsgrad, typename T>
Kernels<AdamTensor<T>, AdamStep<T>> adam_kernels_of() {
  return {adam_kernel<amsgrad, T, ByValue<AdamStep<T>>>, adam_kernel<amsgrad, T, FromMemory<AdamStep<T>>>};
}

template <bool has_buffer, typename T>
Kernels<SgdTensor<T>, SgdStep<T>> sgd_kernels_of() {
  return {sgd_kernel<has_buffer, T, ByValue<SgdStep<T>>>, sgd_kernel<has_buffer, T, FromMemory<SgdStep<T>>>};
}

template <bool centered, bool has_buffer, typename T>
Kernels<RmspropTensor<T>, RmspropStep<centered, T>> rmsprop_kernels_of() {
  using Step = RmspropStep<centered, T>;
  return {rmsprop_kernel<centered, has_buffer, T, ByValue<Step>>,
          rmsprop_kernel<centered, has_buffer, T, FromMemory<Step>>};
}

template <typename T>
Kernels<AdagradTensor<T>, AdagradStep<T>> adagrad_kernels_of() {
  return {adagrad_kernel<T, ByValue<AdagradStep<T>>>, adagrad_kernel<T, FromMemory<AdagradStep<T>>>};
}

template <typename T>
SgdStep<T> sgd_step_of(const SgdOptions& o) {
  return {T(o.lr), T(o.weight_decay), T(o.momentum), T(1 - o.dampening), o.nesterov, o.first};
}

template <typename T>
void adam_step(int64_t count, const AdamTensor<T>* tensors, const AdamOptions& options) {
  const bool amsgrad = count > 0 && tensors[0].max_exp_avg_sq != nullptr;
  step_all("adam_step", count, tensors, AdamStep<T>(options),
           amsgrad ? adam_kernels_of<true, T>() : adam_kernels_of<false, T>());
}

template <typename T>
void sgd_step(int64_t count, const SgdTensor<T>* tensors, const SgdOptions& options) {
  const bool has_buffer = count > 0 && tensors[0].momentum_buffer != nullptr;
  step_all("sgd_step", count, tensors, sgd_step_of<T>(options),
           has_buffer ? sgd_kernels_of<true, T>() : sgd_kernels_of<false, T>());
}

template <bool centered, typename T>
RmspropStep<centered, T> rmsprop_step_of(const RmspropOptions& o) {
  return {T(o.lr), T(o.alpha), T(1 - o.alpha), T(o.eps), T(o.weight_decay), T(o.momentum), o.alpha > 0.5};
}

template <bool centered, typename T>
void rmsprop_step_as(int64_t count, const RmspropTensor<T>* tensors, const RmspropOptions& options) {
  const bool has_buffer = tensors[0].momentum_buffer != nullptr;
  step_all("rmsprop_step", count, tensors, rmsprop_step_of<centered, T>(options),
           has_buffer ? rmsprop_kernels_of<centered, true, T>() : rmsprop_kernels_of<centered, false, T>());
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
AdagradStep<T> adagrad_step_of(const AdagradOptions& o) {
  return {T(o.lr), T(o.eps), T(o.weight_decay)};
}

template <typename T>
void adagrad_step(int64_t count, const AdagradTensor<T>* tensors, const AdagradOptions& options) {
  step_all("adagrad_step", count, tensors, adagrad_step_of<T>(options), adagrad_kernels_of<T>());
}

template <typename Step>
std::string bytes_of(const Step& step) {
  static_assert(std::is_trivially_copyable_v<Step>);
  return {reinterpret_cast<const char*>(&step), sizeof step};
}

}  // namespace

template <typename T>
std::string step_numbers(const AdamOptions& options) {
  return bytes_of(AdamStep<T>(options));
}
template <typename T>
std::string step_numbers(const SgdOptions& options) {
  return bytes_of(sgd_step_of<T>(options));
}
template <typename T>
std::string step_numbers(const RmspropOptions& options) {
  static_assert(sizeof(RmspropStep<false, T>) == sizeof(RmspropStep<true, T>));  // which have the same numbers
  return bytes_of(rmsprop_step_of<false, T>(options));
}
template <typename T>
std::string step_numbers(const AdagradOptions& options) {
  return bytes_of(adagrad_step_of<T>(options));
}
template std::string step_numbers<float>(const AdamOptions&);
template std::string step_numbers<double>(const AdamOptions&);
template std::string step_numbers<float>(const SgdOptions&);
template std::string step_numbers<double>(const SgdOptions&);
template std::string step_numbers<float>(const RmspropOptions&);
template std::string step_numbers<double>(const RmspropOptions&);
template std::string step_numbers<float>(const AdagradOptions&);
template std::string step_numbers<double>(const AdagradOptions&);

template <>
AdamKernels<float> adam_kernels<Level::cuda, float>() {
  return {adam_step<float>, sgd_step<float>, rmsprop_step<float>, adagrad_step<float>};
}

template <>
AdamKernels<double> adam_kernels<Level::cuda, double>() {
  return {adam_step<double>, sgd_step<double>, rmsprop_step<double>, adagrad_step<double>};
}

}  // namespace atrous
