#include "matmul/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/error.h"
#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "matmul/batch.h"
#include "matmul/panel.h"
#include "matmul/scratch.h"
#include "simd/dot.h"

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
constexpr size_t kColumnsPerTask = 256;

// How far weights are prefetched: what one core has to have under way to read at its full rate, and what each of
// several needs, which share what memory gives. More makes memory slower (AMD Zen 4, two cores: 1.31 for 1.41 times
// bf16).
constexpr size_t kAheadAlone = 11264;  // bytes
constexpr size_t kAheadBeside = 7040;

struct Call {
  const PackedMatrix& matrix;
  const float* x;  // arranged if m is at most kFewRows, tiled if it is more than kBatchRows
  size_t m;
  float* y;
  size_t threads;  // 0: not known
  const std::vector<PackedMatrix::Run>& runs = threads == 1 ? matrix.segments() : matrix.runs();
  const size_t ahead_bytes = threads == 1 ? kAheadAlone : kAheadBeside;
  const PackedKernels& packed = packed_kernels();
  const DotKernels& dot = dot_kernels();
  std::atomic<size_t> taken{0};  // runs
};

void multiply_run(const Call& call, const PackedMatrix::Run& run, const PackedMatrix::Run* next, bool first) {
  const size_t columns = call.matrix.columns();
  for (size_t i = 0; i < call.m; ++i) {
    const float* const x = call.x + i * arranged_columns(columns);
    float* const y = call.y + i * call.matrix.total_rows() + run.first_row;
    if (run.raw != nullptr) {
      call.dot.rows_bf16(run.raw, columns, run.begin, run.end, x, y);
    } else {
      const PackedAhead ahead{call.ahead_bytes, next != nullptr && next->raw == nullptr ? next : nullptr,
                              first && i == 0};
      call.packed.dot(call.matrix.tables(), run, ahead, x, y);
    }
  }
}

// Takes run after run, and each one before the last is multiplied, so that its first weights can be prefetched. Not the
// last few, which another thread may be waiting for: of them the one is prefetched that is left for this thread if the
// others are as fast. Whichever task comes first takes them all.
void few_rows(void* context, size_t) {
  Call& call = *static_cast<Call*>(context);
  const auto& runs = call.runs;
  size_t prefetched = runs.size();
  for (size_t now = call.taken++; now < runs.size();) {
    const bool early = call.threads == 1 || now + kRunsToCome < runs.size();
    const size_t next = early ? call.taken++ : now + std::max<size_t>(call.threads, 2);
    multiply_run(call, runs[now], next < runs.size() ? &runs[next] : nullptr, now != prefetched);
    prefetched = next;
    now = early ? next : call.taken++;
  }
}

void several_rows(void* context, size_t task) {
  thread_local Scratch scratch;
  const Call& call = *static_cast<const Call*>(context);
  const PackedMatrix& matrix = call.matrix;
  const bool few = call.m <= kBatchRows;
  const size_t rows_together = few ? kBatchPanelRows : kPanelRows;
  const auto multiply_rows = few ? multiply_batch : multiply_panels;
  PackedMatrix::Run some = matrix.panels()[task];
  auto* const decoded = scratch.get<uint8_t>(rows_together * matrix.columns() * 2);
  for (const size_t end = some.end; some.begin < end; some.begin = some.end) {
    some.end = std::min(end, some.begin + rows_together);
    matrix.decode(some, decoded);
    multiply_rows(LPC_DTYPE_BF16, decoded, some.count(), matrix.columns(), call.x, call.m, call.y + some.row(),
                  matrix.total_rows());
  }
}

// Some rows of the matrix decoded, to be added to y.
struct Panel {
  const Call& call;
  uint8_t* decoded;
  size_t first_run;
  size_t runs;

  const PackedMatrix::Run& run(size_t i) const { return call.matrix.runs()[first_run + i]; }
  size_t first_row() const { return run(0).row(); }
  size_t rows() const { return run(runs - 1).row() + run(runs - 1).count() - first_row(); }
};

void fill_panel(void* context, size_t task) {
  const Panel& panel = *static_cast<const Panel*>(context);
  const PackedMatrix::Run& run = panel.run(task);
  const PackedMatrix& matrix = panel.call.matrix;
  matrix.decode(run, panel.decoded + (run.row() - panel.first_row()) * matrix.columns() * 2);
}

void add_panel(void* context, size_t task) {
  const Panel& panel = *static_cast<const Panel*>(context);
  const Call& call = panel.call;
  const size_t columns = call.matrix.columns();
  const size_t begin = task * kColumnsPerTask;
  const size_t end = std::min(begin + kColumnsPerTask, columns);
  if (panel.first_row() == 0) {
    for (size_t i = 0; i < call.m; ++i) std::fill_n(call.y + i * columns + begin, end - begin, 0.0f);
  }
  call.dot.columns(LPC_DTYPE_BF16, panel.decoded, panel.rows(), columns, begin, end, call.x + panel.first_row(),
                   call.matrix.total_rows(), call.m, call.y);
}

