// SMTP replies and enhanced status codes (RFC 5321 §4.2, RFC 3463), for both sides.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::mail {

// EnhancedStatus is class.subject.detail; class 0 means none was given.
struct EnhancedStatus {
  int klass = 0;
  int subject = 0;
  int detail = 0;

  bool empty() const { return klass == 0; }
  std::string ToString() const;  // "5.1.1", or ""
  // Parse reads "5.1.1" exactly; an empty EnhancedStatus when it is not one.
  static EnhancedStatus Parse(std::string_view text);
  friend bool operator==(const EnhancedStatus&, const EnhancedStatus&) = default;
};

// Reply is a reply code, an enhanced status and text of one or more lines, without CR, LF or the
// code in them.
struct Reply {
  int code = 0;
  EnhancedStatus status;
  std::vector<std::string> lines;

  Reply() = default;
  Reply(int reply_code, EnhancedStatus enhanced, std::string text)
      : code(reply_code), status(enhanced) {
    lines.push_back(std::move(text));
  }

  bool IsPositive() const { return code >= 200 && code < 400; }
  bool IsTransient() const { return code >= 400 && code < 500; }
  bool IsPermanent() const { return code >= 500 && code < 600; }
  // Text joins the lines with blanks.
  std::string Text() const;
  // ToString gives "550 5.1.1 No such user", lines joined with blanks, for logs and status fields:
  // printable ASCII only.
  std::string ToString() const;
  // ToWire gives the CRLF-ended lines to send; the enhanced status stands on each line when there
  // is one, and no second. What may not stand in a reply is replaced by '?'; lines are kept under
  // 512 octets (RFC 5321 §4.5.3.1.5).
  std::string ToWire() const;
  // FromText reads an operator's or a filter's "550 5.7.1 go away": code, one status of its class
  // or none, text. An error if the code is not 4xx or 5xx. `any_class`: anybody's words, unchanged.
  static StatusOr<Reply> FromText(std::string_view text, bool any_class = false);
};

}  // namespace postern::mail
