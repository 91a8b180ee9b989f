// From binary to lines, and from eight bits to seven: a message made fit for a place that cannot
// carry its octets as they are (RFC 3030 §3, RFC 6152 §3, RFC 2045 §6).
//
// A leaf whose octets do not fit is written in base64, or a text of ordinary lines in
// quoted-printable, and its Content-Transfer-Encoding says so; multiparts and messages around it
// are told anew what they hold. Everything else stays, octet for octet. Decoding what comes out
// gives exactly what was in the leaf. For seven bits the header fields are written in ASCII too
// (ascii_field.h).
//
// The work is in two steps, so that a large message is never held twice: PlanDowngrade reads the
// message once and notes which stretches stay and which are encoded; ReadDowngraded then gives any
// part of the result, reading the message piece by piece. Pure; linear time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// Carriage is what the next place can carry.
enum class Carriage : uint8_t {
  k8BitLines,  // lines of at most 998 octets ended by CRLF, any octet but NUL: 8BITMIME, a Maildir
  k7BitLines,  // the same of ASCII: a server without 8BITMIME
};

struct DowngradeOptions {
  ParseOptions parse;
  // How much newly written text the plan may hold: quoted-printable parts (base64 is taken when
  // there is no more room), and broken encoded parts that are encoded anew (past it: an error).
  size_t max_literal_bytes = 1 << 20;
  // How much the header fields may have that are written anew in ASCII; past it: an error.
  size_t max_field_bytes = 1 << 20;
  // RFC 5321 §4.5.3.1.6 gives a line 1000 octets with its CRLF.
  size_t max_line_bytes = 998;
};

// DowngradePlan is how the result is put together. It has no view into the message.
struct DowngradePlan {
  struct Piece {
    enum class Kind : uint8_t {
      kCopy,     // octets [source_offset, source_offset + source_bytes) of the message
      kLiteral,  // `text`
      kBase64,   // those octets in base64, lines of 76 characters
    };
    Kind kind = Kind::kCopy;
    uint64_t source_offset = 0;
    uint64_t source_bytes = 0;
    uint64_t offset = 0;  // where it stands in the result
    uint64_t bytes = 0;   // and how long it is there
    std::string text;
  };
  std::vector<Piece> pieces;  // in order, none empty, without gaps
  uint64_t size_bytes = 0;    // of the result
  bool changed = false;       // false: the message fits as it is
  bool eight_bit = false;     // the result has octets above 0x7F: BODY=8BITMIME
  // The message, not the result, has octets above 0x7F in a header field, its own or that of a
  // part: what is internationalized by RFC 6531 §3.2.
  bool eight_bit_header = false;
};

// PlanDowngrade plans how `raw` is made fit for `carriage`. kFailedPrecondition, with a sentence
// for the sender, when that cannot be done: what would have to change is inside a multipart/signed
// or multipart/encrypted, whose octets are what was signed (RFC 1847 §2.1), or is a part that may
// not be encoded (RFC 2045 §6.4, RFC 2046 §5.2), or a header field that ASCII cannot say.
//
// RFC 6152 §3 leaves two ways with 8-bit text for a server that does not take it: to convert it or
// to return it. Header fields have the same two. To convert loses no mail, and what is written is
// what a careful sender would have written at once; a signature over it breaks (RFC 6376 §5.3 tells
// signers to send seven bits for that reason), which for a server of seven bits alone is the lesser
// evil. So with k8BitLines they stay as they came: their octets pass there, and signatures hold.
StatusOr<DowngradePlan> PlanDowngrade(std::string_view raw, Carriage carriage,
                                      const DowngradeOptions& options = {});

// SourceReader fills `into` with the octets of the message from `offset` on and returns how many
// there were.
using SourceReader = std::function<StatusOr<size_t>(uint64_t offset, std::span<char> into)>;

// ReadDowngraded fills `into` with the result from `offset` on and returns how much that was; less
// than asked only at its end. `read` must give the message that was planned; its errors are passed
// on, and a message that is shorter is kDataLoss.
StatusOr<size_t> ReadDowngraded(const DowngradePlan& plan, uint64_t offset, std::span<char> into,
                                const SourceReader& read);

// Downgraded gives the whole result of a message in memory.
std::string Downgraded(const DowngradePlan& plan, std::string_view raw);

}  // namespace postern::message
