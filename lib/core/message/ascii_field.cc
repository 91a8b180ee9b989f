#include "lib/core/message/ascii_field.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/notice_text.h"

namespace postern::message {
namespace {

// A name that leaves no room on its line is none.
constexpr size_t kMaxNameBytes = 200;

// Address lists: RFC 5322 §3.6, RFC 8098 §2.1, and what mailers have made of them.
constexpr std::array<std::string_view, 17> kAddressFields = {"apparently-to",
                                                             "bcc",
                                                             "cc",
                                                             "disposition-notification-to",
                                                             "errors-to",
                                                             "from",
                                                             "mail-copies-to",
                                                             "mail-followup-to",
                                                             "mail-reply-to",
                                                             "reply-to",
                                                             "resent-bcc",
                                                             "resent-cc",
                                                             "resent-from",
                                                             "resent-sender",
                                                             "resent-to",
                                                             "sender",
                                                             "to"};

// Fields that programs read: RFC 5322 §3.6, RFC 2045, RFC 2369, RFC 6376, RFC 8601, RFC 8617.
constexpr std::array<std::string_view, 31> kProgramFields = {"arc-authentication-results",
                                                             "arc-message-signature",
                                                             "arc-seal",
                                                             "authentication-results",
                                                             "content-id",
                                                             "content-language",
                                                             "content-location",
                                                             "content-md5",
                                                             "content-transfer-encoding",
                                                             "date",
                                                             "delivered-to",
                                                             "dkim-signature",
                                                             "in-reply-to",
                                                             "list-archive",
                                                             "list-help",
                                                             "list-owner",
                                                             "list-post",
                                                             "list-subscribe",
                                                             "list-unsubscribe",
                                                             "list-unsubscribe-post",
                                                             "message-id",
                                                             "mime-version",
                                                             "received",
                                                             "received-spf",
                                                             "references",
                                                             "resent-date",
                                                             "resent-message-id",
                                                             "return-path",
                                                             "x-delivered-to",
                                                             "x-original-to",
                                                             "x-received"};

template <size_t kSize>
bool IsOneOf(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view each) { return EqualsIgnoreCase(each, name); });
}

std::string Words(std::string_view text) {
  return EncodeText(DecodeText(text), WordContext::kPhrase);
}

// Nobody names an address that ASCII does not have, as a group without members (RFC 6857 §3.1.8).
std::string Nobody(const Mailbox& mailbox) {
  const std::string name = mailbox.DisplayName();
  const std::string address = DecodeText(mailbox.Address());
  return StrCat(
      EncodeText(name.empty() ? address : StrCat(name, " <", address, ">"), WordContext::kPhrase),
      ":;");
}

std::optional<std::string> AddressField(const Header& field) {
  const std::vector<Mailbox> list = ParseAddressList(field.value);
  if (list.size() >= kMaxMailboxes) return std::nullopt;
  std::string out;
  std::vector<std::string> behind;  // a group: groups do not nest
  bool in_group = false;
  bool first = true;  // of the list or of the group
  const auto add = [&out, &first](std::string_view element) {
    StrAppend(out, first ? "" : ", ", element);
    first = false;
  };
  for (const Mailbox& mailbox : list) {
    if (mailbox.kind == Mailbox::Kind::kGroupStart) {
      add(StrCat(Words(mailbox.name), ": "));
      in_group = first = true;
      continue;
    }
    if (mailbox.kind == Mailbox::Kind::kGroupEnd) {
      out += ';';
      in_group = first = false;
      for (const std::string& group : behind) add(group);
      behind.clear();
      continue;
    }
    const bool has_address = !mailbox.domain.empty();
    const std::optional<std::string> address =
        AsciiAddress(mail::Address{mailbox.local_part, mailbox.domain});
    if (address.has_value()) {
      // What is no address stays what it is.
      add(has_address ? FormatMailbox(mailbox.DisplayName(), *address) : mailbox.local_part);
    } else if (in_group) {
      behind.push_back(Nobody(mailbox));
    } else {
      add(Nobody(mailbox));
    }
  }
  std::string line;
  AppendHeader(field.name, out, line);
  return line;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c != ' ' && IsAsciiPrintable(c) &&
           std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
  });
}

// ParameterField writes what stands before the parameters, and each of them on a line.
std::optional<std::string> ParameterField(const Header& field, std::string_view value,
                                          const ParameterList& parameters) {
  constexpr size_t kMaxPlainBytes = 900;
  std::string out = StrCat(field.name, ": ", value);
  for (const Parameter& parameter : parameters.list) {
    // A name that is no token is read by nobody.
    if (!IsToken(parameter.name) || parameter.name.size() > kMaxNameBytes / 4) continue;
    const bool printable =
        std::all_of(parameter.value.begin(), parameter.value.end(), IsAsciiPrintable);
    // The lines between the parts could not be told from others any more.
    if (parameter.name == "boundary" && !printable) return std::nullopt;
    if (!printable || parameter.value.size() > kMaxPlainBytes) {
      const std::string coded = EncodeParameter(parameter.name, parameter.value);
      // Either "; name" or, of several pieces, ";\r\n\tname".
      StrAppend(out, ";\r\n\t", Trim(std::string_view(coded).substr(1)));
      continue;
    }
    StrAppend(out, ";\r\n\t", parameter.name, "=\"");
    for (const char c : parameter.value) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
  }
  out += "\r\n";
  return out;
}

// WithAsciiComments is `value` with encoded words for the comments that are not ASCII.
std::string WithAsciiComments(std::string_view value) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '\\' && i + 1 < value.size()) {
      out.push_back(c);
      out.push_back(value[++i]);
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (c != '(' || quoted) {
      out.push_back(c);
      continue;
    }
    size_t depth = 1;
    size_t end = i + 1;
    for (; end < value.size() && depth > 0; ++end) {
      if (value[end] == '\\')
        ++end;  // and what it escapes
      else if (value[end] == '(')
        ++depth;
      else if (value[end] == ')')
        --depth;
    }
    end = std::min(end, value.size());
    const std::string_view comment = value.substr(i, end - i);
    if (IsAscii(comment)) {
      out += comment;
    } else {
      StrAppend(out, "(", Words(comment.substr(1, comment.size() - 1 - (depth == 0 ? 1 : 0))), ")");
    }
    i = end - 1;
  }
  return out;
}

}  // namespace

bool IsFieldName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsAsciiPrintable);
}

std::optional<std::string> AsciiField(const Header& field) {
  const std::string_view name = field.name;
  if (!IsFieldName(name) || name.size() > kMaxNameBytes) return std::nullopt;
  if (IsOneOf(kAddressFields, name)) return AddressField(field);
  if (field.field == Field::kContentType) {
    const ContentType type = ParseContentType(field.value);
    if (IsToken(type.type) && IsToken(type.subtype))
      return ParameterField(field, StrCat(type.type, "/", type.subtype), type.parameters);
  }
  if (field.field == Field::kContentDisposition) {
    const ContentDisposition disposition = ParseContentDisposition(field.value);
    if (IsToken(disposition.kind))
      return ParameterField(field, disposition.kind, disposition.parameters);
  }
  std::string out;
  if (IsOneOf(kProgramFields, name)) {
    const std::string value = WithAsciiComments(field.value);
    if (IsAscii(value)) {
      AppendHeader(name, value, out);
    } else {
      AppendTextHeader(StrCat("Downgraded-", name), DecodeText(field.value), out);
    }
    return out;
  }
  AppendTextHeader(name, DecodeText(field.value), out);
  return out;
}

}  // namespace postern::message
