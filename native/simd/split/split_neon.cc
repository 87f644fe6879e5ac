// NEON kernels: 16 code bytes a vector.
#include <arm_neon.h>

#include "simd/split/split-inl.h"
#include "simd/split/split_tables.h"

namespace lpc {
namespace {

constexpr size_t kLanes = 16;
alignas(16) constexpr uint8_t kBitOfLane[kLanes] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};

void split_bf16(const uint8_t* elements, size_t n, uint8_t bias, uint8_t* codes, uint8_t* raw, size_t raw_stride) {
  const uint8x16_t biases = vdupq_n_u8(bias);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const uint8x16x2_t x = vld2q_u8(elements + 2 * i);  // low bytes, high bytes
    vst1q_u8(raw + i, vsliq_n_u8(vshrq_n_u8(x.val[1], 7), x.val[0], 1));
    const uint8x16_t e = vsliq_n_u8(vshrq_n_u8(x.val[0], 7), x.val[1], 1);
    vst1q_u8(codes + i, vsubq_u8(biases, e));
  }
  split_loop<Bf16>(elements + 2 * i, n - i, bias, codes + i, raw + i, raw_stride);
}

void join_bf16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const uint8x16_t biases = vdupq_n_u8(bias);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const uint8x16_t e = vsubq_u8(biases, vld1q_u8(codes + i));
    const uint8x16_t w = vld1q_u8(raw + i);
    const uint8x16x2_t x = {{vsliq_n_u8(vshrq_n_u8(w, 1), e, 7), vsliq_n_u8(vshrq_n_u8(e, 1), w, 7)}};
    vst2q_u8(elements + 2 * i, x);
  }
  join_loop<Bf16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

void join_fp16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const uint8x16_t biases = vdupq_n_u8(static_cast<uint8_t>(bias << kFp16Planes));
  const uint8x16_t low_bits = vdupq_n_u8((1 << kFp16Planes) - 1);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const uint8x16_t c = vld1q_u8(codes + i);
    const uint8x16_t high = vorrq_u8(vsubq_u8(biases, vbicq_u8(c, low_bits)), vandq_u8(c, low_bits));
    const uint8x16_t w = vld1q_u8(raw + i);
    const uint8x16x2_t x = {{vsliq_n_u8(vshrq_n_u8(w, 1), high, 7), vsliq_n_u8(vshrq_n_u8(high, 1), w, 7)}};
    vst2q_u8(elements + 2 * i, x);
  }
  join_loop<Fp16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

void to_planes(const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]) {
  const uint8x16_t bit_of_lane = vld1q_u8(kBitOfLane);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const uint8x16_t c = vld1q_u8(codes + i);
    for (unsigned p = 0; p < kPlanes; ++p) {
      const uint8x16_t bits = vandq_u8(vtstq_u8(c, vdupq_n_u8(static_cast<uint8_t>(1u << p))), bit_of_lane);
      planes[p][i / 8] = vaddv_u8(vget_low_u8(bits));
      planes[p][i / 8 + 1] = vaddv_u8(vget_high_u8(bits));
    }
  }
  to_planes_from(i, codes, n, planes);
}

void from_planes(const uint8_t* const planes[kPlanes], size_t n, uint8_t* codes) {
  const uint8_t* active[kPlanes];
  uint8_t bits[kPlanes];
  const size_t count = active_planes(planes, active, bits);
  const uint8x16_t bit_of_lane = vld1q_u8(kBitOfLane);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    uint8x16_t c = vdupq_n_u8(0);
    for (size_t a = 0; a < count; ++a) {
      const uint8_t* plane = active[a] + i / 8;
      const uint8x16_t spread = vcombine_u8(vdup_n_u8(plane[0]), vdup_n_u8(plane[1]));
      c = vorrq_u8(c, vandq_u8(vtstq_u8(spread, bit_of_lane), vdupq_n_u8(bits[a])));
    }
    vst1q_u8(codes + i, c);
  }
  from_planes_from(i, planes, n, codes);
}

}  // namespace

constexpr SplitKernels split_kernels_neon = [] {
  SplitKernels kernels = portable_kernels();
  kernels.split[LPC_DTYPE_BF16] = split_bf16;
  kernels.join[LPC_DTYPE_BF16] = join_bf16;
  kernels.join[LPC_DTYPE_FP16] = join_fp16;
  kernels.join_fp16_planes = join_fp16_planes_by<from_planes, join_fp16>;
  kernels.to_planes = to_planes;
  kernels.from_planes = from_planes;
  return kernels;
}();

}  // namespace lpc
