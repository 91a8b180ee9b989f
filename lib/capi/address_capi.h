// Address lists of the C API.
#pragma once

#include "postern/address.h"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/message/address_list.h"

namespace postern::capi {

struct AddressEntry {
  int32_t kind = 0;
  std::string name;
  std::string local_part;
  std::string domain;
  std::string address;
};

}  // namespace postern::capi

struct postern_address_list {
  std::vector<postern::capi::AddressEntry> entries;
};

namespace postern::capi {

// AppendMailboxes adds what a field value holds.
void AppendMailboxes(std::string_view value, postern_address_list* list);

}  // namespace postern::capi
