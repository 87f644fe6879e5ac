// The execution provider of one session: claims the weights, gives their nodes to ONNX Runtime, begins and ends passes.
#pragma once

#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ep/memory_shares.h"
#include "ep/options.h"
#include "ep/product_node.h"

namespace lpc {

class Provider : public OrtEp {
 public:
  Provider(const Api& api, SharedModels& models, const ProviderOptions& options, const OrtLogger* logger);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

 private:
  // What this session uses of one weight file.
  struct FileUse {
    std::shared_ptr<SharedModel> model;
    std::vector<ProductNode*> products;
    std::shared_ptr<MemoryShare> share;  // of a provider that chooses where the weights live
    std::shared_ptr<Schedule> schedule;
  };

  void claim(const OrtGraph* graph, OrtEpGraphSupportInfo* support);
  std::unique_ptr<FusedNode> compile(const OrtGraph* graph, const OrtNode* fused);
  FileUse& use_of(const std::string& file);
  unsigned reading_threads() const;
  void build_schedules();
  std::shared_ptr<Schedule> schedule_of(FileUse& use);
  void run_start(const OrtRunOptions* options);
  std::shared_ptr<const CancelFlag> cancel_flag_of(const OrtRunOptions* options) const;
  void run_end();

  static const char* ORT_API_CALL get_name(const OrtEp* self) noexcept;
  static OrtStatus* ORT_API_CALL get_capability(OrtEp* self, const OrtGraph* graph,
                                                OrtEpGraphSupportInfo* support) noexcept;
  static OrtStatus* ORT_API_CALL compile_all(OrtEp* self, const OrtGraph** graphs, const OrtNode** fused, size_t count,
                                             OrtNodeComputeInfo** infos, OrtNode** context_nodes) noexcept;
  static void ORT_API_CALL release_infos(OrtEp* self, OrtNodeComputeInfo** infos, size_t count) noexcept;
  static OrtStatus* ORT_API_CALL on_run_start(OrtEp* self, const OrtRunOptions* options) noexcept;
  static OrtStatus* ORT_API_CALL on_run_end(OrtEp* self, const OrtRunOptions* options, bool sync) noexcept;

  const Api api_;
  SharedModels& models_;
  const ProviderOptions options_;
  const OrtLogger* logger_;
  std::shared_ptr<Observer> observer_;
  std::exception_ptr refused_;  // why the graph may not be run: ONNX Runtime ignores an error of GetCapability
  size_t left_in_bodies_ = 0;
  std::mutex mutex_;  // guards building the schedules
  bool scheduled_ = false;
  // By file, in one order everywhere, so that two sessions never wait for each other's.
  std::map<FileId, FileUse> files_;
};

}  // namespace lpc
