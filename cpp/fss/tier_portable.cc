// Trees in plain C++, eight bitsliced nodes at once: no table look-up, branch or address depends on a secret.
#include <cstring>

#include "fss/kernels.h"
#include "prg/tower.h"

namespace tacit {
namespace {

#include "prg/bitsliced.inl"

struct Block {
  u64 low, high;
};

Block operator^(const Block& a, const Block& b) { return {a.low ^ b.low, a.high ^ b.high}; }
Block operator&(u64 mask, const Block& a) { return {mask & a.low, mask & a.high}; }
Block select(u64 mask, const Block& if_set, const Block& if_clear) { return if_clear ^ (mask & (if_set ^ if_clear)); }

Block load(const void* p) {
  Block block;
  std::memcpy(&block, p, sizeof block);
  return block;
}
void store(void* p, const Block& block) { std::memcpy(p, &block, sizeof block); }

// All ones where the control bit is set.
u64 controlled(const Block& node) { return -(node.low & 1); }
Block seed_of(const Block& node) { return {node.low & ~u64{1}, node.high}; }

// out[j] = AES(seed) ^ seed of the nodes, under what key(r) gives.
template <class Key>
void hash(const Key& key, const Block (&nodes)[kBlocks], Block (&out)[kBlocks]) {
  u8 bytes[16 * kBlocks];
  for (std::size_t j = 0; j < kBlocks; ++j) store(bytes + 16 * j, seed_of(nodes[j]));
  encrypt(key, bytes);
  for (std::size_t j = 0; j < kBlocks; ++j) out[j] = load(bytes + 16 * j) ^ seed_of(nodes[j]);
  wipe(bytes, sizeof bytes);
}

void load_eight(const u64* nodes, Block (&out)[kBlocks]) {
  for (std::size_t j = 0; j < kBlocks; ++j) out[j] = load(nodes + 2 * j);
}

// The round keys of each block's own side.
struct MixedKeys {
  const SlicedKeys& left;
  const SlicedKeys& right;
  Word turns;  // all ones over the blocks that turn right

