#include "ep/shared_models.h"

namespace lpc {

std::shared_ptr<SharedModel> SharedModels::open(const std::string& path, const FileOptions& options, unsigned threads) {
  auto file = std::make_shared<const WeightFile>(path, options);
  const std::lock_guard lock(mutex_);
  std::erase_if(models_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<SharedModel>& known = models_[file->id()];
  auto model = known.lock();
  if (model == nullptr) {
    model = std::make_shared<SharedModel>(std::move(file), threads);
    known = model;
  }
  return model;
}

}  // namespace lpc
