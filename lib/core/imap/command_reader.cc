#include "lib/core/imap/command_reader.h"

#include <algorithm>
#include <optional>

#include "lib/core/base/strings.h"

namespace postern::imap {
namespace {

constexpr size_t kTailBytes = 32;  // "{18446744073709551615+}" and room

// FindLiteral reads the "{n}" or "{n+}" that `line` ends in. `*start` is where its "{" stands.
std::optional<CommandReader::Literal> FindLiteral(std::string_view line, size_t* start) {
  if (line.empty() || line.back() != '}') return std::nullopt;
  const size_t open = line.rfind('{');
  if (open == std::string_view::npos) return std::nullopt;
  std::string_view digits = line.substr(open + 1, line.size() - open - 2);
  CommandReader::Literal literal;
  if (!digits.empty() && digits.back() == '+') {
    literal.synchronizing = false;
    digits.remove_suffix(1);
  }
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), IsAsciiDigit))
    return std::nullopt;
  // A number beyond 64 bits is as good as the largest: over every limit.
  literal.size_bytes = ParseUint(digits).value_or(UINT64_MAX);
  *start = open;
  return literal;
}

}  // namespace

CommandReader::Progress CommandReader::Read(ByteQueue& input, size_t limit_bytes,
                                            size_t discard_limit_bytes) {
  while (!input.empty()) {
    const std::string_view view = input.View();
    if (literal_left_ > 0) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(literal_left_, view.size()));
      if (view.substr(0, n).find('\0') != std::string_view::npos) bad_octet_ = true;
      text_.append(view.substr(0, n));
      input.Consume(n);
      literal_left_ -= n;
      line_start_ = text_.size();
      continue;
    }
    const size_t newline = view.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::string_view piece = view.substr(0, whole ? newline + 1 : view.size());
    std::string_view over;
    if (!discarding_) {
      // The beginning is kept for its tag, and the cut is where it is however the octets came.
      const size_t room = limit_bytes - std::min(limit_bytes, text_.size());
      text_.append(piece.substr(0, room));
      if (piece.size() > room) {
        discarding_ = true;
        over = piece.substr(room);
        const std::string_view kept = std::string_view(text_).substr(line_start_);
        tail_ = kept.substr(kept.size() - std::min(kept.size(), kTailBytes));
      }
    } else {
      over = piece;
    }
    if (discarding_) {
      tail_.append(over.substr(over.size() - std::min(over.size(), kTailBytes)));
      if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
      discarded_bytes_ += over.size();
    }
    input.Consume(piece.size());
    if (discarded_bytes_ > discard_limit_bytes) return Progress::kEndless;
    if (whole) return EndOfLine();
  }
  return Progress::kNeedInput;
}

CommandReader::Progress CommandReader::EndOfLine() {
  std::string& line_holder = discarding_ ? tail_ : text_;
  line_holder.pop_back();
  if (!line_holder.empty() && line_holder.back() == '\r' &&
      (discarding_ || line_holder.size() > line_start_)) {
    line_holder.pop_back();
  }
  size_t open = 0;
  if (discarding_) {
    const std::optional<Literal> behind = FindLiteral(tail_, &open);
    return behind && !behind->synchronizing ? Progress::kTooLongLiteral : Progress::kTooLong;
  }
  const std::string_view line = std::string_view(text_).substr(line_start_);
  if (line.find('\0') != std::string_view::npos || line.find('\r') != std::string_view::npos)
    bad_octet_ = true;
  const std::optional<Literal> literal = FindLiteral(line, &open);
  if (!literal) return bad_octet_ ? Progress::kBadOctet : Progress::kCommand;
  if (bad_octet_ && literal->synchronizing) return Progress::kBadOctet;
  if (bad_octet_) return Progress::kTooLongLiteral;
  literal_ = *literal;
  text_.resize(line_start_ + open);
  return Progress::kLiteral;
}

void CommandReader::TakeLiteral() {
  StrAppend(text_, "{", literal_.size_bytes, "}\r\n");
  literal_left_ = literal_.size_bytes;
  line_start_ = text_.size();
}

void CommandReader::Clear() {
  if (text_.capacity() > 256) {
    std::string().swap(text_);
  } else {
    text_.clear();
  }
  std::string().swap(tail_);
  line_start_ = 0;
  literal_left_ = 0;
  discarding_ = false;
  discarded_bytes_ = 0;
  bad_octet_ = false;
}

}  // namespace postern::imap
