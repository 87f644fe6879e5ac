// Children of fork: they have the memory of their parent, but none of its threads, and its locks as they were.
#pragma once

#include <atomic>
#include <cstdint>

namespace lpc {

// Another number in every child of fork: what was made under another one belongs to a parent, whose threads may have
// held its locks.
uint64_t process_number();

// A T for each process that asks: the child of a fork gets a fresh one and never looks at that of its parent. Lives
// until `end`, or for ever; any thread.
template <typename T>
class PerProcess {
 public:
  T& get() {
    const uint64_t number = process_number();
    Entry* current = current_.load(std::memory_order_acquire);
    while (current == nullptr || current->number != number) {
      auto* fresh = new Entry{{}, number, current};
      if (current_.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) return fresh->value;
      delete fresh;  // another thread was faster
    }
    return current->value;
  }

  // Ends the one of this process; nobody else may be using it.
  void end() {
    Entry* current = current_.load(std::memory_order_acquire);
    if (current == nullptr || current->number != process_number()) return;
    current_.store(current->of_parent, std::memory_order_release);
    delete current;
  }

 private:
  struct Entry {
    T value;
    uint64_t number;
    Entry* of_parent;  // kept within reach: it is not lost, only unusable
  };
  std::atomic<Entry*> current_{nullptr};
};

}  // namespace lpc
