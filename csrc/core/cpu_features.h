// The instruction-set level that kernels run at. Every level is in the binary; the best one that this CPU has is
// chosen at import, ATROUS_ISA or set_level() choose a lower one.
#pragma once
#include <string>
#include <type_traits>
#include <vector>

#include "core/level.h"

namespace atrous {

Level level();                            // in force now
void set_level(const std::string& name);  // throws std::invalid_argument for an unknown or unavailable level
std::string level_name(Level);            // "x86-64", "x86-64-v3", "x86-64-v4"; "neon" on aarch64
std::vector<Level> available_levels();    // best first

// Calls f with the level in force as a compile-time constant: at_level([](auto L) { return relu_kernels<L, float>(); })
template <typename F>
auto at_level(F&& f) {
#ifdef ATROUS_X86_LEVELS
  if (level() == Level::v4) return f(std::integral_constant<Level, Level::v4>{});
  if (level() == Level::v3) return f(std::integral_constant<Level, Level::v3>{});
#endif
  return f(std::integral_constant<Level, Level::baseline>{});
}

}  // namespace atrous
