#include "lib/core/message/builder.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

constexpr size_t kFoldBytes = 78;         // RFC 5322 §2.1.1: SHOULD
constexpr size_t kMaxLineBytes = 998;     // MUST
constexpr size_t kEncodedLineBytes = 76;  // RFC 2047 §2: a line with an encoded word

std::string OneLine(std::string_view value) {
  std::string out(value);
  for (char& c : out) {
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  return out;
}

size_t LongestWord(std::string_view text) {
  size_t longest = 0;
  for (const std::string_view word : Split(text, ' ')) longest = std::max(longest, word.size());
  return longest;
}

// CrlfEnds writes every bare LF as CRLF; a text may come in pieces, cut anywhere. A CR alone stays:
// nobody knows whether it ends a line.
class CrlfEnds {
 public:
  void Append(std::string_view piece, std::string& out) {
    while (!piece.empty()) {
      const size_t lf = std::min(piece.find('\n'), piece.size());
      out.append(piece.substr(0, lf));
      if (lf > 0) after_cr_ = piece[lf - 1] == '\r';
      if (lf == piece.size()) return;
      out += after_cr_ ? "\n" : "\r\n";
      after_cr_ = false;
      piece.remove_prefix(lf + 1);
    }
  }

 private:
  bool after_cr_ = false;
};

std::string WithCrlf(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32);
  CrlfEnds().Append(text, out);
  return out;
}

// Kind is what decides about the octets of a leaf.
enum class Kind : unsigned char {
  kOctets,   // they stay as they are
  kText,     // lines end in CRLF, also inside an encoding (RFC 2045 §6.8, RFC 2046 §4.1.1)
  kMessage,  // may not be encoded at all (RFC 2046 §5.2.1), but for message/global (RFC 6532 §3.7)
};

Kind KindOf(const OutgoingPart& part) {
  if (StartsWithIgnoreCase(part.content_type, "message/")) return Kind::kMessage;
  if (!StartsWithIgnoreCase(part.content_type, "text/")) return Kind::kOctets;
  // In a charset of wider units an octet 10 is no line end, and a text with NUL is none.
  if (part.content.find('\0') != std::string::npos) return Kind::kOctets;
  const std::string type = AsciiLower(part.content_type);
  for (const std::string_view wide : {"utf-16", "utf-32", "ucs-2", "ucs-4", "utf16", "utf32"}) {
    if (type.find(wide) != std::string::npos) return Kind::kOctets;
  }
  return Kind::kText;
}

bool IsGlobal(const OutgoingPart& part) {
  return StartsWithIgnoreCase(part.content_type, "message/global") &&
         (part.content_type.size() == 14 || !IsAsciiAlnum(part.content_type[14]));
}

// HoldsLines tells whether a content may go out as it is: no line is over the bound.
bool HoldsLines(std::string_view content) {
  return Examine(content).longest_line_bytes <= kMaxLineBytes;
}

Status LineTooLong() {
  return InvalidArgument(
      "an attached message has a line of more than 998 octets (RFC 5322 section 2.1.1), and may "
      "not "
      "be encoded (RFC 2046 section 5.2.1)");
}

ContentEncoding EncodingOf(const OutgoingPart& part) {
  const Kind kind = KindOf(part);
  if (kind != Kind::kMessage)
    return part.source ? ContentEncoding::kBase64
                       : ChooseEncoding(part.content, kind == Kind::kText);
  if (!part.source && IsGlobal(part) && !HoldsLines(part.content)) return ContentEncoding::kBase64;
  // Nobody knows yet what a source will give.
  return part.source || Examine(part.content).eight_bit ? ContentEncoding::k8Bit
                                                        : ContentEncoding::k7Bit;
}

