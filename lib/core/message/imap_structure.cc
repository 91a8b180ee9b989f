#include "lib/core/message/imap_structure.h"

#include <algorithm>
#include <map>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

// Longer strings go as literals: clients read a line into one buffer.
constexpr size_t kMaxQuotedBytes = 1'000;

std::optional<std::string> FieldText(const MessageView& message, const Part& part, Field field) {
  const Header* header = message.Find(part, field);
  if (header == nullptr) return std::nullopt;
  return Unfold(header->value);
}

// Addresses reads every field of that kind: some messages have several To.
std::vector<Mailbox> Addresses(const MessageView& message, const Part& part, Field field) {
  std::vector<Mailbox> list;
  for (const Header& header : message.headers(part)) {
    if (header.field != field) continue;
    std::vector<Mailbox> more = ParseAddressList(header.value);
    // Brackets around nothing ("<>", "<<>>,@") name nobody, and a client can do nothing with them.
    std::erase_if(more, [](const Mailbox& mailbox) {
      return mailbox.kind == Mailbox::Kind::kAddress && mailbox.name.empty() &&
             mailbox.local_part.empty() && mailbox.domain.empty();
    });
    if (list.size() + more.size() > kMaxMailboxes) break;
    list.insert(list.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
  }
  return list;
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (IsAsciiAlnum(c) || c == '-' || c == '.' || c == '_') {
      out.push_back(c);
    } else {
      StrAppend(out, '%', AsciiUpper(Hex(static_cast<unsigned char>(c), 2)));
    }
  }
  return out;
}

// RawParameters joins the pieces of RFC 2231 without decoding them.
std::vector<BodyParameter> RawParameters(std::string_view text) {
  struct Piece {
    uint64_t index;
    bool encoded;
    std::string value;
  };
  std::vector<BodyParameter> list;
  std::map<std::string, std::pair<size_t, std::vector<Piece>>>
      split;  // by name: the place in the list, and the pieces
  ParameterScanner scanner(text);
  RawParameter raw;
  while (scanner.Next(&raw)) {
    const size_t star = raw.name.find('*');
    std::string_view marks =
        star == std::string_view::npos ? std::string_view() : raw.name.substr(star + 1);
    const bool encoded = !marks.empty() && marks.back() == '*';
    if (encoded) marks.remove_suffix(1);
    const std::optional<uint64_t> index = ParseUint(marks, kMaxParameters);
    if (star == 0 || !index.has_value()) {
      list.push_back({AsciiLower(raw.name), raw.Unquoted()});
      continue;
    }
    const auto [it, added] = split.try_emplace(AsciiLower(raw.name.substr(0, star)));
    if (added) {
      it->second.first = list.size();
      list.push_back({it->first, ""});
    }
    it->second.second.push_back({*index, encoded, raw.Unquoted()});
  }
  for (auto& [name, entry] : split) {
    std::vector<Piece>& pieces = entry.second;
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const Piece& a, const Piece& b) { return a.index < b.index; });
    const bool any_encoded =
        std::any_of(pieces.begin(), pieces.end(), [](const Piece& p) { return p.encoded; });
    BodyParameter& parameter = list[entry.first];
    if (any_encoded) parameter.name += '*';
    for (const Piece& piece : pieces) {
      if (!any_encoded || piece.encoded) {
        parameter.value += piece.value;
      } else {
        parameter.value += PercentEncode(piece.value);
      }
    }
  }
  return list;
}

void AppendParameters(const std::vector<BodyParameter>& parameters, bool utf8, std::string& out) {
  if (parameters.empty()) {
    out += "NIL";
    return;
  }
  char before = '(';
  for (const BodyParameter& parameter : parameters) {
    out += before;
    AppendImapString(parameter.name, utf8, out);
    out += ' ';
    AppendImapString(parameter.value, utf8, out);
    before = ' ';
  }
  out += ')';
}

void AppendAddresses(const std::vector<Mailbox>& list, bool utf8, std::string& out) {
  if (list.empty()) {
    out += "NIL";
    return;
  }
  out += '(';
  for (const Mailbox& mailbox : list) {
    switch (mailbox.kind) {
      // RFC 3501 §7.4.2: a NIL host begins a group, whose name stands as the mailbox; NIL for both
      // ends it.
      case Mailbox::Kind::kGroupStart:
        out += "(NIL NIL ";
        AppendImapString(mailbox.name, utf8, out);
        out += " NIL)";
        break;
      case Mailbox::Kind::kGroupEnd: out += "(NIL NIL NIL NIL)"; break;
      case Mailbox::Kind::kAddress:
        out += '(';
        if (mailbox.name.empty()) {
          out += "NIL";
        } else {
          AppendImapString(mailbox.name, utf8, out);
        }
        out += " NIL ";
        AppendImapString(mailbox.local_part, utf8, out);
        out += ' ';
        AppendImapString(mailbox.domain, utf8, out);
        out += ')';
        break;
    }
  }
  out += ')';
}

