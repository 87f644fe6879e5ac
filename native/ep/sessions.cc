#include "ep/sessions.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/fork.h"

namespace lpc {
namespace {

struct Session {
  std::weak_ptr<Observer> observer;
  std::string residence;
};

struct Sessions {
  std::mutex mutex;
  std::map<std::string, Session> by_id;
  std::map<std::string, std::weak_ptr<CancelFlag>> runs;
};

// Outlives every session, whatever the order of shutdown.
Sessions& sessions() {
  static PerProcess<Sessions> instances;
  return instances.get();
}

// The living session of this name and what is known of it; with the lock held. Throws LPC_NOT_FOUND.
std::pair<std::shared_ptr<const Observer>, std::string> living(const std::string& session_id) {
  const auto found = sessions().by_id.find(session_id);
  auto observer = found == sessions().by_id.end() ? nullptr : found->second.observer.lock();
  if (observer == nullptr) throw Error(LPC_NOT_FOUND, "no session named '" + session_id + "'");
  return {std::move(observer), found->second.residence};
}

}  // namespace

void register_session(const std::string& session_id, const std::shared_ptr<Observer>& observer) {
  if (session_id.empty()) return;
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().by_id, [](const auto& entry) { return entry.second.observer.expired(); });
  sessions().by_id[session_id] = {observer, ""};
}

void note_residence(const std::string& session_id, const std::string& residence) {
  const std::lock_guard lock(sessions().mutex);
  const auto found = sessions().by_id.find(session_id);
  if (found != sessions().by_id.end()) found->second.residence = residence;
}

std::string find_residence(const std::string& session_id) {
  const std::lock_guard lock(sessions().mutex);
  return living(session_id).second;
}

std::shared_ptr<const Observer> find_session(const std::string& session_id) {
  const std::lock_guard lock(sessions().mutex);
  return living(session_id).first;
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
