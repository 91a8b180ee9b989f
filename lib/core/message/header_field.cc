#include "lib/core/message/header_field.h"

#include "lib/core/base/strings.h"

namespace postern::message {
namespace {

Field IfEqual(std::string_view name, std::string_view lower, Field field) {
  return EqualsIgnoreCase(name, lower) ? field : Field::kOther;
}

}  // namespace

Field FieldOf(std::string_view name) {
  if (name.size() < 2) return Field::kOther;
  // The length leaves at most a handful, and a letter or two leaves one.
  switch (name.size()) {
    case 2:
      if (AsciiToLower(name[0]) == 'c') return IfEqual(name, "cc", Field::kCc);
      return IfEqual(name, "to", Field::kTo);
    case 3: return IfEqual(name, "bcc", Field::kBcc);
    case 4:
      if (AsciiToLower(name[0]) == 'd') return IfEqual(name, "date", Field::kDate);
      return IfEqual(name, "from", Field::kFrom);
    case 6: return IfEqual(name, "sender", Field::kSender);
    case 7:
      if (AsciiToLower(name[0]) == 'l') return IfEqual(name, "list-id", Field::kListId);
      return IfEqual(name, "subject", Field::kSubject);
    case 8:
      if (name[3] == '-' || AsciiToLower(name[3]) != 'l')
        return IfEqual(name, "received", Field::kReceived);
      return IfEqual(name, "reply-to", Field::kReplyTo);
    case 10:
      if (AsciiToLower(name[0]) == 'r') return IfEqual(name, "references", Field::kReferences);
      if (AsciiToLower(name[0]) == 'm') return IfEqual(name, "message-id", Field::kMessageId);
      return IfEqual(name, "content-id", Field::kContentId);
    case 11:
      if (AsciiToLower(name[0]) == 'i') return IfEqual(name, "in-reply-to", Field::kInReplyTo);
      if (AsciiToLower(name[2]) == 't') return IfEqual(name, "return-path", Field::kReturnPath);
      if (AsciiToLower(name[7]) == 'd') return IfEqual(name, "resent-date", Field::kResentDate);
      if (AsciiToLower(name[0]) == 'c') return IfEqual(name, "content-md5", Field::kContentMd5);
      return IfEqual(name, "resent-from", Field::kResentFrom);
    case 12:
      if (AsciiToLower(name[0]) == 'm') return IfEqual(name, "mime-version", Field::kMimeVersion);
      return IfEqual(name, "content-type", Field::kContentType);
    case 14: return IfEqual(name, "dkim-signature", Field::kDkimSignature);
    case 16:
      if (AsciiToLower(name[9]) == 'a')
        return IfEqual(name, "content-language", Field::kContentLanguage);
      return IfEqual(name, "content-location", Field::kContentLocation);
    case 19:
      if (AsciiToLower(name[9]) == 'i')
        return IfEqual(name, "content-disposition", Field::kContentDisposition);
      return IfEqual(name, "content-description", Field::kContentDescription);
    case 25: return IfEqual(name, "content-transfer-encoding", Field::kContentTransferEncoding);
    default: return Field::kOther;
  }
}

std::string Unfold(std::string_view value) {
  value = Trim(value);
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    if (c == '\r' || c == '\n') continue;
    out.push_back(IsAscii(c) && c != '\t' && !IsAsciiPrintable(c) ? ' ' : c);
  }
  return out;
}

}  // namespace postern::message
