// Database files of any octets, as makemap never wrote them.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/berkeley_db.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  TableTextOptions options;
  options.max_entries = 1000;
  const postern::StatusOr<TableText> read = ReadBerkeleyDb(file, options);
  if (!read.ok()) return 0;
  if (read->entries.size() > options.max_entries) abort();
  for (const TableEntry& entry : read->entries) {
    if (entry.key.find('\0') != std::string::npos) abort();
    if (entry.value.find('\0') != std::string::npos) abort();
    if (entry.key.size() + entry.value.size() > options.max_line_bytes) abort();
  }
  return 0;
}
