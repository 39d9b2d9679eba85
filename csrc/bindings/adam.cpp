#include "kernels/adam.h"

#include <algorithm>

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

bool same_layout(const NdArray& a, const NdArray& b) {
  if (a.ndim() != b.ndim()) return false;
  for (py::ssize_t i = 0; i < a.ndim(); ++i)  // strides that lead nowhere mean nothing
    if (a.shape(i) != b.shape(i) || (a.strides(i) != b.strides(i) && a.shape(i) > 1 && a.size() > 0)) return false;
  return true;
}

std::string layout_text(const NdArray& a) {
  return "shape " + shape_text({a.shape(), a.shape() + a.ndim()}) + " and strides " +
         shape_text({a.strides(), a.strides() + a.ndim()});
}

// One list of an optimizer step: dense arrays, each laid out as the parameter of its index. It keeps them alive.
template <typename T>
class ArrayList {
 public:
  ArrayList(const py::object& list, const char* function, const char* name, const ArrayList* params, bool writable)
      : function_(function), name_(name), writable_(writable) {
    if (!py::isinstance<py::list>(list) && !py::isinstance<py::tuple>(list))
      throw py::type_error(std::string(function) + ": " + name + " must be a list of arrays");
    for (const py::object item : py::reinterpret_borrow<py::sequence>(list)) {  // a subclass may make it on the spot
      if (!py::isinstance<NdArray>(item)) throw py::type_error(label() + " is not a " + kArrayType);
      const auto array = py::reinterpret_borrow<NdArray>(item);
      if (!has_dtype<T>(array))
        throw py::type_error(label() + " has dtype " + std::string(py::str(array.dtype())) + "; expected " +
                             std::string(py::str(py::dtype::of<T>())));
      check(array, params);
      arrays_.push_back(array);
    }
    if (params && size() != params->size())
      throw std::invalid_argument(std::string(function) + ": " + std::to_string(size()) + " arrays in " + name +
                                  " for " + std::to_string(params->size()) + " params");
  }

  size_t size() const { return arrays_.size(); }
  int64_t elements(size_t i) const { return arrays_[i].size(); }
  const T* data(size_t i) const { return static_cast<const T*>(arrays_[i].data()); }
  T* mutable_data(size_t i) { return static_cast<T*>(arrays_[i].mutable_data()); }  // checks the flag once more
  bool writable() const { return writable_; }

 private:
  std::string label() const {
    return std::string(function_) + ": " + name_ + "[" + std::to_string(arrays_.size()) + "]";
  }

  void check(const NdArray& array, const ArrayList* params) const {
    const size_t i = arrays_.size();
    if (writable_ && !array.writeable()) throw std::invalid_argument(label() + " is read-only");
    if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T) != 0)
      throw std::invalid_argument(label() + " is not aligned");
    if (!params && !is_dense(array)) throw std::invalid_argument(label() + " has gaps or repeats in memory");
    if (params && i < params->size() && !same_layout(array, params->arrays_[i]))
      throw std::invalid_argument(label() + " has " + layout_text(array) + "; params[" + std::to_string(i) + "] has " +
                                  layout_text(params->arrays_[i]));
  }

  const char *function_, *name_;
  bool writable_;
  std::vector<NdArray> arrays_;
};

// An array that is written twice, or read too, would hold what the order of the threads makes of it.
template <typename T, typename... Lists>
void refuse_overlaps(const char* function, const Lists*... lists) {
  struct Range {
    const T *begin, *end;
    bool written;
  };
  std::vector<Range> ranges;
  const auto add = [&](const ArrayList<T>* list) {
    for (size_t i = 0; list && i < list->size(); ++i)
      if (list->elements(i) > 0) ranges.push_back({list->data(i), list->data(i) + list->elements(i), list->writable()});
  };
  (add(lists), ...);
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  const T *written_end = nullptr, *read_end = nullptr;
  for (const Range& range : ranges) {
    if (range.begin < written_end || (range.written && range.begin < read_end))
      throw std::invalid_argument(std::string(function) + ": an array that is written overlaps another one");
    (range.written ? written_end : read_end) = std::max(range.written ? written_end : read_end, range.end);
  }
}

