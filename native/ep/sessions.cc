#include "ep/sessions.h"

#include <map>
#include <mutex>

#include "base/error.h"
#include "base/fork.h"

namespace lpc {
namespace {

struct Sessions {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Observer>> by_id;
  std::map<std::string, std::weak_ptr<CancelFlag>> runs;
};

// Outlives every session, whatever the order of shutdown.
Sessions& sessions() {
  static PerProcess<Sessions> instances;
  return instances.get();
}

}  // namespace

void register_session(const std::string& session_id, const std::shared_ptr<Observer>& observer) {
  if (session_id.empty()) return;
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().by_id, [](const auto& entry) { return entry.second.expired(); });
  sessions().by_id[session_id] = observer;
}

std::shared_ptr<const Observer> find_session(const std::string& session_id) {
  const std::lock_guard lock(sessions().mutex);
  const auto found = sessions().by_id.find(session_id);
  auto observer = found == sessions().by_id.end() ? nullptr : found->second.lock();
  if (observer == nullptr) throw Error(LPC_NOT_FOUND, "no session named '" + session_id + "'");
  return observer;
}

std::shared_ptr<const CancelFlag> cancel_flag(const std::string& run_id) {
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().runs, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<CancelFlag>& known = sessions().runs[run_id];
  auto flag = known.lock();
  if (flag == nullptr) known = flag = std::make_shared<CancelFlag>(false);
  return flag;
}

void cancel_run(const std::string& run_id) {
  const std::lock_guard lock(sessions().mutex);
  const auto found = sessions().runs.find(run_id);
  const auto flag = found == sessions().runs.end() ? nullptr : found->second.lock();
  if (flag == nullptr) throw Error(LPC_NOT_FOUND, "no run named '" + run_id + "' at this time");
  *flag = true;
}

}  // namespace lpc