// AppendExtension writes what both kinds of body share of the extension data.
void AppendExtension(const BodyStructure& body, bool utf8, std::string& out) {
  if (body.disposition.has_value()) {
    out += " (";
    AppendImapString(body.disposition->kind, utf8, out);
    out += ' ';
    AppendParameters(body.disposition->parameters, utf8, out);
    out += ')';
  } else {
    out += " NIL";
  }
  out += ' ';
  if (body.languages.empty()) {
    out += "NIL";
  } else if (body.languages.size() == 1) {
    AppendImapString(body.languages[0], utf8, out);
  } else {
    char before = '(';
    for (const std::string& language : body.languages) {
      out += before;
      AppendImapString(language, utf8, out);
      before = ' ';
    }
    out += ')';
  }
  out += ' ';
  AppendImapNString(body.location, utf8, out);
}

void ReadFields(const MessageView& message, const Part& part, BodyStructure& body) {
  body.id = FieldText(message, part, Field::kContentId);
  body.description = FieldText(message, part, Field::kContentDescription);
  body.md5 = FieldText(message, part, Field::kContentMd5);
  body.location = FieldText(message, part, Field::kContentLocation);
  std::string_view word, subtype, rest;
  if (const Header* header = message.Find(part, Field::kContentTransferEncoding);
      header != nullptr) {
    if (ScanMediaType(header->value, &word, &subtype, &rest)) body.encoding = std::string(word);
  }
  if (const Header* header = message.Find(part, Field::kContentDisposition); header != nullptr) {
    if (ScanMediaType(header->value, &word, &subtype, &rest)) {
      body.disposition = BodyDisposition{std::string(word), RawParameters(rest)};
    }
  }
  if (const Header* header = message.Find(part, Field::kContentLanguage); header != nullptr) {
    const std::string text = Unfold(header->value);
    for (const std::string_view language : Split(text, ',')) {
      if (const std::string_view name = Trim(language); !name.empty())
        body.languages.emplace_back(name);
    }
  }
}

}  // namespace

