// Tables that a kernel reads, brought to the GPU by one copy a call.
#pragma once
#include <cstring>
#include <optional>
#include <vector>

#include "core/memory.h"
#include "kernels/cuda/capture.h"
#include "kernels/cuda/stream.h"

namespace atrous {
namespace {  // as Workspace is

class Upload {
 public:
  // The n values go along. Returns their place, for at().
  template <typename T>
  size_t add(const T* values, int64_t n) {
    const size_t start = (bytes_.size() + 15) / 16 * 16, size = static_cast<size_t>(n) * sizeof(T);
    bytes_.resize(start + size);
    if (size > 0) std::memcpy(bytes_.data() + start, values, size);
    return start;
  }

  void send() {
    const auto size = static_cast<int64_t>(bytes_.size());
    memory_.emplace(size);
    if (capturing())
      copy_by_launches(memory_->data(), bytes_.data(), size);
    else
      copy_to_device(memory_->data(), bytes_.data(), size);
  }

  // Device memory, after send().
  template <typename T>
  const T* at(size_t place) const {
    return reinterpret_cast<const T*>(memory_->data() + place);
  }

 private:
  std::vector<char> bytes_;
  std::optional<Workspace<char>> memory_;
};

}  // namespace
}  // namespace atrous
