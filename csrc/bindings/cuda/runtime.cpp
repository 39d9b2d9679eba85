// What is not a kernel: counters and the facts of the build.
#include "bindings/array.h"

#ifdef ATROUS_CUDA_ON_CPU
#include <cuda_runtime.h>

#include <deque>
#endif

namespace atrous {
namespace {

py::dict build_info() {
  py::dict d;
  d["compiler"] = ATROUS_COMPILER;
  d["version"] = ATROUS_VERSION;
  d["architectures"] = ATROUS_CUDA_ARCHITECTURES;
  return d;
}

#ifdef ATROUS_CUDA_ON_CPU
// What the stand-in's graphs recorded, by number.
std::deque<cuda_on_cpu::Recorded>& recordings() {
  static auto* all = new std::deque<cuda_on_cpu::Recorded>;
  return *all;
}

void bind_recordings(py::module_& m) {
  using namespace py::literals;
  m.def("recording_new", [] {
    recordings().emplace_back();
    return recordings().size() - 1;
  });
  m.def("recording_size", [](size_t number) { return recordings().at(number).size(); }, "number"_a);
  m.def("recording_drop", [](size_t number) { recordings().at(number) = {}; }, "number"_a);
  m.def(
      "record_into",
      [](int64_t number) {
        cuda_on_cpu::recording = number < 0 ? nullptr : &recordings().at(static_cast<size_t>(number));
      },
      "number"_a, "Puts down what follows there, or runs it for -1.");
  m.def(
      "recording_run",
      [](size_t number, size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) recordings().at(number)[i]();
      },
      "number"_a, "first"_a, "last"_a);
}
#endif

}  // namespace

void bind_runtime(py::module_& m) {
  using namespace py::literals;
  m.def("build_info", &build_info);
  m.def("memory_set_poison", &memory_set_poison, "enabled"_a, "Fills new blocks with NaN bytes, for tests.");
  m.def("memory_overruns", &memory_overruns, "Poisoned blocks, since the last call, that were written past their end.");
  m.def("conversions", &layout_conversions, "Copies that bindings made because of an argument's memory order.");
#ifdef ATROUS_CUDA_ON_CPU
  m.def("set_order", &cuda_on_cpu::set_order, "order"_a,
        "In which order the threads of a block take turns: 1, 2 or 3.");
  m.def("set_capability", &cuda_on_cpu::set_capability, "capability"_a, "That of the device, times ten: 80 at first.");
  m.def("racy_kernels", &cuda_on_cpu::racy_kernels, "How many there are.");
  m.def("run_racy", &cuda_on_cpu::run_racy, "number"_a);
  bind_recordings(m);
  m.def("engine_copies", [] { return cuda_on_cpu::engine_copies; }, "Copies of pixels by Hopper's engine so far.");
#endif
}

}  // namespace atrous
