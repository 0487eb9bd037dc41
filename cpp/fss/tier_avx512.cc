// Trees with VAES on 512-bit vectors: four nodes to a vector, eight vectors in flight.
#include <immintrin.h>

#include "fss/kernels.h"

namespace tacit {
namespace {

constexpr std::size_t kFlight = 8;
static_assert(kGroup == 4 * kFlight);

constexpr u64 kLeftControls = 0x5555555555555555;

__m512i control_place() { return _mm512_set_epi64(0, 1, 0, 1, 0, 1, 0, 1); }

// Words 4j ... 4j + 3, each twice: one for either half of a node.
__m512i doubled(const u64* words) {
  const __m512i four = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
  return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), four);
}

// Both halves of the nodes whose control bit is set.
__mmask8 controlled(__m512i nodes) {
  return _mm512_test_epi64_mask(_mm512_unpacklo_epi64(nodes, nodes), _mm512_set1_epi64(1));
}

// Replaces each node by AES(seed) ^ seed under round keys[j]. Inlined, so that the blocks stay in registers.
[[gnu::always_inline]] inline void hash(const u8* const (&keys)[kFlight], __m512i (&nodes)[kFlight]) {
  const __m512i control = control_place();
  __m512i block[kFlight];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    nodes[j] = _mm512_andnot_si512(control, nodes[j]);
    block[j] = _mm512_xor_si512(nodes[j], _mm512_load_si512(keys[j]));
  }
#pragma GCC unroll 9
  for (std::size_t r = 1; r < 10; ++r) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) {
      block[j] = _mm512_aesenc_epi128(block[j], _mm512_load_si512(keys[j] + 64 * r));
    }
  }
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    nodes[j] ^= _mm512_aesenclast_epi128(block[j], _mm512_load_si512(keys[j] + 64 * 10));
  }
}

// The same for leaves.
void hash_leaves(const HashKeys& keys, __m512i (&nodes)[kFlight]) {
  const u8* const leaf = keys.leaf_quad;
  const u8* const same[kFlight] = {leaf, leaf, leaf, leaf, leaf, leaf, leaf, leaf};
  hash(same, nodes);
}

// Bit j: whether key j turns right.
u32 directions(const u64* x, unsigned place) {
  const __m512i bit = _mm512_set1_epi64(static_cast<i64>(u64{1} << place));
  u32 out = 0;
#pragma GCC unroll 4
  for (unsigned j = 0; j < 4; ++j) {
    out |= static_cast<u32>(_mm512_test_epi64_mask(_mm512_loadu_si512(x + 8 * j), bit)) << (8 * j);
  }
  return out;
}

void walk(const HashKeys& keys, const CorrectionsIn& in, const u64* x, u64* nodes, u64* sums) {
  const __m512i control = control_place();
  __m512i node[kFlight];
  __m512i sum[kFlight];
  __mmask8 corrected[kFlight];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    node[j] = _mm512_loadu_si512(nodes + 8 * j);
    sum[j] = _mm512_setzero_si512();
  }
  u64 left_before = 0;  // bit 2j: whether key j turned left at the level before
  for (std::size_t level = 0; level < in.levels; ++level) {
    const u8* row = in.rows + level * in.stride;
    const u32 path = directions(x, direction_bit(in.levels, level));
    const u64 right = _pdep_u64(path, kLeftControls);
    const u64 left = ~right & kLeftControls;
    // A left turn counts the parent and the kept child, so a node between two of them counts twice: not at all.
    const u64 counted = left ^ left_before;
    const u64 corrections = (in.controls[level] & left) | (in.controls[level] >> 1 & right);
    const u8* round_keys[kFlight];
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) {
      round_keys[j] = keys.quads[path >> (4 * j) & 15];
      corrected[j] = controlled(node[j]);
      sum[j] = _mm512_mask_xor_epi64(sum[j], static_cast<__mmask8>(counted >> (8 * j)), sum[j], node[j]);
      _mm_prefetch(reinterpret_cast<const char*>(row + kAhead + 64 * j), _MM_HINT_T1);
    }
    hash(round_keys, node);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) {
      __m512i correction = _mm512_loadu_si512(row + 64 * j);
      correction = _mm512_mask_xor_epi64(correction, static_cast<__mmask8>(corrections >> (8 * j)), correction, control);
      node[j] = _mm512_mask_xor_epi64(node[j], corrected[j], node[j], correction);
    }
    left_before = left;
  }
  const u8* row = in.rows + in.levels * in.stride;
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    corrected[j] = controlled(node[j]);
    sum[j] = _mm512_mask_xor_epi64(sum[j], static_cast<__mmask8>(left_before >> (8 * j)), sum[j], node[j]);
    _mm512_storeu_si512(sums + 8 * j, sum[j]);
  }
  hash_leaves(keys, node);
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    node[j] = _mm512_mask_xor_epi64(node[j], corrected[j], node[j], _mm512_loadu_si512(row + 64 * j));
    _mm512_storeu_si512(nodes + 8 * j, node[j]);
  }
}

