#include "core/cpu_features.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace atrous {
namespace {

bool has(Level wanted) {
#ifdef ATROUS_X86_LEVELS
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (wanted == Level::v3) return v3;
  if (wanted == Level::v4)
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#endif
  return wanted == Level::baseline;
}

Level find(const std::string& name) {
  std::string known;
  for (Level l : available_levels()) {
    if (level_name(l) == name) return l;
    known += (known.empty() ? "" : ", ") + level_name(l);
  }
  throw std::invalid_argument("instruction-set level '" + name + "' is not available here; this CPU has: " + known);
}

std::atomic<Level>& current() {
  static std::atomic<Level> value{[] {
    const char* forced = std::getenv("ATROUS_ISA");
    return forced && *forced ? find(forced) : available_levels().front();
  }()};
  return value;
}

}  // namespace

Level level() { return current().load(std::memory_order_relaxed); }

void set_level(const std::string& name) { current().store(find(name)); }

std::string level_name(Level l) {
#ifdef ATROUS_X86_LEVELS
  if (l == Level::v4) return "x86-64-v4";
  if (l == Level::v3) return "x86-64-v3";
  return "x86-64";
#elif defined(__aarch64__)
  return l == Level::baseline ? "neon" : "unavailable";
#else
  return l == Level::baseline ? "baseline" : "unavailable";
#endif
}

std::vector<Level> available_levels() {
  std::vector<Level> levels;
  for (Level l : {Level::v4, Level::v3, Level::baseline})
    if (has(l)) levels.push_back(l);
  return levels;
}

}  // namespace atrous
