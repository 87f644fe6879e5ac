// Where a product's weight lives, and in which form: from the session's options and what the weight is.
#pragma once

#include "ep/options.h"
#include "store/part.h"

namespace lpc {

ScheduledBlob place_blob(const std::shared_ptr<const StoredBlob>& blob, const ProviderOptions& options);

}  // namespace lpc