// PlanEncodings lists the encodings of `part` and of all below it in the order in which they are
// written. A multipart says of itself what the widest of its parts says (RFC 2045 §6.4).
ContentEncoding PlanEncodings(const OutgoingPart& part, std::vector<ContentEncoding>& plan) {
  const size_t place = plan.size();
  plan.push_back(ContentEncoding::k7Bit);
  if (part.parts.empty()) return plan[place] = EncodingOf(part);
  for (const OutgoingPart& child : part.parts) {
    if (PlanEncodings(child, plan) == ContentEncoding::k8Bit) plan[place] = ContentEncoding::k8Bit;
  }
  return plan[place];
}

void AppendBody(const OutgoingPart& part, ContentEncoding encoding, std::string& out) {
  const Kind kind = KindOf(part);
  switch (encoding) {
    case ContentEncoding::kBase64:
      out += mail::Base64EncodeLines(kind == Kind::kText ? WithCrlf(part.content) : part.content);
      break;
    case ContentEncoding::kQuotedPrintable:
      out += mail::QuotedPrintableEncode(part.content, kind != Kind::kText);
      break;
    case ContentEncoding::k7Bit:
    case ContentEncoding::k8Bit: CrlfEnds().Append(part.content, out); break;
  }
}

// Output gathers octets and hands them on when there are enough; without a sink they stay.
class Output {
 public:
  Output(std::string& out, const OctetSink* sink) : out_(out), sink_(sink) {}

  std::string& out() { return out_; }
  Status Flush(size_t least = 0) {
    if (sink_ == nullptr || out_.size() < std::max<size_t>(least, 1)) return OkStatus();
    Status status = (*sink_)(out_);
    out_.clear();
    return status;
  }
  bool HasSink() const { return sink_ != nullptr; }

 private:
  std::string& out_;
  const OctetSink* sink_;
};

constexpr size_t kPieceBytes = 64 * 1024;

// WriteSource writes what a source gives: in base64, or as it is when `plain`. The lines of text
// and of messages get CRLF.
Status WriteSource(const OutgoingPart& part, bool plain, Output& output) {
  constexpr size_t kLineOctets = 57;  // 76 characters
  constexpr size_t kMost = kPieceBytes / kLineOctets * kLineOctets;
  const bool lines = KindOf(part) != Kind::kOctets;
  CrlfEnds ends;
  std::string piece(kMost, '\0');
  std::string octets;
  size_t line = 0;  // octets of the line so far; of a message it is bounded
  bool end = false;
  while (!end) {
    // Whole lines, so that the pieces join without padding between them.
    while (octets.size() < kMost) {
      StatusOr<size_t> got = part.source(piece.data(), kMost - octets.size());
      if (!got.ok()) return got.status();
      end = *got == 0;
      if (end) break;
      const auto read = std::string_view(piece).substr(0, std::min(*got, kMost - octets.size()));
      if (plain) {
        for (const char c : read) {
          line = c == '\n' ? 0 : line + 1;
          if (line > kMaxLineBytes + (c == '\r' ? 1 : 0)) return LineTooLong();
        }
      }
      if (lines) {
        ends.Append(read, octets);
      } else {
        octets.append(read);
      }
    }
    // CRLF may have made it longer than a piece.
    const size_t whole = end ? octets.size() : octets.size() / kLineOctets * kLineOctets;
    if (plain) {
      output.out().append(octets, 0, whole);
    } else {
      output.out() += mail::Base64EncodeLines(std::string_view(octets).substr(0, whole));
    }
    octets.erase(0, whole);
    POSTERN_RETURN_IF_ERROR(output.Flush(kPieceBytes));
  }
  return OkStatus();
}

// Progress is what WriteNode knows of the whole tree.
struct Progress {
  std::string_view seed;
  std::vector<ContentEncoding> plan;
  size_t nodes = 0;       // written so far
  size_t boundaries = 0;  // made so far
};

