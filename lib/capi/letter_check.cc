#include "lib/capi/letter_check.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/header_field.h"

namespace postern::capi {
namespace {

using message::Field;

bool IsFieldName(std::string_view name) {
  // RFC 5322 §2.2
  return !name.empty() && name.size() < 70 && std::all_of(name.begin(), name.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != ':';
  });
}

Status NoFieldName(std::string_view name) {
  return InvalidArgument(StrCat("\"", Escape(name, 80), "\" is no field name"));
}

// IsMessageId is "<left@right>" in ASCII, without blanks, controls or further brackets.
bool IsMessageId(std::string_view id) {
  if (id.size() < 5 || id.front() != '<' || id.back() != '>') return false;
  const std::string_view inside = id.substr(1, id.size() - 2);
  const size_t at = inside.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < inside.size() &&
         std::all_of(inside.begin(), inside.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '<' && c != '>'; });
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
  });
}

}  // namespace

StatusOr<FieldRule> CheckField(std::string_view name, std::string* text) {
  if (!IsFieldName(name)) return NoFieldName(name);
  switch (message::FieldOf(name)) {
    case Field::kContentType:
    case Field::kContentTransferEncoding:
    case Field::kContentDisposition:
      return InvalidArgument(StrCat(name,
                                    " is written by the letter itself, from its text, HTML and "
                                    "attachments"));
    case Field::kFrom:
    case Field::kSender:
    case Field::kReplyTo:
    case Field::kTo:
    case Field::kCc:
    case Field::kBcc:
    case Field::kResentFrom:
      return InvalidArgument(
          StrCat(name, " is a field of addresses: postern_letter_address adds to it"));
    case Field::kDate: {
      const StatusOr<mail::MailDate> date = mail::ParseDate(*text);
      if (!date.ok())
        return InvalidArgument(
            StrCat("Date: \"", Escape(*text, 80), "\": ", Message(date.status())));
      *text = mail::FormatDate(date->time, date->offset_minutes);
      return FieldRule::kReplace;
    }
    case Field::kMessageId:
    case Field::kContentId:
      *text = std::string(Trim(*text));
      if (!IsMessageId(*text))
        return InvalidArgument(
            StrCat(name, ": \"", Escape(*text, 80), "\" is no \"<left@right>\""));
      return FieldRule::kReplace;
    case Field::kMimeVersion:
      if (Trim(*text) != "1.0") return InvalidArgument("MIME-Version is 1.0 (RFC 2045 section 4)");
      return FieldRule::kReplace;
    case Field::kSubject:
    case Field::kInReplyTo:
    case Field::kReferences:
    case Field::kContentDescription: return FieldRule::kReplace;
    default: return FieldRule::kAdd;
  }
}

Status CheckAddressField(std::string_view name, bool* single) {
  if (!IsFieldName(name)) return NoFieldName(name);
  const Field field = message::FieldOf(name);
  *single = field == Field::kSender;
  switch (field) {
    case Field::kOther:
    case Field::kFrom:
    case Field::kSender:
    case Field::kReplyTo:
    case Field::kTo:
    case Field::kCc:
    case Field::kBcc:
    case Field::kResentFrom: return OkStatus();
    default: return InvalidArgument(StrCat(name, " is no field of addresses"));
  }
}

Status CheckAttachmentType(std::string_view value) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(StrCat("content type \"", Escape(value, 80), "\": ", why));
  };
  if (!std::all_of(value.begin(), value.end(), IsAsciiPrintable))
    return bad("a character that may not stand there");
  std::string_view type, subtype, rest;
  if (!message::ScanMediaType(value, &type, &subtype, &rest) || !IsToken(type) || !IsToken(subtype))
    return bad("that is no \"type/subtype\"");
  if (EqualsIgnoreCase(type, "multipart")) return bad("an attachment is no multipart");
  message::ParameterDefects defects;
  const message::ParameterList parameters = message::ParseParameters(rest, &defects);
  if (defects.malformed || (Trim(rest).size() > 1 && parameters.list.empty()))
    return bad("its parameters cannot be read");
  return OkStatus();
}

StatusOr<std::string> ContentId(std::string_view id) {
  std::string text(id);
  if (text.empty() || text.front() != '<') text = StrCat("<", text, ">");
  if (IsMessageId(text)) return text;
  return InvalidArgument(
      StrCat("content id \"", Escape(id, 80), "\" is no \"left@right\" (RFC 2392)"));
}

}  // namespace postern::capi
