#include "lib/service/deliver/mail_file.h"

#include <algorithm>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern::deliver {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;
constexpr uint64_t kHeaderScanBytes = 256 * 1024;

// Clean keeps an address from ending a header line; the parser of addresses lets no such octet
// through in the first place.
std::string Clean(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

constexpr std::string_view kReturnPath = "return-path";

// ForEachChunk hands what is delivered of `body` to `take` in large pieces.
Status ForEachChunk(const store::Body& body, const Sink& take) {
  WithoutReturnPath filter;
  if (const std::optional<std::string_view> whole = body.InMemory()) {
    POSTERN_RETURN_IF_ERROR(filter.Push(*whole, take));
    return filter.Finish(take);
  }
  std::vector<char> chunk(kChunkBytes);
  uint64_t offset = 0;
  while (offset < body.size_bytes()) {
    const StatusOr<size_t> got = body.ReadAt(offset, chunk);
    if (!got.ok()) return got.status();
    if (*got == 0) return DataLoss("message is shorter than the queue says");
    POSTERN_RETURN_IF_ERROR(filter.Push(std::string_view(chunk.data(), *got), take));
    offset += *got;
  }
  return filter.Finish(take);
}

// LineEndings turns CRLF into LF across the borders of chunks.
class LineEndings {
 public:
  void Append(std::string_view data, std::string& out) {
    if (held_cr_) {
      if (data.empty()) return;
      if (data.front() != '\n') out.push_back('\r');
      held_cr_ = false;
    }
    while (!data.empty()) {
      const size_t cr = data.find('\r');
      out.append(data.substr(0, cr));
      if (cr == std::string_view::npos) return;
      data.remove_prefix(cr + 1);
      if (data.empty()) {
        held_cr_ = true;
      } else if (data.front() != '\n') {
        out.push_back('\r');
      }
    }
  }
  void Finish(std::string& out) {
    if (held_cr_) out.push_back('\r');
  }

 private:
  bool held_cr_ = false;
};

bool IsFromLine(std::string_view line) {
  const size_t start = line.find_first_not_of('>');
  return start != std::string_view::npos && line.substr(start, 5) == "From ";
}

}  // namespace

WithoutReturnPath::Line WithoutReturnPath::JudgeLine() const {
  if (held_.front() == ' ' || held_.front() == '\t')
    return field_goes_ ? Line::kGoes : Line::kStays;
  if (held_.size() <= kReturnPath.size())
    return StartsWithIgnoreCase(kReturnPath, held_) ? Line::kBeginning : Line::kStays;
  // RFC 5322 §4.5: blanks may stand before the colon.
  const char last = held_.back();
  if (last == ':') return Line::kGoes;
  const bool blank = last == ' ' || last == '\t';
  return blank && held_.size() < kMaxHeldBytes ? Line::kBeginning : Line::kStays;
}

Status WithoutReturnPath::Push(std::string_view piece, const Sink& sink) {
  if (in_body_) return sink(piece);
  std::string kept;
  while (!piece.empty() && !in_body_) {
    if (line_ != Line::kBeginning) {
      const size_t lf = piece.find('\n');
      const size_t length = lf == std::string_view::npos ? piece.size() : lf + 1;
      if (line_ == Line::kStays) kept.append(piece.substr(0, length));
      if (lf != std::string_view::npos) line_ = Line::kBeginning;
      piece.remove_prefix(length);
      continue;
    }
    held_.push_back(piece.front());
    piece.remove_prefix(1);
    if (held_ == "\r") continue;
    in_body_ = held_ == "\n" || held_ == "\r\n";  // the empty line
    line_ = JudgeLine();
    if (line_ == Line::kBeginning) continue;
    field_goes_ = line_ == Line::kGoes;
    if (line_ == Line::kStays) kept.append(held_);
    if (held_.back() == '\n') line_ = Line::kBeginning;
    held_.clear();
  }
  if (!kept.empty()) POSTERN_RETURN_IF_ERROR(sink(kept));
  return piece.empty() ? OkStatus() : sink(piece);
}

Status WithoutReturnPath::Finish(const Sink& sink) {
  if (held_.empty()) return OkStatus();
  const std::string last = std::move(held_);
  held_.clear();
  return sink(last);
}

std::string ReturnPathHeader(const queue::Envelope& envelope) {
  return StrCat("Return-Path: <", Clean(envelope.sender.address.ToString()), ">\n");
}

