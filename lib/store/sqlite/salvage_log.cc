// Salvage: what the write-ahead log holds (sqlite.org/fileformat2.html#walformat).
#include <algorithm>
#include <bit>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/sqlite/salvage.h"
#include "lib/store/sqlite/salvage_octets.h"

namespace postern::sqlite {
namespace {

constexpr size_t kLogHeaderBytes = 32;
constexpr uint32_t kLogVersion = 3007000;
constexpr size_t kFrameHeaderBytes = 24;
constexpr size_t kFrameBytes = kFrameHeaderBytes + kPageBytes;

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

}  // namespace postern::sqlite
