#include "ep/memory_shares.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "base/fork.h"
#include "base/machine_memory.h"
#include "store/memory_figures.h"

namespace lpc {
namespace {

struct Shares {
  std::mutex mutex;
  std::vector<std::weak_ptr<MemoryShare>> all;
};

Shares& shares() {
  static PerProcess<Shares> instances;
  return instances.get();
}

uint64_t less(uint64_t bytes, uint64_t taken) { return bytes - std::min(bytes, taken); }

bool same_weights(const Weights& a, const Weights& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one->offset() == other->offset() && one->layer() == other->layer();
  });
}

// That of a session on the same weights in the same layout; null if there is none.
std::shared_ptr<MemoryShare> living_share(const Shares& known, const SharedModel& model, const Weights& weights,
                                          uint32_t layout) {
  for (const auto& one : known.all) {
    auto share = one.lock();
    const bool same = share != nullptr && share->store == &model.store && share->layout == layout;
    if (same && same_weights(share->weights, weights)) return share;
  }
  return nullptr;
}

struct Taken {
  uint64_t bytes = 0;     // of all sessions
  uint64_t promised = 0;  // of those whose weights are not in memory yet
};

Taken taken(const Shares& known) {
  Taken sum;
  for (const auto& one : known.all) {
    const auto share = one.lock();
    if (share == nullptr) continue;
    sum.bytes += share->bytes;
    if (!share->weights_read) sum.promised += share->bytes;
  }
  return sum;
}

// What the process may take beside what sessions have taken. Nothing where neither user nor system says.
uint64_t room_left(const ProviderOptions& options, const Taken& others) {
  const uint64_t budget = options.memory_budget_bytes;
  const auto free = available_memory();
  const uint64_t allowed = budget == 0 ? std::numeric_limits<uint64_t>::max() : less(budget, others.bytes);
  if (!free) return budget == 0 ? 0 : allowed;
  return std::min(allowed, less(less(*free, kReserveBytes), others.promised));
}

void require_budget(uint64_t budget, uint64_t needed) {
  if (budget == 0 || needed <= budget) return;
  throw Error(LPC_INVALID_ARGUMENT, "provider option memory_budget_bytes: got " + std::to_string(budget) +
                                        ", expected at least " + std::to_string(needed) + " for these weights");
}

}  // namespace

std::shared_ptr<MemoryShare> take_share(const SharedModel& model, Weights weights, const ProviderOptions& options,
                                        unsigned reading_threads) {
  Shares& known = shares();
  const std::lock_guard lock(known.mutex);
  std::erase_if(known.all, [](const auto& share) { return share.expired(); });
  if (auto share = living_share(known, model, weights, options.transcode_layout)) return share;
  const Taken others = taken(known);
  const uint64_t staging = reading_threads * kReadBufferBytes;
  const uint64_t beside = kProcessBytes + staging + kTextBytes;
  auto share = std::make_shared<MemoryShare>();
  share->store = &model.store;
  share->layout = options.transcode_layout;
  share->placement = place_within(weights, less(room_left(options, others), beside), options);
  require_budget(options.memory_budget_bytes, others.bytes + kProcessBytes + staging + share->placement.bytes);
  share->weights = std::move(weights);
  share->bytes = share->placement.bytes + staging + kTextBytes;
  known.all.push_back(share);
  return share;
}

}  // namespace lpc
