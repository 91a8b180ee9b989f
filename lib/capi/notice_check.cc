#include "lib/capi/notice_check.h"

#include <algorithm>
#include <optional>

#include "lib/capi/struct_capi.h"
#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/message/notice_text.h"

namespace postern::capi {

StatusOr<mail::Address> NoticeAddress(std::string_view what, const char* text, bool utf8) {
  StatusOr<mail::Address> address = mail::ParseAddress(CString(text));
  const std::string shown = Escape(CString(text), 80);
  if (!address.ok())
    return InvalidArgument(StrCat(what, " \"", shown, "\": ", Message(address.status())));
  if (utf8 || IsAscii(address->ToString())) return address;
  if (!IsAscii(address->local_part))
    return InvalidArgument(StrCat(what, " \"", shown,
                                  "\": what stands before the @ is not ASCII, "
                                  "and only a notice with smtputf8 can name it"));
  StatusOr<std::string> domain = mail::DomainToAscii(address->domain);
  if (!domain.ok())
    return InvalidArgument(StrCat(what, " \"", shown, "\": ", Message(domain.status())));
  address->domain = *std::move(domain);
  return address;
}

StatusOr<std::string> AsciiHost(std::string_view what, const char* text) {
  const std::string_view name = CString(text);
  if (IsAscii(name)) return std::string(name);
  StatusOr<std::string> ascii = mail::DomainToAscii(name);
  if (ascii.ok()) return ascii;
  return InvalidArgument(StrCat(what, " \"", Escape(name, 80), "\": ", Message(ascii.status())));
}

std::string LooseAddress(std::string_view text) {
  if (IsAscii(text)) return std::string(text);
  const StatusOr<mail::Address> address = mail::ParseAddress(text);
  if (!address.ok()) return std::string(text);
  return message::AsciiAddress(*address).value_or(std::string(text));
}

StatusOr<mail::Reply> ReplyOf(std::string_view text) {
  text = Trim(text);
  mail::Reply reply;
  bool first = true;
  for (std::string_view line : Split(text, '\n')) {
    line = Trim(line);
    std::string one(line);
    if (one.size() > 3 && one[3] == '-') one[3] = ' ';
    StatusOr<mail::Reply> read = mail::Reply::FromText(one, /*any_class=*/true);
    if (!read.ok()) return read.status();
    if (first) {
      reply = *std::move(read);
      first = false;
      continue;
    }
    if (read->code != reply.code)
      return InvalidArgument(
          StrCat("its lines have different codes, ", reply.code, " and ", read->code));
    // The status stands on each line; one that differs is part of the text.
    if (!read->status.empty() && !(read->status == reply.status))
      read->lines.insert(read->lines.begin(), read->status.ToString());
    reply.lines.push_back(read->Text());
  }
  return reply;
}

Status CheckFeedback(std::string_view feedback_type, std::string_view source_ip) {
  if (feedback_type.empty()) return InvalidArgument("feedback_type is missing");
  const bool token = std::all_of(feedback_type.begin(), feedback_type.end(), [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
  });
  if (!token)
    return InvalidArgument(StrCat("feedback_type \"", Escape(feedback_type, 80),
                                  "\" is no word such as \"abuse\" or \"not-spam\""));
  if (!source_ip.empty() && !IpAddress::Parse(source_ip))
    return InvalidArgument(StrCat("source_ip \"", Escape(source_ip, 80), "\" is no IP address"));
  return OkStatus();
}

Status CheckDeliveryResult(std::string_view word) {
  for (const std::string_view known : {"", "delivered", "spam", "policy", "reject", "other"}) {
    if (word == known) return OkStatus();
  }
  return InvalidArgument(StrCat("delivery_result \"", Escape(word, 80),
                                "\" is none of delivered, spam, policy, reject and other"));
}

}  // namespace postern::capi
