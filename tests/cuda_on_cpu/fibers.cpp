// The threads of a block, or of the blocks of a cluster, as fibers on one thread of the CPU: each runs until it waits
// or ends.
#include <ucontext.h>

#include <csetjmp>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "races.h"

namespace cuda_on_cpu {

Place* place = nullptr;

namespace {

constexpr size_t kRest = 8;  // turns

enum class State {
  ready,
  waits_for_lanes,
  waits_for_warp,
  waits_for_block,
  waits_for_cluster,
  waits_for_others,
  ended
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

// A stack of its own, kept for the next block. It is left and entered by _longjmp, which asks nothing of the system.
struct Fiber {
  static constexpr size_t kStack = 1 << 16;
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t first;
  jmp_buf here;
  bool started = false;
  State state = State::ended;
  Place place;
  std::function<bool()> holds;  // what it waits for, of others
  std::deque<Copy> copies;      // that are put off
  std::deque<size_t> groups;    // how many of them belong together; those of none are the last
  size_t ungrouped = 0;
};

std::vector<std::unique_ptr<Fiber>> fibers;
const std::function<void()>* work = nullptr;
Fiber* current = nullptr;
jmp_buf scheduler;
int chosen_order = 2;
uint64_t lanes[kMostThreads];

struct alignas(16) Piece {
  char bytes[16];
};
using Shared = std::vector<Piece>;
std::vector<Shared> shared;  // of each block of the cluster
unsigned current_rank = 0;   // of the block whose thread or copy it is

void fill_with_nan(Shared& memory) {
  if (!memory.empty()) std::memset(memory.data(), 0xFF, memory.size() * sizeof memory[0]);
}

struct Work {
  unsigned rank;
  uint64_t barrier;
  races::Clock started;
  std::function<void()> run;

