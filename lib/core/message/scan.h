// The inner loops over octets: the few that decide how fast a message is read.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace postern::message {

// OctetSet tells of each octet whether it is in the set.
using OctetSet = std::array<bool, 256>;

// FindDashLine returns the offset of the first line at or after `from` that begins with "--" and an
// octet of `third`, where a line begins at 0 or after LF; text.size() when there is none.
size_t FindDashLine(std::string_view text, size_t from, const OctetSet& third);

// CountLf counts the LFs of `text`.
size_t CountLf(std::string_view text);

// OctetFacts is what has to be known of a body before it is sent or shown.
struct OctetFacts {
  bool eight_bit = false;  // octets above 0x7F
  bool nul = false;
  bool bare_cr = false;  // CR without LF after it
  bool bare_lf = false;  // LF without CR before it
  size_t lf_count = 0;
  size_t longest_line_bytes = 0;  // without its line end
};

// Examine reads all of `text` once. A CR or LF at the edge counts by what is inside `text` alone.
OctetFacts Examine(std::string_view text);

}  // namespace postern::message
