// Uses what binds to newer symbols where headers are newer: number parsing (glibc 2.38), stream initialisation and
// inlined string functions (libstdc++ of GCC 13), exceptions out of noexcept (GCC 14); and each library of ours.
#include <lz4.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>

namespace {

std::mutex mutex;
std::condition_variable changed;
bool done = false;

void finish() noexcept {
  std::string text = "done";
  text.replace(0, 1, "w");
  std::cerr << text << '\n';
  std::lock_guard lock(mutex);
  done = true;
  changed.notify_all();
}

}  // namespace

extern "C" unsigned long lpc_trial(const char* text, char* out, int capacity) {
  std::thread worker(finish);
  {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(1), [] { return done; });
    changed.wait(lock, [] { return done; });
  }
  worker.join();
  const int size = LZ4_decompress_safe(text, out, 4, capacity);
  const double number = std::exp(std::strtod(text, nullptr));
  return std::strtoul(text, nullptr, 10) + std::lround(number) + XXH3_64bits(out, size > 0 ? size : 0);
}
