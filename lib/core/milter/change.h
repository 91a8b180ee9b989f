// Changes that a filter asks for at the end of a message, in the order in which it asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/milter/packet.h"
#include "lib/core/milter/protocol.h"

namespace postern::milter {

struct Change {
  enum class Kind : uint8_t {
    // kAddHeader puts a field behind the last.
    kAddHeader,
    // kInsertHeader puts it before field number `index`, counted from 0 with those that the mail
    // server itself added; past the last it is added.
    kInsertHeader,
    // kChangeHeader gives the field `name` number `index` a new value; an empty one deletes it. The
    // number counts fields of that name from 1, without those that the mail server itself added; a
    // value for one that is not there adds it.
    kChangeHeader,
    kAddRcpt,      // `address`, `args`
    kDeleteRcpt,   // `address`
    kChangeFrom,   // `address`, `args`
    kReplaceBody,  // `body` is the next piece; the first drops the old one
    kQuarantine,   // `reason`
  };
  Kind kind = Kind::kAddHeader;
  uint32_t index = 0;
  std::string_view name;
  // value stands behind "name:" as it is, with the blank that comes there in the most cases and
  // with CRLF within; whatever the filter sent, it is one field.
  std::string value;
  std::string_view address;  // as the filter wrote it, with or without <>
  std::string_view args;     // ESMTP parameters between blanks
  std::string_view body;
  std::string_view reason;
};

// ActionOf gives the bit that a filter needs for `response`; 0 when that is no change.
uint32_t ActionOf(Response response);

// ReadChange reads the packet of a change. Views in it live as long as the packet's data.
// `leading_space`: the filter gives header values with the blank behind the colon. It is an error
// when the packet is cut off, a field's name is none, or an address has a control character.
StatusOr<Change> ReadChange(Response response, std::string_view data, bool leading_space);

// WriteChange writes the packet, the filter's side.
void WriteChange(const Change& change, bool leading_space, std::string* out);

// OutgoingValue gives a field's value as the protocol has it: LF within, and without the one blank
// behind the colon unless `leading_space`. (A tab stays: so do Sendmail and Postfix.) `value` is
// all that stands between the colon and the CRLF that ends the field.
std::string OutgoingValue(std::string_view value, bool leading_space);

}  // namespace postern::milter
