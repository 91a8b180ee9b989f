#include "lib/core/policy/berkeley_db.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// The layout: pages of one size. The first describes the database; each begins with a header, then
// the offsets of its items, which fill the page from its end.
constexpr uint32_t kHashMagic = 0x061561;
constexpr uint32_t kBtreeMagic = 0x053162;
constexpr size_t kMetaMagic = 12;
constexpr size_t kMetaVersion = 16;
constexpr size_t kMetaPageSize = 20;
constexpr size_t kMetaEncryption = 24;
constexpr size_t kMetaMetaFlags = 26;
constexpr size_t kMetaFlags = 48;
constexpr size_t kMetaBytes = 72;
constexpr uint32_t kBtreeRecno = 0x02;
constexpr uint32_t kBtreeSubDatabases = 0x20;
constexpr uint32_t kHashSubDatabases = 0x02;
constexpr size_t kMinPageBytes = 512;
constexpr size_t kMaxPageBytes = 64 << 10;

constexpr size_t kPageNext = 16;
constexpr size_t kPageEntries = 20;
constexpr size_t kPageFree = 22;  // on an overflow page: how much it holds
constexpr size_t kPageType = 25;
constexpr size_t kPageHeaderBytes = 26;
enum PageType : uint8_t { kHashUnsorted = 2, kLeaf = 5, kOverflow = 7, kHashPage = 13 };

// Items of a hash page begin with a type; those of a leaf with a length and a type.
enum HashItem : uint8_t { kHashData = 1, kHashOffPage = 3 };
enum LeafItem : uint8_t { kLeafData = 1, kLeafOverflow = 3 };
constexpr uint8_t kLeafDeleted = 0x80;
constexpr size_t kOffPageBytes = 12;  // type, page, length

Status Damaged(std::string_view what) {
  return DataLoss(StrCat("the file is damaged, or was being written: ", what));
}

class BerkeleyDb {
 public:
  BerkeleyDb(std::string_view file, const TableTextOptions& options)
      : file_(file), options_(options) {}

  StatusOr<TableText> Read() {
    POSTERN_RETURN_IF_ERROR(ReadMeta());
    TableText table;
    for (size_t page = 1; page < file_.size() / page_bytes_; ++page) {
      const uint8_t type = static_cast<uint8_t>(file_[page * page_bytes_ + kPageType]);
      // Others are inner pages, overflow pages (read with their items) and free ones.
      const bool holds_items =
          is_hash_ ? type == kHashUnsorted || type == kHashPage : type == kLeaf;
      if (holds_items) POSTERN_RETURN_IF_ERROR(ReadPage(page * page_bytes_, &table));
    }
    return table;
  }

 private:
  uint16_t U16(size_t at) const {
    const auto low = static_cast<uint8_t>(file_[at]);
    const auto high = static_cast<uint8_t>(file_[at + 1]);
    return static_cast<uint16_t>(swapped_ ? low << 8 | high : high << 8 | low);
  }
  uint32_t U32(size_t at) const {
    const uint32_t a = U16(at);
    const uint32_t b = U16(at + 2);
    return swapped_ ? a << 16 | b : b << 16 | a;
  }

  Status ReadMeta() {
    if (file_.size() < kMetaBytes) return InvalidArgument("it is no Berkeley DB file");
    uint32_t magic = 0;
    for (const bool swapped : {false, true}) {
      swapped_ = swapped;
      magic = U32(kMetaMagic);
      if (magic == kHashMagic || magic == kBtreeMagic) break;
      const uint32_t old_magic = U32(0);
      if (old_magic == kHashMagic || old_magic == kBtreeMagic) {
        return InvalidArgument(
            "it is a file of Berkeley DB 1.85, as OpenBSD's makemap writes it: make it anew with "
            "this system's makemap");
      }
    }
    is_hash_ = magic == kHashMagic;
    if (!is_hash_ && magic != kBtreeMagic) return InvalidArgument("it is no Berkeley DB file");
    const uint32_t version = U32(kMetaVersion);
    if (version < 8 || version > 10)
      return InvalidArgument(StrCat("a Berkeley DB file of version ", version,
                                    ", and 8 to 10 are known: make it anew with makemap"));
    const uint32_t flags = U32(kMetaFlags);
    if (file_[kMetaEncryption] != 0 || file_[kMetaMetaFlags] != 0)
      return InvalidArgument("it is encrypted, has checksums or several parts: makemap makes none");
    if ((flags & (is_hash_ ? kHashSubDatabases : kBtreeSubDatabases | kBtreeRecno)) != 0)
      return InvalidArgument("it holds several databases, or records without keys");
    page_bytes_ = U32(kMetaPageSize);
    if (page_bytes_ < kMinPageBytes || page_bytes_ > kMaxPageBytes ||
        (page_bytes_ & (page_bytes_ - 1)) != 0)
      return Damaged("its page size");
    if (file_.size() % page_bytes_ != 0) return Damaged("its last page is cut off");
    return OkStatus();
  }

