#include "races.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <utility>

namespace cuda_on_cpu::races {

namespace {

constexpr size_t kCopiers = 128;  // barriers of a cluster's blocks, at most
constexpr size_t kCell = 2;       // bytes
constexpr uint32_t kUnderWay = UINT32_MAX;

struct Access {
  uint32_t actor = 0, time = 0;  // a thread or a barrier's copies; time 0: none, kUnderWay: behind nobody
  const void* place = nullptr;   // in the program
};

// The last accesses to two bytes. Readers in no order stand in a table: the time of each actor.
struct Cell {
  uint32_t block = 0;  // that they are of
  Access written, read;
  uint32_t* readers = nullptr;
};

struct Region {
  Memory memory;
  std::vector<Cell> cells;
};

std::vector<Region> regions;
std::vector<Clock> clocks;                        // of each actor
std::vector<std::unique_ptr<uint32_t[]>> tables;  // of readers
std::vector<uint32_t*> free_tables;
std::unordered_map<uint64_t, size_t> copiers;  // by their barriers
bool looks = false;
size_t threads = 0;
uint32_t block = 0;          // its number, of all that ran
Clock* clock_now = nullptr;  // of the actor
uint32_t actor = 0;
std::string first;

thread_local char in_declared = 0;

// What kernels declare as __shared__: all that this module has of its own for each thread (cuda_runtime.h).
Memory declared() {
  in_declared = 1;  // from its first use on it is there
  Memory found{};
  const auto look_for = [](dl_phdr_info* module, size_t, void* to) {
    const auto* data = static_cast<const char*>(module->dlpi_tls_data);
    for (int i = 0; data && i < module->dlpi_phnum; ++i) {
      const size_t bytes = module->dlpi_phdr[i].p_memsz;
      if (module->dlpi_phdr[i].p_type == PT_TLS && &in_declared >= data && &in_declared < data + bytes)
        *static_cast<Memory*>(to) = {data, bytes};
    }
    return 0;
  };
  dl_iterate_phdr(look_for, &found);
  return found;
}

// A thread, and its place for addr2line.
std::string name(const Access& access) {
  Dl_info module{};
  char text[80] = "?";
  if (dladdr(access.place, &module) != 0)
    std::snprintf(text, sizeof text, "%s at %#tx",
                  access.actor < threads ? ("thread " + std::to_string(access.actor)).c_str() : "the copy engine",
                  static_cast<const char*>(access.place) - static_cast<const char*>(module.dli_fbase));
  return text;
}

void report(const Access& access, const char* does, const Access& other, size_t at) {
  if (first.empty())
    first = "a race in shared memory, at byte " + std::to_string(at) + ": " + name(access) + does + name(other);
}

bool is_before(const Access& access) { return (*clock_now)[access.actor] >= access.time; }

void add_reader(Cell& cell, const Access& access) {
  if (!cell.readers) {
    if (free_tables.empty()) free_tables.push_back(tables.emplace_back(new uint32_t[clocks.size()]).get());
    cell.readers = free_tables.back();
    free_tables.pop_back();
    std::fill_n(cell.readers, clocks.size(), 0);
    cell.readers[cell.read.actor] = cell.read.time;
  }
  cell.readers[access.actor] = access.time;
}

void look_at_readers(const Cell& cell, const Access& access, size_t at) {
  const uint32_t *const read = cell.readers, *const before = clock_now->data();
  const size_t count = clock_now->size();
  bool all = true;
  for (size_t i = 0; i < count; ++i) all &= read[i] <= before[i];
  for (size_t i = 0; !all && i < count; ++i)
    if (read[i] > before[i])
      return report(access, " writes what was read by ", {static_cast<uint32_t>(i), 0, cell.read.place}, at);
}

void look_at(Cell& cell, const Access& access, bool writes, size_t at) {
  if (cell.block != block) cell = Cell{block, {}, {}, nullptr};
  if (!is_before(cell.written))
    report(access, writes ? " writes what was written by " : " reads what was written by ", cell.written, at);
  if (writes) {
    if (!is_before(cell.read)) report(access, " writes what was read by ", cell.read, at);
    if (cell.readers) look_at_readers(cell, access, at), free_tables.push_back(cell.readers);
    cell = Cell{block, access, {}, nullptr};
  } else if (!cell.readers && is_before(cell.read)) {
    cell.read = access;
  } else {
    add_reader(cell, access);
  }
}

// f(cell, where it begins) for those of shared memory.
template <typename F>
void for_cells(const void* address, size_t bytes, const F& f) {
  if (!clock_now) return;
  for (Region& region : regions) {
    const auto at =
        static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(region.memory.begin));
    if (at >= region.memory.bytes) continue;
    const size_t end = std::min(at + bytes, region.memory.bytes);
    for (size_t cell = at / kCell; cell * kCell < end; ++cell) f(region.cells[cell], cell * kCell);
    return;
  }
}

void look(const void* address, size_t bytes, bool writes, const void* place) {
  for_cells(address, bytes,
            [&](Cell& cell, size_t at) { look_at(cell, {actor, (*clock_now)[actor], place}, writes, at); });
}

void be_after(Clock& clock, const Clock& other) {
  clock.resize(std::max(clock.size(), other.size()));
  for (size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

}  // namespace

void begin(size_t count, const std::vector<Memory>& shared) {
  looks = kLooked;
  if (!looks) return;
  if (count != threads) tables.clear();
  threads = count;
  free_tables.clear();
  for (const auto& table : tables) free_tables.push_back(table.get());
  copiers.clear();
  ++block;
  clocks.resize(threads + kCopiers);
  for (size_t i = 0; i < clocks.size(); ++i) {
    clocks[i].assign(clocks.size(), 0);
    clocks[i][i] = 1;
  }
  regions.resize(shared.size() + 1);
  for (size_t i = 0; i < regions.size(); ++i) {
    regions[i].memory = i < shared.size() ? shared[i] : declared();
    regions[i].cells.resize(regions[i].memory.bytes / kCell + 1);
  }
}

void look_away() { looks = false; }

void run_thread(size_t number) {
  if (!looks) return;
  actor = static_cast<uint32_t>(number);
  clock_now = &clocks[number];
}

void run_started(const Clock& started) {
  if (!clock_now) return;
  static Clock clock;
  clock = started;
  clock[actor] = (*clock_now)[actor];
  clock_now = &clock;
}

void run_copy(uint64_t barrier, const Clock& started) {
  if (!looks) return;
  run_thread(threads + copiers.emplace(barrier, copiers.size()).first->second);
  const uint32_t time = clocks.at(actor)[actor] + 1;
  *clock_now = started;
  (*clock_now)[actor] = time;
}

void run_nobody() { clock_now = nullptr; }

void meet(const std::vector<size_t>& those) {
  if (!looks) return;
  Clock all;
  for (const size_t number : those) be_after(all, clocks[number]);
  for (const size_t number : those) {
    clocks[number] = all;
    ++clocks[number][number];
  }
}

void give(Clock& to) {
  if (!clock_now) return;
  be_after(to, *clock_now);
  ++(*clock_now)[actor];
}

void take(const Clock& from) {
  if (clock_now) be_after(*clock_now, from);
}

Clock now() {
  Clock clock;
  give(clock);
  return clock;
}

void begin_write(const void* address, size_t bytes) {
  write(address, bytes);
  for_cells(address, bytes, [](Cell& cell, size_t) { cell.written.time = kUnderWay; });
}

void end_write(const void* address, size_t bytes) {
  for_cells(address, bytes, [](Cell& cell, size_t) { cell.written.time = (*clock_now)[actor]; });
}

void read(const void* address, size_t bytes) { look(address, bytes, false, __builtin_return_address(0)); }
void write(const void* address, size_t bytes) { look(address, bytes, true, __builtin_return_address(0)); }

std::string found() { return std::exchange(first, {}); }

}  // namespace cuda_on_cpu::races

using cuda_on_cpu::races::look;

#define ATROUS_READS(name, bytes) \
  void name(void* address) { look(address, bytes, false, __builtin_return_address(0)); }
#define ATROUS_WRITES(name, bytes) \
  void name(void* address) { look(address, bytes, true, __builtin_return_address(0)); }

extern "C" {
ATROUS_READS(__tsan_read1, 1)
ATROUS_READS(__tsan_read2, 2)
ATROUS_READS(__tsan_read4, 4)
ATROUS_READS(__tsan_read8, 8)
ATROUS_READS(__tsan_read16, 16)
ATROUS_READS(__tsan_unaligned_read2, 2)
ATROUS_READS(__tsan_unaligned_read4, 4)
ATROUS_READS(__tsan_unaligned_read8, 8)
ATROUS_READS(__tsan_unaligned_read16, 16)
ATROUS_WRITES(__tsan_write1, 1)
ATROUS_WRITES(__tsan_write2, 2)
ATROUS_WRITES(__tsan_write4, 4)
ATROUS_WRITES(__tsan_write8, 8)
ATROUS_WRITES(__tsan_write16, 16)
ATROUS_WRITES(__tsan_unaligned_write2, 2)
ATROUS_WRITES(__tsan_unaligned_write4, 4)
ATROUS_WRITES(__tsan_unaligned_write8, 8)
ATROUS_WRITES(__tsan_unaligned_write16, 16)
void __tsan_read_range(void* address, long bytes) {
  look(address, static_cast<size_t>(bytes), false, __builtin_return_address(0));
}
void __tsan_write_range(void* address, long bytes) {
  look(address, static_cast<size_t>(bytes), true, __builtin_return_address(0));
}

// What else GCC calls.
void __tsan_init() {}
void __tsan_vptr_update(void*, void*) {}
unsigned char __tsan_atomic8_load(const volatile void* from, int) {
  return __atomic_load_n(static_cast<const volatile unsigned char*>(from), __ATOMIC_ACQUIRE);
}
}

#undef ATROUS_READS
#undef ATROUS_WRITES
