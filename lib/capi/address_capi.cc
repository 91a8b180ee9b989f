#include "lib/capi/address_capi.h"

#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"

namespace postern::capi {

void AppendMailboxes(std::string_view value, postern_address_list* list) {
  for (const message::Mailbox& mailbox : message::ParseAddressList(value)) {
    AddressEntry entry;
    entry.kind = mailbox.kind == message::Mailbox::Kind::kAddress      ? POSTERN_ADDRESS_MAILBOX
                 : mailbox.kind == message::Mailbox::Kind::kGroupStart ? POSTERN_ADDRESS_GROUP_BEGIN
                                                                       : POSTERN_ADDRESS_GROUP_END;
    entry.name = mailbox.DisplayName();
    entry.local_part = mailbox.local_part;
    entry.domain = mailbox.domain;
    if (entry.kind == POSTERN_ADDRESS_MAILBOX) entry.address = mailbox.Address();
    list->entries.push_back(std::move(entry));
  }
}

}  // namespace postern::capi

using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Give;
using postern::capi::Guard;
using postern::capi::Lend;

extern "C" {

void postern_buf_free(postern_buf* buf) {
  if (buf == nullptr) return;
  std::free(buf->data);
  *buf = postern_buf{nullptr, 0};
}

postern_status postern_address_normalize(postern_buf* out, const char* text, size_t len,
                                         postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out != nullptr) *out = postern_buf{nullptr, 0};
    std::string_view rest(text, len);
    // RFC 5321 §4.1.1.3: a source route is taken and dropped. It stands in a path alone.
    const bool route = len > 0 && (text[0] == '@' || text[0] == '<');
    const std::string path = route && text[0] == '@' ? postern::StrCat("<", rest, ">") : "";
    auto address = !route ? postern::mail::ParseAddress(rest)
                          : postern::mail::ParsePath(path.empty() ? rest : path,
                                                     /*allow_null=*/false, {}, &rest);
    if (!address.ok()) return FailWith(out_error, address.status());
    if (route && !rest.empty())
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  "there is more after the address");
    // U-labels and A-labels of one name compare equal.
    if (!postern::IsAscii(address->domain)) {
      const auto ascii = postern::mail::DomainToAscii(address->domain);
      if (ascii.ok()) address->domain = *ascii;
    }
    if (out != nullptr) Give(out, address->ToString());
    return POSTERN_OK;
  });
}

postern_status postern_domain_to_ascii(postern_buf* out, const char* domain, size_t len,
                                       postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out != nullptr) *out = postern_buf{nullptr, 0};
    const auto ascii = postern::mail::DomainToAscii(std::string_view(domain, len));
    if (!ascii.ok()) return FailWith(out_error, ascii.status());
    if (out != nullptr) Give(out, *ascii);
    return POSTERN_OK;
  });
}

postern_status postern_address_list_parse(postern_address_list** out, const char* value, size_t len,
                                          postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
    *out = nullptr;
    auto list = std::make_unique<postern_address_list>();
    postern::capi::AppendMailboxes(std::string_view(value, len), list.get());
    *out = list.release();
    return POSTERN_OK;
  });
}

void postern_address_list_free(postern_address_list* list) { delete list; }

size_t postern_address_list_count(const postern_address_list* list) {
  return list == nullptr ? 0 : list->entries.size();
}

postern_status postern_address_list_get(postern_address* out, const postern_address_list* list,
                                        size_t index) {
  if (index >= postern_address_list_count(list)) return POSTERN_ERR_NOT_FOUND;
  const postern::capi::AddressEntry& entry = list->entries[index];
  const postern_address filled = {sizeof(postern_address), entry.kind,         Lend(entry.name),
                                  Lend(entry.local_part),  Lend(entry.domain), Lend(entry.address)};
  return postern::capi::GiveStruct(out, filled) ? POSTERN_OK : POSTERN_ERR_INVALID_ARGUMENT;
}

}  // extern "C"
