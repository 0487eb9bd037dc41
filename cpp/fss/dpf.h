// Comparison with a secret by distributed point functions (Boyle, Gilboa and Ishai, CCS 2016, with their correction
// words), for two parties and many keys at once.
//
// A key of m bits hides alpha and gives XOR shares of [i = alpha] for every i; the share of [x < alpha] is the parity of
// those with i > x. It needs the path to x alone: the control bit of a node is a share of "alpha lies below", so where x
// turns left, the parent's bit plus the kept child's is that of the whole subtree on the right (Gupta et al., SIGMA, PoPETs
// 2024). The last seven bits are one block of 128 leaves. That is a distributed comparison function whose values are
// bits, at half the work of the construction that carries value words down the tree, and with smaller keys.
//
// Nodes are 16-byte blocks whose lowest bit is the control bit and whose other 127 are the seed s, with lowest bit zero.
// The children of s are AES_K(s) ^ s under public keys K_left and K_right, its leaves AES_K(s) ^ s under K_leaf; the
// keys are the first 16 bytes of SHA-256 of "tacit fss left", "tacit fss right" and "tacit fss leaf".
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

inline constexpr i64 kLeafBits = 7;
inline constexpr i64 kMaxDpfBits = 63;

// How n keys of m bits lie in memory, with d = max(m - 7, 0) levels; both parties use the same bytes:
//   seeds[d][n][16], leaf[n][16], then 2 bits (left, right) for each level and key, a little-endian bit stream.
struct DpfShape {
  std::size_t keys;
  std::size_t levels;
  std::size_t control_bytes;

  std::size_t row() const { return 16 * keys; }
  std::size_t bytes() const { return row() * (levels + 1) + control_bytes; }
};

// Fails unless 1 <= m <= 63 and the bytes can be counted.
Status dpf_shape(i64 m, std::size_t n, DpfShape& out);

// One party's stream: the root of key e is block e of prg(key, nonce), its lowest bit replaced by the party's rank.
struct RootStream {
  const u8* key;  // 16 bytes
  u64 nonce;
};

// out[shape.bytes()] for alpha[n], of which the low m bits count. The parties' streams must differ.
Status dpf_keygen(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* alpha, const RootStream& client,
                  const RootStream& server, u8* out);

// out[ceil(n / 8)]: one party's shares of [x < alpha], a bit a key, for public x[n], of which the low m bits count.
// rank is 0 for the client, 1 for the server.
Status dpf_less(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* x, unsigned rank,
                const RootStream& stream, const u8* corrections, u8* out);

// The same at several public points a key, x - knots[t] for each t, for the sides of [x - knots[t] has bit m] ^
// [x - knots[t] < alpha], the second on the low m bits; the server's shares hold the first. out[count][ceil(n / 8)].
struct Knots {
  const u64* at;
  std::size_t count;
};
Status dpf_sides(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* x, const Knots& knots, unsigned rank,
                 const RootStream& stream, const u8* corrections, u8* out);

}  // namespace tacit