Status WriteNode(const OutgoingPart& part, Progress& progress, Output& output) {
  std::string& out = output.out();
  const ContentEncoding encoding = progress.plan[progress.nodes++];
  for (const auto& [name, value] : part.headers) AppendHeader(name, value, out);
  if (!part.content_id.empty()) AppendHeader("Content-ID", part.content_id, out);
  if (!part.parts.empty()) {
    const std::string boundary = StrCat("=_", progress.seed, "_", progress.boundaries++);
    AppendHeader("Content-Type", StrCat(part.content_type, "; boundary=\"", boundary, "\""), out);
    if (encoding == ContentEncoding::k8Bit)
      AppendHeader("Content-Transfer-Encoding", ContentEncodingName(encoding), out);
    out += "\r\n";
    for (const OutgoingPart& child : part.parts) {
      StrAppend(out, "--", boundary, "\r\n");
      POSTERN_RETURN_IF_ERROR(WriteNode(child, progress, output));
      out += "\r\n";
    }
    StrAppend(out, "--", boundary, "--\r\n");
    return output.Flush(kPieceBytes);
  }
  AppendHeader("Content-Type", part.content_type, out);
  if (encoding != ContentEncoding::k7Bit)
    AppendHeader("Content-Transfer-Encoding", ContentEncodingName(encoding), out);
  if (!part.file_name.empty() || part.is_inline) {
    // EncodeParameter folds by itself where it must.
    StrAppend(out, "Content-Disposition: ", part.is_inline ? "inline" : "attachment",
              part.file_name.empty() ? "" : EncodeParameter("filename", part.file_name), "\r\n");
  }
  out += "\r\n";
  if (part.source) {
    if (output.HasSink())
      POSTERN_RETURN_IF_ERROR(WriteSource(part, encoding != ContentEncoding::kBase64, output));
  } else {
    if (KindOf(part) == Kind::kMessage && encoding != ContentEncoding::kBase64 &&
        !HoldsLines(part.content))
      return LineTooLong();
    AppendBody(part, encoding, out);
  }
  return output.Flush(kPieceBytes);
}

}  // namespace

void AppendHeader(std::string_view name, std::string_view value, std::string& out) {
  const std::string line = OneLine(value);
  std::string_view left = Trim(line);
  const size_t fold = line.find("=?") == std::string::npos ? kFoldBytes : kEncodedLineBytes;
  StrAppend(out, name, ":");
  size_t column = name.size() + 1;
  while (!left.empty()) {
    // One word with the blanks before it.
    size_t word = left.find_first_not_of(" \t");
    if (word == std::string_view::npos) break;
    const size_t end = std::min(left.find_first_of(" \t", word), left.size());
    const bool first = column == name.size() + 1;
    const std::string_view blanks = word == 0 ? std::string_view(" ") : left.substr(0, word);
    std::string_view text = left.substr(word, end - word);
    if (!first && column + blanks.size() + text.size() > fold) {
      out += "\r\n";
      column = 0;
    }
    out += blanks;
    column += blanks.size();
    while (column + text.size() > kMaxLineBytes) {
      // A word that no line holds is cut: an odd blank is better than a line that a relay cuts.
      const std::string_view piece = text.substr(0, kMaxLineBytes - column);
      StrAppend(out, piece, "\r\n ");
      text.remove_prefix(piece.size());
      column = 1;
    }
    out += text;
    column += text.size();
    left.remove_prefix(end);
  }
  out += "\r\n";
}

void AppendTextHeader(std::string_view name, std::string_view text, std::string& out) {
  const size_t column = name.size() + 2;
  // RFC 2919 §3: what a program looks for stands in the brackets; only the words before may be
  // encoded (RFC 2047 §5).
  const size_t id = text.rfind('<');
  if (EqualsIgnoreCase(name, "List-Id") && !IsAscii(text) && id != std::string_view::npos &&
      IsAscii(text.substr(id))) {
    const std::string words = EncodeText(Trim(text.substr(0, id)), WordContext::kPhrase, column);
    return AppendHeader(name, StrCat(words, " ", text.substr(id)), out);
  }
  // A word that fits on no line can be folded in no other way.
  const bool always = LongestWord(text) > kMaxLineBytes - column;
  AppendHeader(name, EncodeText(text, WordContext::kText, column, always), out);
}

