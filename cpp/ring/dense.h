// Products of plain matrices and elementwise sums mod 2^64.
//
// The server's operand may come as words of 32 bits: then the product is mod 2^32, low halves of the others are what
// counts, and the result's high halves are zero.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// out[rows][cols] = a[rows][depth] x b[depth][cols]
template <class Word>
Status matmul(Tier tier, int threads, std::size_t rows, std::size_t depth, std::size_t cols, const Word* a,
              const u64* b, u64* out);

// out[batch][outputs] = x[batch][inputs] x w[outputs][inputs]^T + init, where init may be null
template <class Word>
Status linear(Tier tier, int threads, std::size_t batch, std::size_t inputs, std::size_t outputs, const u64* x,
              const Word* w, const u64* init, u64* out);

void add(Tier tier, int threads, std::size_t n, const u64* a, const u64* b, u64* out);
void sub(Tier tier, int threads, std::size_t n, const u64* a, const u64* b, u64* out);
void scale(Tier tier, int threads, std::size_t n, const u64* a, u64 s, u64* out);

}  // namespace tacit