  Planes operator()(unsigned r) const {
    Planes out;
    for (unsigned b = 0; b < 8; ++b) {
      out.bit[b] = left.round[r].bit[b] ^ (turns & (left.round[r].bit[b] ^ right.round[r].bit[b]));
    }
    return out;
  }
};

// One level of eight keys; `controls` are theirs.
void walk_eight(const SlicedKeys& left, const SlicedKeys& right, const u64* x, unsigned place, const u8* row,
                u64 controls, u64* nodes, u64* sums) {
  u64 turns[kWords] = {};  // 16 bits a block
  for (std::size_t j = 0; j < kBlocks; ++j) turns[j / 4] |= (-(x[j] >> place & 1) & 0xffff) << (16 * (j % 4));
  const MixedKeys keys{left, right, Word{turns[0], turns[1]}};
  Block node[kBlocks];
  Block next[kBlocks];
  load_eight(nodes, node);
  hash(keys, node, next);
  for (std::size_t j = 0; j < kBlocks; ++j) {
    const u64 turn = x[j] >> place & 1;
    Block correction = load(row + 16 * j);
    correction.low ^= controls >> (2 * j + turn) & 1;
    next[j] = next[j] ^ (controlled(node[j]) & correction);
    sums[2 * j] ^= (node[j].low ^ next[j].low) & (turn - 1);
    store(nodes + 2 * j, next[j]);
  }
}

void walk(const HashKeys& keys, const CorrectionsIn& in, const u64* x, u64* nodes, u64* sums) {
  const SlicedKeys left(keys.side[0]);
  const SlicedKeys right(keys.side[1]);
  const SlicedKeys leaf(keys.leaf);
  for (std::size_t j = 0; j < 2 * kGroup; ++j) sums[j] = 0;
  for (std::size_t level = 0; level < in.levels; ++level) {
    const u8* row = in.rows + level * in.stride;
    const unsigned place = direction_bit(in.levels, level);
    for (std::size_t j = 0; j < kGroup; j += kBlocks) {
      walk_eight(left, right, x + j, place, row + 16 * j, in.controls[level] >> (2 * j), nodes + 2 * j, sums + 2 * j);
    }
  }
  const u8* row = in.rows + in.levels * in.stride;
  for (std::size_t i = 0; i < kGroup; i += kBlocks) {
    Block node[kBlocks];
    Block out[kBlocks];
    load_eight(nodes + 2 * i, node);
    hash(leaf, node, out);
    for (std::size_t j = 0; j < kBlocks; ++j) {
      store(nodes + 2 * (i + j), out[j] ^ (controlled(node[j]) & load(row + 16 * (i + j))));
    }
  }
}

// Replaces the parties' nodes by their kept children, given child[party][side]; writes the seed's correction and gives
// the two control bits. `right` is all ones or zeros.
u64 keep(const Block (&child)[2][2], u64 right, u64* client, u64* server, u8* seed) {
  const Block left_sum = child[0][0] ^ child[1][0];
  const Block right_sum = child[0][1] ^ child[1][1];
  const Block lost = seed_of(select(right, left_sum, right_sum));
  store(seed, lost);
  // The control bits must differ below the kept child and agree below the lost one.
  const Block kept_sum = select(right, right_sum, left_sum);
  const Block correction{lost.low | (~kept_sum.low & 1), lost.high};
  store(client, select(right, child[0][1], child[0][0]) ^ (controlled(load(client)) & correction));
  store(server, select(right, child[1][1], child[1][0]) ^ (controlled(load(server)) & correction));
  const u64 turn = right & 1;
  return ((left_sum.low & 1) ^ turn ^ 1) | ((right_sum.low & 1) ^ turn) << 1;
}

// One level of four keys of two parties.
u64 grow_four(const SlicedKeys& left, const SlicedKeys& right, const u64* alpha, unsigned place, u64* client,
              u64* server, u8* row) {
  constexpr std::size_t kKeys = kBlocks / 2;
  Block node[kBlocks];
  Block on_left[kBlocks];
  Block on_right[kBlocks];
  for (std::size_t j = 0; j < kKeys; ++j) {
    node[j] = load(client + 2 * j);
    node[kKeys + j] = load(server + 2 * j);
  }
  hash(left, node, on_left);
  hash(right, node, on_right);
  u64 controls = 0;
  for (std::size_t j = 0; j < kKeys; ++j) {
    const Block child[2][2] = {{on_left[j], on_right[j]}, {on_left[kKeys + j], on_right[kKeys + j]}};
    controls |= keep(child, -(alpha[j] >> place & 1), client + 2 * j, server + 2 * j, row + 16 * j) << (2 * j);
  }
  return controls;
}

void grow(const HashKeys& keys, const CorrectionsOut& out, const u64* alpha, u64* client, u64* server) {
  const SlicedKeys left(keys.side[0]);
  const SlicedKeys right(keys.side[1]);
  const SlicedKeys leaf(keys.leaf);
  for (std::size_t level = 0; level < out.levels; ++level) {
    u8* row = out.rows + level * out.stride;
    const unsigned place = direction_bit(out.levels, level);
    u64 controls = 0;
    for (std::size_t j = 0; j < kGroup; j += 4) {
      controls |= grow_four(left, right, alpha + j, place, client + 2 * j, server + 2 * j, row + 16 * j) << (2 * j);
    }
    out.controls[level] = controls;
  }
  u8* row = out.rows + out.levels * out.stride;
  for (std::size_t i = 0; i < kGroup; i += kBlocks) {
    Block node[kBlocks];
    Block first[kBlocks];
    Block second[kBlocks];
    load_eight(client + 2 * i, node);
    hash(leaf, node, first);
    load_eight(server + 2 * i, node);
    hash(leaf, node, second);
    for (std::size_t j = 0; j < kBlocks; ++j) store(row + 16 * (i + j), first[j] ^ second[j]);
  }
}

}  // namespace

const DpfKernels& dpf_portable() {
  static constexpr DpfKernels table{walk, grow};
  return table;
}

}  // namespace tacit