void columns_are_outputs(const Call& call, const ParallelLoop& loop) {
  thread_local Scratch scratch;
  const auto& runs = call.matrix.runs();
  const size_t row_bytes = 2 * call.matrix.columns();
  size_t most_rows = kBytesPerPanel / row_bytes;
  for (const auto& run : runs) most_rows = std::max(most_rows, run.count());
  Panel panel{call, scratch.get<uint8_t>(most_rows * row_bytes), 0, 0};
  for (; panel.first_run < runs.size(); panel.first_run += panel.runs) {
    panel.runs = 1;
    while (panel.first_run + panel.runs < runs.size() && panel.rows() + panel.run(panel.runs).count() <= most_rows) {
      ++panel.runs;
    }
    loop.run(loop.self, fill_panel, panel.runs, &panel);
    loop.run(loop.self, add_panel, (call.matrix.columns() + kColumnsPerTask - 1) / kColumnsPerTask, &panel);
  }
}

}  // namespace

bool PackedMatrix::can_hold(const BlobHeader& header) {
  return header.codec == LPC_CODEC_PACKED && header.tensor.dtype == LPC_DTYPE_BF16 && header.tensor.rank == 2 &&
         !header.segments.empty();
}

PackedMatrix::PackedMatrix(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored)
    : columns_(header.tensor.shape[1]), total_rows_(header.tensor.shape[0]) {
  if (!can_hold(header) || segment_count == 0) {
    throw Error(LPC_INVALID_ARGUMENT, "PackedMatrix: expected segments of a packed bf16 matrix");
  }
  tables_ = packed::read_tables(header.codec_params);
  const size_t row_bytes = packed_row_bytes(tables_.layout, columns_);
  const size_t to_come = tables_.in_pieces ? kPieceRunsToCome : kRunsToCome;
  size_t rows_left = 0;
  for (size_t i = 0; i < segment_count; ++i) rows_left += header.segment_rows(first_segment + i);
  const uint64_t base = header.segments.at(first_segment).offset;
  for (size_t i = first_segment; i < first_segment + segment_count; ++i) {
    const Segment& segment = header.segments.at(i);
    if (segment.offset - base > stored.size() || segment.bytes > stored.size() - (segment.offset - base)) {
      throw Error(LPC_INVALID_ARGUMENT, "PackedMatrix: got " + std::to_string(stored.size()) +
                                            " bytes, which end before segment " + std::to_string(i));
    }
    const Bytes bytes = stored.subspan(segment.offset - base, segment.bytes);
    Run run;
    run.first_row = header.segment_first_row(i);
    const size_t rows = header.segment_rows(i);
    if (segment.encoding == Encoding::kRaw) {
      run.raw = bytes.data();
    } else {
      run.rows = packed::open_segment(tables_, {header.tensor.dtype, rows, header.row_bytes}, bytes);
    }
    segments_.push_back(run);
    segments_.back().end = rows;
    for (Run panel = run; panel.begin < rows; panel.begin = panel.end) {
      panel.end = std::min(rows, panel.begin + kPanelRows);
      panels_.push_back(panel);
    }
    for (; run.begin < rows; run.begin = run.end) {
      const size_t bytes = std::clamp(rows_left * row_bytes / to_come, kLeastRunBytes, kMostRunBytes);
      run.end = std::min(rows, run.begin + std::max<size_t>(bytes / row_bytes / kRunRows, 1) * kRunRows);
      rows_left -= run.count();
      runs_.push_back(run);
    }
    row_count_ += rows;
  }
}

void PackedMatrix::decode(const Run& run, uint8_t* out) const {
  const size_t row_bytes = 2 * columns_;
  if (run.raw != nullptr) {
    std::memcpy(out, run.raw + run.begin * row_bytes, run.count() * row_bytes);
  } else {
    packed_kernels().decode(tables_, run.rows, run.begin, run.end, out);
  }
}

void multiply(const PackedMatrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop) {
  if (m == 0) return;
  Call call{matrix, x, m, y, loop.threads};
  if (!rows_are_outputs) return columns_are_outputs(call, loop);
  if (m <= kFewRows) call.x = arranged(x, m, matrix.columns());
  if (m > kBatchRows) call.x = tiled(x, m, matrix.columns(), loop);
  if (m <= kFewRows) {
    loop.run(loop.self, few_rows, call.runs.size(), &call);
  } else {
    loop.run(loop.self, several_rows, matrix.panels().size(), &call);
  }
}

}  // namespace lpc
