#include "fss/dpf.h"

#include <atomic>
#include <cstring>

#include "base/threads.h"
#include "fss/kernels.h"

namespace tacit {
namespace {

// The first 16 bytes of SHA-256 of "tacit fss left", "tacit fss right" and "tacit fss leaf".
constexpr u8 kLeftKey[16] = {0xbe, 0x7e, 0xef, 0xf8, 0xc9, 0xe2, 0xd2, 0x0e,
                             0x28, 0xae, 0x3c, 0xa7, 0xa2, 0xc8, 0x89, 0x69};
constexpr u8 kRightKey[16] = {0x8e, 0x29, 0x27, 0x07, 0xc7, 0xef, 0x8d, 0x8f,
                              0xa9, 0x11, 0x48, 0xac, 0xc1, 0xc3, 0xb2, 0xc0};
constexpr u8 kLeafKey[16] = {0x72, 0x94, 0x39, 0xf6, 0xba, 0x3c, 0xa8, 0x11,
                             0x8f, 0x53, 0x9c, 0x7b, 0x89, 0xe7, 0xdc, 0x48};

constexpr std::size_t kRowBytes = 16 * kGroup;
constexpr double kNsPerWalkedLevel = 1.5;
constexpr double kNsPerGrownLevel = 5;

const DpfKernels& dpf_kernels(Tier tier) {
#if defined(TACIT_X86)
  if (tier == Tier::avx512) return dpf_avx512();
  if (tier == Tier::avx2) return dpf_avx2();
#endif
  static_cast<void>(tier);
  return dpf_portable();
}

void expand_public_keys(const PrgKernels& prg, HashKeys& keys) {
  prg.expand(kLeftKey, keys.side[0]);
  prg.expand(kRightKey, keys.side[1]);
  prg.expand(kLeafKey, keys.leaf);
  for (unsigned i = 0; i < 44; ++i) {  // block i % 4 of round i / 4
    const unsigned round = i / 4;
    for (unsigned turns = 0; turns < 16; ++turns) {
      std::memcpy(keys.quads[turns] + 16 * i, keys.side[turns >> (i % 4) & 1].bytes + 16 * round, 16);
    }
    std::memcpy(keys.leaf_quad + 16 * i, keys.leaf.bytes + 16 * round, 16);
  }
}

// One group of at most kGroup keys. Groups that are not full work on the copies here.
struct Group {
  std::size_t first;
  std::size_t count;
  u64 controls[kMaxLevels];
  u64 points[kGroup];
  u8 rows[(kMaxLevels + 1) * kRowBytes];

  bool full() const { return count == kGroup; }

  void start(const DpfShape& shape, std::size_t group) {
    first = group * kGroup;
    count = std::min(kGroup, shape.keys - first);
  }

