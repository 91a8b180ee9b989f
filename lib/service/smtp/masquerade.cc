#include "lib/service/smtp/masquerade.h"

#include "lib/core/base/strings.h"
#include "lib/core/message/address_list.h"

namespace postern::service {
namespace {

constexpr size_t kMaxLineBytes = 998;  // RFC 5322 §2.1.1, without CRLF

}  // namespace

std::string MasqueradeFrom(std::string_view field, std::string_view address) {
  std::string name;
  for (const message::Mailbox& mailbox :
       message::ParseAddressList(field.substr(field.find(':') + 1))) {
    if (mailbox.kind != message::Mailbox::Kind::kAddress) continue;
    name = mailbox.DisplayName();
    break;
  }
  std::string made = StrCat("From: ", message::FormatMailbox(name, address, 6));
  // FormatMailbox writes text of any length in encoded words or in one line.
  if (made.size() > kMaxLineBytes || made.find_first_of("\r\n") != std::string::npos)
    made = StrCat("From: ", address);
  return made + "\r\n";
}

}  // namespace postern::service
