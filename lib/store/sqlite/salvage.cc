#include "lib/store/sqlite/salvage.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/sqlite/salvage_octets.h"

namespace postern::sqlite {
namespace {

constexpr uint8_t kInnerIndex = 0x02, kInnerTable = 0x05, kLeafIndex = 0x0a, kLeafTable = 0x0d;

// ReadVarint reads SQLite's varint (at most nine octets, the last one whole)
// and moves `*at` behind it.
std::optional<uint64_t> ReadVarint(std::string_view text, size_t* at) {
  uint64_t value = 0;
  for (int i = 0; i < 9; ++i) {
    if (*at >= text.size()) return std::nullopt;
    const uint8_t octet = Octet(text, (*at)++);
    if (i == 8) return value << 8 | octet;
    value = value << 7 | (octet & 0x7f);
    if ((octet & 0x80) == 0) return value;
  }
  return std::nullopt;
}

// IsNearlyLeaf tells whether one bit at most keeps `type` from being that of a
// table's leaf. The pages of long rows begin with 0 in any file below 64 GiB,
// so no octets of a stranger pass.
bool IsNearlyLeaf(uint8_t type) {
  return std::popcount(static_cast<unsigned>(type ^ kLeafTable)) <= 1;
}

}  // namespace

Salvage::Salvage(std::unique_ptr<rt::File> database, std::unique_ptr<rt::File> log,
                 SalvageLimits limits)
    : database_(std::move(database)), log_(std::move(log)), limits_(limits) {}

Status Salvage::Begin() {
  if (database_ != nullptr) {
    const StatusOr<rt::FileInfo> info = database_->Stat();
    if (!info.ok()) return info.status();
    database_bytes_ = info->size_bytes;
    // A file of another kind may have any size; 2^32 pages are the most that
    // SQLite counts.
    pages_ =
        static_cast<uint32_t>(std::min<uint64_t>(database_bytes_ / kPageBytes, UINT32_MAX - 1));
    header_.resize(kHeaderBytes);
    const StatusOr<size_t> got = database_->ReadAt(0, std::span<char>(header_));
    if (!got.ok()) return got.status();
    header_.resize(*got);
  }
  if (log_ != nullptr) ReadLog();
  seen_.assign(size_t{pages_} + 1, 0);
  return OkStatus();
}

Status Salvage::CheckHeader() const {
  const auto wrong = [](std::string_view what) {
    return DataLoss(StrCat("damaged database: header: ", what));
  };
  if (header_.size() < kHeaderBytes) return wrong("cut short");
  if (std::string_view(header_).substr(0, 16) != std::string_view("SQLite format 3\0", 16))
    return wrong("not SQLite's");
  if (Big16(header_, 16) != kPageBytes) return wrong("page size");
  if (Octet(header_, 18) < 1 || Octet(header_, 18) > 2 || Octet(header_, 19) != Octet(header_, 18))
    return wrong("format version");
  if (Octet(header_, 20) != 0) return wrong("reserved octets");
  if (header_.compare(21, 3, "\x40\x20\x20") != 0) return wrong("payload fractions");
  if (Big32(header_, 44) > 4) return wrong("schema format");
  if (Big32(header_, 52) != 0 || Big32(header_, 64) != 0) return wrong("vacuum mode");
  if (Big32(header_, 56) > 1) return wrong("text encoding");
  for (size_t i = 72; i < 92; ++i) {
    if (header_[i] != 0) return wrong("octets kept for later");
  }
  return OkStatus();
}

bool Salvage::ReadPage(uint32_t number, std::string* page) const {
  if (number == 0 || number > pages_) return false;
  const auto logged = logged_.find(number);
  if (logged != logged_.end()) {
    const auto mended = mended_.find(logged->second);
    if (mended == mended_.end()) return ReadWhole(*log_, logged->second, kPageBytes, page);
    *page = mended->second;
    return true;
  }
  return database_ != nullptr &&
         ReadWhole(*database_, uint64_t{number - 1} * kPageBytes, kPageBytes, page);
}

// --- trees ---

void Salvage::ReadRoots(std::vector<Object>* objects) {
  std::string page;
  if (!ReadPage(1, &page)) return;
  chain_pages_left_ = kChainsPerPage * pages_;
  RowsOfPage(page, 1, false, [&](const SalvagedRow& row) {
    // type, name, tbl_name, rootpage, sql
    if (row.values.size() != 5 || row.values[3].kind != SalvagedValue::Kind::kInteger) return;
    const int64_t root = row.values[3].number;
    for (Object& object : *objects) {
      if (row.values[1].octets == object.name && root > 1 && root <= int64_t{pages_})
        object.root = static_cast<uint32_t>(root);
    }
  });
}

void Salvage::Survey(std::vector<Object> objects) {
  ReadRoots(&objects);
  if (!seen_.empty()) seen_[0] = 1;
  if (pages_ > 0) seen_[1] = 1;
  for (Object& object : objects) {
    Tree tree;
    tree.object = std::move(object);
    WalkTree(&tree);
    trees_.push_back(std::move(tree));
  }
  WalkFreePages();
}

void Salvage::WalkTree(Tree* tree) {
  const uint8_t leaf = tree->object.index ? kLeafIndex : kLeafTable;
  const uint8_t inner = tree->object.index ? kInnerIndex : kInnerTable;
  std::vector<uint32_t> open = {tree->object.root};
  std::string page;
  while (!open.empty()) {
    const uint32_t number = open.back();
    open.pop_back();
    if (number == 0 || number > pages_ || seen_[number] != 0 || !ReadPage(number, &page)) {
      tree->whole = false;
      continue;
    }
    const uint8_t type = Octet(page, 0);
    if (type == leaf) {
      seen_[number] = 1;
      tree->leaves.push_back(number);
      continue;
    }
    if (type != inner) {
      tree->whole = false;
      continue;
    }
    seen_[number] = 1;
    if (tree->object.index) tree->leaves.push_back(number);
    open.push_back(Big32(page, 8));
    const size_t cells = Big16(page, 3);
    for (size_t i = 0; i < cells; ++i) {
      const size_t pointer = 12 + 2 * i;
      const size_t cell = pointer + 2 <= kPageBytes ? Big16(page, pointer) : kPageBytes;
      if (cell + 4 > kPageBytes) {
        tree->whole = false;
        break;
      }
      open.push_back(Big32(page, cell));
    }
  }
}

// Pages on the list of free ones hold what was deleted. A page that a tree
// reaches is none of them, whatever the list says.
void Salvage::WalkFreePages() {
  std::string page;
  if (!ReadPage(1, &page)) return;
  uint32_t trunk = Big32(page, 32);
  while (trunk != 0 && trunk <= pages_ && seen_[trunk] == 0 && ReadPage(trunk, &page)) {
    seen_[trunk] = 1;
    const size_t leaves = std::min<size_t>(Big32(page, 4), kPageBytes / 4 - 2);
    for (size_t i = 0; i < leaves; ++i) {
      const uint32_t number = Big32(page, 8 + 4 * i);
      if (number <= pages_) seen_[number] = 1;
    }
    trunk = Big32(page, 0);
  }
}

// --- rows ---

void Salvage::ForEachRow(size_t object, const RowFunction& row) {
  chain_pages_left_ = kChainsPerPage * pages_;
  const Tree& tree = trees_[object];
  const bool index = tree.object.index;
  std::string page;
  for (const uint32_t number : tree.leaves) {
    if (ReadPage(number, &page)) RowsOfPage(page, number, index, row);
  }
  if (tree.whole) return;
  for (uint32_t number = 2; number <= pages_; ++number) {
    if (seen_[number] != 0 || !ReadPage(number, &page)) continue;
    const uint8_t type = Octet(page, 0);
    const bool fits = index ? type == kLeafIndex || type == kInnerIndex : IsNearlyLeaf(type);
    if (fits) RowsOfPage(page, number, index, row);
  }
}

void Salvage::ForEachTornRow(const RowFunction& row) {
  chain_pages_left_ = kChainsPerPage * pages_;
  std::string page;
  for (const uint64_t offset : torn_frames_) {
    if (ReadWhole(*log_, offset, kPageBytes, &page) && Octet(page, 0) == kLeafTable)
      RowsOfPage(page, 0, false, row);
  }
}

void Salvage::RowsOfPage(const std::string& page, uint32_t number, bool index,
                         const RowFunction& row) {
  const size_t start = number == 1 ? kHeaderBytes : 0;
  const bool child = index && Octet(page, start) == kInnerIndex;
  const size_t pointers = start + (child ? 12 : 8);
  const size_t cells = std::min<size_t>(Big16(page, start + 3), (kPageBytes - pointers) / 2);
  for (size_t i = 0; i < cells; ++i) {
    const size_t cell = Big16(page, pointers + 2 * i);
    SalvagedRow found;
    if (cell < pointers || cell >= kPageBytes || !ReadRecord(page, cell, index, child, &found))
      continue;
    row(found);
  }
}

bool Salvage::ReadRecord(const std::string& page, size_t cell, bool index, bool child,
                         SalvagedRow* row) {
  size_t at = cell + (child ? 4 : 0);
  const std::optional<uint64_t> size = ReadVarint(page, &at);
  if (!size || *size > limits_.max_row_bytes) return false;
  if (!index) {
    const std::optional<uint64_t> rowid = ReadVarint(page, &at);
    if (!rowid) return false;
    row->rowid = static_cast<int64_t>(*rowid);
  }
  // How much of a long row stands on the page itself
  // (fileformat2.html#b_tree_pages).
  constexpr size_t kLeast = (kPageBytes - 12) * 32 / 255 - 23;
  const size_t most = index ? (kPageBytes - 12) * 64 / 255 - 23 : kPageBytes - 35;
  size_t local = static_cast<size_t>(*size);
  if (local > most) {
    local = kLeast + (static_cast<size_t>(*size) - kLeast) % (kPageBytes - 4);
    if (local > most) local = kLeast;
  }
  if (at + local > kPageBytes) return false;
  std::string payload = page.substr(at, local);
  if (local < *size) {
    uint32_t next = at + local + 4 <= kPageBytes ? Big32(page, at + local) : 0;
    std::string more;
    while (payload.size() < *size && chain_pages_left_ > 0 && ReadPage(next, &more)) {
      --chain_pages_left_;
      payload.append(more, 4, static_cast<size_t>(*size) - payload.size());
      next = Big32(more, 0);
    }
    row->whole = payload.size() == *size;
  }
  return ParseRecord(payload, row);
}

bool Salvage::ParseRecord(std::string_view payload, SalvagedRow* row) const {
  size_t at = 0;
  const std::optional<uint64_t> header = ReadVarint(payload, &at);
  if (!header || *header > payload.size()) return false;
  size_t data = static_cast<size_t>(*header);
  const std::string_view types = payload.substr(0, data);
  while (at < types.size()) {
    const std::optional<uint64_t> type = ReadVarint(types, &at);
    if (!type || row->values.size() >= limits_.max_columns) return false;
    SalvagedValue& value = row->values.emplace_back();
    const size_t left = payload.size() - data;
    if (*type >= 12) {
      const uint64_t size = (*type - 12) / 2;
      value.kind = SalvagedValue::Kind::kOctets;
      const auto there = static_cast<size_t>(std::min<uint64_t>(size, left));
      if (there < size && row->whole) return false;
      value.octets = payload.substr(data, there);
      data += there;
      continue;
    }
    if (*type == 0) continue;
    value.kind = SalvagedValue::Kind::kInteger;
    if (*type == 8 || *type == 9) {
      value.number = *type == 9 ? 1 : 0;
      continue;
    }
    if (*type >= 7) return false;  // we store no fractions, and the rest has no meaning
    constexpr size_t kSizes[] = {0, 1, 2, 3, 4, 6, 8};
    const size_t size = kSizes[*type];
    if (size > left) return false;
    uint64_t number = (Octet(payload, data) & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; ++i) number = number << 8 | Octet(payload, data + i);
    value.number = static_cast<int64_t>(number);
    data += size;
  }
  return true;
}

}  // namespace postern::sqlite