  // The points of this group, zeros after the last.
  const u64* points_of(const u64* all) {
    if (full()) return all + first;
    std::memset(points, 0, sizeof points);
    std::memcpy(points, all + first, count * sizeof(u64));
    return points;
  }
};

// A party's roots for this group and, where it is not full, for keys beyond the last.
void roots(const PrgKernels& prg, const RoundKeys& keys, u64 nonce, const Group& group, u64 rank,
           u64 (&nodes)[2 * kGroup]) {
  prg.fill(keys, nonce, group.first, kGroup, nodes);
  for (std::size_t j = 0; j < 2 * kGroup; j += 2) nodes[j] = (nodes[j] & ~u64{1}) | rank;
}

// The bits from `at` on, as many of the 64 as the stream has.
u64 read_bits(const u8* bits, std::size_t bytes, std::size_t at) {
  const auto shift = static_cast<unsigned>(at % 8);
  const u8* from = bits + at / 8;
  u8 nine[9] = {};
  if (const std::size_t left = bytes - at / 8; left < sizeof nine) {
    std::memcpy(nine, from, left);
    from = nine;
  }
  u64 low = 0;
  std::memcpy(&low, from, 8);
  return low >> shift | static_cast<u64>(from[8]) << 1 << (63 - shift);  // twice, since a shift by 64 is not a shift
}

// Writes `count` (1 to 64) bits into a stream of zeros. Bytes that another thread may share are or-ed atomically.
void write_bits(u8* bits, std::size_t at, std::size_t count, u64 value) {
  const auto shift = static_cast<unsigned>(at % 8);
  if (shift == 0 && count == 64) {
    std::memcpy(bits + at / 8, &value, 8);
    return;
  }
  const u64 low = (count < 64 ? value & ((u64{1} << count) - 1) : value);
  const u128 wide = static_cast<u128>(low) << shift;
  u8* const to = bits + at / 8;
  for (std::size_t i = 0; 8 * i < shift + count; ++i) {
    const auto byte = static_cast<u8>(wide >> (8 * i));
    if ((i == 0 && shift != 0) || 8 * (i + 1) > shift + count) {
      std::atomic_ref<u8>(to[i]).fetch_or(byte, std::memory_order_relaxed);
    } else {
      to[i] = byte;
    }
  }
}

// Makes a group's corrections readable: in place where they are whole rows, else from the copies.
CorrectionsIn read_corrections(const DpfShape& shape, const u8* corrections, Group& group) {
  const u8* const bits = corrections + shape.row() * (shape.levels + 1);
  for (std::size_t level = 0; level < shape.levels; ++level) {
    group.controls[level] = read_bits(bits, shape.control_bytes, 2 * (level * shape.keys + group.first));
  }
  const u8* const rows = corrections + 16 * group.first;
  if (group.full()) return {shape.levels, rows, shape.row(), group.controls};
  for (std::size_t level = 0; level <= shape.levels; ++level) {
    std::memcpy(group.rows + level * kRowBytes, rows + level * shape.row(), 16 * group.count);
  }
  return {shape.levels, group.rows, kRowBytes, group.controls};
}

// Adds the 1 at alpha to every leaf correction, by shifts and masks only: alpha is secret.
void mark_leaves(const CorrectionsOut& out, const u64* alpha) {
  u8* const row = out.rows + out.levels * out.stride;
  for (std::size_t j = 0; j < kGroup; ++j) {
    u64 leaf[2];
    std::memcpy(leaf, row + 16 * j, 16);
    const u64 in_high = -(alpha[j] >> 6 & 1);
    const u64 one = u64{1} << (alpha[j] & 63);
    leaf[0] ^= one & ~in_high;
    leaf[1] ^= one & in_high;
    std::memcpy(row + 16 * j, leaf, 16);
  }
}

// Puts what `grow` made of a group where it belongs.
void write_corrections(const DpfShape& shape, const CorrectionsOut& made, const Group& group, u8* out) {
  u8* const bits = out + shape.row() * (shape.levels + 1);
  for (std::size_t level = 0; level < shape.levels; ++level) {
    write_bits(bits, 2 * (level * shape.keys + group.first), 2 * group.count, made.controls[level]);
  }
  if (group.full()) return;
  for (std::size_t level = 0; level <= shape.levels; ++level) {
    std::memcpy(out + level * shape.row() + 16 * group.first, group.rows + level * kRowBytes, 16 * group.count);
  }
}

// Bit j: the parity of byte j.
u8 parities(u64 bytes) {
  for (unsigned by = 4; by != 0; by /= 2) bytes ^= bytes >> by;
  return static_cast<u8>((bytes & 0x0101010101010101) * 0x0102040810204080 >> 56);
}

// The share of [x < alpha] as the parity of a byte, from the sum of the path and the leaves after x.
u64 share_byte(u64 x, const u64* leaf, u64 sum) {
  const u64 in_high = -(x >> 6 & 1);
  const u64 after = ~u64{1} << (x & 63);
  u64 rest = (leaf[0] & after & ~in_high) ^ (leaf[1] & (after | ~in_high)) ^ (sum & 1);
  for (unsigned by = 32; by != 4; by /= 2) rest ^= rest >> by;
  return rest & 0xff;
}

// Bit j: the share of key j.
u32 shares(const u64* x, u64 leaf_mask, const u64* leaves, const u64* sums) {
  u32 out = 0;
  for (unsigned i = 0; i < kGroup; i += 8) {
    u64 bytes = 0;
#pragma GCC unroll 8
    for (unsigned j = 0; j < 8; ++j) {
      bytes |= share_byte(x[i + j] & leaf_mask, leaves + 2 * (i + j), sums[2 * (i + j)]) << (8 * j);
    }
    out |= static_cast<u32>(parities(bytes)) << i;
  }
  return out;
}

// The bits of x that choose a leaf.
u64 leaf_bits_of(i64 m) { return (u64{1} << std::min(m, kLeafBits)) - 1; }

// What an evaluation of many keys has in common.
struct Evaluation {
  const PrgKernels& prg;
  const DpfKernels& kernels;
  u64 leaf_mask;
  u64 rank;
  u64 nonce;
  HashKeys hash;
  RoundKeys keys;

