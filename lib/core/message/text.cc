#include "lib/core/message/text.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/html_text.h"

namespace postern::message {
namespace {

std::string Charset(const MessageView& message, const Part& part) {
  const Header* header = message.Find(part, Field::kContentType);
  std::string_view type, subtype, rest;
  if (header == nullptr || !ScanMediaType(header->value, &type, &subtype, &rest)) return "";
  ParameterScanner scanner(rest);
  RawParameter parameter;
  while (scanner.Next(&parameter)) {
    if (EqualsIgnoreCase(parameter.name, "charset") ||
        EqualsIgnoreCase(parameter.name, "charset*")) {
      return parameter.Unquoted();
    }
  }
  return "";
}

// MetaCharset looks for the charset that HTML names itself, where a browser looks for it: in a
// <meta> among the first 1024 octets (HTML §13.2.3.2). "" when none is known.
std::string MetaCharset(std::string_view html) {
  constexpr size_t kLookBytes = 1024;
  const std::string head = AsciiLower(html.substr(0, kLookBytes));
  for (size_t at = head.find("<meta"); at != std::string::npos; at = head.find("<meta", at + 1)) {
    const std::string_view tag = std::string_view(head).substr(at, head.find('>', at) - at);
    size_t value = tag.find("charset");
    if (value == std::string_view::npos) continue;
    value = tag.find_first_not_of(" \t\r\n", value + 7);
    if (value == std::string_view::npos || tag[value] != '=') continue;
    value = tag.find_first_not_of(" \t\r\n\"'", value + 1);
    if (value == std::string_view::npos) continue;
    const size_t end = tag.find_first_of(" \t\r\n\"';/>", value);
    std::string name(tag.substr(value, end - value));
    // What could be read so far is no UTF-16, whatever it says.
    if (name.starts_with("utf-16")) name = "utf-8";
    if (IsKnownCharset(name)) return name;
  }
  return "";
}

// CharsetOf is the charset to read a text part in, whose decoded octets are given.
std::string CharsetOf(const MessageView& message, const Part& part, std::string_view octets) {
  std::string charset = Charset(message, part);
  if (charset.empty() && part.Is("text", "html")) charset = MetaCharset(octets);
  return charset;
}

// AppendWithLf adds text with CRLF and lone CR as LF.
void AppendWithLf(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t cr = std::min(text.find('\r'), text.size());
    out.append(text.substr(0, cr));
    if (cr == text.size()) return;
    text.remove_prefix(cr + 1);
    if (text.empty() || text.front() != '\n') out.push_back('\n');
  }
}

bool IsText(const Part& part) {
  // A multipart that came to nothing is text to whoever reads it.
  return part.kind != PartKind::kMessage &&
         (part.Is("text", "") || (part.Is("multipart", "") && part.child_count == 0));
}

}  // namespace

namespace {

bool DecodeOctets(TransferEncoding encoding, std::string_view octets, std::string& out) {
  switch (encoding) {
    case TransferEncoding::kBase64: return mail::Base64DecodeLenient(octets, out);
    case TransferEncoding::kQuotedPrintable: return mail::QuotedPrintableDecode(octets, out);
    case TransferEncoding::kIdentity: break;
  }
  out.append(octets);
  return true;
}

}  // namespace

bool DecodeBody(const MessageView& message, const Part& part, std::string& out) {
  return DecodeOctets(part.encoding, message.BodyBytes(part), out);
}

BodyReader::BodyReader(const MessageView& message, const Part& part, size_t piece_bytes)
    : left_(message.BodyBytes(part)),
      encoding_(part.encoding),
      piece_bytes_(std::max<size_t>(piece_bytes, 64)) {}

bool BodyReader::Next(std::string_view* piece) {
  // A piece may come to nothing, of line ends and soft breaks alone.
  while (!left_.empty()) {
    const std::string_view octets = left_.substr(0, NextCut());
    left_.remove_prefix(octets.size());
    if (encoding_ == TransferEncoding::kIdentity) {
      *piece = octets;
      return true;
    }
    buffer_.clear();
    if (encoding_ == TransferEncoding::kBase64) {
      base64_.Decode(octets, buffer_);
      if (left_.empty()) correct_ = base64_.Finish(buffer_);
    } else {
      correct_ = mail::QuotedPrintableDecode(octets, buffer_) && correct_;
    }
    if (buffer_.empty()) continue;
    *piece = buffer_;
    return true;
  }
  return false;
}

