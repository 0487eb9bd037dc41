// The inner loops of poly/, one table per tier.
#pragma once

#include "poly/poly.h"
#include "prg/aes.h"

namespace tacit {

struct PolyKernels {
  // out[n][2][d][2] holds the client's shares on entry and the server's on return.
  void (*powers)(const Opening& o, std::size_t n, const u64* lam, u64* out);
  // numbers[n * d]: which blocks of the stream hold the powers that element first + i needs.
  void (*select)(const Opening& o, std::size_t first, std::size_t n, const u64* opened, u64* numbers);
  // shares[n][d][2]
  void (*client)(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* shares, u64* out);
  // powers[n][2][d][2]
  void (*server)(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* powers, u64* out);
};

const PolyKernels& poly_portable();
const PolyKernels& poly_avx2();

}  // namespace tacit
