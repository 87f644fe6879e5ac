#include "ep/provider.h"

#include <algorithm>

#include "base/parallel.h"
#include "ep/external_data.h"
#include "ep/gather_node.h"
#include "ep/placement.h"
#include "ep/sessions.h"
#include "store/memory_figures.h"

namespace lpc {
namespace {

constexpr const char* kRunId = "lpc.run_id";  // of RunOptions, for lpc_cancel_run

}  // namespace

Provider::Provider(const Api& api, SharedModels& models, const ProviderOptions& options, const OrtLogger* logger)
    : OrtEp{}, api_(api), models_(models), options_(options), logger_(logger), observer_(std::make_shared<Observer>()) {
  ort_version_supported = kOrtApiVersion;
  GetName = get_name;
  GetCapability = get_capability;
  Compile = compile_all;
  ReleaseNodeComputeInfos = release_infos;
  OnRunStart = on_run_start;
  OnRunEnd = on_run_end;
  if (!options_.trace_file.empty()) observer_->trace = std::make_unique<Trace>(options_.trace_file);
  register_session(options_.session_id, observer_);
}

Provider::~Provider() {
  for (auto& [id, use] : files_) {
    if (use.schedule != nullptr) use.model->store.retire(std::move(use.schedule));
  }
}

void Provider::claim(const OrtGraph* graph, OrtEpGraphSupportInfo* support) {
  try {
    check_graph(api_, graph, options_.model_folder);
  } catch (const Error&) {
    refused_ = std::current_exception();
  }
  const Claims claims = find_claims(api_, graph);
  for (const Pair& pair : claims.pairs) {
    OrtNodeFusionOptions fusion{};
    fusion.ort_version_supported = kOrtApiVersion;
    fusion.drop_constant_initializers = true;  // the provider reads the weight file by itself
    const auto nodes = pair.nodes();
    api_.check(api_.ep->EpGraphSupportInfo_AddNodesToFuse(support, nodes.data(), nodes.size(), &fusion));
  }
  if (claims.in_body) {
    left_in_bodies_ += claims.refusals.size();  // bodies are asked about before the graph that they belong to
  } else {
    observer_->statistics.nodes_claimed = claims.pairs.size();
    observer_->statistics.nodes_unclaimed = left_in_bodies_ + claims.refusals.size();
  }
  api_.log(
      logger_, ORT_LOGGING_LEVEL_INFO,
      "claimed " + std::to_string(claims.pairs.size()) + " weights, left " + std::to_string(claims.refusals.size()));
  for (const std::string& refusal : claims.refusals) {
    api_.log(logger_, ORT_LOGGING_LEVEL_WARNING, "weight left to the fallback: " + refusal);
  }
}

unsigned Provider::reading_threads() const {
  return (options_.decode_threads != 0 ? options_.decode_threads : default_threads()) + kReadAheadThreads;
}

Provider::FileUse& Provider::use_of(const std::string& file) {
  auto model = models_.open(file, options_.file, reading_threads());
  FileUse& use = files_[model->file->id()];
  if (use.model == nullptr) use.model = std::move(model);
  return use;
}

std::unique_ptr<FusedNode> Provider::compile(const OrtGraph* graph, const OrtNode* fused) {
  if (refused_) std::rethrow_exception(refused_);
  if (!has_output(api_, fused)) return std::make_unique<UnusedNode>(api_);
  const Pair pair = fused_pair(api_, graph);
  const BlobPlace place = blob_place(api_, graph, pair.decompress, options_.model_folder);
  FileUse& use = use_of(place.file);
  auto blob = std::make_shared<const StoredBlob>(use.model->file, place.tensor, place.layer, place.offset, place.bytes);
  if (pair.kind == ConsumerKind::kGather) {
    return std::make_unique<GatherNode>(api_, pair, fused, place, std::move(blob), observer_);
  }
  auto node = std::make_unique<ProductNode>(api_, pair, fused, place, std::move(blob));
  use.products.push_back(node.get());
  return node;
}

std::shared_ptr<Schedule> Provider::schedule_of(FileUse& use) {
  Weights weights;
  for (const ProductNode* product : use.products) weights.push_back(product->blob());
  if (options_.chooses_residence) use.share = take_share(*use.model, weights, options_, reading_threads());
  const auto& residence = options_.chooses_residence ? use.share->placement.residence : options_.residence;
  note_residence(options_.session_id, residence_text(residence));
  std::vector<ScheduledBlob> blobs;
  for (const auto& weight : weights) {
    blobs.push_back(place_blob(weight, residence_of(residence, weight->layer()), options_));
  }
  const uint64_t ring = options_.chooses_residence ? use.share->placement.ring_bytes : options_.ring_bytes;
  return std::make_shared<Schedule>(std::move(blobs), ring);
}

// Runs once, when every node is compiled. ONNX Runtime compiles in any order; layers are used in theirs.
void Provider::build_schedules() {
  const std::lock_guard lock(mutex_);
  if (scheduled_) return;
  for (auto& [id, use] : files_) {
    auto& products = use.products;
    std::stable_sort(products.begin(), products.end(), [](const ProductNode* a, const ProductNode* b) {
      return std::pair(a->blob()->layer(), a->blob()->offset()) < std::pair(b->blob()->layer(), b->blob()->offset());
    });
    use.schedule = use.model->store.share(schedule_of(use));
    for (size_t i = 0; i < products.size(); ++i) {
      products[i]->attach(&use.model->store, use.schedule.get(), i, observer_.get(), options_.product_threads);
    }
  }
  scheduled_ = true;
}

std::shared_ptr<const CancelFlag> Provider::cancel_flag_of(const OrtRunOptions* options) const {
  const char* run_id = options == nullptr ? nullptr : api_.ort->GetRunConfigEntry(options, kRunId);
  return run_id == nullptr ? nullptr : cancel_flag(run_id);
}

void Provider::run_start(const OrtRunOptions* options) {
  if (refused_) std::rethrow_exception(refused_);
  for (const auto& [id, use] : files_) use.model->store.require_this_process();
  build_schedules();
  const auto cancel = cancel_flag_of(options);
  auto use = files_.begin();
  try {
    for (; use != files_.end(); ++use) use->second.model->store.begin_pass(use->second.schedule, observer_, cancel);
  } catch (...) {
    while (use != files_.begin()) (--use)->second.model->store.end_pass();
    throw;
  }
}

void Provider::run_end() {
  for (auto& [id, use] : files_) {
    use.model->store.end_pass();
    if (use.share != nullptr) use.share->weights_read = true;
  }
  observer_->statistics.runs += 1;
}

const char* ORT_API_CALL Provider::get_name(const OrtEp*) noexcept { return kProviderName; }

OrtStatus* ORT_API_CALL Provider::get_capability(OrtEp* self, const OrtGraph* graph,
                                                 OrtEpGraphSupportInfo* support) noexcept {
  auto* provider = static_cast<Provider*>(self);
  return provider->api_.guard([&] { provider->claim(graph, support); });
}

OrtStatus* ORT_API_CALL Provider::compile_all(OrtEp* self, const OrtGraph** graphs, const OrtNode** fused, size_t count,
                                              OrtNodeComputeInfo** infos, OrtNode**) noexcept {
  auto* provider = static_cast<Provider*>(self);
  return provider->api_.guard([&] {
    std::vector<std::unique_ptr<FusedNode>> nodes;
    for (size_t i = 0; i < count; ++i) nodes.push_back(provider->compile(graphs[i], fused[i]));
    for (size_t i = 0; i < count; ++i) infos[i] = nodes[i].release();
  });
}

void ORT_API_CALL Provider::release_infos(OrtEp*, OrtNodeComputeInfo** infos, size_t count) noexcept {
  for (size_t i = 0; i < count; ++i) delete static_cast<FusedNode*>(infos[i]);
}

OrtStatus* ORT_API_CALL Provider::on_run_start(OrtEp* self, const OrtRunOptions* options) noexcept {
  auto* provider = static_cast<Provider*>(self);
  return provider->api_.guard([&] { provider->run_start(options); });
}

OrtStatus* ORT_API_CALL Provider::on_run_end(OrtEp* self, const OrtRunOptions*, bool) noexcept {
  auto* provider = static_cast<Provider*>(self);
  return provider->api_.guard([&] { provider->run_end(); });
}

}  // namespace lpc
