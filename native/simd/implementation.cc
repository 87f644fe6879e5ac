#include "simd/implementation.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "base/error.h"

namespace lpc {
namespace {

const Implementation* record_of(Isa isa) {
  const auto all = implementations();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.isa == isa; });
  return found == all.end() ? nullptr : &*found;
}

const Implementation* choose() {
  const char* forced = std::getenv("LPC_FORCE_IMPL");
  const Implementation* best = nullptr;
  for (const Implementation& one : implementations()) {
    if (!one.supported()) continue;
    if (forced != nullptr && std::string(forced) == one.name) return &one;
    best = &one;
  }
  if (forced != nullptr && *forced != '\0') {
    throw Error(LPC_UNSUPPORTED, "LPC_FORCE_IMPL=" + std::string(forced) +
                                     ": unknown or not supported on this machine; expected one of " +
                                     supported_isa_names());
  }
  return best;
}

std::atomic<const Implementation*>& current() {
  static std::atomic<const Implementation*> implementation{choose()};
  return implementation;
}

}  // namespace

const char* isa_name(Isa isa) {
  const Implementation* record = record_of(isa);
  return record == nullptr ? "unknown" : record->name;
}

bool isa_supported(Isa isa) {
  const Implementation* record = record_of(isa);
  return record != nullptr && record->supported();
}

std::string supported_isa_names() {
  std::string names;
  for (const Implementation& one : implementations()) {
    if (!one.supported()) continue;
    if (!names.empty()) names += ",";
    names += one.name;
  }
  return names;
}

const Implementation& active_implementation() { return *current().load(std::memory_order_relaxed); }

Isa active_isa() { return active_implementation().isa; }

void use_isa(Isa isa) { current().store(record_of(isa), std::memory_order_relaxed); }

}  // namespace lpc
