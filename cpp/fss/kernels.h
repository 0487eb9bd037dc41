// The inner loops of fss/dpf, one table per tier: 32 keys side by side, so that many AES blocks are in flight.
#pragma once

#include "fss/dpf.h"
#include "prg/aes.h"

namespace tacit {

inline constexpr std::size_t kGroup = 32;  // keys
inline constexpr std::size_t kMaxLevels = static_cast<std::size_t>(kMaxDpfBits - kLeafBits);
inline constexpr std::size_t kRoundBytes = 16 * 11;

// How far ahead a walk asks for the corrections of its level, in bytes: two groups, longer than memory takes to answer.
// What lies between two levels of a group is too far for the processor to see the pattern by itself.
inline constexpr std::size_t kAhead = 2 * 16 * kGroup;

// The public keys of the hash.
struct HashKeys {
  RoundKeys side[2];  // left, right
  RoundKeys leaf;
  // Round keys for four blocks at once, the direction of block i being bit i of the index.
  alignas(64) u8 quads[16][4 * kRoundBytes];
  alignas(64) u8 leaf_quad[4 * kRoundBytes];
};

// Where one group's corrections lie. `Byte` is const where they are read.
template <class Byte, class Word>
struct Corrections {
  std::size_t levels;
  Byte* rows;          // [levels + 1][kGroup][16]: seeds, then leaves
  std::size_t stride;  // bytes from row to row
  Word* controls;      // [levels]: bit 2j is for the left child of key j, bit 2j + 1 for the right
};
using CorrectionsIn = Corrections<const u8, const u64>;
using CorrectionsOut = Corrections<u8, u64>;

// The bit of x, or of alpha, that chooses the child at a level. Not shared between translation units, since each tier
// compiles it for its own instruction set.
[[maybe_unused]] static constexpr unsigned direction_bit(std::size_t levels, std::size_t level) {
  return static_cast<unsigned>(levels - 1 - level) + static_cast<unsigned>(kLeafBits);
}

struct DpfKernels {
  // Follows x[kGroup]. nodes[kGroup][2] holds the roots on entry and the leaves on return; bit 0 of sums[kGroup][2] is
  // the parity of the control bits to the right of the path.
  void (*walk)(const HashKeys& hash, const CorrectionsIn& in, const u64* x, u64* nodes, u64* sums);
  // Follows alpha[kGroup] from both parties' roots, client[kGroup][2] and server[kGroup][2], and writes the
  // corrections; those of the leaves lack the 1 at alpha. Branches and addresses depend on no secret.
  void (*grow)(const HashKeys& hash, const CorrectionsOut& out, const u64* alpha, u64* client, u64* server);
};

const DpfKernels& dpf_portable();
const DpfKernels& dpf_avx2();
const DpfKernels& dpf_avx512();

}  // namespace tacit
