// AES-NI routines that both x86 tiers include inside their own unnamed namespace.

__m128i load_block(const u8* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }

template <int Constant>
__m128i next_round_key(__m128i key) {
  const __m128i last = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, Constant), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, last);
}

void expand(const u8 key[16], RoundKeys& keys) {
  __m128i k[11];
  k[0] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key));
  k[1] = next_round_key<0x01>(k[0]);
  k[2] = next_round_key<0x02>(k[1]);
  k[3] = next_round_key<0x04>(k[2]);
  k[4] = next_round_key<0x08>(k[3]);
  k[5] = next_round_key<0x10>(k[4]);
  k[6] = next_round_key<0x20>(k[5]);
  k[7] = next_round_key<0x40>(k[6]);
  k[8] = next_round_key<0x80>(k[7]);
  k[9] = next_round_key<0x1b>(k[8]);
  k[10] = next_round_key<0x36>(k[9]);
  for (int i = 0; i < 11; ++i) _mm_store_si128(reinterpret_cast<__m128i*>(keys.bytes + 16 * i), k[i]);
}
