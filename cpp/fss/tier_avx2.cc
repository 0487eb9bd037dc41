// Trees with AES-NI, eight nodes in flight.
#include <immintrin.h>

#include "fss/kernels.h"

namespace tacit {
namespace {

constexpr std::size_t kFlight = 8;
static_assert(kGroup % kFlight == 0);

__m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
void store(void* p, __m128i block) { _mm_storeu_si128(static_cast<__m128i*>(p), block); }

__m128i control_place() { return _mm_set_epi64x(0, 1); }

// All ones where the control bit is set.
__m128i controlled(__m128i node) {
  return _mm_srai_epi32(_mm_slli_epi32(_mm_shuffle_epi32(node, 0), 31), 31);
}

__m128i select(__m128i mask, __m128i if_set, __m128i if_clear) {
  return _mm_or_si128(_mm_and_si128(mask, if_set), _mm_andnot_si128(mask, if_clear));
}

// out[j] = AES(seed) ^ seed of nodes[j] under round keys[j]. Inlined, so that the blocks stay in registers.
[[gnu::always_inline]] inline void hash(const u8* const (&keys)[kFlight], const __m128i (&nodes)[kFlight],
                                        __m128i (&out)[kFlight]) {
  const __m128i control = control_place();
  const auto key = [&](std::size_t j, std::size_t r) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(keys[j] + 16 * r));
  };
  __m128i block[kFlight];
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) block[j] = _mm_xor_si128(_mm_andnot_si128(control, nodes[j]), key(j, 0));
#pragma GCC unroll 9
  for (std::size_t r = 1; r < 10; ++r) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kFlight; ++j) block[j] = _mm_aesenc_si128(block[j], key(j, r));
  }
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    out[j] = _mm_xor_si128(_mm_aesenclast_si128(block[j], key(j, 10)), _mm_andnot_si128(control, nodes[j]));
  }
}

void load_eight(const u64* nodes, __m128i (&out)[kFlight]) {
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) out[j] = load(nodes + 2 * j);
}

// One level of eight keys; `controls` are theirs.
void walk_eight(const HashKeys& keys, const u64* x, unsigned place, const u8* row, u64 controls, u64* nodes,
                u64* sums) {
  __m128i node[kFlight];
  __m128i next[kFlight];
  const u8* round_keys[kFlight];
  load_eight(nodes, node);
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) round_keys[j] = keys.side[x[j] >> place & 1].bytes;
  hash(round_keys, node, next);
#pragma GCC unroll 8
  for (std::size_t j = 0; j < kFlight; ++j) {
    const u64 right = x[j] >> place & 1;
    const u64 bit = controls >> (2 * j + right) & 1;
    const __m128i correction = _mm_xor_si128(load(row + 16 * j), _mm_set_epi64x(0, static_cast<i64>(bit)));
    next[j] = _mm_xor_si128(next[j], _mm_and_si128(controlled(node[j]), correction));
    const auto turned_left = static_cast<u64>(_mm_cvtsi128_si64(_mm_xor_si128(node[j], next[j])));
    sums[2 * j] ^= turned_left & (right - 1);
    store(nodes + 2 * j, next[j]);
  }
}

// The leaves of eight nodes, not yet corrected.
void leaves(const HashKeys& keys, const u64* nodes, __m128i (&out)[kFlight]) {
  __m128i node[kFlight];
  load_eight(nodes, node);
  const u8* const leaf = keys.leaf.bytes;
  const u8* const round_keys[kFlight] = {leaf, leaf, leaf, leaf, leaf, leaf, leaf, leaf};
  hash(round_keys, node, out);
}

void walk(const HashKeys& keys, const CorrectionsIn& in, const u64* x, u64* nodes, u64* sums) {
  for (std::size_t j = 0; j < 2 * kGroup; ++j) sums[j] = 0;
  for (std::size_t level = 0; level < in.levels; ++level) {
    const u8* row = in.rows + level * in.stride;
    const unsigned place = direction_bit(in.levels, level);
    for (std::size_t j = 0; j < kGroup; j += kFlight) {
      _mm_prefetch(reinterpret_cast<const char*>(row + kAhead + 16 * j), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(row + kAhead + 16 * j + 64), _MM_HINT_T1);
      walk_eight(keys, x + j, place, row + 16 * j, in.controls[level] >> (2 * j), nodes + 2 * j, sums + 2 * j);
    }
  }
  const u8* row = in.rows + in.levels * in.stride;
  for (std::size_t i = 0; i < kGroup; i += kFlight) {
    __m128i leaf[kFlight];
    leaves(keys, nodes + 2 * i, leaf);
    for (std::size_t j = 0; j < kFlight; ++j) {
      const __m128i correction = _mm_and_si128(controlled(load(nodes + 2 * (i + j))), load(row + 16 * (i + j)));
      store(nodes + 2 * (i + j), _mm_xor_si128(leaf[j], correction));
    }
  }
}