void AppendImapString(std::string_view octets, bool utf8, std::string& out) {
  bool quotable = octets.size() <= kMaxQuotedBytes;
  bool eight_bit = false;
  bool nul = false;
  for (const char c : octets) {
    if (c == '\r' || c == '\n') quotable = false;
    nul = nul || c == '\0';
    eight_bit = eight_bit || !IsAscii(c);
  }
  if (eight_bit) quotable = quotable && utf8 && mail::IsValidUtf8(octets);
  if (nul) {
    // RFC 3501 §9: CHAR8 is anything but NUL.
    std::string clean(octets);
    std::replace(clean.begin(), clean.end(), '\0', ' ');
    AppendImapString(clean, utf8, out);
    return;
  }
  if (!quotable) {
    StrAppend(out, "{", octets.size(), "}\r\n", octets);
    return;
  }
  out += '"';
  for (const char c : octets) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void AppendImapNString(const std::optional<std::string>& octets, bool utf8, std::string& out) {
  if (octets.has_value()) {
    AppendImapString(*octets, utf8, out);
  } else {
    out += "NIL";
  }
}

Envelope BuildEnvelope(const MessageView& message, uint32_t index) {
  const Part& part = message.part(index);
  Envelope envelope;
  envelope.date = FieldText(message, part, Field::kDate);
  envelope.subject = FieldText(message, part, Field::kSubject);
  envelope.from = Addresses(message, part, Field::kFrom);
  envelope.sender = Addresses(message, part, Field::kSender);
  envelope.reply_to = Addresses(message, part, Field::kReplyTo);
  // RFC 3501 §7.4.2: the server sets these from From, clients do not have to know.
  if (envelope.sender.empty()) envelope.sender = envelope.from;
  if (envelope.reply_to.empty()) envelope.reply_to = envelope.from;
  envelope.to = Addresses(message, part, Field::kTo);
  envelope.cc = Addresses(message, part, Field::kCc);
  envelope.bcc = Addresses(message, part, Field::kBcc);
  envelope.in_reply_to = FieldText(message, part, Field::kInReplyTo);
  envelope.message_id = FieldText(message, part, Field::kMessageId);
  return envelope;
}

void AppendEnvelope(const Envelope& envelope, bool utf8, std::string& out) {
  out += '(';
  AppendImapNString(envelope.date, utf8, out);
  out += ' ';
  AppendImapNString(envelope.subject, utf8, out);
  for (const std::vector<Mailbox>* list : {&envelope.from, &envelope.sender, &envelope.reply_to,
                                           &envelope.to, &envelope.cc, &envelope.bcc}) {
    out += ' ';
    AppendAddresses(*list, utf8, out);
  }
  out += ' ';
  AppendImapNString(envelope.in_reply_to, utf8, out);
  out += ' ';
  AppendImapNString(envelope.message_id, utf8, out);
  out += ')';
}

BodyStructure BuildBodyStructure(const MessageView& message, uint32_t index) {
  const Part& part = message.part(index);
  BodyStructure body;
  body.encoding = "7bit";  // RFC 2045 §6.1: the default
  const bool whole = part.kind == PartKind::kMultipart && part.child_count > 0;
  if (part.Is("multipart", "") && !whole) {
    // No parts came of it, so it is shown as what RFC 2045 §5.2 makes of a part that cannot be
    // read.
    body.type = "text";
    body.subtype = "plain";
  } else if (part.Is("message", "rfc822") && part.kind == PartKind::kLeaf) {
    // The grammar wants an envelope and a body here, and an encoded or too deep message has none to
    // show.
    body.type = "application";
    body.subtype = "octet-stream";
  } else {
    body.type = std::string(part.type);
    body.subtype = std::string(part.subtype);
    const Header* header = message.Find(part, Field::kContentType);
    std::string_view type, subtype, rest;
    if (header != nullptr && part.type_given &&
        ScanMediaType(header->value, &type, &subtype, &rest)) {
      body.parameters = RawParameters(rest);
    }
    const bool has_charset = std::any_of(
        body.parameters.begin(), body.parameters.end(),
        [](const BodyParameter& p) { return p.name == "charset" || p.name == "charset*"; });
    // RFC 2045 §5.2, RFC 2046 §4.1.2: the charset of text that names none.
    if (part.Is("text", "") && !has_charset) body.parameters.push_back({"charset", "us-ascii"});
  }
  ReadFields(message, part, body);
  const std::string_view octets = message.BodyBytes(part);
  body.size_bytes = octets.size();
  if (whole) {
    body.multipart = true;
    for (uint32_t child = part.first_child; child != kNoPart;
         child = message.part(child).next_sibling) {
      body.parts.push_back(BuildBodyStructure(message, child));
    }
    return body;
  }
  if (part.kind == PartKind::kMessage) {
    body.envelope = BuildEnvelope(message, part.first_child);
    body.parts.push_back(BuildBodyStructure(message, part.first_child));
  }
  if (part.kind == PartKind::kMessage || EqualsIgnoreCase(body.type, "text"))
    body.lines = CountLf(octets);
  return body;
}

void AppendBodyStructure(const BodyStructure& body, bool extended, bool utf8, std::string& out) {
  out += '(';
  if (body.multipart) {
    for (const BodyStructure& part : body.parts) AppendBodyStructure(part, extended, utf8, out);
    out += ' ';
    AppendImapString(body.subtype, utf8, out);
    if (extended) {
      out += ' ';
      AppendParameters(body.parameters, utf8, out);
      AppendExtension(body, utf8, out);
    }
    out += ')';
    return;
  }
  AppendImapString(body.type, utf8, out);
  out += ' ';
  AppendImapString(body.subtype, utf8, out);
  out += ' ';
  AppendParameters(body.parameters, utf8, out);
  out += ' ';
  AppendImapNString(body.id, utf8, out);
  out += ' ';
  AppendImapNString(body.description, utf8, out);
  out += ' ';
  AppendImapString(body.encoding, utf8, out);
  StrAppend(out, " ", body.size_bytes);
  if (body.envelope.has_value() &&
      EqualsIgnoreCase(body.subtype, utf8 ? body.subtype : std::string("rfc822"))) {
    out += ' ';
    AppendEnvelope(*body.envelope, utf8, out);
    out += ' ';
    AppendBodyStructure(body.parts.front(), extended, utf8, out);
    StrAppend(out, " ", body.lines);
  } else if (EqualsIgnoreCase(body.type, "text")) {
    StrAppend(out, " ", body.lines);
  }
  if (extended) {
    out += ' ';
    AppendImapNString(body.md5, utf8, out);
    AppendExtension(body, utf8, out);
  }
  out += ')';
}

std::string EnvelopeText(const MessageView& message, bool utf8) {
  std::string out;
  AppendEnvelope(BuildEnvelope(message), utf8, out);
  return out;
}

std::string BodyStructureText(const MessageView& message, bool extended, bool utf8) {
  std::string out;
  AppendBodyStructure(BuildBodyStructure(message), extended, utf8, out);
  return out;
}

}  // namespace postern::message
