// A damaged database and its log: the first four octets say how long the database is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "lib/store/sqlite/salvage.h"

namespace {

using postern::Status;
using postern::StatusOr;
using postern::sqlite::Salvage;
using postern::sqlite::SalvagedRow;

class MemoryFile final : public postern::rt::File {
 public:
  explicit MemoryFile(std::string octets) : octets_(std::move(octets)) {}
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    if (offset >= octets_.size()) return size_t{0};
    const size_t n = std::min<size_t>(into.size(), octets_.size() - offset);
    std::memcpy(into.data(), octets_.data() + offset, n);
    return n;
  }
  Status WriteAt(uint64_t, std::string_view) override { std::abort(); }
  Status Append(std::string_view) override { std::abort(); }
  Status Truncate(uint64_t) override { std::abort(); }
  Status Sync() override { std::abort(); }
  StatusOr<postern::rt::FileInfo> Stat() override {
    postern::rt::FileInfo info;
    info.size_bytes = octets_.size();
    return info;
  }
  Status SetMode(uint32_t) override { std::abort(); }
  Status TryLock() override { std::abort(); }

 private:
  std::string octets_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const size_t split =
      std::min<size_t>(size - 4, static_cast<size_t>(data[0] | data[1] << 8 | data[2] << 16));
  const std::string text(reinterpret_cast<const char*>(data) + 4, size - 4);
  Salvage salvage(std::make_unique<MemoryFile>(text.substr(0, split)),
                  std::make_unique<MemoryFile>(text.substr(split)), {.max_row_bytes = 1 << 20});
  if (!salvage.Begin().ok()) return 0;
  (void)salvage.CheckHeader();
  salvage.Survey({{.name = "message", .root = 2, .index = false},
                  {.name = "envelope_due", .root = 3, .index = true}});
  // Each cell is read once: rows are no more than cells fit on the pages.
  size_t rows = 0;
  const auto count = [&rows](const SalvagedRow& row) {
    ++rows;
    for (const auto& value : row.values) {
      if (value.octets.size() > (1 << 20)) std::abort();
    }
  };
  salvage.ForEachRow(0, count);
  salvage.ForEachRow(1, count);
  salvage.ForEachTornRow(count);
  if (rows > (size / 4096 + 1) * 3 * 2048) std::abort();
  return 0;
}