void AppendAddressHeader(std::string_view name,
                         const std::vector<std::pair<std::string, std::string>>& mailboxes,
                         std::string& out) {
  if (mailboxes.empty()) return;
  std::vector<std::string> list;
  for (const auto& [display, address] : mailboxes)
    list.push_back(FormatMailbox(display, address, list.empty() ? name.size() + 2 : 1));
  AppendHeader(name, StrJoin(list, ", "), out);
}

ContentEncoding ChooseEncoding(std::string_view content, bool is_text) {
  const OctetFacts facts = Examine(content);
  const bool odd_lines = facts.bare_cr || facts.bare_lf || facts.longest_line_bytes > kMaxLineBytes;
  if (!facts.eight_bit && !facts.nul && !odd_lines) return ContentEncoding::k7Bit;
  if (!is_text) return ContentEncoding::kBase64;
  // Quoted-printable takes three octets for one that is not ASCII, base64 four for any three.
  const auto foreign = static_cast<size_t>(std::count_if(
      content.begin(), content.end(), [](char c) { return !IsAscii(c) || c == '='; }));
  if (facts.nul || facts.bare_cr || foreign > content.size() / 6) return ContentEncoding::kBase64;
  return ContentEncoding::kQuotedPrintable;
}

std::string_view ContentEncodingName(ContentEncoding encoding) {
  switch (encoding) {
    case ContentEncoding::k7Bit: return "7bit";
    case ContentEncoding::k8Bit: return "8bit";
    case ContentEncoding::kQuotedPrintable: return "quoted-printable";
    case ContentEncoding::kBase64: return "base64";
  }
  return "7bit";
}

void AppendPart(const OutgoingPart& part, std::string_view boundary_seed, std::string& out) {
  Progress progress{boundary_seed, {}};
  PlanEncodings(part, progress.plan);
  Output output(out, nullptr);
  const Status status = WriteNode(part, progress, output);
  static_cast<void>(status);  // without a sink and sources nothing fails
}

Status WritePart(const OutgoingPart& part, std::string_view boundary_seed, const OctetSink& sink) {
  Progress progress{boundary_seed, {}};
  PlanEncodings(part, progress.plan);
  std::string piece;
  Output output(piece, &sink);
  POSTERN_RETURN_IF_ERROR(WriteNode(part, progress, output));
  return output.Flush();
}

OutgoingPart ComposeLetter(Letter letter) {
  const auto leaf = [](std::string_view type, std::string content) {
    OutgoingPart part;
    part.content_type = std::string(type);
    part.content = std::move(content);
    return part;
  };
  const auto multipart = [](std::string_view type, std::vector<OutgoingPart> parts) {
    OutgoingPart part;
    part.content_type = std::string(type);
    part.parts = std::move(parts);
    return part;
  };
  OutgoingPart body;
  if (letter.html.empty()) {
    body = leaf("text/plain; charset=utf-8", std::move(letter.text));
    // Without HTML there is nothing that they could be shown in.
    for (OutgoingPart& part : letter.related) letter.attachments.push_back(std::move(part));
  } else {
    body = leaf("text/html; charset=utf-8", std::move(letter.html));
    if (!letter.related.empty()) {
      std::vector<OutgoingPart> parts;
      parts.push_back(std::move(body));
      for (OutgoingPart& part : letter.related) {
        part.is_inline = true;
        parts.push_back(std::move(part));
      }
      // RFC 2387 §3.1: the type of the root is told.
      body = multipart("multipart/related; type=\"text/html\"", std::move(parts));
    }
    if (!letter.text.empty()) {
      // RFC 2046 §5.1.4: the plainest first, the best last.
      std::vector<OutgoingPart> parts;
      parts.push_back(leaf("text/plain; charset=utf-8", std::move(letter.text)));
      parts.push_back(std::move(body));
      body = multipart("multipart/alternative", std::move(parts));
    }
  }
  if (letter.attachments.empty()) return body;
  std::vector<OutgoingPart> parts;
  parts.push_back(std::move(body));
  for (OutgoingPart& part : letter.attachments) parts.push_back(std::move(part));
  return multipart("multipart/mixed", std::move(parts));
}

}  // namespace postern::message