  void operator()() const {
    races::run_copy(barrier, started);
    run();
    races::run_nobody();
  }
};
std::vector<Work> put_off;
bool misaligned = false;  // a thread's exception could not leave its fiber

void leave(State state) {
  Fiber* const self = current;
  self->state = state;
  if (_setjmp(self->here) == 0) _longjmp(scheduler, 1);
}

void live() {
  for (;;) {
    (*work)();
    leave(State::ended);
  }
}

unsigned rank_of(const Fiber& fiber) { return fiber.place.number / fiber.place.block_size.x; }

void resume(Fiber& fiber) {
  current = &fiber;
  place = &fiber.place;
  current_rank = rank_of(fiber);
  if (_setjmp(scheduler) != 0) return races::run_nobody();
  races::run_thread(fiber.place.number);
  if (fiber.started) _longjmp(fiber.here, 1);
  fiber.started = true;
  getcontext(&fiber.first);
  fiber.first.uc_stack.ss_sp = fiber.stack.get();
  fiber.first.uc_stack.ss_size = Fiber::kStack;
  fiber.first.uc_link = nullptr;
  makecontext(&fiber.first, live, 0);
  setcontext(&fiber.first);
}

// Lets those go on that wait from `begin` to `end` for the same thing. A real GPU would hang, or worse, where one of
// them has ended; clusters alone wait for none of those.
bool release(State waiting, size_t begin, size_t end) {
  static std::vector<size_t> those;
  those.clear();
  size_t ended = 0;
  for (size_t i = begin; i < end; ++i) {
    if (fibers[i]->state == waiting) those.push_back(i);
    ended += waiting == State::waits_for_cluster && fibers[i]->state == State::ended;
  }
  if (those.empty() || those.size() + ended < end - begin) return false;
  for (const size_t i : those) fibers[i]->state = State::ready;
  if (waiting != State::waits_for_lanes) races::meet(those);
  return true;
}

// The youngest of what was put off, unless threads take turns in ascending order.
bool work_for_others() {
  if (put_off.empty()) return false;
  const auto next = chosen_order == 2 ? put_off.begin() : put_off.end() - 1;
  const Work work = std::move(*next);
  put_off.erase(next);
  current_rank = work.rank;
  work();
  return true;
}

// Whether others must do something before the fiber can go on.
bool must_wait(const Fiber& fiber) {
  current_rank = rank_of(fiber);
  return !fiber.holds();
}

// In order 3, every other warp rests for some turns, then the others do: some are ahead of others.
bool rests(size_t warp, size_t turn) { return chosen_order == 3 && warp % 2 == turn / kRest % 2; }

// The blocks of a cluster, of so many threads each.
void run_blocks(size_t cluster, size_t block) {
  const size_t threads = cluster * block;
  size_t left = threads;
  std::vector<size_t> left_of(cluster, block);
  const size_t step = chosen_order < 3 ? 1 : 37;  // prime to every multiple of 32 that a block size may be
  for (size_t turn = 0;; ++turn) {
    bool progress = false;
    for (size_t i = 0; i < threads; ++i) {
      const size_t at = i * step % threads;
      Fiber& fiber = *fibers[chosen_order == 1 ? threads - 1 - at : at];
      if (fiber.state == State::waits_for_others && !must_wait(fiber)) fiber.state = State::ready;
      if (fiber.state != State::ready) continue;
      if (rests(at / 32, turn)) {
        progress = true;
        continue;
      }
      resume(fiber), progress = true;
      if (fiber.state != State::ended) continue;
      --left;
      if (--left_of[rank_of(fiber)] == 0) fill_with_nan(shared[rank_of(fiber)]);
    }
    if (left == 0 && put_off.empty()) return;
    if (left == 0) throw std::runtime_error("a block has ended while the copy engine was still to write to it");
    for (const State state : {State::waits_for_lanes, State::waits_for_warp})
      for (size_t warp = 0; warp < threads; warp += 32) progress = release(state, warp, warp + 32) || progress;
    for (size_t first = 0; first < threads; first += block)
      progress = release(State::waits_for_block, first, first + block) || progress;
    progress = release(State::waits_for_cluster, 0, threads) || progress;
    if (!progress && !work_for_others()) {
      fibers.clear();  // with what is on their stacks
      throw std::runtime_error("a kernel hangs: some threads of a block wait where others do not come");
    }
  }
}

// In some of a launch's clusters, evenly spread, and the last one.
void look_for_races(unsigned number, unsigned count, size_t threads, size_t shared_bytes) {
  constexpr unsigned kLookedAt = 12;
  if (number % ((count + kLookedAt - 1) / kLookedAt) != 0 && number != count - 1) return races::look_away();
  std::vector<races::Memory> memory;
  for (const Shared& of_block : shared) memory.push_back({of_block.data(), shared_bytes});
  races::begin(threads, memory);
}

}  // namespace

void run(dim3 grid, dim3 block, const std::function<void()>& thread, size_t shared_bytes, unsigned cluster) {
  if (block.y != 1 || block.z != 1 || block.x > 1024 || block.x % 32 != 0)
    throw std::runtime_error("blocks must be one-dimensional, of whole warps");
  if (cluster * block.x > kMostThreads || grid.x % cluster != 0)
    throw std::runtime_error("a grid must be of whole clusters, of four blocks at most");
  if (recording) return recording->push_back([=] { run(grid, block, thread, shared_bytes, cluster); });
  while (fibers.size() < cluster * block.x) fibers.push_back(std::make_unique<Fiber>());
  work = &thread;
  put_off.clear();
  races::found();  // in a launch that ended otherwise
  const size_t pieces = (shared_bytes + sizeof(Piece) - 1) / sizeof(Piece);
  shared = std::vector<Shared>(cluster, Shared(pieces));  // new, as an old one might have room behind its end
  for (Shared& memory : shared) fill_with_nan(memory);
  const unsigned across = grid.x / cluster, count = across * grid.y * grid.z;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned at = chosen_order == 2 ? i : count - 1 - i;  // none may need what another did
    const dim3 first(at % across * cluster, at / across % grid.y, at / across / grid.y);
    for (unsigned t = 0; t < cluster * block.x; ++t) {
      fibers[t]->place = {dim3(t % block.x, 0, 0), dim3(first.x + t / block.x, first.y, first.z), block, grid, t};
      fibers[t]->state = State::ready;
      fibers[t]->copies.clear();
      fibers[t]->groups.clear();
      fibers[t]->ungrouped = 0;
    }
    look_for_races(i, count, cluster * block.x, shared_bytes);
    run_blocks(cluster, block.x);
  }
  if (const std::string race = races::found(); !race.empty()) throw std::runtime_error(race);
  if (std::exchange(misaligned, false)) throw std::runtime_error("a kernel reads or writes at a misaligned address");
}

void set_order(int order) { chosen_order = order; }
int order() { return chosen_order; }

void do_later(uint64_t barrier, std::function<void()> copy) {
  const Work work{current_rank, uint64_t{current_rank} << 32 | barrier, races::now(), std::move(copy)};
  if (chosen_order != 3) return put_off.push_back(work);
  work();  // at once, over what is read too late
  races::run_thread(current->place.number);
}

void wait_until(std::function<bool()> holds) {
  if (holds()) return;
  current->holds = std::move(holds);
  leave(State::waits_for_others);
}

void give_way() {
  for (size_t turn = 0; chosen_order == 3 && turn < 2 * kRest + 4; ++turn) {
    current->holds = [] { return true; };
    leave(State::waits_for_others);
  }
}

void cluster_barrier() { leave(State::waits_for_cluster); }
void block_barrier() { leave(State::waits_for_block); }
void warp_barrier() { leave(State::waits_for_warp); }
void lanes_meet() { leave(State::waits_for_lanes); }

uint64_t exchange(uint64_t bits, unsigned lane) {
  const size_t self = current->place.number, warp = self / 32 * 32;
  lanes[self] = bits;
  lanes_meet();
  const uint64_t given = lanes[warp + lane % 32];
  lanes_meet();
  return given;
}

unsigned rank() { return current_rank; }
void* shared_memory() { return shared_memory_of(current_rank); }
void* shared_memory_of(unsigned rank) { return shared[rank].data(); }

void require_aligned(const void* address, size_t bytes) {
  const size_t at_once = bytes < 16 ? bytes : 16;
  misaligned = misaligned || reinterpret_cast<uintptr_t>(address) % at_once != 0;
}

void copy_later(void* to, const void* from, size_t bytes) {
  require_aligned(to, bytes);
  require_aligned(from, bytes);
  races::begin_write(to, bytes);
  current->copies.push_back({to, from, bytes});
  ++current->ungrouped;
}

void close_copies() {
  current->groups.push_back(current->ungrouped);
  current->ungrouped = 0;
}

void wait_copies(int left) {
  for (auto& groups = current->groups; groups.size() > static_cast<size_t>(left); groups.pop_front())
    for (size_t i = 0; i < groups.front(); ++i) {
      const Copy copy = current->copies.front();
      current->copies.pop_front();
      races::end_write(copy.to, copy.bytes);
      if (copy.from)
        std::memcpy(copy.to, copy.from, copy.bytes);
      else
        std::memset(copy.to, 0, copy.bytes);
    }
}

}  // namespace cuda_on_cpu
