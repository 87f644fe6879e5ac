#include "simd/implementation.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "simd/ans/ans.h"
#include "simd/bitmap/bitmap.h"
#include "simd/bitmap/dot_bitmap.h"
#include "simd/dot/dot.h"
#include "simd/dot/dot_int8.h"
#include "simd/packed/packed.h"
#include "simd/split/split_tables.h"
#include "simd/xxh3/xxh3.h"

namespace lpc {

// What the files of an instruction set define. Not all have all of it.
#define LPC_DECLARE(space, type, name) \
  namespace space {                    \
  extern const type name;              \
  }
#define LPC_DECLARE_KERNELS(isa)                                                           \
  LPC_DECLARE(dot_##isa, DotKernels, kernels)                                              \
  LPC_DECLARE(dot_int8_##isa, Int8Kernels, kernels)                                        \
  LPC_DECLARE(dot_bitmap_##isa, BitmapDotKernels, kernels)                                 \
  LPC_DECLARE(bitmap_##isa, BitmapKernels, bitmap)                                         \
  LPC_DECLARE(packed_##isa, PackedKernels, packed)                                         \
  namespace ans_##isa {                                                                    \
    bool decode_narrow(const AnsNarrow&, AnsNarrowStream&, size_t, uint8_t*);              \
    void encode_narrow(const AnsNarrowEncoder&, const uint8_t*, size_t, AnsNarrowWriter&); \
    bool decode_wide(const AnsWide&, AnsWideStream&, size_t, uint8_t*);                    \
  }

LPC_DECLARE_KERNELS(scalar)

namespace {

constexpr AnsKernels kAnsScalar{ans_scalar::decode_narrow, ans_scalar::encode_narrow, ans_scalar::decode_wide};
constexpr Implementation kScalar{Isa::kScalar,
                                 "scalar",
                                 [] { return true; },
                                 &kAnsScalar,
                                 &bitmap_scalar::bitmap,
                                 &dot_bitmap_scalar::kernels,
                                 &dot_scalar::kernels,
                                 &dot_int8_scalar::kernels,
                                 &packed_scalar::packed,
                                 &split_kernels_scalar,
                                 xxh3_64_base};

}  // namespace

#if defined(__x86_64__)
LPC_DECLARE_KERNELS(avx2)
LPC_DECLARE_KERNELS(avx512)
LPC_DECLARE_KERNELS(avx512_vbmi2)

namespace {

// Not every compiler's __builtin_cpu_supports knows "f16c".
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512_vbmi2() {
  return has_avx512() && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
}

constexpr AnsKernels kAnsAvx2{ans_avx2::decode_narrow, ans_avx2::encode_narrow, ans_avx2::decode_wide};
// Narrow streams need byte permutations and expansions that AVX-512 has from VBMI2 on.
constexpr AnsKernels kAnsAvx512{ans_avx2::decode_narrow, ans_avx2::encode_narrow, ans_avx512::decode_wide};
constexpr AnsKernels kAnsAvx512Vbmi2{ans_avx512_vbmi2::decode_narrow, ans_avx512_vbmi2::encode_narrow,
                                     ans_avx512::decode_wide};

constexpr Implementation kAll[] = {
    kScalar,
    {Isa::kAvx2, "avx2", has_avx2, &kAnsAvx2, &bitmap_avx2::bitmap, &dot_bitmap_avx2::kernels, &dot_avx2::kernels,
     &dot_int8_avx2::kernels, &packed_avx2::packed, &split_kernels_avx2, xxh3_64_avx2},
    // Bitmaps: wider vectors lack an expansion of 16-bit lanes.
    {Isa::kAvx512, "avx512", has_avx512, &kAnsAvx512, &bitmap_avx2::bitmap, &dot_bitmap_avx512::kernels,
     &dot_avx512::kernels, &dot_int8_avx512::kernels, &packed_avx512::packed, &split_kernels_avx512, xxh3_64_avx512},
    {Isa::kAvx512Vbmi2, "avx512_vbmi2", has_avx512_vbmi2, &kAnsAvx512Vbmi2, &bitmap_avx512_vbmi2::bitmap,
     &dot_bitmap_avx512_vbmi2::kernels, &dot_avx512::kernels, &dot_int8_avx512::kernels, &packed_avx512_vbmi2::packed,
     &split_kernels_avx512, xxh3_64_avx512},
};

}  // namespace
#elif defined(__aarch64__)
LPC_DECLARE_KERNELS(neon)

namespace {

constexpr AnsKernels kAnsNeon{ans_neon::decode_narrow, ans_neon::encode_narrow, ans_neon::decode_wide};

constexpr Implementation kAll[] = {
    kScalar,
    // Part of the base architecture.
    {Isa::kNeon, "neon", [] { return true; }, &kAnsNeon, &bitmap_neon::bitmap, &dot_bitmap_neon::kernels,
     &dot_neon::kernels, &dot_int8_neon::kernels, &packed_neon::packed, &split_kernels_neon, xxh3_64_base},
};

}  // namespace
#else
namespace {
constexpr Implementation kAll[] = {kScalar};
}  // namespace
#endif

std::span<const Implementation> implementations() { return kAll; }

const AnsKernels& ans_kernels() { return *active_implementation().ans; }
const BitmapKernels& bitmap_kernels() { return *active_implementation().bitmap; }
const BitmapDotKernels& bitmap_dot_kernels() { return *active_implementation().dot_bitmap; }
const DotKernels& dot_kernels() { return *active_implementation().dot; }
const Int8Kernels& int8_kernels() { return *active_implementation().dot_int8; }
const PackedKernels& packed_kernels() { return *active_implementation().packed; }
const SplitKernels& split_kernels() { return *active_implementation().split; }
uint64_t xxh3_64(const uint8_t* bytes, size_t n) { return active_implementation().xxh3_64(bytes, n); }

}  // namespace lpc