// What one vector of four keys has after a level's hashes: [party][side].
struct Children {
  __m512i of[2][2];
};

// Replaces the parties' nodes by their kept children; gives the seeds' correction, and the two control bits of each key
// in `controls`.
__m512i keep(const Children& child, __mmask8 right, __m512i& client, __m512i& server, u64& controls) {
  const __m512i control = control_place();
  const __m512i left_sum = _mm512_xor_si512(child.of[0][0], child.of[1][0]);
  const __m512i right_sum = _mm512_xor_si512(child.of[0][1], child.of[1][1]);
  const __m512i kept_sum = _mm512_mask_blend_epi64(right, left_sum, right_sum);
  const __m512i lost_sum = _mm512_mask_blend_epi64(right, right_sum, left_sum);
  const __m512i seed = _mm512_andnot_si512(control, lost_sum);
  // The control bits must differ below the kept child and agree below the lost one.
  const u64 turns = right & 0x55;
  const u64 left_bits = _mm512_test_epi64_mask(left_sum, control) ^ turns ^ 0x55;
  const u64 right_bits = _mm512_test_epi64_mask(right_sum, control) ^ turns;
  controls = left_bits | right_bits << 1;
  const __m512i correction = _mm512_or_si512(seed, _mm512_andnot_si512(kept_sum, control));
  const __m512i first = _mm512_mask_blend_epi64(right, child.of[0][0], child.of[0][1]);
  const __m512i second = _mm512_mask_blend_epi64(right, child.of[1][0], child.of[1][1]);
  client = _mm512_mask_xor_epi64(first, controlled(client), first, correction);
  server = _mm512_mask_xor_epi64(second, controlled(server), second, correction);
  return seed;
}

// One level of keys 8i ... 8i + 7: two vectors, two parties, two sides.
u64 grow_eight(const HashKeys& keys, const u64* alpha, __m512i bit, u64* client, u64* server, u8* row) {
  const u8* const left = keys.quads[0];
  const u8* const right = keys.quads[15];
  const u8* const round_keys[kFlight] = {left, right, left, right, left, right, left, right};
  __m512i node[kFlight];
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    node[4 * v] = node[4 * v + 1] = _mm512_loadu_si512(client + 8 * v);
    node[4 * v + 2] = node[4 * v + 3] = _mm512_loadu_si512(server + 8 * v);
  }
  hash(round_keys, node);
  u64 controls = 0;
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    const Children child{{{node[4 * v], node[4 * v + 1]}, {node[4 * v + 2], node[4 * v + 3]}}};
    __m512i first = _mm512_loadu_si512(client + 8 * v);
    __m512i second = _mm512_loadu_si512(server + 8 * v);
    u64 bits = 0;
    const __mmask8 turns = _mm512_test_epi64_mask(doubled(alpha + 4 * v), bit);
    _mm512_storeu_si512(row + 64 * v, keep(child, turns, first, second, bits));
    _mm512_storeu_si512(client + 8 * v, first);
    _mm512_storeu_si512(server + 8 * v, second);
    controls |= bits << (8 * v);
  }
  return controls;
}

void grow(const HashKeys& keys, const CorrectionsOut& out, const u64* alpha, u64* client, u64* server) {
  for (std::size_t level = 0; level < out.levels; ++level) {
    const __m512i bit = _mm512_set1_epi64(static_cast<i64>(u64{1} << direction_bit(out.levels, level)));
    u8* row = out.rows + level * out.stride;
    u64 controls = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      controls |= grow_eight(keys, alpha + 8 * i, bit, client + 16 * i, server + 16 * i, row + 128 * i) << (16 * i);
    }
    out.controls[level] = controls;
  }
  __m512i leaf[2][kFlight];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    leaf[0][j] = _mm512_loadu_si512(client + 8 * j);
    leaf[1][j] = _mm512_loadu_si512(server + 8 * j);
  }
  hash_leaves(keys, leaf[0]);
  hash_leaves(keys, leaf[1]);
  u8* row = out.rows + out.levels * out.stride;
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    _mm512_storeu_si512(row + 64 * j, _mm512_xor_si512(leaf[0][j], leaf[1][j]));
  }
}

}  // namespace

const DpfKernels& dpf_avx512() {
  static constexpr DpfKernels table{walk, grow};
  return table;
}

}  // namespace tacit
