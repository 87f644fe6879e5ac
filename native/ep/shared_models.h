// The weight files in use, each with one layer store, shared by all sessions on the same file.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/fork.h"
#include "store/layer_store.h"

namespace lpc {

struct SharedModel {
  SharedModel(std::shared_ptr<const WeightFile> weights, unsigned threads) : file(std::move(weights)), store(threads) {}
  std::shared_ptr<const WeightFile> file;
  LayerStore store;
};

class SharedModels {
 public:
  ~SharedModels() { states_.end(); }

  // The model of this file, opened if nobody has it open. `options` and `threads` count for the first user only.
  std::shared_ptr<SharedModel> open(const std::string& path, const FileOptions& options, unsigned threads);

 private:
  struct State {
    std::mutex mutex;
    std::map<FileId, std::weak_ptr<SharedModel>> models;
  };
  PerProcess<State> states_;
};

}  // namespace lpc
