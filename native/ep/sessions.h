// Living sessions and runs by name: the statistics of the ones, cancelling the others.
#pragma once

#include <memory>
#include <string>

#include "store/cancel.h"
#include "store/observer.h"

namespace lpc {

// The statistics are found under `session_id` as long as the caller keeps them alive. A later session of the same
// name takes the name over. An empty name is not registered.
void register_session(const std::string& session_id, const std::shared_ptr<Observer>& observer);

// Where the layers of a session's weights live, as the option `residence` says it; nothing for a name that is not
// known.
void note_residence(const std::string& session_id, const std::string& residence);
// "" before the first run. Throws as find_session.
std::string find_residence(const std::string& session_id);

// Throws LPC_NOT_FOUND when no session of this name is alive.
std::shared_ptr<const Observer> find_session(const std::string& session_id);

// The flag of the run of this name, to be kept as long as the run goes on.
std::shared_ptr<const CancelFlag> cancel_flag(const std::string& run_id);
// Throws LPC_NOT_FOUND when there is no such run now.
void cancel_run(const std::string& run_id);

}  // namespace lpc
