#include "lib/core/smtp/server_framing.h"

#include <algorithm>
#include <cstring>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

// RFC 5321 §4.5.3.1.6, with CRLF.
constexpr uint64_t kTextLineBytes = 1000;

bool HasEightBit(const char* data, size_t size) {
  unsigned char all = 0;
  for (size_t i = 0; i < size; ++i) all |= static_cast<unsigned char>(data[i]);
  return (all & 0x80) != 0;
}

// CheckOctets finds the defects that need no line structure.
uint8_t CheckOctets(const char* data, size_t size) {
  uint8_t defects = 0;
  if (std::memchr(data, '\0', size) != nullptr) defects |= kDefectNul;
  if (HasEightBit(data, size)) defects |= kDefectEightBit;
  return defects;
}

}  // namespace

size_t InputBuffer::Append(std::string_view octets, size_t limit_bytes) {
  const size_t kept = size();
  if (kept >= limit_bytes) return 0;
  const std::string_view taken = octets.substr(0, limit_bytes - kept);
  if (start_ > 0) {
    bytes_.erase(0, start_);
    start_ = 0;
  }
  bytes_.append(taken);
  return taken.size();
}

void InputBuffer::Consume(size_t n) {
  start_ += n;
  if (start_ >= bytes_.size()) Clear();
}

void InputBuffer::ConsumeAndWipe(size_t n) {
  volatile char* const octets = data();
  for (size_t i = 0; i < n; ++i) octets[i] = 0;
  Consume(n);
}

void InputBuffer::Clear() {
  bytes_.clear();
  start_ = 0;
}

void InputBuffer::Release() {
  if (!empty()) return;
  std::string().swap(bytes_);
  start_ = 0;
}

LineScanner::Result LineScanner::Next(std::string_view input, size_t limit_bytes) {
  const size_t end = input.find('\n', scanned_);
  if (end == std::string_view::npos) {
    scanned_ = input.size();
    if (dropped_ == 0 && scanned_ < limit_bytes) return {};
    const size_t dropped = scanned_;
    dropped_ += dropped;
    scanned_ = 0;
    return {Found::kNothing, {}, dropped};
  }
  scanned_ = 0;
  const size_t consumed = end + 1;
  if (dropped_ > 0 || consumed > limit_bytes) {
    dropped_ = 0;
    return {Found::kTooLong, {}, consumed};
  }
  const bool has_cr = end > 0 && input[end - 1] == '\r';
  return {has_cr ? Found::kLine : Found::kBareLf, input.substr(0, has_cr ? end - 1 : end),
          consumed};
}

void TextFramer::EndLine(uint64_t bytes) {
  longest_line_ = std::max(longest_line_, line_bytes_ + bytes);
  if (line_bytes_ + bytes > kTextLineBytes) defects_ |= kDefectLongLine;
  line_bytes_ = 0;
}

TextFramer::Result TextFramer::Next(char* data, size_t size) {
  Result result;
  size_t read = 0;
  size_t write = 0;
  while (read < size) {
    const size_t left = size - read;
    char* const at = data + read;
    if (at_line_start_ && at[0] == '.') {
      // ".", ".\r": not known yet whether the data ends here.
      if (left == 1 || (left == 2 && at[1] == '\r')) break;
      if (at[1] == '\r' && at[2] == '\n') {
        read += 3;
        result.ended = true;
        break;
      }
      // RFC 5321 §4.5.2: the first dot of a line with anything behind it is dropped. at_line_start_
      // stays as it is only until the next octet is looked at, which may be another dot: that one
      // is text.
      ++read;
      at_line_start_ = false;
      continue;
    }
    const char* const lf = static_cast<const char*>(std::memchr(at, '\n', left));
    size_t take = lf != nullptr ? static_cast<size_t>(lf - at) + 1 : left;
    if (lf == nullptr && at[left - 1] == '\r') --take;  // may become CRLF
    if (take == 0) break;
    const bool crlf = lf != nullptr && take >= 2 && at[take - 2] == '\r';
    if (lf != nullptr && !crlf) defects_ |= kDefectBareLf;
    const size_t before_end = crlf ? take - 2 : take;
    if (before_end > 0 && std::memchr(at, '\r', before_end) != nullptr) defects_ |= kDefectBareCr;
    if (write != read) std::memmove(data + write, at, take);
    write += take;
    read += take;
    if (crlf) {
      EndLine(take);
      at_line_start_ = true;
    } else {
      line_bytes_ += take;
      longest_line_ = std::max(longest_line_, line_bytes_);
      at_line_start_ = false;
    }
  }
  defects_ |= CheckOctets(data, write);
  result.consumed = read;
  result.text_bytes = write;
  return result;
}

void TextChecker::Scan(std::string_view octets) {
  defects_ |= CheckOctets(octets.data(), octets.size());
  size_t at = 0;
  while (at < octets.size()) {
    if (after_cr_) {
      after_cr_ = false;
      if (octets[at] == '\n') {
        longest_line_ = std::max(longest_line_, line_bytes_ + 1);
        if (line_bytes_ + 1 > kTextLineBytes) defects_ |= kDefectLongLine;
        line_bytes_ = 0;
        at_line_start_ = true;
        ++at;
        continue;
      }
      defects_ |= kDefectBareCr;
    }
    const size_t end = std::min(octets.find_first_of("\r\n", at), octets.size());
    line_bytes_ += end - at;
    if (end > at) at_line_start_ = false;
    at = end;
    if (at == octets.size()) break;
    ++line_bytes_;
    at_line_start_ = false;
    if (octets[at] == '\r') {
      after_cr_ = true;
    } else {
      defects_ |= kDefectBareLf;
    }
    ++at;
  }
  longest_line_ = std::max(longest_line_, line_bytes_);
}

void TextChecker::Finish() {
  if (after_cr_) defects_ |= kDefectBareCr;
  if (!at_line_start_) defects_ |= kDefectNoFinalCrlf;
}

std::string_view LooksForeign(std::string_view start) {
  if (start.empty()) return {};
  // RFC 8446 §5.1: a TLS record of type handshake (22), version 3.x. The first octet is not enough
  // to be sure, but no SMTP command starts with it.
  if (start[0] == '\x16') return "TLS";
  // An SSLv2-shaped ClientHello has its high bit set, as has all 8-bit text; no command starts with
  // either.
  if (!IsAscii(start[0])) return "binary data";
  for (const char c : start.substr(0, 4)) {
    if (c == '\r' || c == '\n') break;
    if (!IsAsciiPrintable(c) && c != '\t') return "binary data";
  }
  return {};
}

}  // namespace postern::smtp