  Evaluation(Tier tier, i64 m, unsigned party, const RootStream& stream)
      : prg(prg_kernels(tier)), kernels(dpf_kernels(tier)), leaf_mask(leaf_bits_of(m)), rank(party),
        nonce(stream.nonce) {
    expand_public_keys(prg, hash);
    prg.expand(stream.key, keys);
  }
};

// One thread's evaluation, group by group; what it holds of the keys is wiped at the end.
struct Walk {
  Group group;
  CorrectionsIn corrections;
  u64 start_nodes[2 * kGroup];
  u64 nodes[2 * kGroup];
  u64 sums[2 * kGroup];

  Walk() = default;
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() {
    wipe(start_nodes, sizeof start_nodes);
    wipe(nodes, sizeof nodes);
    wipe(sums, sizeof sums);
  }

  void start(const Evaluation& e, const DpfShape& shape, const u8* bytes, std::size_t number) {
    group.start(shape, number);
    roots(e.prg, e.keys, e.nonce, group, e.rank, start_nodes);
    corrections = read_corrections(shape, bytes, group);
  }

  // Bit j: the share of [points[j] < alpha] of key j.
  u32 shares_at(const Evaluation& e, const u64* points) {
    std::memcpy(nodes, start_nodes, sizeof nodes);
    e.kernels.walk(e.hash, corrections, points, nodes, sums);
    return shares(points, e.leaf_mask, nodes, sums);
  }

