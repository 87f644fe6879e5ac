#include "ep/shared_models.h"

namespace lpc {
namespace {

// In a child of fork a parent's model is left as it is: waiting for its threads, or for those that wait for it, would
// take for ever.
void end(SharedModel* model) {
  if (model->store.is_of_this_process()) delete model;
}

}  // namespace

std::shared_ptr<SharedModel> SharedModels::open(const std::string& path, const FileOptions& options, unsigned threads) {
  auto file = std::make_shared<const WeightFile>(path, options);
  State& state = states_.get();
  const std::lock_guard lock(state.mutex);
  std::erase_if(state.models, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<SharedModel>& known = state.models[file->id()];
  auto model = known.lock();
  if (model == nullptr) {
    model = std::shared_ptr<SharedModel>(new SharedModel(std::move(file), threads), end);
    known = model;
  }
  return model;
}

}  // namespace lpc
