#include "lib/core/message/text.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"

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

// AppendWithLf adds text with CRLF and lone CR as LF.
void AppendWithLf(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out.push_back(text[i]);
    } else if (i + 1 >= text.size() || text[i + 1] != '\n') {
      out.push_back('\n');
    }
  }
}

bool IsText(const Part& part) {
  // A multipart that came to nothing is text to whoever reads it.
  return part.kind != PartKind::kMessage &&
         (part.Is("text", "") || (part.Is("multipart", "") && part.child_count == 0));
}

}  // namespace

bool DecodeBody(const MessageView& message, const Part& part, std::string& out) {
  const std::string_view octets = message.BodyBytes(part);
  switch (part.encoding) {
    case TransferEncoding::kBase64: return mail::Base64DecodeLenient(octets, out);
    case TransferEncoding::kQuotedPrintable: return mail::QuotedPrintableDecode(octets, out);
    case TransferEncoding::kIdentity: break;
  }
  out.append(octets);
  return true;
}

std::string DecodeBodyText(const MessageView& message, const Part& part) {
  std::string decoded;
  std::string_view octets = message.BodyBytes(part);
  if (part.encoding != TransferEncoding::kIdentity) {
    DecodeBody(message, part, decoded);
    octets = decoded;
  }
  std::string text;
  AppendAsUtf8(Charset(message, part), octets, text);
  if (text.find('\0') == std::string::npos) return text;
  std::string clean;
  for (const char c : text) {
    if (c == '\0') {
      clean.append(mail::kReplacementCharacter);
    } else {
      clean.push_back(c);
    }
  }
  return clean;
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
    if (options.bodies && IsText(part)) add(DecodeBodyText(message, part));
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
