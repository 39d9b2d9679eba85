// core/memory.h on a GPU: workspace from CuPy's pool. A block may be released as soon as the kernels that use it are
// launched, since the next owner's work comes later on the same stream.
#include "core/memory.h"

#include <cuda_runtime.h>

#include <unordered_map>
#include <vector>

#include "bindings/array.h"
#include "kernels/cuda/stream.h"

namespace atrous {
namespace {

// In every call the GIL is held, which makes this table safe. It is never destroyed: Python may be gone by then.
std::unordered_map<void*, py::object>& workspace() {
  static auto* blocks = new std::unordered_map<void*, py::object>;
  return *blocks;
}

// A block of memory_set_poison, kept alive until memory_overruns() looked behind it.
struct Poisoned {
  py::object memory;
  char* end;
};
constexpr int64_t kGuard = 256;
bool poison = false;

std::vector<Poisoned>& poisoned() {
  static auto* blocks = new std::vector<Poisoned>;
  return *blocks;
}

}  // namespace

py::object device_memory(int64_t bytes) {
  static const auto* alloc = new py::object(py::module_::import("cupy").attr("cuda").attr("alloc"));
  if (!poison) return (*alloc)(bytes);
  py::object memory = (*alloc)(bytes + kGuard);
  char* block = reinterpret_cast<char*>(address_of(memory));
  check_cuda(cudaMemsetAsync(block, 0xFF, static_cast<size_t>(bytes + kGuard), current_stream()), "poison");
  poisoned().push_back({memory, block + bytes});
  return memory;
}

void* allocate(int64_t bytes) {
  py::object memory = device_memory(bytes > 0 ? bytes : 1);
  void* block = reinterpret_cast<void*>(address_of(memory));
  workspace()[block] = std::move(memory);
  return block;
}

void release(void* block) noexcept { workspace().erase(block); }

void memory_set_poison(bool enabled) { poison = enabled; }

int64_t memory_overruns() {
  int64_t overruns = 0;
  for (const Poisoned& block : poisoned()) {
    unsigned char guard[kGuard];
    copy_to_host(guard, block.end, kGuard);
    bool intact = true;
    for (unsigned char byte : guard) intact = intact && byte == 0xFF;
    overruns += !intact;
  }
  poisoned().clear();
  return overruns;
}

}  // namespace atrous
