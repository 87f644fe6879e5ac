// The INT8 products against sums in double: no lz4, no threads, so that they can also be built for another architecture
// and run under an emulator (tests/test_codecs_neon.py).
#include <cmath>
#include <cstring>
#include <vector>

#include "simd/dot/dot_int8.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace {

using lpc::test::GuardedBuffer;

constexpr size_t kRows = 7;  // four together and three more
constexpr size_t kColumns[] = {1, 15, 16, 17, 63, 64, 65, 200, 513, 1100};
constexpr size_t kGroups[] = {16, 48, 128, 2000};

// Rows whose weights end where memory that cannot be touched begins.
struct Matrix {
  Matrix(size_t k, size_t group) : bytes(kRows * k, GuardedBuffer::At::kEnd) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes.data()[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
    rows = {reinterpret_cast<const int8_t*>(bytes.data()), nullptr, k, group};
    for (size_t i = 0; i < kRows * rows.groups(); ++i) scales.push_back(0.001f * static_cast<float>(1 + i % 5));
    rows.scales = scales.data();
  }

  double weight(size_t r, size_t c) const {
    return static_cast<double>(rows.weights[r * rows.k + c]) * scales[r * rows.groups() + c / rows.group];
  }
  // y = sum of x * w, within what rounding k sums and the scale can explain.
  bool is_product(size_t r, const float* x, float y) const {
    double sum = 0, magnitudes = 0;
    for (size_t c = 0; c < rows.k; ++c) {
      sum += x[c] * weight(r, c);
      magnitudes += std::fabs(x[c] * weight(r, c));
    }
    return std::fabs(y - sum) <= 0x1p-24 * static_cast<double>(rows.k + 17) * magnitudes;
  }

  GuardedBuffer bytes;
  std::vector<float> scales;
  lpc::Int8Rows rows;
};

std::vector<float> activations(size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = std::sin(static_cast<float>(i));
  return x;
}

TEST(test_int8_product_of_one_row_is_the_sum_and_does_not_depend_on_how_rows_are_cut) {
  for (size_t k : kColumns) {
    for (size_t group : kGroups) {
      const Matrix matrix(k, group);
      const std::vector<float> x = activations(k);
      float y[kRows], pieces[kRows];
      lpc::int8_kernels().one(matrix.rows, 0, kRows, x.data(), y);
      for (size_t r = 0; r < kRows; ++r) {
        CHECK(matrix.is_product(r, x.data(), y[r]));
        lpc::int8_kernels().one(matrix.rows, r, r + 1, x.data(), pieces);
      }
      CHECK(std::memcmp(y, pieces, sizeof y) == 0);
    }
  }
}

TEST(test_int8_product_of_several_rows_and_dequantized_weights_are_near_double) {
  for (size_t k : kColumns) {
    for (size_t group : kGroups) {
      const Matrix matrix(k, group);
      constexpr size_t kX = 3;
      const std::vector<float> x = activations(kX * k);
      std::vector<float> y(kX * kRows), weights(k);
      lpc::int8_kernels().several(matrix.rows, 0, kRows, x.data(), kX, y.data(), kRows);
      for (size_t r = 0; r < kRows; ++r) {
        for (size_t i = 0; i < kX; ++i) CHECK(matrix.is_product(r, &x[i * k], y[i * kRows + r]));
        lpc::int8_kernels().dequantize(matrix.rows, r, weights.data());
        for (size_t c = 0; c < k; ++c) CHECK(weights[c] == static_cast<float>(matrix.weight(r, c)));
      }
    }
  }
}

}  // namespace