// Replaces the parties' nodes by their kept children, given child[party][side] as four blocks; writes the seed's
// correction and gives the two control bits. `right` is all ones or zeros.
u64 keep(const __m128i* child, __m128i right, u64* client, u64* server, u8* seed) {
  const __m128i control = control_place();
  const __m128i left_sum = _mm_xor_si128(child[0], child[2]);
  const __m128i right_sum = _mm_xor_si128(child[1], child[3]);
  const __m128i lost = _mm_andnot_si128(control, select(right, left_sum, right_sum));
  store(seed, lost);
  // The control bits must differ below the kept child and agree below the lost one.
  const __m128i kept_sum = select(right, right_sum, left_sum);
  const __m128i correction = _mm_or_si128(lost, _mm_andnot_si128(kept_sum, control));
  const __m128i nodes[2] = {load(client), load(server)};
  const __m128i first = select(right, child[1], child[0]);
  const __m128i second = select(right, child[3], child[2]);
  store(client, _mm_xor_si128(first, _mm_and_si128(controlled(nodes[0]), correction)));
  store(server, _mm_xor_si128(second, _mm_and_si128(controlled(nodes[1]), correction)));
  const u64 turn = static_cast<u64>(_mm_cvtsi128_si64(right)) & 1;
  const u64 left_bit = (static_cast<u64>(_mm_cvtsi128_si64(left_sum)) & 1) ^ turn ^ 1;
  const u64 right_bit = (static_cast<u64>(_mm_cvtsi128_si64(right_sum)) & 1) ^ turn;
  return left_bit | right_bit << 1;
}

// One level of two keys: two parties, two sides.
u64 grow_two(const HashKeys& keys, const u64* alpha, unsigned place, u64* client, u64* server, u8* row) {
  const u8* const left = keys.side[0].bytes;
  const u8* const right = keys.side[1].bytes;
  const u8* const round_keys[kFlight] = {left, right, left, right, left, right, left, right};
  __m128i node[kFlight];
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    node[4 * v] = node[4 * v + 1] = load(client + 2 * v);
    node[4 * v + 2] = node[4 * v + 3] = load(server + 2 * v);
  }
  __m128i child[kFlight];
  hash(round_keys, node, child);
  u64 controls = 0;
#pragma GCC unroll 2
  for (std::size_t v = 0; v < 2; ++v) {
    const __m128i turn = _mm_set1_epi64x(-static_cast<i64>(alpha[v] >> place & 1));
    controls |= keep(child + 4 * v, turn, client + 2 * v, server + 2 * v, row + 16 * v) << (2 * v);
  }
  return controls;
}

void grow(const HashKeys& keys, const CorrectionsOut& out, const u64* alpha, u64* client, u64* server) {
  for (std::size_t level = 0; level < out.levels; ++level) {
    u8* row = out.rows + level * out.stride;
    const unsigned place = direction_bit(out.levels, level);
    u64 controls = 0;
    for (std::size_t j = 0; j < kGroup; j += 2) {
      controls |= grow_two(keys, alpha + j, place, client + 2 * j, server + 2 * j, row + 16 * j) << (2 * j);
    }
    out.controls[level] = controls;
  }
  u8* row = out.rows + out.levels * out.stride;
  for (std::size_t i = 0; i < kGroup; i += kFlight) {
    __m128i first[kFlight];
    __m128i second[kFlight];
    leaves(keys, client + 2 * i, first);
    leaves(keys, server + 2 * i, second);
    for (std::size_t j = 0; j < kFlight; ++j) store(row + 16 * (i + j), _mm_xor_si128(first[j], second[j]));
  }
}

}  // namespace

const DpfKernels& dpf_avx2() {
  static constexpr DpfKernels table{walk, grow};
  return table;
}

}  // namespace tacit
