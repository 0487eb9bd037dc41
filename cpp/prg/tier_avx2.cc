// AES-128 counter mode with AES-NI, eight blocks in flight.
#include <immintrin.h>

#include "prg/aes.h"

namespace tacit {
namespace {

#include "prg/aesni.inl"

constexpr std::size_t kFlight = 8;

template <std::size_t Count, class Number>
void encrypt(const __m128i (&k)[11], u64 nonce, const Number& number, u64* out) {
  __m128i b[Count];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < Count; ++j) {
    b[j] = _mm_xor_si128(_mm_set_epi64x(static_cast<long long>(nonce), static_cast<long long>(number(j))), k[0]);
  }
#pragma GCC unroll 9
  for (int r = 1; r < 10; ++r) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < Count; ++j) b[j] = _mm_aesenc_si128(b[j], k[r]);
  }
#pragma GCC unroll 8
  for (std::size_t j = 0; j < Count; ++j) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * j), _mm_aesenclast_si128(b[j], k[10]));
  }
}

template <class Number>
void stream(const RoundKeys& keys, u64 nonce, const Number& number, std::size_t n, u64* out) {
  __m128i k[11];
  for (int r = 0; r < 11; ++r) k[r] = load_block(keys.bytes + 16 * r);
  std::size_t i = 0;
  for (; i + kFlight <= n; i += kFlight) {
    encrypt<kFlight>(k, nonce, [&](std::size_t j) { return number(i + j); }, out + 2 * i);
  }
  for (; i < n; ++i) encrypt<1>(k, nonce, [&](std::size_t) { return number(i); }, out + 2 * i);
}

void fill(const RoundKeys& keys, u64 nonce, u64 first, std::size_t n, u64* out) {
  stream(keys, nonce, [first](std::size_t i) { return first + i; }, n, out);
}

void gather(const RoundKeys& keys, u64 nonce, const u64* numbers, std::size_t n, u64* out) {
  stream(keys, nonce, [numbers](std::size_t i) { return numbers[i]; }, n, out);
}

}  // namespace

const PrgKernels& prg_avx2() {
  static constexpr PrgKernels table{expand, fill, gather};
  return table;
}

}  // namespace tacit
