#include "store/stored_blob.h"

#include <algorithm>

#include "base/error.h"
#include "codecs/layout.h"

namespace lpc {
namespace {

BlobHeader read_header(const WeightFile& file, uint64_t offset, uint64_t bytes) {
  if (offset > file.size_bytes() || bytes > file.size_bytes() - offset) {
    throw Error(LPC_FORMAT_ERROR, "the file has " + std::to_string(file.size_bytes()) + " bytes, expected " +
                                      std::to_string(bytes) + " at offset " + std::to_string(offset) +
                                      ": it is truncated; copy or export it again");
  }
  std::vector<uint8_t> prefix(std::min<uint64_t>(bytes, kFixedHeaderBytes));
  file.read(offset, prefix.data(), prefix.size());
  const uint64_t header_bytes = peek_header_bytes(prefix);
  if (header_bytes > bytes) {
    throw Error(LPC_FORMAT_ERROR, "header_bytes (offset 60): got " + std::to_string(header_bytes) +
                                      ", expected at most the blob's " + std::to_string(bytes));
  }
  const size_t have = prefix.size();
  if (header_bytes > have) {
    prefix.resize(header_bytes);
    file.read(offset + have, prefix.data() + have, header_bytes - have);
  }
  BlobHeader header = parse_blob_header(prefix, bytes);
  if (header.blob_bytes != bytes) {
    throw_malformed(field::kBlobBytes, header.blob_bytes, std::to_string(bytes) + ", what the graph says");
  }
  return header;
}

}  // namespace

StoredBlob::StoredBlob(std::shared_ptr<const WeightFile> file, std::string tensor, int64_t layer, uint64_t offset,
                       uint64_t bytes)
    : file_(std::move(file)), tensor_(std::move(tensor)), layer_(layer), offset_(offset) {
  try {
    header_ = read_header(*file_, offset, bytes);
  } catch (const Error& error) {
    throw Error(error.status(), file_->path() + ": tensor " + tensor_ + ", blob at offset " + std::to_string(offset) +
                                    ": " + error.what());
  }
}

void StoredBlob::reserve(ReadBuffers& buffers) const {
  buffers.staging.reserve(WeightFile::staging_bytes(header_.max_stored_segment_bytes()));
  buffers.scratch.resize(std::max(buffers.scratch.size(), segment_scratch_bytes(header_)));
}

Bytes StoredBlob::fetch(size_t index, ReadBuffers& buffers, Observer& observer) const {
  const auto begin = Clock::now();
  const Segment& segment = header_.segments[index];
  try {
    const Bytes stored(file_->stream(offset_ + segment.offset, segment.bytes, buffers.staging, buffers.give_up),
                       segment.bytes);
    observer.note_reading(file_->trial());
    observer.statistics.bytes_read += segment.bytes;
    verify_segment(header_, index, stored);
    observer.record(observer.statistics.read_ns, "read", layer_, begin);
    return stored;
  } catch (const Error& error) {
    throw named(error, index);
  }
}

void StoredBlob::decode(size_t index, Bytes stored, MutableBytes out, ReadBuffers& buffers, Observer& observer) const {
  const auto begin = Clock::now();
  try {
    decode_segment(header_, index, stored, out, buffers.scratch);
  } catch (const Error& error) {
    throw named(error, index);
  }
  observer.statistics.bytes_decoded += out.size();
  observer.record(observer.statistics.decode_ns, "decode", layer_, begin);
}

Error StoredBlob::named(const Error& error, size_t segment) const {
  return Error(error.status(), file_->path() + ": tensor " + tensor_ + ", blob at offset " + std::to_string(offset_) +
                                   ", segment " + std::to_string(segment) + ": " + error.what());
}

}  // namespace lpc
