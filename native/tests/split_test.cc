// Element transforms: every instruction set against the scalar reference, at every length, between guard pages.
#include "simd/split/split.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "simd/implementation.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace lpc {
namespace {

using test::GuardedBuffer;

constexpr size_t kMaxLength = 5 * 64 + 17;

size_t element_bytes(uint32_t dtype) {
  return dtype == LPC_DTYPE_FP32 ? 4 : dtype == LPC_DTYPE_BF16 || dtype == LPC_DTYPE_FP16 ? 2 : 1;
}

// The same bytes in every run.
std::vector<uint8_t> noise(size_t n, uint32_t seed) {
  std::vector<uint8_t> bytes(n);
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (uint8_t& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<uint8_t>(state >> 32);
  }
  return bytes;
}

GuardedBuffer& fill(GuardedBuffer& buffer, const std::vector<uint8_t>& bytes) {
  std::copy_n(bytes.begin(), buffer.size(), buffer.data());
  return buffer;
}

bool equal(GuardedBuffer& a, const std::vector<uint8_t>& b) { return std::equal(b.begin(), b.end(), a.data()); }

const SplitKernels& reference_kernels() { return *implementations().front().split; }

template <typename Body>
void for_each_isa(Body&& body) {
  for (const Implementation& one : implementations()) {
    if (one.supported()) body(*one.split);
  }
}

void check_split_join(const SplitKernels& kernels, uint32_t dtype, size_t n, GuardedBuffer::At at) {
  const SplitKernels& reference = reference_kernels();
  const size_t raw_bytes = raw_arrays(dtype) * n;
  const auto bias = static_cast<uint8_t>((n * 37) & ((1u << exponent_bits(dtype)) - 1));
  const std::vector<uint8_t> elements = noise(n * element_bytes(dtype), static_cast<uint32_t>(n));
  std::vector<uint8_t> codes(n), raw(raw_bytes);
  reference.split[dtype](elements.data(), n, bias, codes.data(), raw.data(), n);
  GuardedBuffer in(elements.size(), at), got_codes(n, at), got_raw(raw_bytes, at), back(elements.size(), at);
  kernels.split[dtype](fill(in, elements).data(), n, bias, got_codes.data(), got_raw.data(), n);
  CHECK(equal(got_codes, codes));
  CHECK(equal(got_raw, raw));
  kernels.join[dtype](got_codes.data(), got_raw.data(), n, n, bias, back.data());
  CHECK(equal(back, elements));
}

TEST(test_split_every_dtype_and_length_matches_scalar_and_joins_back) {
  for_each_isa([](const SplitKernels& kernels) {
    for (uint32_t dtype = LPC_DTYPE_BF16; dtype <= LPC_DTYPE_FP8_E5M2; ++dtype) {
      for (size_t n = 0; n <= kMaxLength; ++n) {
        for (GuardedBuffer::At at : test::kBothEnds) check_split_join(kernels, dtype, n, at);
      }
    }
  });
}

TEST(test_split_every_16_bit_pattern_in_every_lane_joins_back) {
  constexpr size_t kPatterns = 65536;
  for_each_isa([](const SplitKernels& kernels) {
    for (uint32_t dtype : {LPC_DTYPE_BF16, LPC_DTYPE_FP16}) {
      for (size_t lane = 0; lane < 64; ++lane) {
        const size_t n = kPatterns + lane;
        std::vector<uint16_t> elements(n), back(n);
        for (size_t i = 0; i < n; ++i) elements[i] = static_cast<uint16_t>(i - lane);
        std::vector<uint8_t> codes(n), raw(n);
        const auto bias = static_cast<uint8_t>(lane & ((1u << exponent_bits(dtype)) - 1));
        kernels.split[dtype](reinterpret_cast<const uint8_t*>(elements.data()), n, bias, codes.data(), raw.data(), n);
        kernels.join[dtype](codes.data(), raw.data(), n, n, bias, reinterpret_cast<uint8_t*>(back.data()));
        CHECK(back == elements);
      }
    }
  });
}

// Planes from the definition: bit j of byte k of plane p is bit p of code byte 8 k + j.
std::vector<uint8_t> planes_by_definition(const std::vector<uint8_t>& codes) {
  const size_t plane_bytes = (codes.size() + 7) / 8;
  std::vector<uint8_t> planes(kPlanes * plane_bytes);
  for (size_t i = 0; i < codes.size(); ++i) {
    for (size_t p = 0; p < kPlanes; ++p) {
      planes[p * plane_bytes + i / 8] |= static_cast<uint8_t>((codes[i] >> p & 1) << (i % 8));
    }
  }
  return planes;
}

void check_planes(const SplitKernels& kernels, size_t n, uint8_t used_bits, GuardedBuffer::At at) {
  const size_t plane_bytes = (n + 7) / 8;
  std::vector<uint8_t> codes = noise(n, static_cast<uint32_t>(n + used_bits));
  for (uint8_t& code : codes) code &= used_bits;
  const std::vector<uint8_t> planes = planes_by_definition(codes);
  GuardedBuffer in(n, at), out(kPlanes * plane_bytes, at), back(n, at);
  uint8_t* to[kPlanes];
  const uint8_t* from[kPlanes];
  for (size_t p = 0; p < kPlanes; ++p) {
    to[p] = out.data() + p * plane_bytes;
    from[p] = used_bits >> p & 1 ? to[p] : nullptr;
  }
  kernels.to_planes(fill(in, codes).data(), n, to);
  CHECK(equal(out, planes));
  kernels.from_planes(from, n, back.data());
  CHECK(equal(back, codes));
}

TEST(test_planes_every_length_and_missing_planes_match_the_definition) {
  for_each_isa([](const SplitKernels& kernels) {
    for (size_t n = 0; n <= kMaxLength; ++n) {
      for (GuardedBuffer::At at : test::kBothEnds) {
        check_planes(kernels, n, static_cast<uint8_t>(n * 73), at);
        check_planes(kernels, n, 255, at);
      }
    }
  });
}

TEST(test_planes_every_set_of_missing_planes_joins_back) {
  for_each_isa([](const SplitKernels& kernels) {
    for (unsigned used = 0; used < 256; ++used) {
      check_planes(kernels, 200, static_cast<uint8_t>(used), GuardedBuffer::At::kEnd);
    }
  });
}

// The code bytes' own low bits do not count: those of the planes stand in their place.
void check_fp16_planes(const SplitKernels& kernels, size_t n, GuardedBuffer::At at) {
  const auto bias = static_cast<uint8_t>(n % 32);
  const size_t plane_bytes = (n + 7) / 8;
  std::vector<uint8_t> whole = noise(n, static_cast<uint32_t>(n));
  const std::vector<uint8_t> raw = noise(n, static_cast<uint32_t>(n) + 1000);
  std::vector<uint8_t> planes = planes_by_definition(whole), elements(2 * n);
  planes.resize(kFp16Planes * plane_bytes);
  reference_kernels().join[LPC_DTYPE_FP16](whole.data(), raw.data(), n, n, bias, elements.data());
  for (size_t i = 0; i < n; ++i) whole[i] = static_cast<uint8_t>((whole[i] & 0xF8) | (i * 5 & 7));
  GuardedBuffer codes(n, at), raw_bytes(n, at), bits(planes.size(), at), back(2 * n, at);
  fill(bits, planes);
  const uint8_t* const from[kFp16Planes] = {bits.data(), bits.data() + plane_bytes, bits.data() + 2 * plane_bytes};
  kernels.join_fp16_planes(fill(codes, whole).data(), from, fill(raw_bytes, raw).data(), n, bias, back.data());
  CHECK(equal(back, elements));
}

TEST(test_join_fp16_planes_every_length_takes_the_low_bits_from_the_planes) {
  for_each_isa([](const SplitKernels& kernels) {
    for (size_t n = 0; n <= 1100; ++n) {
      for (GuardedBuffer::At at : test::kBothEnds) check_fp16_planes(kernels, n, at);
    }
  });
}

TEST(test_planes_unused_bits_are_ignored_when_read) {
  for_each_isa([](const SplitKernels& kernels) {
    const std::vector<uint8_t> ones(8, 0xFF);
    const uint8_t* planes[kPlanes];
    std::fill_n(planes, kPlanes, ones.data());
    std::vector<uint8_t> codes(16, 0);
    kernels.from_planes(planes, 3, codes.data());
    CHECK(codes[2] == 255);
    CHECK(codes[3] == 0);
  });
}

}  // namespace
}  // namespace lpc
