#include "ep/auto_placement.h"

#include <algorithm>

#include "ep/placement.h"
#include "matmul/registry.h"
#include "store/memory_figures.h"

namespace lpc {
namespace {

constexpr uint64_t kPage = 4096;

constexpr uint64_t divided_up(uint64_t bytes, uint64_t by) { return (bytes + by - 1) / by; }

// Some neighbouring weights of one layer.
struct LayerWeights {
  int64_t layer = 0;
  Residence best = Residence::kResident;
  uint64_t best_bytes = 0;
  uint64_t stored_bytes = 0;
  bool stored_needs_ring = false;  // to be decoded into, for every pass
};

bool is_quick(const BlobHeader& header, const ProviderOptions& options) {
  return can_multiply_stored(header) || gains_by_transcoding(header, options);
}

LayerWeights layer_of(std::span<const std::shared_ptr<const StoredBlob>> weights, const ProviderOptions& options) {
  LayerWeights found{weights.front()->layer()};
  uint64_t quick_bytes = 0, decoded_bytes = 0;
  bool all_quick = true, gains = false;
  for (const auto& weight : weights) {
    const BlobHeader& header = weight->header();
    const bool transcoded = gains_by_transcoding(header, options);
    quick_bytes += transcoded ? transcoded_bytes_bound(header.tensor, header.blob_bytes) : header.blob_bytes;
    decoded_bytes += header.decoded_bytes();
    found.stored_bytes += header.blob_bytes;
    found.stored_needs_ring |= !can_multiply_stored(header);
    all_quick &= is_quick(header, options);
    gains |= transcoded;
  }
  found.best = !all_quick ? Residence::kDecoded : gains ? Residence::kTranscoded : Residence::kResident;
  found.best_bytes = all_quick ? quick_bytes : decoded_bytes;
  return found;
}

std::vector<LayerWeights> layers_of(const Weights& weights, const ProviderOptions& options) {
  std::vector<LayerWeights> layers;
  for (auto begin = weights.begin(); begin != weights.end();) {
    const auto end =
        std::find_if(begin, weights.end(), [&](auto& other) { return other->layer() != (*begin)->layer(); });
    layers.push_back(layer_of({begin, end}, options));
    begin = end;
  }
  return layers;
}

// What a pass that streams, or decodes anew, needs between file and product.
uint64_t ring_bytes(const Weights& weights, const ProviderOptions& options) {
  if (options.ring_bytes != 0) return options.ring_bytes;
  uint64_t largest = 0;
  for (const auto& weight : weights) {
    const BlobHeader& header = weight->header();
    const uint64_t part = std::max(kPartBytes, header.rows_per_segment * header.row_bytes);
    largest = std::max(largest, std::min(part, std::max(header.decoded_bytes(), header.blob_bytes)));
  }
  return kLeastRingParts * (largest + kPartPadding);
}

uint64_t pages(uint64_t bytes) { return divided_up(bytes, kPage) * kPage; }

void append(std::vector<ResidenceRange>& ranges, int64_t layer, Residence residence) {
  if (!ranges.empty() && ranges.back().residence == residence) {
    ranges.back().last = layer;
  } else {
    ranges.push_back({layer, layer, residence});
  }
}

// Everything in memory: in its best form, or, if `stored`, as it is in the file.
AutoPlacement whole(const std::vector<LayerWeights>& layers, bool stored, uint64_t ring) {
  AutoPlacement placement;
  for (const LayerWeights& layer : layers) {
    append(placement.residence, layer.layer, stored ? Residence::kResident : layer.best);
    placement.bytes += pages(stored ? layer.stored_bytes : layer.best_bytes);
    if (stored && layer.stored_needs_ring) placement.ring_bytes = ring;
  }
  placement.bytes += placement.ring_bytes;
  return placement;
}

AutoPlacement in_order_of_use(const std::vector<LayerWeights>& layers, uint64_t room, uint64_t ring) {
  AutoPlacement placement{{}, ring, ring};
  bool full = false;
  for (const LayerWeights& layer : layers) {
    full |= placement.bytes + pages(layer.best_bytes) > room;
    append(placement.residence, layer.layer, full ? Residence::kStreamed : layer.best);
    if (!full) placement.bytes += pages(layer.best_bytes);
  }
  return placement;
}

}  // namespace

AutoPlacement place_within(const Weights& weights, uint64_t room, const ProviderOptions& options) {
  const std::vector<LayerWeights> layers = layers_of(weights, options);
  const uint64_t ring = ring_bytes(weights, options);
  AutoPlacement best = whole(layers, false, ring);
  if (best.bytes <= room) return best;
  // As it is in the file it takes less memory, which pays where nothing has to be decoded for every pass.
  const bool gains = std::any_of(layers.begin(), layers.end(), [](const LayerWeights& layer) {
    return layer.best == Residence::kTranscoded && layer.stored_needs_ring;
  });
  const AutoPlacement stored = whole(layers, true, ring);
  if (!gains && stored.bytes <= room) return stored;
  return in_order_of_use(layers, room, ring);
}

}  // namespace lpc
