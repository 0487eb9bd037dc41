// AES-128 in counter mode, one table of routines per tier.
//
// Block number i is AES_key(le64(i) || le64(nonce)); its two little-endian halves are words 2i and 2i + 1.
#pragma once

#include "base/memory.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// The eleven round keys (FIPS 197, 5.2), wiped when they go out of scope.
struct RoundKeys {
  alignas(64) u8 bytes[11 * 16];

  RoundKeys() = default;
  RoundKeys(const RoundKeys&) = delete;
  RoundKeys& operator=(const RoundKeys&) = delete;
  ~RoundKeys() { wipe(bytes, sizeof bytes); }
};

struct PrgKernels {
  void (*expand)(const u8 key[16], RoundKeys& keys);
  // out[2n] = blocks first ... first + n - 1
  void (*fill)(const RoundKeys& keys, u64 nonce, u64 first, std::size_t n, u64* out);
  // out[2n] = blocks numbers[0] ... numbers[n - 1]
  void (*gather)(const RoundKeys& keys, u64 nonce, const u64* numbers, std::size_t n, u64* out);
};

const PrgKernels& prg_kernels(Tier tier);

const PrgKernels& prg_portable();
const PrgKernels& prg_avx2();
const PrgKernels& prg_avx512();

}  // namespace tacit
