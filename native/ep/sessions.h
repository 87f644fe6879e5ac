// Statistics of living sessions by name, for lpc_get_session_stats.
#pragma once

#include <memory>
#include <string>

#include "store/observer.h"

namespace lpc {

// The statistics are found under `session_id` as long as the caller keeps them alive. A later session of the same
// name takes the name over. An empty name is not registered.
void register_session(const std::string& session_id, const std::shared_ptr<Observer>& observer);

}  // namespace lpc
