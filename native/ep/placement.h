// Where a product's weight lives, and in which form: from what its layer is to have and what the weight is.
#pragma once

#include "ep/options.h"
#include "store/part.h"

namespace lpc {

// Whether a weight gains by being in memory in codec packed, in the layout that `options` ask for: products cannot be
// computed from it as it is stored, or not as quickly.
bool gains_by_transcoding(const BlobHeader& header, const ProviderOptions& options);

ScheduledBlob place_blob(const std::shared_ptr<const StoredBlob>& blob, Residence residence,
                         const ProviderOptions& options);

}  // namespace lpc
