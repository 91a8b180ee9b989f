#include "lib/core/imap/scanner.h"

#include "lib/core/base/strings.h"

namespace postern::imap {

// RFC 3501 §9: atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials /
// resp-specials.
bool IsAtomChar(char c) {
  if (c <= 0x20 || c >= 0x7f)
    return false;  // CTL, SP and, as a signed char, everything above U+007F
  switch (c) {
    case '(':
    case ')':
    case '{':
    case '%':
    case '*':
    case '"':
    case '\\':
    case ']': return false;
    default: return true;
  }
}
bool IsAStringChar(char c) { return IsAtomChar(c) || c == ']'; }
bool IsListChar(char c) { return IsAStringChar(c) || c == '%' || c == '*'; }

bool Scanner::Char(char c) {
  if (AtEnd() || text_[position_] != c) return false;
  ++position_;
  return true;
}

bool Scanner::Space() {
  if (Peek() != ' ') return false;
  SkipSpaces();
  return true;
}

void Scanner::SkipSpaces() {
  while (Peek() == ' ') ++position_;
}

bool Scanner::Keyword(std::string_view word) {
  if (!StartsWithIgnoreCase(rest(), word)) return false;
  const size_t end = position_ + word.size();
  if (end < text_.size() && IsAtomChar(text_[end])) return false;
  position_ = end;
  return true;
}

std::string_view Scanner::While(bool (*is)(char)) {
  const size_t start = position_;
  while (!AtEnd() && is(text_[position_])) ++position_;
  return text_.substr(start, position_ - start);
}

bool Scanner::Atom(std::string_view* out) {
  *out = While(IsAtomChar);
  return !out->empty() || Fail("an atom was expected");
}

bool Scanner::Quoted(std::string* out) {
  const size_t start = position_;
  if (!Char('"')) return false;
  out->clear();
  while (!AtEnd()) {
    char c = text_[position_++];
    if (c == '"') return true;
    if (c == '\\') {
      // RFC 3501 §9, QUOTED-CHAR: only '"' and '\' are escaped. Others escape more; the octet
      // itself is what they mean.
      if (AtEnd()) break;
      c = text_[position_++];
    }
    if (c == '\r' || c == '\n') break;
    out->push_back(c);
  }
  position_ = start;
  return Fail("a quoted string does not end");
}

bool Scanner::Literal(std::string* out) {
  const size_t start = position_;
  if (!Char('{')) return false;
  const std::string_view digits = While(IsAsciiDigit);
  Char('+');  // RFC 7888 §4: the client did not wait
  const std::optional<uint64_t> size = ParseUint(digits, text_.size());
  if (!size || !Char('}') || !Char('\r') || !Char('\n') || *size > text_.size() - position_) {
    position_ = start;
    return Fail("a literal is not well formed");
  }
  out->assign(text_.substr(position_, *size));
  position_ += *size;
  return true;
}

bool Scanner::QuotedOrLiteral(std::string* out) {
  if (Peek() == '"') return Quoted(out);
  if (Peek() == '{') return Literal(out);
  return Fail("a string was expected");
}

bool Scanner::AString(std::string* out) {
  if (Peek() == '"' || Peek() == '{') return QuotedOrLiteral(out);
  const std::string_view word = While(IsAStringChar);
  out->assign(word);
  return !word.empty() || Fail("a word or a string was expected");
}

bool Scanner::NString(std::optional<std::string>* out) {
  if (Keyword("NIL")) {
    out->reset();
    return true;
  }
  return QuotedOrLiteral(&out->emplace());
}

bool Scanner::Number64(uint64_t* out) {
  const size_t start = position_;
  // RFC 7162 §7 and RFC 9051 §9: number64 is below 2^63.
  const std::optional<uint64_t> number = ParseUint(While(IsAsciiDigit), INT64_MAX);
  if (!number) {
    position_ = start;
    return Fail("a number was expected");
  }
  *out = *number;
  return true;
}

bool Scanner::Number(uint32_t* out) {
  const size_t start = position_;
  uint64_t number = 0;
  if (!Number64(&number)) return false;
  if (number > UINT32_MAX) {
    position_ = start;
    return Fail("a number is too large");
  }
  *out = static_cast<uint32_t>(number);
  return true;
}

bool Scanner::NonZeroNumber(uint32_t* out) {
  const size_t start = position_;
  // RFC 3501 §9, nz-number: no leading zero.
  if (Peek() == '0' || !Number(out)) {
    position_ = start;
    return Fail("a number above zero was expected");
  }
  return true;
}

bool Scanner::Fail(std::string_view reason) {
  if (error_.empty()) error_ = reason;
  return false;
}

}  // namespace postern::imap
