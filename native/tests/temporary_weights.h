// A weight file of some blobs with known contents, and passes that check what the store hands out.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "codecs/codec.h"
#include "store/layer_store.h"
#include "tests/check.h"

namespace lpc::test {

inline constexpr uint64_t kRowBytes = 256;

// Where weights live, in which form, and whether their source keeps what it has read.
struct Placement {
  Home home = Home::kRing;
  Form form = Form::kDecoded;
  bool kept = false;
};
inline constexpr Placement kStreamed{Home::kRing, Form::kDecoded};
inline constexpr Placement kResident{Home::kRing, Form::kDecoded, true};
inline constexpr Placement kDecoded{Home::kMemory, Form::kDecoded};
inline constexpr Placement kTranscoded{Home::kMemory, Form::kTranscoded};

// bf16. Removed with the object. Two blobs a layer, `scale` times as large as usual.
class TemporaryWeights {
 public:
  explicit TemporaryWeights(size_t blobs, lpc_codec codec = LPC_CODEC_LZ4, size_t scale = 1)
      : codec_(codec), scale_(scale) {
    char name[] = "/tmp/lpc_store_test_XXXXXX";
    const int descriptor = mkstemp(name);
    close(descriptor);
    path_ = name;
    std::FILE* file = std::fopen(name, "wb");
    for (size_t i = 0; i < blobs; ++i) write_blob(file, i);
    std::fclose(file);
  }
  ~TemporaryWeights() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }
  const std::vector<uint8_t>& expected(size_t blob) const { return contents_[blob]; }

  std::vector<ScheduledBlob> open(const FileOptions& options, const Placement& placement) const {
    return of(std::make_shared<const WeightFile>(path_, options), placement);
  }

  std::vector<ScheduledBlob> of(const std::shared_ptr<const WeightFile>& file, const Placement& placement) const {
    std::vector<ScheduledBlob> blobs;
    for (size_t i = 0; i < contents_.size(); ++i) {
      auto blob = std::make_shared<const StoredBlob>(file, std::string("w").append(std::to_string(i)),
                                                     static_cast<int64_t>(i / 2), offsets_[i], bytes_[i]);
      blobs.push_back(placed(std::move(blob), placement));
    }
    return blobs;
  }

 private:
  void write_blob(std::FILE* file, size_t seed) {
    const uint64_t rows = (40 + 13 * seed) * scale_;
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<uint8_t> content(rows * kRowBytes);
    constexpr size_t kPeriod = size_t{1} << 16;  // more than a blob of the usual size has
    for (size_t i = 0; i < content.size(); ++i) {
      content[i] = i < kPeriod ? static_cast<uint8_t>(random() % 16) : content[i - kPeriod];
    }
    const lpc_tensor_desc tensor{LPC_DTYPE_BF16, 2, {rows, kRowBytes / 2, 0, 0}};
    const lpc_encode_options options{sizeof(lpc_encode_options), codec_, 2048 * scale_, 1, 0, 0, 0};
    uint64_t bound = 0;
    CHECK(lpc_encode_bound(&tensor, &options, &bound) == LPC_OK);
    std::vector<uint8_t> blob(bound);
    uint64_t written = 0;
    CHECK(lpc_encode(&tensor, &options, content.data(), content.size(), blob.data(), bound, &written) == LPC_OK);
    const uint64_t offset = (offsets_.empty() ? 0 : offsets_.back() + bytes_.back() + 4095) / 4096 * 4096;
    std::fseek(file, static_cast<long>(offset), SEEK_SET);
    std::fwrite(blob.data(), 1, written, file);
    offsets_.push_back(offset);
    bytes_.push_back(written);
    contents_.push_back(std::move(content));
  }

  static ScheduledBlob placed(std::shared_ptr<const StoredBlob> blob, const Placement& placement) {
    std::shared_ptr<SegmentSource> source;
    if (placement.kept) {
      source = std::make_shared<KeptSource>(std::move(blob));
    } else {
      source = std::make_shared<SegmentSource>(std::move(blob));
    }
    if (placement.form == Form::kDecoded) return ScheduledBlob::decoded(std::move(source), placement.home);
    if (placement.form == Form::kStored) return ScheduledBlob::stored(std::move(source), placement.home);
    return ScheduledBlob::transcoded(std::move(source), placement.home, packed_codec());
  }

  static const Codec& packed_codec() { return get_codec(LPC_CODEC_PACKED).variant(LPC_PACKED_E3P3); }

  lpc_codec codec_;
  size_t scale_;
  std::string path_;
  std::vector<uint64_t> offsets_;
  std::vector<uint64_t> bytes_;
  std::vector<std::vector<uint8_t>> contents_;
};

// What a part's bytes stand for.
inline std::vector<uint8_t> decoded(const Part& part, const uint8_t* data) {
  std::vector<uint8_t> out(part.decoded_bytes());
  if (part.form() == Form::kDecoded) {
    std::copy(data, data + out.size(), out.begin());
    return out;
  }
  const BlobHeader& header = part.header();
  std::vector<uint8_t> scratch(segment_scratch_bytes(header));
  size_t done = 0;
  for (size_t i = part.first_segment; i < part.first_segment + part.segment_count; ++i) {
    const size_t bytes = header.segment_decoded_bytes(i);
    const Segment& segment = header.segments[i];
    const Bytes stored(data + (segment.offset - header.segments[part.first_segment].offset), segment.bytes);
    decode_segment(header, i, stored, MutableBytes(out).subspan(done, bytes), scratch);
    done += bytes;
  }
  return out;
}

inline void use(LayerStore& store, const Schedule& schedule, const TemporaryWeights& weights, size_t blob) {
  for (size_t index = schedule.first_part(blob); index < schedule.first_part(blob + 1); ++index) {
    const uint8_t* data = store.acquire(index);
    const Part& part = schedule.part(index);
    const uint8_t* expected = weights.expected(blob).data() + part.first_row * kRowBytes;
    const std::vector<uint8_t> found = decoded(part, data);
    CHECK(std::memcmp(found.data(), expected, found.size()) == 0);
    store.release(index);
  }
}

}  // namespace lpc::test
