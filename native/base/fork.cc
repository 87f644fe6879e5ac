#include "base/fork.h"

#include <pthread.h>

namespace lpc {
namespace {

std::atomic<uint64_t> number{0};

}  // namespace

uint64_t process_number() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++number; });
  static_cast<void>(registered);
  return number.load(std::memory_order_relaxed);
}

}  // namespace lpc
