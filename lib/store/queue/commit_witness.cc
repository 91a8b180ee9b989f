#include "lib/store/queue/commit_witness.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "lib/store/queue/spool_rows.h"

namespace postern::store {

using queue::MessageId;

namespace {

// The ring: a head with the boot's id and the form of the records, then records of 16 octets: its
// number and in the lowest 16 bits the envelopes, none of a message that leaves (8), the message
// (4), and a checksum of those (4). All of it is in the machine's own order of octets: it is read
// in the same boot or not at all.
constexpr size_t kHeadBytes = 64;
constexpr size_t kRecordBytes = 16;
constexpr uint64_t kRecords = 32'768;

constexpr std::string_view kForm = " 2";

void PutRecord(uint64_t number, EnvelopesLeft message, char* record) noexcept {
  const uint64_t first = number << 16 | message.envelopes;
  std::memcpy(record, &first, 8);
  std::memcpy(record + 8, &message.id, 4);
  const uint32_t check = Checksum(std::string_view(record, 12));
  std::memcpy(record + 12, &check, 4);
}

// BootId names this run of the machine; "" where the system does not say.
std::string BootId(rt::Files& files) {
  StatusOr<std::unique_ptr<rt::File>> file =
      files.Open("/proc/sys/kernel/random/boot_id", rt::OpenOptions{});
  if (!file.ok()) return "";
  std::string id(36, '\0');
  const StatusOr<size_t> got = (*file)->ReadAt(0, std::span<char>(id));
  return got.ok() && *got == id.size() ? id : "";
}

}  // namespace

CommitWitness CommitWitness::Open(rt::Files& files, const std::string& spool) {
  CommitWitness witness;
  std::string head = BootId(files);
  if (head.empty()) return witness;
  head += kForm;
  head.resize(kHeadBytes, ' ');
  rt::OpenOptions open;
  open.write = open.create = true;
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(spool + "/recent", open);
  if (!file.ok()) return witness;
  std::string there(kHeadBytes, '\0');
  const StatusOr<size_t> got = (*file)->ReadAt(0, std::span<char>(there));
  if (got.ok() && *got == kHeadBytes && there == head) {
    witness.file_ = *std::move(file);
    witness.Read();
    return witness;
  }
  // At its full size from the start: a file that grows would make each sync of the log dearer.
  if (!(*file)->WriteAt(0, head + std::string(kRecords * kRecordBytes, '\0')).ok()) {
    (void)(*file)->Truncate(0);
    return witness;
  }
  witness.file_ = *std::move(file);
  return witness;
}

void CommitWitness::Read() {
  std::string ring(kRecords * kRecordBytes, '\0');
  const StatusOr<size_t> got = file_->ReadAt(kHeadBytes, std::span<char>(ring));
  if (!got.ok()) return;
  struct Last {
    uint64_t number = 0;
    uint16_t envelopes = 0;
  };
  std::unordered_map<MessageId, Last> last;
  for (size_t at = 0; at + kRecordBytes <= *got; at += kRecordBytes) {
    uint64_t first = 0;
    EnvelopesLeft message;
    std::memcpy(&first, ring.data() + at, 8);
    std::memcpy(&message.id, ring.data() + at + 8, 4);
    const uint64_t number = first >> 16;
    message.envelopes = static_cast<uint16_t>(first);
    if (number == 0 || message.id == 0) continue;
    char expected[kRecordBytes];
    PutRecord(number, message, expected);
    if (std::memcmp(ring.data() + at, expected, kRecordBytes) != 0) continue;
    next_ = std::max(next_, number + 1);
    Last& known = last[message.id];
    if (number > known.number) known = Last{number, message.envelopes};
  }
  for (const auto& [id, what] : last) {
    if (what.envelopes > 0) promised_.push_back({id, what.envelopes});
  }
  std::sort(promised_.begin(), promised_.end(),
            [](const EnvelopesLeft& a, const EnvelopesLeft& b) { return a.id < b.id; });
}

void CommitWitness::Accepted(const std::vector<EnvelopesLeft>& messages) noexcept {
  Note(messages.size(), [&](size_t i) { return messages[i]; });
}

void CommitWitness::Leaving(const std::vector<MessageId>& ids) noexcept {
  Note(ids.size(), [&](size_t i) { return EnvelopesLeft{ids[i], 0}; });
}

// It takes no memory: a message that left the queue and is not told here would be called lost.
template <typename Each>
void CommitWitness::Note(size_t count, Each&& each) noexcept {
  constexpr size_t kTogether = 64;
  if (file_ == nullptr) return;
  for (size_t done = 0; done < count;) {
    // Never over the end of the ring in one write.
    const uint64_t place = next_ % kRecords;
    const size_t now =
        std::min<size_t>(std::min(count - done, kTogether), static_cast<size_t>(kRecords - place));
    std::array<char, kTogether * kRecordBytes> records;
    for (size_t i = 0; i < now; ++i)
      PutRecord(next_++, each(done + i), records.data() + i * kRecordBytes);
    done += now;
    const std::string_view octets(records.data(), now * kRecordBytes);
    try {
      if (file_->WriteAt(kHeadBytes + place * kRecordBytes, octets).ok()) continue;
    } catch (const std::bad_alloc&) {
      // for the words of its error
    }
    file_.reset();
    return;
  }
}

}  // namespace postern::store
