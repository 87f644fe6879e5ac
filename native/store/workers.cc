#include "store/workers.h"

#include <string>
#include <system_error>

#include "base/error.h"

namespace lpc {

Workers::Workers(unsigned count, std::mutex& mutex, Work work)
    : mutex_(mutex), work_(std::move(work)), buffers_(count) {
  for (ReadBuffers& buffers : buffers_) buffers.give_up = &give_up_;
}

Workers::~Workers() {
  give_up_ = true;
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::start() {
  while (threads_.size() < buffers_.size()) {
    try {
      threads_.emplace_back([this, &buffers = buffers_[threads_.size()]] { run(buffers); });
    } catch (const std::system_error& error) {
      if (!threads_.empty()) return;  // fewer do it too
      throw Error(LPC_OUT_OF_MEMORY, std::string("cannot start a thread that reads weights: ") + error.what());
    }
  }
}

void Workers::run(ReadBuffers& buffers) {
  Lock lock(mutex_);
  while (!stopping_) {
    ++working_;
    const bool worked = !give_up_ && work_(lock, buffers);
    --working_;
    if (give_up_) job_done_.notify_all();
    if (!worked && !stopping_) work_available_.wait(lock);
  }
}

void Workers::interrupt(Lock& lock) {
  give_up_ = true;
  job_done_.wait(lock, [&] { return working_ == 0; });
  give_up_ = false;
}

}  // namespace lpc
