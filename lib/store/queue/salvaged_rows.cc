#include "lib/store/queue/salvaged_rows.h"

#include "lib/core/queue/envelope.h"

namespace postern::store {

using queue::EnvelopeId;
using sqlite::Salvage;
using sqlite::SalvagedRow;
using sqlite::SalvagedValue;

// The pages are those that kSpoolSchema gives its objects in a new database.
std::vector<Salvage::Object> SpoolObjects() {
  return {{.name = "message", .root = 2, .index = false},
          {.name = "envelope", .root = 3, .index = false},
          {.name = "envelope_due", .root = 4, .index = true},
          {.name = "envelope_deferred", .root = 5, .index = true},
          {.name = "envelope_aside", .root = 6, .index = true}};
}

StatusOr<std::unique_ptr<rt::File>> OpenIfThere(rt::Files& files, const std::string& path) {
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, rt::OpenOptions{});
  if (file.status().code() == StatusCode::kNotFound) return std::unique_ptr<rt::File>();
  if (!file.ok()) return Annotate(file.status(), path);
  return file;
}

uint64_t SizeOf(rt::Files& files, const std::string& path) {
  const StatusOr<rt::FileInfo> info = files.Stat(path);
  return info.ok() ? info->size_bytes : 0;
}

bool Exists(rt::Files& files, const std::string& path) { return files.Stat(path).ok(); }

bool IsInteger(const SalvagedValue& value) { return value.kind == SalvagedValue::Kind::kInteger; }

bool LooksLikeMessage(const SalvagedRow& row) {
  return row.values.size() == 5 && row.rowid > 0 && row.rowid <= int64_t{UINT32_MAX} &&
         IsInteger(row.values[1]) && IsInteger(row.values[2]) && IsInteger(row.values[3]) &&
         !IsInteger(row.values[4]);
}

bool LooksLikeEnvelope(const SalvagedRow& row) {
  if (row.values.size() != 7 || queue::MessageIdOf(static_cast<EnvelopeId>(row.rowid)) == 0)
    return false;
  for (size_t i = 1; i <= 5; ++i) {
    if (!IsInteger(row.values[i])) return false;
  }
  return row.values[6].kind == SalvagedValue::Kind::kOctets;
}

}  // namespace postern::store