size_t BodyReader::NextCut() const {
  if (left_.size() <= piece_bytes_ || encoding_ != TransferEncoding::kQuotedPrintable)
    return std::min(left_.size(), piece_bytes_);
  // Behind a line end, nothing that comes before matters.
  const size_t lf = left_.rfind('\n', piece_bytes_ - 1);
  if (lf != std::string_view::npos) return lf + 1;
  // In a long line the cut may fall neither into "=XX" nor among blanks or before a line end: what
  // they mean shows in what follows.
  size_t cut = piece_bytes_;
  const auto open = [&](size_t at) {
    const char c = left_[at];
    return c == '=' || c == ' ' || c == '\t' || c == '\r';
  };
  while (cut < left_.size() && (open(cut - 1) || left_[cut - 2] == '=')) ++cut;
  return cut;
}

std::string DecodeBodyText(const MessageView& message, const Part& part, size_t max_bytes) {
  std::string decoded;
  std::string_view octets = message.BodyBytes(part).substr(0, max_bytes);
  if (part.encoding != TransferEncoding::kIdentity) {
    DecodeOctets(part.encoding, octets, decoded);
    octets = decoded;
  }
  std::string text;
  AppendAsUtf8(CharsetOf(message, part, octets), octets, text);
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  const auto nuls = static_cast<size_t>(std::count(text.begin(), text.end(), '\0'));
  if (nuls == 0) return text;
  std::string clean;
  clean.reserve(text.size() + nuls * (mail::kReplacementCharacter.size() - 1));
  for (const char c : text) {
    if (c == '\0') {
      clean.append(mail::kReplacementCharacter);
    } else {
      clean.push_back(c);
    }
  }
  return clean;
}

std::vector<DefectAt> ContentDefects(const MessageView& message, size_t max_defects) {
  std::vector<DefectAt> defects;
  std::string decoded, text;
  for (size_t i = 0; i < message.parts().size(); ++i) {
    const Part& part = message.part(i);
    if (part.kind != PartKind::kLeaf) continue;
    const auto note = [&](Defect defect) {
      if (defects.size() < max_defects)
        defects.push_back({defect, static_cast<uint32_t>(i),
                           part.source == 0 ? part.body_offset : message.OffsetInRaw(part)});
    };
    if (!part.Is("text", "")) {
      BodyReader reader(message, part);
      for (std::string_view piece; reader.Next(&piece);) {
      }
      if (!reader.correct()) note(Defect::kBadEncodedBody);
      continue;
    }
    decoded.clear();
    text.clear();
    // What is not encoded is looked at where it stands: a large body costs no memory.
    std::string_view octets = message.BodyBytes(part);
    if (part.encoding != TransferEncoding::kIdentity) {
      if (!DecodeBody(message, part, decoded)) note(Defect::kBadEncodedBody);
      octets = decoded;
    }
    const std::string charset = CharsetOf(message, part, octets);
    if (charset.empty() || EqualsIgnoreCase(charset, "utf-8")) {
      // RFC 2045 §5.2: us-ascii; UTF-8 without saying so harms nobody.
      if (!mail::IsValidUtf8(octets)) note(Defect::kBadCharsetOctets);
    } else if (!IsKnownCharset(charset)) {
      note(Defect::kUnknownCharset);
    } else if (!AppendAsUtf8(charset, octets, text)) {
      note(Defect::kBadCharsetOctets);
    }
  }
  return defects;
}

std::string DecodedText(const MessageView& message, const TextOptions& options) {
  std::string out;
  const auto add = [&](std::string_view text) {
    const std::string folded = options.fold_case ? FoldCase(text) : std::string();
    if (options.fold_case) text = folded;
    AppendWithLf(
        mail::TruncateUtf8(text, options.max_bytes - std::min(options.max_bytes, out.size())), out);
    if (!text.empty() && out.size() < options.max_bytes) out.push_back('\n');
  };
  for (const Part& part : message.parts()) {
    if (out.size() >= options.max_bytes) break;
    // The header of the message itself is no part of its body; those of its parts are (RFC 3501
    // §6.4.4: BODY searches the body).
    const bool own_header = &part == &message.root();
    if (own_header ? options.headers : options.headers || options.bodies) {
      for (const Header& header : message.headers(part)) {
        if (out.size() >= options.max_bytes) break;
        add(StrCat(header.name, ": ", DecodeText(header.value)));
      }
    }
    if (!options.bodies || !IsText(part)) continue;
    const std::string text = DecodeBodyText(message, part);
    add(options.html_as_text && part.Is("text", "html") ? HtmlToText(text) : text);
  }
  return out;
}

std::string DecodedHeader(const MessageView& message, std::string_view name, bool fold_case,
                          bool* found) {
  std::string out;
  *found = false;
  for (const Header& header : message.headers(message.root())) {
    if (header.name.size() != name.size() || !EqualsIgnoreCase(header.name, name)) continue;
    if (*found) out.push_back('\n');
    *found = true;
    const std::string text = DecodeText(header.value);
    out += fold_case ? FoldCase(text) : text;
  }
  return out;
}

}  // namespace postern::message