  // This group's bits into a row of them.
  void write(u8* row, u32 bits) const {
    const u32 own = bits & static_cast<u32>(~u64{0} >> (64 - group.count));
    std::memcpy(row + 4 * (group.first / kGroup), &own, (group.count + 7) / 8);
  }
};

int workers(int threads, const DpfShape& shape, double ns) {
  const auto levels = static_cast<double>(shape.levels + 2);
  return workers_for(threads, (shape.keys + kGroup - 1) / kGroup, static_cast<double>(shape.keys) * levels * ns);
}

}  // namespace

Status dpf_shape(i64 m, std::size_t n, DpfShape& out) {
  if (m < 1 || m > kMaxDpfBits) return invalid("m must be between 1 and 63");
  const auto levels = static_cast<std::size_t>(std::max<i64>(m - kLeafBits, 0));
  std::size_t total = 0;
  if (!product({n, 16 * (levels + 1) + levels}, total)) return invalid("n keys are more than memory can hold");
  out = {n, levels, (2 * levels * n + 7) / 8};
  return ok();
}

Status dpf_keygen(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* alpha, const RootStream& client,
                  const RootStream& server, u8* out) {
  if (client.nonce == server.nonce && std::memcmp(client.key, server.key, 16) == 0) {
    return invalid("client and server must have different keys or nonces: equal roots would show alpha");
  }
  const PrgKernels& prg = prg_kernels(tier);
  const DpfKernels& kernels = dpf_kernels(tier);
  HashKeys hash;
  RoundKeys client_keys;
  RoundKeys server_keys;
  expand_public_keys(prg, hash);
  prg.expand(client.key, client_keys);
  prg.expand(server.key, server_keys);
  if (shape.control_bytes != 0) std::memset(out + shape.row() * (shape.levels + 1), 0, shape.control_bytes);
  const u64 leaf_mask = leaf_bits_of(m);
  const auto run = [&](int, std::size_t begin, std::size_t end) {
    Group group;
    u64 nodes[2][2 * kGroup];
    u64 leaves[kGroup];
    for (std::size_t g = begin; g < end; ++g) {
      group.start(shape, g);
      roots(prg, client_keys, client.nonce, group, 0, nodes[0]);
      roots(prg, server_keys, server.nonce, group, 1, nodes[1]);
      const u64* points = group.points_of(alpha);
      CorrectionsOut made{shape.levels, out + 16 * group.first, shape.row(), group.controls};
      if (!group.full()) made = {shape.levels, group.rows, kRowBytes, group.controls};
      kernels.grow(hash, made, points, nodes[0], nodes[1]);
      for (std::size_t j = 0; j < kGroup; ++j) leaves[j] = points[j] & leaf_mask;
      mark_leaves(made, leaves);
      write_corrections(shape, made, group, out);
    }
    wipe(nodes, sizeof nodes);
    wipe(leaves, sizeof leaves);
    wipe(group.points, sizeof group.points);
  };
  share(workers(threads, shape, kNsPerGrownLevel), (shape.keys + kGroup - 1) / kGroup, run);
  return ok();
}

Status dpf_less(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* x, unsigned rank,
                const RootStream& stream, const u8* corrections, u8* out) {
  if (rank > 1) return invalid("rank must be 0 (client) or 1 (server)");
  const Evaluation evaluation(tier, m, rank, stream);
  const auto run = [&](int, std::size_t begin, std::size_t end) {
    Walk walk;
    for (std::size_t g = begin; g < end; ++g) {
      walk.start(evaluation, shape, corrections, g);
      walk.write(out, walk.shares_at(evaluation, walk.group.points_of(x)));
    }
  };
  share(workers(threads, shape, kNsPerWalkedLevel), (shape.keys + kGroup - 1) / kGroup, run);
  return ok();
}

Status dpf_sides(Tier tier, int threads, const DpfShape& shape, i64 m, const u64* x, const Knots& knots, unsigned rank,
                 const RootStream& stream, const u8* corrections, u8* out) {
  if (rank > 1) return invalid("rank must be 0 (client) or 1 (server)");
  const Evaluation evaluation(tier, m, rank, stream);
  const std::size_t row = (shape.keys + 7) / 8;
  const auto run = [&](int, std::size_t begin, std::size_t end) {
    Walk walk;
    for (std::size_t g = begin; g < end; ++g) {
      walk.start(evaluation, shape, corrections, g);
      const u64* own = walk.group.points_of(x);
      for (std::size_t t = 0; t < knots.count; ++t) {
        u64 points[kGroup];
        u32 tops = 0;
        for (std::size_t j = 0; j < kGroup; ++j) {
          points[j] = own[j] - knots.at[t];
          tops |= static_cast<u32>(points[j] >> m & rank) << j;
        }
        walk.write(out + t * row, walk.shares_at(evaluation, points) ^ tops);
      }
    }
  };
  share(workers(threads, shape, static_cast<double>(knots.count) * kNsPerWalkedLevel),
        (shape.keys + kGroup - 1) / kGroup, run);
  return ok();
}

}  // namespace tacit
