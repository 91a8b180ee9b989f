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

constexpr size_t kFoldBytes = 78;      // RFC 5322 §2.1.1: SHOULD
constexpr size_t kMaxLineBytes = 998;  // MUST

std::string OneLine(std::string_view value) {
  std::string out(value);
  for (char& c : out) {
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  return out;
}

void AppendBody(const OutgoingPart& part, ContentEncoding encoding, bool is_text,
                std::string& out) {
  switch (encoding) {
    case ContentEncoding::kBase64: out += mail::Base64EncodeLines(part.content); break;
    case ContentEncoding::kQuotedPrintable:
      out += mail::QuotedPrintableEncode(part.content, !is_text);
      break;
    case ContentEncoding::k7Bit:
    case ContentEncoding::k8Bit: out += part.content; break;
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

// WriteSource writes what a source gives, in base64.
Status WriteSource(const ContentSource& source, Output& output) {
  constexpr size_t kLineOctets = 57;  // 76 characters
  std::string octets;
  const size_t most = kPieceBytes / kLineOctets * kLineOctets;
  bool end = false;
  while (!end) {
    // Whole lines, so that the pieces join without padding between them.
    while (octets.size() < most) {
      const size_t before = octets.size();
      octets.resize(most);
      StatusOr<size_t> got = source(octets.data() + before, most - before);
      if (!got.ok()) return got.status();
      octets.resize(before + std::min(*got, most - before));
      if (*got == 0) {
        end = true;
        break;
      }
    }
    output.out() += mail::Base64EncodeLines(octets);
    octets.clear();
    POSTERN_RETURN_IF_ERROR(output.Flush(kPieceBytes));
  }
  return OkStatus();
}

Status WriteNode(const OutgoingPart& part, std::string_view seed, size_t* number, Output& output) {
  std::string& out = output.out();
  for (const auto& [name, value] : part.headers) AppendHeader(name, value, out);
  if (!part.content_id.empty()) AppendHeader("Content-ID", part.content_id, out);
  if (!part.parts.empty()) {
    const std::string boundary = StrCat("=_", seed, "_", (*number)++);
    AppendHeader("Content-Type", StrCat(part.content_type, "; boundary=\"", boundary, "\""), out);
    out += "\r\n";
    for (const OutgoingPart& child : part.parts) {
      StrAppend(out, "--", boundary, "\r\n");
      POSTERN_RETURN_IF_ERROR(WriteNode(child, seed, number, output));
      out += "\r\n";
    }
    StrAppend(out, "--", boundary, "--\r\n");
    return output.Flush(kPieceBytes);
  }
  const bool is_text = StartsWithIgnoreCase(part.content_type, "text/");
  // RFC 2046 §5.2.1: a message inside keeps its own encodings.
  const bool is_message = StartsWithIgnoreCase(part.content_type, "message/");
  ContentEncoding encoding =
      part.source ? ContentEncoding::kBase64 : ChooseEncoding(part.content, is_text);
  if (is_message && !part.source)
    encoding = Examine(part.content).eight_bit ? ContentEncoding::k8Bit : ContentEncoding::k7Bit;
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
    if (output.HasSink()) POSTERN_RETURN_IF_ERROR(WriteSource(part.source, output));
  } else {
    AppendBody(part, encoding, is_text, out);
  }
  return output.Flush(kPieceBytes);
}

}  // namespace

void AppendHeader(std::string_view name, std::string_view value, std::string& out) {
  const std::string line = OneLine(value);
  std::string_view left = Trim(line);
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
    if (!first && column + blanks.size() + text.size() > kFoldBytes) {
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
  AppendHeader(name, EncodeText(text), out);
}

void AppendAddressHeader(std::string_view name,
                         const std::vector<std::pair<std::string, std::string>>& mailboxes,
                         std::string& out) {
  if (mailboxes.empty()) return;
  std::vector<std::string> list;
  for (const auto& [display, address] : mailboxes) list.push_back(FormatMailbox(display, address));
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
  size_t number = 0;
  Output output(out, nullptr);
  const Status status = WriteNode(part, boundary_seed, &number, output);
  static_cast<void>(status);  // without a sink and sources nothing fails
}

Status WritePart(const OutgoingPart& part, std::string_view boundary_seed, const OctetSink& sink) {
  size_t number = 0;
  std::string piece;
  Output output(piece, &sink);
  POSTERN_RETURN_IF_ERROR(WriteNode(part, boundary_seed, &number, output));
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
