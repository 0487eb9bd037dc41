// AES-128 counter mode with VAES on 512-bit vectors: eight vectors of four blocks in flight.
#include <immintrin.h>

#include "prg/aes.h"

namespace tacit {
namespace {

#include "prg/aesni.inl"

constexpr std::size_t kFlight = 8;

struct Keys {
  __m512i round[11];

  explicit Keys(const RoundKeys& keys) {
    for (int r = 0; r < 11; ++r) round[r] = _mm512_broadcast_i32x4(load_block(keys.bytes + 16 * r));
  }
};

// Encrypts `Count` vectors of input blocks in place.
template <std::size_t Count>
void encrypt(const Keys& k, __m512i (&b)[Count]) {
#pragma GCC unroll 8
  for (std::size_t j = 0; j < Count; ++j) b[j] = _mm512_xor_si512(b[j], k.round[0]);
#pragma GCC unroll 9
  for (int r = 1; r < 10; ++r) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < Count; ++j) b[j] = _mm512_aesenc_epi128(b[j], k.round[r]);
  }
#pragma GCC unroll 8
  for (std::size_t j = 0; j < Count; ++j) b[j] = _mm512_aesenclast_epi128(b[j], k.round[10]);
}

__mmask8 words_mask(std::size_t blocks) { return static_cast<__mmask8>((1u << (2 * blocks)) - 1); }

void fill(const RoundKeys& keys, u64 nonce, u64 first, std::size_t n, u64* out) {
  const Keys k(keys);
  const auto f = static_cast<long long>(first);
  const auto high = static_cast<long long>(nonce);
  __m512i counter = _mm512_set_epi64(high, f + 3, high, f + 2, high, f + 1, high, f);
  const __m512i step = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  std::size_t i = 0;
  for (; i + 4 * kFlight <= n; i += 4 * kFlight) {
    __m512i b[kFlight];
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) {
      b[j] = counter;
      counter = _mm512_add_epi64(counter, step);
    }
    encrypt(k, b);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) _mm512_storeu_si512(out + 2 * i + 8 * j, b[j]);
  }
  for (; i < n; i += 4) {
    __m512i b[1] = {counter};
    counter = _mm512_add_epi64(counter, step);
    encrypt(k, b);
    _mm512_mask_storeu_epi64(out + 2 * i, words_mask(n - i < 4 ? n - i : 4), b[0]);
  }
}

void gather(const RoundKeys& keys, u64 nonce, const u64* numbers, std::size_t n, u64* out) {
  const Keys k(keys);
  const __m512i high = _mm512_set1_epi64(static_cast<long long>(nonce));
  const __m512i low_half = _mm512_set_epi64(8, 3, 8, 2, 8, 1, 8, 0);
  const __m512i high_half = _mm512_set_epi64(8, 7, 8, 6, 8, 5, 8, 4);
  std::size_t i = 0;
  for (; i + 4 * kFlight <= n; i += 4 * kFlight) {
    __m512i b[kFlight];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kFlight; j += 2) {
      const __m512i eight = _mm512_loadu_si512(numbers + i + 4 * j);
      b[j] = _mm512_permutex2var_epi64(eight, low_half, high);
      b[j + 1] = _mm512_permutex2var_epi64(eight, high_half, high);
    }
    encrypt(k, b);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) _mm512_storeu_si512(out + 2 * i + 8 * j, b[j]);
  }
  for (; i < n; i += 4) {
    const std::size_t left = n - i < 4 ? n - i : 4;
    const __m512i some = _mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << left) - 1), numbers + i);
    __m512i b[1] = {_mm512_permutex2var_epi64(some, low_half, high)};
    encrypt(k, b);
    _mm512_mask_storeu_epi64(out + 2 * i, words_mask(left), b[0]);
  }
}

}  // namespace

const PrgKernels& prg_avx512() {
  static constexpr PrgKernels table{expand, fill, gather};
  return table;
}

}  // namespace tacit
