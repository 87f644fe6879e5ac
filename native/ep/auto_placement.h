// Where weights live that nobody has placed: in memory in their quickest form if all of it fits, else one layer after
// the other, in order of use, until the memory is full; the rest is streamed.
#pragma once

#include <memory>

#include "ep/options.h"
#include "store/stored_blob.h"

namespace lpc {

// The weights of one file that a session uses, in order of use.
using Weights = std::vector<std::shared_ptr<const StoredBlob>>;

struct AutoPlacement {
  std::vector<ResidenceRange> residence;
  uint64_t ring_bytes = 0;
  uint64_t bytes = 0;  // that weights and ring take, at most
};

// Chooses for `room` bytes. What has to be in memory is there even if `room` is less.
AutoPlacement place_within(const Weights& weights, uint64_t room, const ProviderOptions& options);

}  // namespace lpc
