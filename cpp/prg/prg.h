// A word-addressable pseudorandom stream.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// Words first ... first + count - 1 of the stream of (key, nonce). Fails when they reach beyond word 2^64 - 1.
Status prg(Tier tier, int threads, const u8 key[16], u64 nonce, u64 first, std::size_t count, u64* out);

}  // namespace tacit
