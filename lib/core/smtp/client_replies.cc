#include "lib/core/smtp/client_replies.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

std::string Scrub(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\t') c = ' ';
    if (!IsAsciiPrintable(c)) c = '?';
  }
  return out;
}

}  // namespace

ReplyReader::Result ReplyReader::Malformed(std::string_view error) {
  error_ = error;
  return {Found::kMalformed, 0};
}

ReplyReader::Result ReplyReader::Next(std::string_view input) {
  size_t consumed = 0;
  while (true) {
    const std::string_view rest = input.substr(consumed);
    const size_t end = rest.find('\n', scanned_);
    if (end == std::string_view::npos) {
      scanned_ = rest.size();
      if (rest.size() >= limits_.max_line_bytes) return Malformed("a reply line without end");
      return {Found::kNothing, consumed};
    }
    scanned_ = 0;
    if (end + 1 > limits_.max_line_bytes) return Malformed("a reply line is too long");
    std::string_view line = rest.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    consumed += end + 1;

    if (line.size() < 3 || line[0] < '2' || line[0] > '5' || !IsAsciiDigit(line[1]) ||
        !IsAsciiDigit(line[2]) || (line.size() > 3 && line[3] != ' ' && line[3] != '-')) {
      return Malformed("a line that is not a reply");
    }
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (lines_ > 0 && code != reply_.code) return Malformed("a reply with two codes");
    if (++lines_ > limits_.max_lines) return Malformed("a reply with too many lines");
    const bool last = line.size() == 3 || line[3] == ' ';
    std::string_view text = line.size() > 4 ? line.substr(4) : std::string_view();
    reply_.code = code;
    // RFC 2034 §4: the enhanced status stands on each line of a reply; it counts when its class is
    // that of the code.
    const size_t blank = std::min(text.find(' '), text.size());
    const mail::EnhancedStatus status = mail::EnhancedStatus::Parse(text.substr(0, blank));
    if (!status.empty() && status.klass == code / 100 && (lines_ == 1 || status == reply_.status)) {
      reply_.status = status;
      text.remove_prefix(std::min(blank + 1, text.size()));
    }
    if (text_bytes_ < limits_.max_text_bytes) {
      text = text.substr(0, limits_.max_text_bytes - text_bytes_);
      text_bytes_ += text.size();
      reply_.lines.push_back(Scrub(text));
    }
    if (last) return {Found::kReply, consumed};
  }
}

mail::Reply ReplyReader::TakeReply() {
  lines_ = 0;
  text_bytes_ = 0;
  return std::exchange(reply_, {});
}

}  // namespace postern::smtp
