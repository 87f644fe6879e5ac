#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/fork.h"

namespace lpc {
namespace {

constexpr unsigned kMaxWorkers = 255;
// How long a thread may wait in a loop: some times what waking it takes (tens of microseconds, more where the idle
// processor is a virtual one; an estimate).
constexpr std::chrono::microseconds kAwake{100};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Whether `done` came true within kAwake.
template <typename Done>
bool spin_until(const Done& done) {
  const auto end = std::chrono::steady_clock::now() + kAwake;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// One call of parallel_for. Lives on the caller's stack; the caller leaves only when no worker holds it.
class Job {
 public:
  Job(size_t count, const std::function<void(size_t, unsigned)>& body, Waiting waiting)
      : waiting(waiting), count_(count), body_(body) {}

  void run(unsigned worker) noexcept {
    for (;;) {
      const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= count_ || failed_.load(std::memory_order_relaxed)) return;
      try {
        body_(index, worker);
      } catch (...) {
        fail(index);
      }
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  const Waiting waiting;
  // Written only under the pool's mutex.
  unsigned helpers_wanted = 0;
  unsigned helpers_joined = 0;
  std::atomic<unsigned> helpers_running{0};
  std::condition_variable idle;

 private:
  // Indices are handed out in order, so the lowest failing one is always begun, whatever the number of threads.
  void fail(size_t index) noexcept {
    std::lock_guard<std::mutex> lock(error_mutex_);
    if (error_ && index > error_index_) return;
    error_ = std::current_exception();
    error_index_ = index;
    failed_.store(true, std::memory_order_relaxed);
  }

  const size_t count_;
  const std::function<void(size_t, unsigned)>& body_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  size_t error_index_ = 0;
};

class Pool {
 public:
  void run(Job& job, unsigned helpers) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      grow(helpers);
      job.helpers_wanted = std::min(helpers, workers_);
      if (job.helpers_wanted > 0) queue_.push_back(&job);
      queued_ = queue_.size();
      for (unsigned i = awake_; i < helpers; ++i) wake_.notify_one();
    }
    job.run(0);
    std::unique_lock<std::mutex> lock(mutex_);
    std::erase(queue_, &job);
    queued_ = queue_.size();
    if (job.waiting == Waiting::kAwake && job.helpers_running != 0) {
      lock.unlock();
      spin_until([&] { return job.helpers_running == 0; });
      lock.lock();  // the last helper may still hold it, and the job
    }
    job.idle.wait(lock, [&] { return job.helpers_running == 0; });
  }

 private:
  void grow(unsigned helpers) {
    for (; workers_ < std::min(helpers, kMaxWorkers); ++workers_) {
      try {
        std::thread([this] { work(); }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: the ones that exist do the work
      }
    }
  }

  void work() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals belong to the program's own threads
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return !queue_.empty(); });
      while (help(lock) == Waiting::kAwake && queue_.empty()) {
        ++awake_;
        lock.unlock();
        spin_until([&] { return queued_ != 0; });
        lock.lock();
        --awake_;
        if (queue_.empty()) break;
      }
    }
  }

  // Takes part in the first job of the queue; gives how to wait for the next one.
  Waiting help(std::unique_lock<std::mutex>& lock) {
    Job& job = *queue_.front();
    const Waiting waiting = job.waiting;
    const unsigned worker = ++job.helpers_joined;
    ++job.helpers_running;
    if (job.helpers_joined == job.helpers_wanted) {
      queue_.erase(queue_.begin());
      queued_ = queue_.size();
    }
    lock.unlock();
    job.run(worker);
    lock.lock();
    if (--job.helpers_running == 0) job.idle.notify_one();
    return waiting;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job*> queue_;
  std::atomic<size_t> queued_{0};  // its size, written under the mutex
  unsigned awake_ = 0;             // workers that look at it in a loop
  unsigned workers_ = 0;
};

PerProcess<Pool> pools;

}  // namespace

unsigned default_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

unsigned effective_threads(size_t count, unsigned threads) {
  const size_t wanted = threads == 0 ? default_threads() : threads;
  return static_cast<unsigned>(std::clamp<size_t>(std::min(count, wanted), 1, kMaxWorkers + 1));
}

void parallel_for_workers(size_t count, unsigned threads, const std::function<void(size_t, unsigned)>& body,
                          Waiting waiting) {
  const unsigned used = effective_threads(count, threads);
  Job job(count, body, waiting);
  if (used == 1) {
    job.run(0);
  } else {
    pools.get().run(job, used - 1);
  }
  job.rethrow();
}

void parallel_for(size_t count, unsigned threads, const std::function<void(size_t)>& body, Waiting waiting) {
  parallel_for_workers(count, threads, [&](size_t index, unsigned) { body(index); }, waiting);
}

}  // namespace lpc
