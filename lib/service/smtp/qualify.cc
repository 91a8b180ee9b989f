#include "lib/service/smtp/qualify.h"

#include <vector>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

constexpr size_t kMaxLineBytes = 998;  // RFC 5322 §2.1.1, without CRLF

bool IsWordOctet(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-/=?^_`{|}~.";  // RFC 5322 §3.2.3, and the dot
  return IsAsciiAlnum(c) || kOthers.find(c) != std::string_view::npos;
}

// Words is what was read of one mailbox, outside or inside of its angle brackets.
struct Words {
  int count = 0;
  size_t end = 0;      // of the last
  bool whole = false;  // there is an "@", or something that no bare name has
};

// Reader finds the places where a domain is missing.
class Reader {
 public:
  explicit Reader(std::string_view value) : value_(value) {}

  // Read returns false when the value cannot be read.
  bool Read() {
    while (at_ < value_.size()) {
      if (!Step()) return false;
    }
    if (in_angle_) return false;
    EndMailbox();
    return true;
  }
  const std::vector<size_t>& places() const { return places_; }

 private:
  Words& words() { return in_angle_ ? angle_ : plain_; }

  bool Step() {
    const char c = value_[at_];
    switch (c) {
      case ' ':
      case '\t':
      case '\r':
      case '\n': ++at_; return true;
      case '(': return SkipComment();
      case '"': return TakeQuoted();
      case '<':
        if (in_angle_ || has_angle_) return false;
        in_angle_ = has_angle_ = true;
        ++at_;
        return true;
      case '>':
        if (!in_angle_) return false;
        if (angle_.count == 1 && !angle_.whole) places_.push_back(angle_.end);
        in_angle_ = false;
        ++at_;
        return true;
      case ',':
      case ';':
        if (in_angle_) return false;
        EndMailbox();
        ++at_;
        return true;
      case ':':
        // The name of a group is over; in brackets it ends a route, which has an "@".
        if (!in_angle_) plain_ = Words();
        ++at_;
        return true;
      default: TakeWord(); return true;
    }
  }

  void TakeWord() {
    Words& into = words();
    const size_t begin = at_;
    while (at_ < value_.size() && IsWordOctet(value_[at_])) ++at_;
    if (at_ == begin) {
      into.whole = true;
      ++at_;
      return;
    }
    ++into.count;
    into.end = at_;
  }

  bool TakeQuoted() {
    for (++at_; at_ < value_.size(); ++at_) {
      if (value_[at_] == '\\') {
        ++at_;
      } else if (value_[at_] == '"') {
        Words& into = words();
        ++into.count;
        into.end = ++at_;
        return true;
      }
    }
    return false;
  }

  bool SkipComment() {
    int depth = 0;
    for (; at_ < value_.size(); ++at_) {
      if (value_[at_] == '\\') {
        ++at_;
      } else if (value_[at_] == '(') {
        ++depth;
      } else if (value_[at_] == ')' && --depth == 0) {
        ++at_;
        return true;
      }
    }
    return false;
  }

  void EndMailbox() {
    if (!has_angle_ && plain_.count == 1 && !plain_.whole) places_.push_back(plain_.end);
    plain_ = angle_ = Words();
    has_angle_ = false;
  }

  std::string_view value_;
  size_t at_ = 0;
  Words plain_, angle_;
  bool in_angle_ = false, has_angle_ = false;
  std::vector<size_t> places_;
};

bool HasLongLine(std::string_view text) {
  for (const std::string_view line : Split(text, '\n')) {
    if (Trim(line).size() > kMaxLineBytes) return true;
  }
  return false;
}

}  // namespace

bool TakesQualification(std::string_view name) {
  return EqualsIgnoreCase(name, "From") || EqualsIgnoreCase(name, "To") ||
         EqualsIgnoreCase(name, "Cc");
}

std::string QualifyAddresses(std::string_view field, std::string_view domain) {
  const size_t colon = field.find(':');
  if (colon == std::string_view::npos || domain.empty()) return std::string(field);
  Reader reader(field.substr(colon + 1));
  if (!reader.Read() || reader.places().empty() || reader.places().size() > kMaxQualifiedNames)
    return std::string(field);
  std::string out;
  size_t done = 0;
  for (const size_t place : reader.places()) {
    const size_t at = colon + 1 + place;
    StrAppend(out, field.substr(done, at - done), "@", domain);
    done = at;
  }
  StrAppend(out, field.substr(done));
  return HasLongLine(out) ? std::string(field) : out;
}

}  // namespace postern::service
