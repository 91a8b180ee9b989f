// Scanner: a cursor over one command, with the words that all of IMAP's grammar is made of (RFC
// 3501 §9).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::imap {

// The character classes of RFC 3501 §9.
bool IsAtomChar(char c);     // ATOM-CHAR
bool IsAStringChar(char c);  // ASTRING-CHAR: ATOM-CHAR and ']'
bool IsListChar(char c);     // list-char: ATOM-CHAR, wildcards and ']'

// Scanner reads the octets of one command from left to right. Literals stand in the text as the
// wire had them: "{3}" CRLF and three octets. Each step either takes what it names and returns
// true, or leaves the cursor where it was and returns false; Fail records why, and the first reason
// is kept. The text must outlive the Scanner and every view it gives.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() const { return position_ == text_.size(); }
  size_t position() const { return position_; }
  // Peek is the next octet, or NUL at the end; NUL never stands in a command.
  char Peek() const { return AtEnd() ? '\0' : text_[position_]; }
  std::string_view rest() const { return text_.substr(position_); }

  // Char takes `c`.
  bool Char(char c);
  // Space takes one or more blanks. RFC 3501 §9 has exactly one; clients that send two are
  // understood.
  bool Space();
  // SkipSpaces takes blanks if there are any.
  void SkipSpaces();
  // Keyword takes `word`, in either case, when no ATOM-CHAR follows it.
  bool Keyword(std::string_view word);
  // While takes octets as long as `is` holds; may be empty.
  std::string_view While(bool (*is)(char));

  bool Atom(std::string_view* out);
  // QuotedOrLiteral takes a string (RFC 3501 §9); the escapes of a quoted one are undone.
  bool QuotedOrLiteral(std::string* out);
  // AString takes an astring: a word of ASTRING-CHARs, a quoted string or a literal.
  bool AString(std::string* out);
  // NString takes a string or NIL (which is nullopt).
  bool NString(std::optional<std::string>* out);
  bool Number(uint32_t* out);
  bool NonZeroNumber(uint32_t* out);
  bool Number64(uint64_t* out);

  // Fail keeps `reason` (a literal) as the error unless there is one already, and returns false, so
  // that a parser may leave with `return scanner.Fail("…")`.
  bool Fail(std::string_view reason);
  // error is why the first step failed, or a general text.
  std::string_view error() const {
    return error_.empty() ? std::string_view("the arguments are not understood") : error_;
  }

 private:
  bool Literal(std::string* out);
  bool Quoted(std::string* out);

  std::string_view text_;
  size_t position_ = 0;
  std::string_view error_;
};

}  // namespace postern::imap