std::string DeliveryHeaders(const queue::Envelope& envelope) {
  return StrCat(ReturnPathHeader(envelope),
                "Delivered-To: ", Clean(envelope.destination.ToString()), "\n");
}

Status WriteMaildirText(const std::string& headers, const store::Body& body, const Sink& sink) {
  std::string out = headers;
  LineEndings endings;
  POSTERN_RETURN_IF_ERROR(ForEachChunk(body, [&](std::string_view chunk) {
    out.reserve(out.size() + chunk.size());
    endings.Append(chunk, out);
    if (out.size() < kChunkBytes) return OkStatus();
    const Status status = sink(out);
    out.clear();
    return status;
  }));
  endings.Finish(out);
  return out.empty() ? OkStatus() : sink(out);
}

Status WriteMboxText(const queue::Envelope& envelope, const std::string& headers,
                     const store::Body& body, const Sink& sink) {
  const std::string sender =
      envelope.sender.address.empty() ? "MAILER-DAEMON" : Clean(envelope.sender.address.ToString());
  std::string from;
  for (const char c : sender) from.push_back(c == ' ' ? '-' : c);
  std::string out =
      StrCat("From ", from, " ",
             absl::FormatTime("%a %b %e %H:%M:%S %Y", envelope.created, absl::UTCTimeZone()), "\n",
             headers);
  std::string line;   // the unfinished last line
  std::string fresh;  // one chunk with its line ends turned
  LineEndings endings;
  const auto add_line = [&out](std::string_view text) {
    if (IsFromLine(text)) out.push_back('>');
    out.append(text);
  };
  const auto take = [&](std::string_view text) {
    while (!text.empty()) {
      const size_t lf = text.find('\n');
      line.append(text.substr(0, lf == std::string_view::npos ? lf : lf + 1));
      if (lf == std::string_view::npos) return;
      add_line(line);
      line.clear();
      text.remove_prefix(lf + 1);
    }
  };
  POSTERN_RETURN_IF_ERROR(ForEachChunk(body, [&](std::string_view chunk) {
    fresh.clear();
    endings.Append(chunk, fresh);
    take(fresh);
    if (out.size() < kChunkBytes) return OkStatus();
    const Status status = sink(out);
    out.clear();
    return status;
  }));
  fresh.clear();
  endings.Finish(fresh);
  take(fresh);
  if (!line.empty()) {
    add_line(line);
    out.push_back('\n');
  }
  out.push_back('\n');
  return sink(out);
}

namespace {

// AnyField tells whether `is_it` says yes to the name and the value of a line of the header; lines
// that go on with what the one before began have no name.
StatusOr<bool> AnyField(
    const store::Body& body,
    const std::function<bool(std::string_view name, std::string_view value)>& is_it) {
  std::string copy;
  std::string_view text;
  if (const std::optional<std::string_view> whole = body.InMemory()) {
    text = *whole;
  } else {
    copy.resize(static_cast<size_t>(std::min(body.size_bytes(), kHeaderScanBytes)));
    const StatusOr<size_t> got = body.ReadAt(0, copy);
    if (!got.ok()) return got.status();
    text = std::string_view(copy).substr(0, *got);
  }
  text = text.substr(0, kHeaderScanBytes);
  while (!text.empty()) {
    const size_t lf = text.find('\n');
    const std::string_view line = Trim(text.substr(0, lf));
    if (line.empty()) return false;
    const size_t colon = line.find(':');
    const bool begins = text.front() != ' ' && text.front() != '\t';
    if (begins && colon != std::string_view::npos &&
        is_it(Trim(line.substr(0, colon)), Trim(line.substr(colon + 1))))
      return true;
    if (lf == std::string_view::npos) return false;
    text.remove_prefix(lf + 1);
  }
  return false;
}

}  // namespace

StatusOr<bool> IsMarkedAsSpam(const store::Body& body) {
  return AnyField(body, [](std::string_view name, std::string_view value) {
    return (EqualsIgnoreCase(name, "x-spam") || EqualsIgnoreCase(name, "x-spam-flag")) &&
           EqualsIgnoreCase(value, "yes");
  });
}

StatusOr<bool> WasDeliveredTo(const store::Body& body, const mail::Address& address) {
  const std::string text = Clean(address.ToString());
  return AnyField(body, [&text](std::string_view name, std::string_view value) {
    return EqualsIgnoreCase(name, "delivered-to") && EqualsIgnoreCase(value, text);
  });
}

}  // namespace postern::deliver
