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

void AppendNode(const OutgoingPart& part, std::string_view seed, size_t* number, std::string& out) {
  for (const auto& [name, value] : part.headers) AppendHeader(name, value, out);
  if (!part.content_id.empty()) AppendHeader("Content-ID", part.content_id, out);
  if (!part.parts.empty()) {
    const std::string boundary = StrCat("=_", seed, "_", (*number)++);
    AppendHeader("Content-Type", StrCat(part.content_type, "; boundary=\"", boundary, "\""), out);
    out += "\r\n";
    for (const OutgoingPart& child : part.parts) {
      StrAppend(out, "--", boundary, "\r\n");
      AppendNode(child, seed, number, out);
      out += "\r\n";
    }
    StrAppend(out, "--", boundary, "--\r\n");
    return;
  }
  const bool is_text = StartsWithIgnoreCase(part.content_type, "text/");
  // RFC 2046 §5.2.1: a message inside keeps its own encodings.
  const bool is_message = StartsWithIgnoreCase(part.content_type, "message/");
  ContentEncoding encoding = ChooseEncoding(part.content, is_text);
  if (is_message)
    encoding = Examine(part.content).eight_bit ? ContentEncoding::k8Bit : ContentEncoding::k7Bit;
  AppendHeader("Content-Type", part.content_type, out);
  if (encoding != ContentEncoding::k7Bit)
    AppendHeader("Content-Transfer-Encoding", ContentEncodingName(encoding), out);
  if (!part.file_name.empty()) {
    // EncodeParameter folds by itself where it must.
    StrAppend(out, "Content-Disposition: attachment", EncodeParameter("filename", part.file_name),
              "\r\n");
  }
  out += "\r\n";
  AppendBody(part, encoding, is_text, out);
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
  AppendNode(part, boundary_seed, &number, out);
}

}  // namespace postern::message