  // ReadPage takes the pairs of the page at `base`.
  Status ReadPage(size_t base, TableText* table) {
    const size_t items = U16(base + kPageEntries);
    if (items % 2 != 0 || kPageHeaderBytes + 2 * items > page_bytes_)
      return Damaged("the items of a page");
    std::string key;
    std::string value;
    size_t end = page_bytes_;  // where the item before this one began
    for (size_t i = 0; i < items; ++i) {
      const size_t at = U16(base + kPageHeaderBytes + 2 * i);
      if (at < kPageHeaderBytes + 2 * items || at >= page_bytes_ || (is_hash_ && at >= end))
        return Damaged("where an item begins");
      bool deleted = false;
      std::string* const into = i % 2 == 0 ? &key : &value;
      POSTERN_RETURN_IF_ERROR(is_hash_ ? ReadHashItem(base + at, end - at, into)
                                       : ReadLeafItem(base + at, page_bytes_ - at, into, &deleted));
      end = at;
      if (i % 2 == 0 || deleted) continue;
      POSTERN_RETURN_IF_ERROR(Add(std::move(key), std::move(value), table));
      key.clear();
      value.clear();
    }
    return OkStatus();
  }

  Status Add(std::string key, std::string value, TableText* table) {
    for (std::string* text : {&key, &value}) {
      if (!text->empty() && text->back() == '\0') text->pop_back();
      if (text->find('\0') != std::string::npos)
        return InvalidArgument("an entry with a NUL octet in it");
    }
    if (value == "<set>") value.clear();
    if (table->entries.size() >= options_.max_entries)
      return ResourceExhausted(StrCat("more than ", options_.max_entries, " entries"));
    if (key.size() + value.size() > options_.max_line_bytes)
      return ResourceExhausted(
          StrCat("an entry of more than ", options_.max_line_bytes, " octets"));
    TableEntry entry;
    entry.key = std::move(key);
    entry.value = std::move(value);
    table->entries.push_back(std::move(entry));
    return OkStatus();
  }

  Status ReadHashItem(size_t at, size_t room, std::string* into) {
    const auto type = static_cast<uint8_t>(file_[at]);
    if (type == kHashData) {
      into->assign(file_.substr(at + 1, room - 1));
      return OkStatus();
    }
    if (type != kHashOffPage) return InvalidArgument("it has several values of one key");
    if (room < kOffPageBytes) return Damaged("an item that lies elsewhere");
    return ReadOverflow(U32(at + 4), U32(at + 8), into);
  }

  Status ReadLeafItem(size_t at, size_t room, std::string* into, bool* deleted) {
    if (room < 3) return Damaged("an item's length");
    const auto type = static_cast<uint8_t>(file_[at + 2]);
    *deleted = (type & kLeafDeleted) != 0;
    switch (type & ~kLeafDeleted) {
      case kLeafData: {
        const size_t bytes = U16(at);
        if (bytes > room - 3) return Damaged("an item's length");
        into->assign(file_.substr(at + 3, bytes));
        return OkStatus();
      }
      case kLeafOverflow:
        if (room < kOffPageBytes) return Damaged("an item that lies elsewhere");
        return ReadOverflow(U32(at + 4), U32(at + 8), into);
      default: return InvalidArgument("it has several values of one key");
    }
  }

  // ReadOverflow collects an item that has pages of its own. Each such page belongs to one item, so
  // all of them together are no longer than the file: that bounds the work.
  Status ReadOverflow(uint32_t page, uint32_t bytes, std::string* into) {
    into->clear();
    if (bytes > file_.size() - overflow_read_) return Damaged("the length of a long item");
    overflow_read_ += bytes;
    while (into->size() < bytes) {
      if (page == 0 || page >= file_.size() / page_bytes_) return Damaged("a page of a long item");
      const size_t base = page * page_bytes_;
      const size_t here = U16(base + kPageFree);
      if (static_cast<uint8_t>(file_[base + kPageType]) != kOverflow || here == 0 ||
          here > page_bytes_ - kPageHeaderBytes || here > bytes - into->size())
        return Damaged("a page of a long item");
      into->append(file_.substr(base + kPageHeaderBytes, here));
      page = U32(base + kPageNext);
    }
    return OkStatus();
  }

  const std::string_view file_;
  const TableTextOptions& options_;
  bool swapped_ = false;
  bool is_hash_ = false;
  size_t page_bytes_ = 0;
  size_t overflow_read_ = 0;
};

}  // namespace

StatusOr<TableText> ReadBerkeleyDb(std::string_view file, const TableTextOptions& options) {
  return BerkeleyDb(file, options).Read();
}

}  // namespace postern::policy
