// Table files of any octets, in both formats, and what a table built from them answers.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "lib/core/policy/table.h"
#include "lib/core/policy/table_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view key = text.substr(0, text.find('\n'));
  TableTextOptions options;
  options.max_entries = 1000;
  constexpr Service kServices[] = {Service::kAlias,     Service::kDomain,   Service::kNetaddr,
                                   Service::kMailaddr,  Service::kAddrname, Service::kUserinfo,
                                   Service::kRelayhost, Service::kRegex};
  const Service service = kServices[data[0] % std::size(kServices)];
  Diagnostics diagnostics;
  TableText table = ParseTableText(text, "f", options, &diagnostics);
  for (const TableEntry& entry : table.entries) {
    if (entry.key.empty() || (table.form == TableForm::kMapping && entry.value.empty())) abort();
  }
  ParsePasswdText(text, "f", (data[0] & 0x80) != 0 ? PasswdUse::kCredentials : PasswdUse::kUserinfo,
                  options, &diagnostics);
  TableBuildOptions build;
  build.services = {service};
  build.max_regexes = 20;
  const auto contents = TableContents::Build(std::move(table.entries), build, &diagnostics);
  if (contents != nullptr && !contents->Lookup(service, key).ok()) abort();
  return 0;
}
