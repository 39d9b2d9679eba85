// A GPU as the bindings see it: its arrays are CuPy's, memory comes from CuPy's pool, and kernels run on CuPy's
// current stream. CuPy is asked through Python, as any caller would: nothing of it is needed to compile this.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <type_traits>
#include <vector>

#include "core/level.h"

namespace atrous {
namespace py = pybind11;

inline constexpr const char* kArrayType = "cupy.ndarray";

// Whether bindings look at values before kernels take them for addresses. It would wait for all that came before, so
// kernels look themselves.
inline constexpr bool kReadsValues = false;

// Whether there are kernels for numbers of 16 bits.
inline constexpr bool kHalves = true;

// The switch that lets convolutions run by faster algorithms with larger rounding errors: get_name(),
// set_name(enabled).
struct Switch {
  const char* name;
  bool at_first;
};
inline constexpr Switch kInexact{"tf32", false};

// A cupy.ndarray, with what the bindings use of py::array's methods.
class NdArray : public py::object {
 public:
  NdArray() = default;
  NdArray(py::handle array, borrowed_t) : py::object(array, borrowed_t{}) {}
  NdArray(py::handle array, stolen_t) : py::object(array, stolen_t{}) {}
  // A new one.
  NdArray(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides);
  static bool check_(py::handle object);

  py::ssize_t ndim() const { return static_cast<py::ssize_t>(facts().shape.size()); }
  const py::ssize_t* shape() const { return facts().shape.data(); }
  py::ssize_t shape(py::ssize_t axis) const { return facts().shape[static_cast<size_t>(axis)]; }
  const py::ssize_t* strides() const { return facts().strides.data(); }
  py::ssize_t strides(py::ssize_t axis) const { return facts().strides[static_cast<size_t>(axis)]; }
  py::ssize_t size() const;
  py::ssize_t itemsize() const { return facts().dtype.itemsize(); }
  py::dtype dtype() const;
  const void* data() const { return facts().data; }
  void* mutable_data() { return facts().data; }
  bool writeable() const { return true; }  // CuPy has no read-only arrays
  int flags() const;                       // py::array::c_style where it holds

 private:
  struct Facts {
    std::vector<py::ssize_t> shape, strides;
    py::dtype dtype;
    void* data;
  };
  const Facts& facts() const;  // asked for once: an attribute of a Python object costs 50 ns
  mutable std::shared_ptr<const Facts> facts_;
};

// A cupy.cuda.MemoryPointer of CuPy's pool.
py::object device_memory(int64_t bytes);

// Of such a pointer, or of a stream.
uintptr_t address_of(const py::object& memory);

// A launch returns at once, and workspace comes from Python's side: the GIL stays.
class ReleaseGil {
 public:
  explicit ReleaseGil(double) {}
};

template <typename F>
auto at_level(F&& f) {
  return f(std::integral_constant<Level, Level::cuda>{});
}

}  // namespace atrous

template <>
struct pybind11::detail::handle_type_name<atrous::NdArray> {
  static constexpr auto name = const_name("cupy.ndarray");  // in signatures
};
