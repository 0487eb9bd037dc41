// ReLU, or another function with one kink at zero, and truncation in one, of an opened value, given its masked sign.
//
// As in poly/poly.h, y with |y| < 2^(k-2) is opened as C = y + lambda + 2^(k-2) mod 2^k; v = 0 where the top bit of C is
// 1, else 1; tag_0 = lambda >> p unsigned, tag_1 = lambda >> p signed; c = (C >> p) - 2^(k-2-p), so that c - tag_v is
// y >> p or one more. The sign d = [y >= 0] is known as dhat = d ^ r for a secret bit r, so d (c - tag_v) is linear in
// shares of r, tag_v and tag_v r: the five values of an element are r, tag_0, tag_0 r, tag_1, tag_1 r.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

inline constexpr std::size_t kReluWords = 5;

struct ReluShape {
  i64 bits;   // k, 3 to 64
  i64 shift;  // p, 0 to k - 2
};

// The factors of y where y < 0 and where y >= 0: 0 and 1 for ReLU.
struct Slopes {
  i64 below;
  i64 above;
};

Status check_relu(const ReluShape& shape);

// Bytes of the server's words for n elements; fails unless 1 <= ring <= 64.
Status relu_bytes(std::size_t n, i64 ring, std::size_t& out);

// out[relu_bytes(n, ring)]: [n][5], the five values minus the client's shares, mod 2^ring, packed as by ring/pack.h. The
// client's share of value j of element e is word 8e + j of the stream. flip holds the bits r.
Status relu_deal(Tier tier, int threads, const ReluShape& shape, i64 ring, std::size_t n, const u64* lam,
                 const u8* flip, const u8 key[16], u64 nonce, u8* out);

// out[n]: the client's share of (below + d (above - below)) (c - tag_v). dhat holds the bits d ^ r.
Status relu_client(Tier tier, int threads, const ReluShape& shape, const Slopes& slopes, std::size_t n, const u64* opened,
                   const u8* dhat, const u8 key[16], u64 nonce, u64* out);

// out[n]: the server's share, from its packed words.
Status relu_server(int threads, const ReluShape& shape, const Slopes& slopes, i64 ring, std::size_t n,
                   const u64* opened, const u8* dhat, const u8* words, u64* out);

}  // namespace tacit
