// Files that Debian's makemap wrote, and what damage makes of them.
#include "lib/core/policy/berkeley_db.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

std::string Sample(const std::string& name) {
  std::ifstream file(StrCat(POSTERN_DB_DIR, "/", name), std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::map<std::string, std::string> Entries(const std::string& file) {
  const StatusOr<TableText> read = ReadBerkeleyDb(file, {});
  EXPECT_TRUE(read.ok()) << Message(read.status());
  std::map<std::string, std::string> entries;
  if (!read.ok()) return entries;
  EXPECT_EQ(read->form, TableForm::kUnknown);
  for (const TableEntry& entry : read->entries) entries[entry.key] = entry.value;
  EXPECT_EQ(entries.size(), read->entries.size());
  return entries;
}

TEST(BerkeleyDb, ReadsWhatMakemapWrites) {
  const std::map<std::string, std::string> aliases = {
      {"alice", "bob"}, {"carol", "dave, erin"}, {"@example.org", "mallory"}};
  EXPECT_EQ(Entries(Sample("aliases_hash")), aliases);
  EXPECT_EQ(Entries(Sample("aliases_btree")), aliases);
  const std::map<std::string, std::string> set = {
      {"example.org", ""}, {"*.x.org", ""}, {"10.0.0.0/8", ""}};
  EXPECT_EQ(Entries(Sample("set_hash")), set);
}

TEST(BerkeleyDb, ReadsLongItemsAndManyPages) {
  for (const char* name : {"long_hash", "long_btree"}) {
    const std::map<std::string, std::string> entries = Entries(Sample(name));
    EXPECT_EQ(entries.size(), 61u);
    EXPECT_EQ(entries.at("user37"), "target37@example.org");
    EXPECT_EQ(entries.at("long"), std::string(9000, 'x'));
  }
}

// A file of a machine of the other byte order: every number of a made file is turned.
TEST(BerkeleyDb, ReadsTheOtherByteOrder) {
  std::string file = Sample("aliases_btree");
  const auto turn = [&file](size_t at, size_t bytes) {
    std::reverse(file.begin() + static_cast<std::ptrdiff_t>(at),
                 file.begin() + static_cast<std::ptrdiff_t>(at + bytes));
  };
  constexpr size_t kPage = 4096;
  const auto u16 = [&file](size_t at) {
    return static_cast<size_t>(static_cast<uint8_t>(file[at])) |
           static_cast<size_t>(static_cast<uint8_t>(file[at + 1])) << 8;
  };
  const size_t items = u16(kPage + 20);
  for (size_t i = 0; i < items; ++i) {
    turn(kPage + u16(kPage + 26 + 2 * i), 2);
    turn(kPage + 26 + 2 * i, 2);
  }
  for (const size_t at : {kPage + 20, kPage + 22}) turn(at, 2);
  for (const size_t at : {12, 16, 20, 48}) turn(at, 4);
  EXPECT_EQ(Entries(file).at("carol"), "dave, erin");
}

TEST(BerkeleyDb, SaysWhatItIsInstead) {
  const auto told = [](const std::string& file) {
    return std::string(Message(ReadBerkeleyDb(file, {}).status()));
  };
  EXPECT_THAT(told(""), HasSubstr("no Berkeley DB file"));
  EXPECT_THAT(told("alice: bob\n" + std::string(500, ' ')), HasSubstr("no Berkeley DB file"));
  std::string old(512, '\0');
  old.replace(0, 4, std::string("\x61\x15\x06\x00", 4));
  EXPECT_THAT(told(old), HasSubstr("1.85"));
  std::string newer = Sample("aliases_hash");
  newer[16] = 11;
  EXPECT_THAT(told(newer), HasSubstr("version 11"));
  std::string cut = Sample("aliases_hash");
  cut.resize(cut.size() - 100);
  EXPECT_THAT(told(cut), HasSubstr("cut off"));
}

TEST(BerkeleyDb, Bounds) {
  TableTextOptions options;
  options.max_entries = 2;
  EXPECT_EQ(ReadBerkeleyDb(Sample("aliases_hash"), options).status().code(),
            StatusCode::kResourceExhausted);
  options = {};
  options.max_line_bytes = 8000;
  EXPECT_EQ(ReadBerkeleyDb(Sample("long_hash"), options).status().code(),
            StatusCode::kResourceExhausted);
}

// Every octet of each sample damaged in turn: an answer or an error, and nothing worse.
TEST(BerkeleyDb, SurvivesDamage) {
  for (const char* name : {"aliases_hash", "aliases_btree", "long_hash", "long_btree"}) {
    std::string file = Sample(name);
    size_t refused = 0;
    for (size_t at = 0; at < file.size(); at += at % 4096 < 256 ? 1 : 61) {
      const char before = file[at];
      for (const int mask : {0xff, 0x01, 0x80}) {
        file[at] = static_cast<char>(before ^ mask);
        refused += ReadBerkeleyDb(file, {}).ok() ? 0 : 1;
      }
      file[at] = before;
    }
    EXPECT_GT(refused, 10u);
  }
}

}  // namespace
}  // namespace postern::policy
