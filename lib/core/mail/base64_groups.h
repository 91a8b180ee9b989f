// The inner loop of base64: whole groups of four characters of the alphabet. Two forms of one
// function, so that tests can hold them against each other.
#pragma once

#include <cstddef>

namespace postern::mail {

// Both decode groups from the front of [p, end) as long as all four characters belong to the
// alphabet of RFC 4648 §4, write three octets for each at `*to`, and move `*to` behind them. A CRLF
// between groups is passed over. They return where they stopped. They stop early when `*to` has
// moved by `most` octets or more; behind
// `*to` + `most` they may write up to kGroupsSlack octets.
inline constexpr size_t kGroupsSlack = 64;
const unsigned char* DecodeGroupsPortable(const unsigned char* p, const unsigned char* end,
                                          size_t most, char** to);
// The fast form is the portable one on machines without AVX2.
const unsigned char* DecodeGroups(const unsigned char* p, const unsigned char* end, size_t most,
                                  char** to);

}  // namespace postern::mail
