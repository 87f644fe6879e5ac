#include "matmul/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "matmul/batch.h"
#include "matmul/decoded_matrix.h"
#include "matmul/panel.h"
#include "matmul/scratch.h"
#include "matmul/segments.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

// A thread takes one run at a time. The last ones are smaller, so that no thread waits long for another. With pieces,
// each of which is used for all rows of a run, only the last few are.
constexpr size_t kMostRunBytes = size_t{1} << 20;     // stored
constexpr size_t kLeastRunBytes = size_t{192} << 10;  // or a row: beginning a run takes time too
constexpr size_t kRunRows = 16;                       // a multiple of these
constexpr size_t kRunsToCome = 12;
constexpr size_t kPieceRunsToCome = 2;
constexpr size_t kBytesPerPanel = size_t{256} << 10;  // decoded

// How far weights are prefetched: what one core has to have under way to read at its full rate, and what each of
// several needs, which share what memory gives. More makes memory slower (AMD Zen 4, two cores: 1.31 for 1.41 times
// bf16).
constexpr size_t kAheadAlone = 11264;  // bytes
constexpr size_t kAheadBeside = 7040;

}  // namespace

struct PackedMatrix::FewRows {
  const Product& product;
  const float* x;  // arranged
  size_t ahead_bytes;
  const PackedKernels& packed = packed_kernels();
  const DotKernels& dot = dot_kernels();
};

bool PackedMatrix::can_hold(const BlobHeader& header, Form form, const RowScales&) {
  return form != Form::kDecoded && header.codec == LPC_CODEC_PACKED && is_bf16_matrix(header);
}

PackedMatrix::PackedMatrix(const MatrixSource& source)
    : bytes_(source.bytes.data()),
      tables_(packed::read_tables(source.header.codec_params)),
      columns_(source.header.tensor.shape[1]),
      total_rows_(source.header.tensor.shape[0]) {
  const BlobHeader& header = source.header;
  size_t rows_left = 0;
  for (size_t i = 0; i < source.segment_count; ++i) rows_left += header.segment_rows(source.first_segment + i);
  for_each_segment(source, [&](size_t i, Bytes bytes) {
    Run segment;
    segment.first_row = header.segment_first_row(i);
    const size_t rows = header.segment_rows(i);
    if (header.segments[i].encoding == Encoding::kRaw) {
      segment.raw = bytes.data();
    } else {
      segment.rows = packed::open_segment(tables_, {header.tensor.dtype, rows, header.row_bytes}, bytes);
    }
    add_segment(segment, rows, rows_left);
  });
}

// `rows_left` are the rows from this segment on.
void PackedMatrix::add_segment(Run segment, size_t rows, size_t& rows_left) {
  segments_.push_back(segment);
  segments_.back().end = rows;
  for (Run panel = segment; panel.begin < rows; panel.begin = panel.end) {
    panel.end = std::min(rows, panel.begin + kPanelRows);
    panels_.push_back(panel);
  }
  const size_t row_bytes = packed_row_bytes(tables_.layout, columns_);
  const size_t to_come = tables_.in_pieces ? kPieceRunsToCome : kRunsToCome;
  for (Run run = segment; run.begin < rows; run.begin = run.end) {
    const size_t bytes = std::clamp(rows_left * row_bytes / to_come, kLeastRunBytes, kMostRunBytes);
    run.end = std::min(rows, run.begin + std::max<size_t>(bytes / row_bytes / kRunRows, 1) * kRunRows);
    rows_left -= run.count();
    runs_.push_back(run);
  }
}

void PackedMatrix::rebase(const uint8_t* bytes) {
  for (auto* const runs : {&runs_, &segments_, &panels_}) {
    for (Run& run : *runs) {
      run.raw = moved(run.raw, bytes_, bytes);
      for (const uint8_t** place : {&run.rows.table, &run.rows.fixed, &run.rows.side}) {
        *place = moved(*place, bytes_, bytes);
      }
    }
  }
  bytes_ = bytes;
}

void PackedMatrix::decode(const Run& run, uint8_t* out) const {
  const size_t row_bytes = 2 * columns_;
  if (run.raw != nullptr) {
    std::memcpy(out, run.raw + run.begin * row_bytes, run.count() * row_bytes);
  } else {
    packed_kernels().decode(tables_, run.rows, run.begin, run.end, out);
  }
}