// The first parameter decides the dtype; an empty list needs no step.
template <typename F>
void for_params(const py::sequence& params, const char* name, F&& f) {
  if (py::len(params) == 0) return;
  for_dtype(params[0], name, [&](auto zero) -> py::object {
    f(zero);
    return py::none();
  });
}

void adam_step(const py::sequence& params_, const py::object& grads_, const py::object& exp_avgs_,
               const py::object& exp_avg_sqs_, const py::object& max_exp_avg_sqs_, int64_t step, double lr,
               double beta1, double beta2, double eps, double weight_decay, bool decoupled) {
  require(step >= 1, "adam_step: step is ", step, "; it counts from 1");
  for_params(params_, "adam_step: params[0]", [&](auto zero) {
    using T = decltype(zero);
    constexpr auto* name = "adam_step";
    ArrayList<T> params(params_, name, "params", nullptr, true);
    const ArrayList<T> grads(grads_, name, "grads", &params, false);
    ArrayList<T> exp_avgs(exp_avgs_, name, "exp_avgs", &params, true);
    ArrayList<T> exp_avg_sqs(exp_avg_sqs_, name, "exp_avg_sqs", &params, true);
    std::optional<ArrayList<T>> maxima;
    if (!max_exp_avg_sqs_.is_none()) maxima.emplace(max_exp_avg_sqs_, name, "max_exp_avg_sqs", &params, true);
    refuse_overlaps<T>(name, &params, &grads, &exp_avgs, &exp_avg_sqs, maxima ? &*maxima : nullptr);
    std::vector<AdamTensor<T>> tensors(params.size());
    double elements = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i] = {params.elements(i),       params.mutable_data(i),      grads.data(i),
                    exp_avgs.mutable_data(i), exp_avg_sqs.mutable_data(i), maxima ? maxima->mutable_data(i) : nullptr};
      elements += static_cast<double>(params.elements(i));
    }
    const auto kernels = at_level([](auto level) { return adam_kernels<decltype(level)::value, T>(); });
    ReleaseGil gil(bytes_moved(7 * elements * sizeof(T)));
    kernels.adam_step(static_cast<int64_t>(tensors.size()), tensors.data(),
                      {step, lr, beta1, beta2, eps, weight_decay, decoupled});
  });
}

void sgd_step(const py::sequence& params_, const py::object& grads_, const py::object& momentum_buffers_, double lr,
              double momentum, double dampening, double weight_decay, bool nesterov, bool first) {
  for_params(params_, "sgd_step: params[0]", [&](auto zero) {
    using T = decltype(zero);
    ArrayList<T> params(params_, "sgd_step", "params", nullptr, true);
    const ArrayList<T> grads(grads_, "sgd_step", "grads", &params, false);
    std::optional<ArrayList<T>> buffers;
    if (!momentum_buffers_.is_none()) buffers.emplace(momentum_buffers_, "sgd_step", "momentum_buffers", &params, true);
    refuse_overlaps<T>("sgd_step", &params, &grads, buffers ? &*buffers : nullptr);
    std::vector<SgdTensor<T>> tensors(params.size());
    double elements = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i] = {params.elements(i), params.mutable_data(i), grads.data(i),
                    buffers ? buffers->mutable_data(i) : nullptr};
      elements += static_cast<double>(params.elements(i));
    }
    const auto kernels = at_level([](auto level) { return adam_kernels<decltype(level)::value, T>(); });
    ReleaseGil gil(bytes_moved(5 * elements * sizeof(T)));
    kernels.sgd_step(static_cast<int64_t>(tensors.size()), tensors.data(),
                     {lr, momentum, dampening, weight_decay, nesterov, first});
  });
}

