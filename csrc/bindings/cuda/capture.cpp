// While the stream of CuPy captures a graph: what python/atrous/cuda_graph.py tells the launches, and asks of them.
#include "kernels/cuda/capture.h"

#include "bindings/array.h"
#include "kernels/cuda/adam_numbers.h"

namespace atrous {
namespace {

using namespace py::literals;

thread_local bool captures = false;
thread_local const void* numbers = nullptr;  // of the next launch that asks

template <typename Options>
py::bytes numbers_of(bool double_precision, const Options& options) {
  const std::string bytes = double_precision ? step_numbers<double>(options) : step_numbers<float>(options);
  return py::bytes(bytes);
}

py::bytes adam_numbers(bool double_precision, int64_t step, double lr, double beta1, double beta2, double eps,
                       double weight_decay, bool decoupled) {
  return numbers_of(double_precision, AdamOptions{step, lr, beta1, beta2, eps, weight_decay, decoupled});
}

py::bytes sgd_numbers(bool double_precision, double lr, double momentum, double dampening, double weight_decay,
                      bool nesterov, bool first) {
  return numbers_of(double_precision, SgdOptions{lr, momentum, dampening, weight_decay, nesterov, first});
}

py::bytes rmsprop_numbers(bool double_precision, double lr, double alpha, double eps, double weight_decay,
                          double momentum) {
  return numbers_of(double_precision, RmspropOptions{lr, alpha, eps, weight_decay, momentum});
}

py::bytes adagrad_numbers(bool double_precision, double lr, double eps, double weight_decay) {
  return numbers_of(double_precision, AdagradOptions{lr, eps, weight_decay});
}

void store(uintptr_t to, const std::string& bytes) {
  copy_by_launches(reinterpret_cast<void*>(to), bytes.data(), static_cast<int64_t>(bytes.size()));
}

NdArray legal_classes(const py::object& classes_, int64_t end, int64_t except, uintptr_t found) {
  const Array<int64_t> classes(classes_, "legal_classes: classes", -1);
  NdArray clean = empty<int64_t>(classes.shape());
  replace_outside(classes.elements(), classes.data(), end, except, mutable_data<int64_t>(clean),
                  reinterpret_cast<int64_t*>(found));
  return clean;
}

std::optional<int64_t> class_outside(const py::object& classes_, int64_t end, int64_t except) {
  const Array<int64_t> classes(classes_, "class_outside: classes", -1);
  return find_outside(classes.data(), classes.elements(), end, except);
}

}  // namespace

bool capturing() { return captures; }

const void* captured_numbers(const char* function) {
  if (!numbers) throw std::runtime_error(std::string(function) + ": its numbers would stay the same at every replay");
  return std::exchange(numbers, nullptr);
}

void bind_capture(py::module_& m) {
  m.def(
      "set_capturing", [](bool on) { captures = on, numbers = nullptr; }, "on"_a,
      "Whether this thread's stream captures a graph.");
  m.def(
      "capture_numbers", [](uintptr_t memory) { numbers = reinterpret_cast<const void*>(memory); }, "memory"_a,
      "Where the next kernel that is captured finds its numbers at each replay.");
  m.def("adam_numbers", &adam_numbers, "double_precision"_a, "step"_a, "lr"_a, "beta1"_a, "beta2"_a, "eps"_a,
        "weight_decay"_a, "decoupled"_a, "What adam_step's kernel reads of its numbers.");
  m.def("sgd_numbers", &sgd_numbers, "double_precision"_a, "lr"_a, "momentum"_a, "dampening"_a, "weight_decay"_a,
        "nesterov"_a, "first"_a, "What sgd_step's kernel reads of its numbers.");
  m.def("rmsprop_numbers", &rmsprop_numbers, "double_precision"_a, "lr"_a, "alpha"_a, "eps"_a, "weight_decay"_a,
        "momentum"_a, "What rmsprop_step's kernel reads of its numbers.");
  m.def("adagrad_numbers", &adagrad_numbers, "double_precision"_a, "lr"_a, "eps"_a, "weight_decay"_a,
        "What adagrad_step's kernel reads of its numbers.");
  m.def("store", &store, "to"_a, "bytes"_a, "Writes to device memory, in the stream's order; the bytes may go.");
  m.def("class_outside", &class_outside, "classes"_a, "end"_a, "except"_a,
        "The first class that is neither in [0, end) nor `except`, or None; waits for it.");
  m.def("legal_classes", &legal_classes, "classes"_a, "end"_a, "except"_a, "found"_a,
        "The classes, those out of range replaced by `except`; one of these is put down in pinned memory at found.");
}

}  // namespace atrous
