// A loop shared by the calling thread and a process-wide pool of workers.
//
// The pool starts lazily, grows to the largest number of threads asked for, and is never torn down, so no call after
// the first starts a thread. After fork() the child begins with an empty pool of its own.
#pragma once

#include <cstddef>
#include <functional>

namespace lpc {

// Number of processors that this process may run on; at least 1.
unsigned default_threads();

// `threads` as the C API means it: 0 is default_threads(). Never more than `count`, never less than 1.
unsigned effective_threads(size_t count, unsigned threads);

// What threads do that have nothing left to do: sleep at once, or stay awake for some microseconds, for loops that
// follow each other so closely that waking threads would take a good part of the time.
enum class Waiting { kAsleep, kAwake };

// Calls body(i) once for every i in [0, count), on the caller and at most threads - 1 workers (threads 0: one a core),
// and returns when all are done. Calls may nest and may come from several threads at once.
// If bodies throw, indices not yet begun are skipped and the exception of the lowest failing index is rethrown here.
void parallel_for(size_t count, unsigned threads, const std::function<void(size_t)>& body,
                  Waiting waiting = Waiting::kAsleep);

// The same with the number of the thread that runs it, in [0, effective_threads(count, threads)), for scratch memory.
void parallel_for_workers(size_t count, unsigned threads, const std::function<void(size_t, unsigned)>& body,
                          Waiting waiting = Waiting::kAsleep);

}  // namespace lpc