void rmsprop_step(const py::sequence& params_, const py::object& grads_, const py::object& square_avgs_,
                  const py::object& grad_avgs_, const py::object& momentum_buffers_, double lr, double alpha,
                  double eps, double weight_decay, double momentum) {
  for_params(params_, "rmsprop_step: params[0]", [&](auto zero) {
    using T = decltype(zero);
    constexpr auto* name = "rmsprop_step";
    ArrayList<T> params(params_, name, "params", nullptr, true);
    const ArrayList<T> grads(grads_, name, "grads", &params, false);
    ArrayList<T> squares(square_avgs_, name, "square_avgs", &params, true);
    std::optional<ArrayList<T>> averages, buffers;
    if (!grad_avgs_.is_none()) averages.emplace(grad_avgs_, name, "grad_avgs", &params, true);
    if (!momentum_buffers_.is_none()) buffers.emplace(momentum_buffers_, name, "momentum_buffers", &params, true);
    refuse_overlaps<T>(name, &params, &grads, &squares, averages ? &*averages : nullptr, buffers ? &*buffers : nullptr);
    std::vector<RmspropTensor<T>> tensors(params.size());
    double elements = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i] = {params.elements(i),
                    params.mutable_data(i),
                    grads.data(i),
                    squares.mutable_data(i),
                    averages ? averages->mutable_data(i) : nullptr,
                    buffers ? buffers->mutable_data(i) : nullptr};
      elements += static_cast<double>(params.elements(i));
    }
    const auto kernels = at_level([](auto level) { return adam_kernels<decltype(level)::value, T>(); });
    ReleaseGil gil(bytes_moved((5 + 2 * (averages ? 1 : 0) + 2 * (buffers ? 1 : 0)) * elements * sizeof(T)));
    kernels.rmsprop_step(static_cast<int64_t>(tensors.size()), tensors.data(),
                         {lr, alpha, eps, weight_decay, momentum});
  });
}

void adagrad_step(const py::sequence& params_, const py::object& grads_, const py::object& sums_, double lr, double eps,
                  double weight_decay) {
  for_params(params_, "adagrad_step: params[0]", [&](auto zero) {
    using T = decltype(zero);
    ArrayList<T> params(params_, "adagrad_step", "params", nullptr, true);
    const ArrayList<T> grads(grads_, "adagrad_step", "grads", &params, false);
    ArrayList<T> sums(sums_, "adagrad_step", "sums", &params, true);
    refuse_overlaps<T>("adagrad_step", &params, &grads, &sums);
    std::vector<AdagradTensor<T>> tensors(params.size());
    double elements = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i] = {params.elements(i), params.mutable_data(i), grads.data(i), sums.mutable_data(i)};
      elements += static_cast<double>(params.elements(i));
    }
    const auto kernels = at_level([](auto level) { return adam_kernels<decltype(level)::value, T>(); });
    ReleaseGil gil(bytes_moved(5 * elements * sizeof(T)));
    kernels.adagrad_step(static_cast<int64_t>(tensors.size()), tensors.data(), {lr, eps, weight_decay});
  });
}

}  // namespace

void bind_adam(py::module_& m) {
  m.def("adam_step", &adam_step, "params"_a, "grads"_a, "exp_avgs"_a, "exp_avg_sqs"_a, "max_exp_avg_sqs"_a, "step"_a,
        "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "decoupled"_a,
        "One step of Adam, or AdamW if decoupled, in place over lists of arrays; AMSGrad with max_exp_avg_sqs.");
  m.def("sgd_step", &sgd_step, "params"_a, "grads"_a, "momentum_buffers"_a, "lr"_a, "momentum"_a, "dampening"_a,
        "weight_decay"_a, "nesterov"_a, "first"_a,
        "One step of gradient descent, in place over lists of arrays; first fills the momentum buffers.");
  m.def("rmsprop_step", &rmsprop_step, "params"_a, "grads"_a, "square_avgs"_a, "grad_avgs"_a, "momentum_buffers"_a,
        "lr"_a, "alpha"_a, "eps"_a, "weight_decay"_a, "momentum"_a,
        "One step of RMSprop, in place over lists of arrays; centered with grad_avgs.");
  m.def("adagrad_step", &adagrad_step, "params"_a, "grads"_a, "sums"_a, "lr"_a, "eps"_a, "weight_decay"_a,
        "One step of Adagrad, in place over lists of arrays.");
}

}  // namespace atrous
