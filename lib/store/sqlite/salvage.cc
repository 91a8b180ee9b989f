#include "lib/store/sqlite/salvage.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::sqlite {
namespace {

// Every store of ours has pages of SQLite's default size, and no octets
// reserved at their ends.
constexpr size_t kPageBytes = 4096;
constexpr size_t kHeaderBytes = 100;
constexpr size_t kLogHeaderBytes = 32;
constexpr uint32_t kLogVersion = 3007000;
constexpr size_t kFrameHeaderBytes = 24;
constexpr size_t kFrameBytes = kFrameHeaderBytes + kPageBytes;

constexpr uint8_t kInnerIndex = 0x02, kInnerTable = 0x05, kLeafIndex = 0x0a, kLeafTable = 0x0d;

uint8_t Octet(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

uint32_t Big16(std::string_view text, size_t at) {
  return static_cast<uint32_t>(Octet(text, at)) << 8 | Octet(text, at + 1);
}

uint32_t Big32(std::string_view text, size_t at) {
  return Big16(text, at) << 16 | Big16(text, at + 2);
}

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

struct Sum {
  uint32_t a = 0;
  uint32_t b = 0;
  friend bool operator==(const Sum&, const Sum&) = default;
};

// Add continues the log's checksum over `text`, whose size is a multiple of
// eight.
Sum Add(Sum sum, std::string_view text, bool big_endian) {
  const auto word = [&](size_t at) {
    const uint32_t big = Big32(text, at);
    return big_endian ? big : __builtin_bswap32(big);
  };
  for (size_t i = 0; i + 8 <= text.size(); i += 8) {
    sum.a += word(i) + sum.b;
    sum.b += word(i + 4) + sum.a;
  }
  return sum;
}

bool ReadWhole(rt::File& file, uint64_t offset, size_t size, std::string* into) {
  into->resize(size);
  const StatusOr<size_t> got = file.ReadAt(offset, std::span<char>(into->data(), size));
  return got.ok() && *got == size;
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

namespace {

// MendBit looks for the one bit of `frame` whose other value gives the checksum
// that the frame says it has, and turns it. The checksum is a linear function
// of the 32-bit words it covers, so it is enough to compare what is missing
// with what each bit would add.
bool MendBit(Sum before, Sum wanted, bool big_endian, std::string* frame) {
  const auto covered = [](const std::string& octets) {
    return StrCat(std::string_view(octets).substr(0, 8),
                  std::string_view(octets).substr(kFrameHeaderBytes));
  };
  std::string text = covered(*frame);
  const Sum now = Add(before, text, big_endian);
  const Sum missing{wanted.a - now.a, wanted.b - now.b};
  // What one more in each word of a pair adds at the end: of the last pair
  // first.
  Sum first{1, 1}, second{0, 1};
  for (size_t pair = text.size() / 8; pair-- > 0;) {
    for (const bool is_first : {true, false}) {
      const Sum unit = is_first ? first : second;
      for (int bit = 0; bit < 32; ++bit) {
        const uint32_t one = uint32_t{1} << bit;
        const bool up = unit.a * one == missing.a && unit.b * one == missing.b;
        const bool down = unit.a * (0 - one) == missing.a && unit.b * (0 - one) == missing.b;
        if (!up && !down) continue;
        const int octet = big_endian ? 3 - bit / 8 : bit / 8;
        const size_t at = pair * 8 + (is_first ? 0 : 4) + static_cast<size_t>(octet);
        text[at] = static_cast<char>(Octet(text, at) ^ (1u << (bit % 8)));
        if (Add(before, text, big_endian) != wanted) {
          text[at] = static_cast<char>(Octet(text, at) ^ (1u << (bit % 8)));
          continue;
        }
        frame->replace(0, 8, text, 0, 8);
        frame->replace(kFrameHeaderBytes, kPageBytes, text, 8, kPageBytes);
        return true;
      }
    }
    for (Sum* unit : {&first, &second}) *unit = Sum{unit->a + unit->b, unit->a + 2 * unit->b};
  }
  return false;
}

bool OneBitApart(Sum a, Sum b) { return std::popcount(a.a ^ b.a) + std::popcount(a.b ^ b.b) == 1; }

// At most so many frames are mended: each costs as much as a hundred thousand
// comparisons.
constexpr size_t kMostMended = 256;

}  // namespace

// The log is a chain: each frame's checksum goes on from that of the one before
// it. Behind a frame that is not what was written the chain can be taken up
// again at what that frame says its checksum is, so frames behind it are known
// to be good; and one wrong bit can be turned back. Damage is told from what a
// power cut leaves by this: a transaction is synced before the next begins, so
// when a frame follows the commit of a broken one, that one was durable; and a
// write that was cut does not end in a frame that only one bit keeps from being
// whole.
void Salvage::ReadLog() {
  const StatusOr<rt::FileInfo> info = log_->Stat();
  std::string header;
  if (!info.ok() || info->size_bytes < kLogHeaderBytes + kFrameBytes ||
      !ReadWhole(*log_, 0, kLogHeaderBytes, &header))
    return;
  const bool big_endian = Big32(header, 0) == 0x377f0683u;
  const Sum header_sum{Big32(header, 24), Big32(header, 28)};
  const Sum header_computed = Add(Sum{}, std::string_view(header).substr(0, 24), big_endian);
  const bool header_good = (Big32(header, 0) & ~1u) == 0x377f0682u &&
                           Big32(header, 4) == kLogVersion && Big32(header, 8) == kPageBytes &&
                           header_computed == header_sum;
  const uint64_t count = (info->size_bytes - kLogHeaderBytes) / kFrameBytes;
  std::string frame;
  std::string salt = header.substr(16, 8);
  Sum sum = header_sum;
  // A log that never was begun is zeros. In one whose header is broken the
  // first frame knows the generation.
  if (!header_good) {
    if (!ReadWhole(*log_, kLogHeaderBytes, kFrameBytes, &frame)) return;
    salt = frame.substr(8, 8);
    if (salt == std::string(8, '\0')) return;
    if (OneBitApart(header_sum, header_computed)) sum = header_computed;
  }
  struct Frame {
    uint32_t page;
    uint32_t commit_pages;  // not 0: ends a transaction; pages of the database then
    bool good;              // as it was written
    bool sound;             // good, or good again
  };
  std::vector<Frame> frames;
  size_t last_of_generation = 0, mended = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (!ReadWhole(*log_, kLogHeaderBytes + i * kFrameBytes, kFrameBytes, &frame)) break;
    const auto computed_now = [&] {
      return Add(Add(sum, std::string_view(frame).substr(0, 8), big_endian),
                 std::string_view(frame).substr(kFrameHeaderBytes), big_endian);
    };
    const Sum stored{Big32(frame, 16), Big32(frame, 20)};
    const Sum computed = computed_now();
    const bool salted = frame.compare(8, 8, salt) == 0;
    const bool good = salted && computed == stored;
    // A frame of another salt is ours when it goes on from one that is; an
    // older generation's go on from each other.
    bool sound = computed == stored && (salted || last_of_generation == i);
    Sum next = stored;
    if (salted && !sound && mended < kMostMended) {
      if (OneBitApart(stored, computed)) {
        sound = true;
        next = computed;
      } else if (MendBit(sum, stored, big_endian, &frame)) {
        sound = true;
        mended_[kLogHeaderBytes + i * kFrameBytes + kFrameHeaderBytes] =
            frame.substr(kFrameHeaderBytes);
      }
      mended += sound ? 1 : 0;
    }
    frames.push_back(Frame{Big32(frame, 0), Big32(frame, 4), good, sound});
    if (salted || sound) last_of_generation = frames.size();
    // Frames of an older generation are told from a damaged one by what
    // follows.
    if (!salted && !sound && i >= last_of_generation + 1) break;
    sum = next;
  }
  frames.resize(last_of_generation);
  log_state_.frames = frames.size();
  size_t bad = header_good ? frames.size() : 0;
  for (size_t i = 0; i < frames.size() && bad == frames.size(); ++i) {
    if (!frames[i].good) bad = i;
  }
  size_t end = 0;  // behind the last frame that counts
  for (size_t i = 0; i < bad; ++i) {
    if (frames[i].commit_pages != 0) end = i + 1;
  }
  if (bad < frames.size() || !header_good) {
    log_state_.first_bad_frame = bad + 1;
    size_t last_commit = 0, last_whole = 0;
    bool followed = false, whole = true;
    for (size_t i = end; i < frames.size(); ++i) {
      if (!frames[i].sound) {
        whole = false;
        continue;
      }
      followed = followed || last_commit > bad;
      if (frames[i].commit_pages == 0) continue;
      last_commit = i + 1;
      if (whole) last_whole = i + 1;
      whole = true;
    }
    log_state_.damaged = followed || last_whole > end;
    if (log_state_.damaged) {
      end = followed ? last_commit : last_whole;
    } else {
      log_state_.torn = frames.size() > end;
    }
  }
  const auto place = [](size_t i) { return kLogHeaderBytes + i * kFrameBytes + kFrameHeaderBytes; };
  for (size_t i = 0; i < end; ++i) {
    if (frames[i].sound) pages_ = std::max(pages_, frames[i].page);
    if (frames[i].page != 0 && frames[i].page <= pages_) logged_[frames[i].page] = place(i);
  }
  for (size_t i = end; i < frames.size(); ++i) torn_frames_.push_back(place(i));
  if (!log_state_.damaged || header_good) return;
  // A header that broke when the log was begun anew, before frames that are in
  // the database already, takes nothing away.
  bool news = false;
  std::string there;
  for (const auto& [number, offset] : logged_) {
    news = news || !ReadPage(number, &frame) || database_ == nullptr ||
           !ReadWhole(*database_, uint64_t{number - 1} * kPageBytes, kPageBytes, &there) ||
           there != frame;
  }
  log_state_.damaged = news;
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
