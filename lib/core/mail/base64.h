// Base64 (RFC 4648 §4): strict, as SASL wants it (RFC 4954 §4), and lenient, as MIME wants it (RFC
// 2045 §6.8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::mail {

// Base64Encode writes `octets` in one line, with padding.
std::string Base64Encode(std::string_view octets);

// Base64EncodeLines writes `octets` in lines of at most `line_bytes` characters, each ended by CRLF
// (RFC 2045 §6.8: at most 76). `line_bytes` is rounded down to a multiple of four, at least four.
// "" gives "".
std::string Base64EncodeLines(std::string_view octets, size_t line_bytes = 76);

// Base64Decode reads exactly RFC 4648 §4: the alphabet, padding where it belongs, zero in the
// unused bits, and nothing else; nullopt for anything else. Cost is linear; the result is never
// longer than 3/4 of the text.
std::optional<std::string> Base64Decode(std::string_view text);

// Base64DecodeLenient appends to `out` what `text` holds: characters outside the alphabet are
// passed over, padding in the middle ends one value and begins the next, and bits left over at the
// end are dropped. It returns whether the text was clean apart from line ends and blanks, that is
// whether no octet was passed over or lost.
bool Base64DecodeLenient(std::string_view text, std::string& out);

// Base64Decoder is Base64DecodeLenient for a text that comes in pieces, cut anywhere.
class Base64Decoder {
 public:
  // Decode appends to `out` what `piece` adds.
  void Decode(std::string_view piece, std::string& out);
  // Finish appends what a text that was cut short still held, and tells whether all was clean.
  bool Finish(std::string& out);

 private:
  uint32_t bits_ = 0;
  int count_ = 0;        // characters of the group so far
  bool padded_ = false;  // padding was seen, and nothing of the alphabet after it
  bool clean_ = true;
};

}  // namespace postern::mail
