// Salvage of files that no server wrote: what they say may be anything, the work stays bounded.
#include "lib/store/sqlite/salvage.h"

#include <cstring>

#include <gtest/gtest.h>

namespace postern::sqlite {
namespace {

constexpr size_t kPage = 4096;

// MemoryFile counts how often it is read.
class MemoryFile final : public rt::File {
 public:
  MemoryFile(std::string octets, size_t* reads) : octets_(std::move(octets)), reads_(reads) {}
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    ++*reads_;
    if (offset >= octets_.size()) return size_t{0};
    const size_t n = std::min<size_t>(into.size(), octets_.size() - offset);
    std::memcpy(into.data(), octets_.data() + offset, n);
    return n;
  }
  Status WriteAt(uint64_t, std::string_view) override { return Internal("written to"); }
  Status Append(std::string_view) override { return Internal("written to"); }
  Status Truncate(uint64_t) override { return Internal("written to"); }
  Status Sync() override { return Internal("written to"); }
  StatusOr<rt::FileInfo> Stat() override {
    rt::FileInfo info;
    info.size_bytes = octets_.size();
    return info;
  }
  Status SetMode(uint32_t) override { return Internal("written to"); }
  Status TryLock() override { return Internal("written to"); }

 private:
  std::string octets_;
  size_t* reads_;
};

void Put16(std::string* file, size_t at, size_t value) {
  (*file)[at] = static_cast<char>(value >> 8);
  (*file)[at + 1] = static_cast<char>(value);
}

// Varint is SQLite's, of at most 28 bits here.
std::string Varint(uint32_t value) {
  std::string text(1, static_cast<char>(value & 0x7f));
  while ((value >>= 7) != 0) text.insert(text.begin(), static_cast<char>((value & 0x7f) | 0x80));
  return text;
}

// RowOver is how long a row is that fills `chain` pages beside the one it begins on: of a row that
// does not fit, so much stands on its page that the chain comes out even (fileformat2.html §1.6).
constexpr uint32_t kLocal = (kPage - 12) * 32 / 255 - 23;
constexpr uint32_t RowOver(uint32_t chain) { return kLocal + chain * (kPage - 4); }

// OneChain is a database whose table has one leaf, page 2, on which every one of `cells` cells says
// that its row goes on over `chain` pages from page 3. Those name each other in a ring.
std::string OneChain(size_t pages, size_t cells, uint32_t chain) {
  std::string file(pages * kPage, '\0');
  std::memcpy(file.data(), "SQLite format 3\0", 16);
  file[kPage] = 0x0d;
  Put16(&file, kPage + 3, cells);
  // A cell: size, row number, and what the row begins with: a header of one text.
  const uint32_t row_bytes = RowOver(chain);
  const uint32_t header_bytes = 1 + 4;
  const std::string head = Varint(row_bytes) + Varint(1);
  std::string cell = head + std::string(1, static_cast<char>(header_bytes));
  std::string type = Varint((row_bytes - header_bytes) * 2 + 12);
  while (type.size() < 4) type.insert(type.begin(), static_cast<char>(0x80));
  cell += type;
  cell.resize(head.size() + kLocal, 'x');
  cell += std::string("\0\0\0\x03", 4);
  const size_t place = kPage - cell.size();
  file.replace(kPage + place, cell.size(), cell);
  for (size_t i = 0; i < cells; ++i) Put16(&file, kPage + 8 + 2 * i, place);
  for (size_t page = 3; page <= pages; ++page) {
    const size_t next = page == pages ? 3 : page + 1;
    Put16(&file, (page - 1) * kPage + 2, next);
  }
  return file;
}

struct Outcome {
  size_t rows = 0, whole = 0, octets = 0, reads = 0;
};

Outcome SalvageOf(std::string file) {
  Outcome outcome;
  Salvage salvage(std::make_unique<MemoryFile>(std::move(file), &outcome.reads), nullptr);
  EXPECT_TRUE(salvage.Begin().ok());
  salvage.Survey({{.name = "t", .root = 2, .index = false}});
  salvage.ForEachRow(0, [&](const SalvagedRow& row) {
    ++outcome.rows;
    outcome.whole += row.whole;
    for (const SalvagedValue& value : row.values) outcome.octets += value.octets.size();
  });
  return outcome;
}

TEST(SalvageTest, ARowOverManyPagesIsRead) {
  const Outcome outcome = SalvageOf(OneChain(30, 1, 24));
  EXPECT_EQ(outcome.rows, 1u);
  EXPECT_EQ(outcome.whole, 1u);
  EXPECT_EQ(outcome.octets, RowOver(24) - 5);
}

// Without its bound each of the cells would be followed through all of the file, and the work would
// grow with its square: 1,000 cells by 2,400 pages.
TEST(SalvageTest, CellsWithoutNumberThatNameOneChainAreNotAllFollowed) {
  constexpr size_t kPages = 300, kCells = 1000;
  const Outcome outcome = SalvageOf(OneChain(kPages, kCells, 2400));
  EXPECT_EQ(outcome.rows, kCells) << "each is told of, as far as it was read";
  EXPECT_EQ(outcome.whole, 0u) << "a row of more pages than may be followed";
  // Four times the pages for the chains, and each page once or twice for itself.
  EXPECT_LE(outcome.reads, 4 * kPages + 2 * kPages + 10);
  EXPECT_LE(outcome.octets, 4 * kPages * kPage + kCells * kLocal);
}

// The bound is of a walk, not of a lifetime: the next table has its own.
TEST(SalvageTest, EachTableHasItsOwnBound) {
  size_t reads = 0;
  const std::string file = OneChain(30, 200, 24);
  Salvage salvage(std::make_unique<MemoryFile>(file, &reads), nullptr);
  ASSERT_TRUE(salvage.Begin().ok());
  salvage.Survey({{.name = "t", .root = 2, .index = false}});
  for (int walk = 0; walk < 3; ++walk) {
    size_t whole = 0;
    salvage.ForEachRow(0, [&](const SalvagedRow& row) { whole += row.whole; });
    EXPECT_EQ(whole, 4u * 30 / 24) << walk;
  }
}

}  // namespace
}  // namespace postern::sqlite
