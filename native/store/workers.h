// Threads that do jobs as long as there are any, and wait for more.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "store/stored_blob.h"

namespace lpc {

class Workers {
 public:
  using Lock = std::unique_lock<std::mutex>;
  // Takes one job and does it; false if there is none. Called with the lock held, and returns so; gives it up while it
  // does the job.
  using Work = std::function<bool(Lock& lock, ReadBuffers& buffers)>;

  // `mutex` guards what jobs are made from; every call needs it held, but for the destructor.
  Workers(unsigned count, std::mutex& mutex, Work work);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Starts those that do not run yet, fewer if the system gives no more. Throws LPC_OUT_OF_MEMORY if it gives none.
  void start();
  // Their buffers, one a worker; may be touched while no job is done.
  std::span<ReadBuffers> buffers() { return buffers_; }

  // There may be jobs now.
  void wake() { work_available_.notify_all(); }
  // Waits until no job is done any more: readers give up soon, and none is begun.
  void interrupt(Lock& lock);

 private:
  void run(ReadBuffers& buffers);

  std::mutex& mutex_;
  const Work work_;
  std::vector<ReadBuffers> buffers_;
  std::vector<std::thread> threads_;
  std::condition_variable work_available_;
  std::condition_variable job_done_;
  std::atomic<bool> give_up_{false};
  bool stopping_ = false;
  size_t working_ = 0;
};

}  // namespace lpc
