// Races in shared memory, which compute-sanitizer's racecheck looks for on a GPU: two threads at the same bytes, one of
// them writing, and nothing between that puts one behind the other. What puts them in order is __syncwarp,
// __syncthreads, a cluster's barrier, and the barriers of Hopper's copy engine; what a warp does together, such as a
// shuffle, does not. Each thread, and each barrier for what the engine copies, has a clock, as in FastTrack (Flanagan
// and Freund, 2009).
//
// They are looked for in a build with ATROUS_CUDA_RACES. There GCC's -fsanitize=thread calls a function for each read
// and write of the kernels, __tsan_read4 and its like; races.cpp has them in the place of ThreadSanitizer's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cuda_on_cpu::races {

#ifdef ATROUS_CUDA_RACES
constexpr bool kLooked = true;
#else
constexpr bool kLooked = false;  // all of these do nothing
#endif

using Clock = std::vector<uint32_t>;  // what has happened before: the time of each thread, and of each barrier's copies

struct Memory {
  const void* begin;
  size_t bytes;
};

// The threads of a cluster's blocks begin, with this shared memory beside what their kernel declares; or nobody looks
// at what follows.
void begin(size_t threads, const std::vector<Memory>& shared);
void look_away();

// Who does what follows: a thread, the engine in a copy for a barrier that was started at that time, or nobody.
void run_thread(size_t number);
void run_started(const Clock& started);  // the thread's own products, by what it knew when it started them
void run_copy(uint64_t barrier, const Clock& started);
void run_nobody();

void meet(const std::vector<size_t>& threads);  // each goes on behind what all of them did
void give(Clock& to);                           // who takes `to` goes on behind what was done until now
void take(const Clock& from);
Clock now();

// Where GCC calls nothing.
void read(const void* address, size_t bytes);
void write(const void* address, size_t bytes);
void begin_write(const void* address, size_t bytes);  // by a copy that ends at some time before end_write
void end_write(const void* address, size_t bytes);

std::string found();  // the first race since the last call, or nothing

}  // namespace cuda_on_cpu::races
