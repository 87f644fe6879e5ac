// The memory that sessions of this process share out among themselves, those that choose where their weights live.
#pragma once

#include <atomic>
#include <memory>

#include "ep/auto_placement.h"
#include "ep/shared_models.h"

namespace lpc {

// What one choice takes, as long as a session goes by it.
struct MemoryShare {
  const LayerStore* store = nullptr;
  Weights weights;
  uint32_t layout = 0;
  AutoPlacement placement;
  uint64_t bytes = 0;                     // of weights, ring and everything else but the process itself
  std::atomic<bool> weights_read{false};  // so that what is free no longer holds them
};

// The choice of a living session on the same weights in the same layout, or a new one within `options`'
// memory_budget_bytes, what is free, and what other sessions have left. Throws LPC_INVALID_ARGUMENT for a budget that
// is too small even where everything is streamed. Any thread.
std::shared_ptr<MemoryShare> take_share(const SharedModel& model, Weights weights, const ProviderOptions& options,
                                        unsigned reading_threads);

}  // namespace lpc