void PackedMatrix::read(uint8_t* out, const Loop& loop) const {
  for_each(loop, runs_.size(),
           [&](size_t i) { decode(runs_[i], out + (runs_[i].row() - runs_.front().row()) * 2 * columns_); });
}

void PackedMatrix::multiply(const Product& product, const Loop& loop) const {
  if (product.m == 0) return;
  if (!product.rows_are_outputs) return columns_are_outputs(product, loop);
  product.m <= kFewRows ? few_rows(product, loop) : several_rows(product, loop);
}

void PackedMatrix::multiply_run(const FewRows& call, const Run& run, const Run* next, bool first) const {
  for (size_t i = 0; i < call.product.m; ++i) {
    const float* const x = call.x + i * arranged_columns(columns_);
    float* const y = call.product.y + i * total_rows_ + run.first_row;
    if (run.raw != nullptr) {
      call.dot.rows_bf16(run.raw, columns_, run.begin, run.end, x, y);
    } else {
      const PackedAhead ahead{call.ahead_bytes, next != nullptr && next->raw == nullptr ? next : nullptr,
                              first && i == 0};
      call.packed.dot(tables_, run, ahead, x, y);
    }
  }
}

// A task takes run after run, and each one before the last is multiplied, so that its first weights can be prefetched.
// Not the last few, which another thread may be waiting for: of them the one is prefetched that is left for this thread
// if the others are as fast. Whichever task comes first takes them all.
void PackedMatrix::few_rows(const Product& product, const Loop& loop) const {
  const bool alone = loop.threads == 1;
  const FewRows call{product, arranged(product.x, product.m, columns_), alone ? kAheadAlone : kAheadBeside};
  const auto& runs = alone ? segments_ : runs_;
  const size_t others = std::max<size_t>(loop.threads, 2);
  std::atomic<size_t> taken{0};
  for_each(loop, runs.size(), [&](size_t) {
    size_t prefetched = runs.size();
    for (size_t now = taken++; now < runs.size();) {
      const bool early = alone || now + kRunsToCome < runs.size();
      const size_t next = early ? taken++ : now + others;
      multiply_run(call, runs[now], next < runs.size() ? &runs[next] : nullptr, now != prefetched);
      prefetched = next;
      now = early ? next : taken++;
    }
  });
}

void PackedMatrix::several_rows(const Product& product, const Loop& loop) const {
  const bool batch = product.m <= kBatchRows;
  const size_t rows_together = batch ? kBatchPanelRows : kPanelRows;
  const auto multiply_some = batch ? multiply_batch : multiply_panels;
  const float* const x = batch ? product.x : tiled(product.x, product.m, columns_, loop);
  for_each(loop, panels_.size(), [&](size_t task) {
    thread_local Scratch scratch;
    Run some = panels_[task];
    auto* const decoded = scratch.get<uint8_t>(rows_together * columns_ * 2);
    for (const size_t end = some.end; some.begin < end; some.begin = some.end) {
      some.end = std::min(end, some.begin + rows_together);
      decode(some, decoded);
      multiply_some(LPC_DTYPE_BF16, decoded, some.count(), columns_, x, product.m, product.y + some.row(), total_rows_);
    }
  });
}

// Some rows at a time are decoded, and their products added to y.
void PackedMatrix::columns_are_outputs(const Product& product, const Loop& loop) const {
  thread_local Scratch scratch;
  const size_t row_bytes = 2 * columns_;
  size_t most_rows = kBytesPerPanel / row_bytes;
  for (const Run& run : runs_) most_rows = std::max(most_rows, run.count());
  auto* const decoded = scratch.get<uint8_t>(most_rows * row_bytes);
  for (size_t first = 0, end = 0; first < runs_.size(); first = end) {
    size_t rows = 0;
    while (end < runs_.size() && rows + runs_[end].count() <= most_rows) rows += runs_[end++].count();
    const size_t first_row = runs_[first].row();
    for_each(loop, end - first, [&](size_t i) {
      const Run& run = runs_[first + i];
      decode(run, decoded + (run.row() - first_row) * row_bytes);
    });
    multiply_rows({decoded, LPC_DTYPE_BF16, columns_, first_row, rows, total_rows_}, product, loop);
  }
}

}  // namespace lpc
