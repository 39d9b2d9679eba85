// What is not a kernel: instruction-set level, threads, memory.
#include "bindings/array.h"
#include "core/cpu_features.h"
#include "core/parallel.h"
#include "core/peaks.h"

namespace atrous {
namespace {

py::dict stats_dict() {
  const MemoryStats s = memory_stats();
  py::dict d;
  d["current"] = s.current;
  d["peak"] = s.peak;
  d["pooled"] = s.pooled;
  d["limit"] = s.limit ? py::object(py::int_(s.limit)) : py::object(py::none());
  return d;
}

py::dict build_info() {
  py::dict d;
  d["compiler"] = ATROUS_COMPILER;
  d["version"] = ATROUS_VERSION;
  return d;
}

}  // namespace

void bind_runtime(py::module_& m) {
  using namespace py::literals;
  level();  // an unusable ATROUS_ISA fails the import, not the first kernel
  m.def("isa", [] { return level_name(level()); }, "The instruction-set level in force.");
  m.def("set_isa", &set_level, "name"_a, "Chooses an instruction-set level; ValueError when this CPU lacks it.");
  m.def(
      "isa_levels",
      [] {
        std::vector<std::string> names;
        for (Level l : available_levels()) names.push_back(level_name(l));
        return names;
      },
      "The levels usable on this CPU, best first.");
  m.def("get_num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, "threads"_a);
  m.def("default_num_threads", &default_num_threads, "What affinity and the cgroup's CPU quota allow.");
  m.def("memory_stats", &stats_dict, "Bytes: current, peak, pooled, limit.");
  m.def("memory_reset_peak", &memory_reset_peak);
  m.def("memory_empty_cache", &memory_empty_cache);
  m.def(
      "memory_set_limit",
      [](std::optional<int64_t> bytes) {
        require(!bytes || *bytes > 0, "memory_set_limit: bytes must be positive, or None to lift the limit");
        memory_set_limit(bytes.value_or(0));
      },
      "bytes"_a);
  m.def("memory_set_poison", &memory_set_poison, "enabled"_a, "Fills new blocks with NaN bytes, for tests.");
  m.def("memory_overruns", &memory_overruns, "Poisoned blocks, since the last call, that were written past their end.");
  m.def("conversions", &layout_conversions, "Copies that bindings made because of an argument's memory order.");
  m.def(
      "empty",
      [](const std::vector<int64_t>& shape, const py::object& dtype, bool channels_last) {
        for (int64_t size : shape) require(size >= 0, "empty: shape ", shape, " has a negative size");
        require(!channels_last || shape.size() == 4, "empty: channels_last needs 4 dimensions");
        const py::dtype type = py::dtype::from_args(dtype);
        const bool number = std::string("biufc").find(type.kind()) != std::string::npos;
        require(number, "empty: dtype must be a plain number type");
        return empty_bytes(type, shape, channels_last ? Order::channels_last : Order::c);
      },
      "shape"_a, "dtype"_a, "channels_last"_a = false, "A new uninitialised array in pool memory.");
  m.def("build_info", &build_info);
  const auto for_threads = [](double (*measure)(int), const char* function) {
    return [measure, name = std::string(function)](int threads) {
      require(threads >= 1 && threads <= 1024, name, ": threads must be from 1 to 1024");
      py::gil_scoped_release gil;
      return measure(threads);
    };
  };
  m.def("peak_fma_gflops", for_threads(&peak_fma_gflops, "peak_fma_gflops"), "threads"_a,
        "The most float32 operations a second, in 1e9, at the level in force: measured now.");
  m.def("peak_copy_gbs", for_threads(&peak_copy_gbs, "peak_copy_gbs"), "threads"_a,
        "The most bytes a second that a copy reads and writes, in 1e9: measured now.");
  m.def("core_to_core_ns", &core_to_core_ns, py::call_guard<py::gil_scoped_release>(),
        "How long a cache line takes to the other core; 0 where there is one.");
}

}  // namespace atrous
