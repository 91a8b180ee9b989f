// ResponseWriter: where the server's side of the conversation is put together (RFC 3501 §7).
#pragma once

#include <string>
#include <string_view>

namespace postern::imap {

// ResponseWriter gathers responses until the driver has sent them. It has no bound of its own: who
// writes many watches pending() and sends in between (see ServerSession).
class ResponseWriter {
 public:
  // Untagged writes "* " `line` CRLF; `line` is protocol text without line ends outside literals.
  void Untagged(std::string_view line);
  // UntaggedCondition writes "* OK [code] text", with `condition` "OK", "NO", "BAD" or "BYE";
  // `code` may be empty.
  void UntaggedCondition(std::string_view condition, std::string_view code, std::string_view text);
  // Tagged writes "tag OK [code] text" with `condition` "OK", "NO" or "BAD".
  void Tagged(std::string_view tag, std::string_view condition, std::string_view code,
              std::string_view text);
  // Continuation writes "+ text" (RFC 3501 §7.5).
  void Continuation(std::string_view text);
  // Raw writes octets as they are: the parts of a long FETCH response.
  void Raw(std::string_view octets) { pending_.append(octets); }
  // buffer lends the end of what is pending, for writers that append to a string.
  std::string& buffer() { return pending_; }

  // pending lends what is to be sent, until the next call of a non-const member.
  std::string_view pending() const { return std::string_view(pending_).substr(sent_); }
  void Wrote(size_t n);

 private:
  void Condition(std::string_view condition, std::string_view code, std::string_view text);

  std::string pending_;
  size_t sent_ = 0;
};

}  // namespace postern::imap
