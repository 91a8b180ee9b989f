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

// The ring: a head with the boot's id, then records of 16 octets: its number (8), the message (4),
// and a checksum of those (4) whose last bit is 1 for a message that was accepted. All of it is in
// the machine's own order of octets: it is read in the same boot or not at all.
constexpr size_t kHeadBytes = 64;
constexpr size_t kRecordBytes = 16;
constexpr uint64_t kRecords = 32'768;

void PutRecord(uint64_t number, MessageId id, bool accepted, char* record) noexcept {
  std::memcpy(record, &number, 8);
  std::memcpy(record + 8, &id, 4);
  const uint32_t check = (Checksum(std::string_view(record, 12)) & ~1u) | (accepted ? 1u : 0u);
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
    bool accepted = false;
  };
  std::unordered_map<MessageId, Last> last;
  for (size_t at = 0; at + kRecordBytes <= *got; at += kRecordBytes) {
    uint64_t number = 0;
    MessageId id = 0;
    std::memcpy(&number, ring.data() + at, 8);
    std::memcpy(&id, ring.data() + at + 8, 4);
    if (number == 0 || id == 0) continue;
    uint32_t check = 0;
    std::memcpy(&check, ring.data() + at + 12, 4);
    const bool accepted = (check & 1) != 0;
    char expected[kRecordBytes];
    PutRecord(number, id, accepted, expected);
    if (std::memcmp(ring.data() + at, expected, kRecordBytes) != 0) continue;
    next_ = std::max(next_, number + 1);
    Last& known = last[id];
    if (number > known.number) known = Last{number, accepted};
  }
  for (const auto& [id, what] : last) {
    if (what.accepted) promised_.push_back(id);
  }
  std::sort(promised_.begin(), promised_.end());
}

// It takes no memory: a message that left the queue and is not told here would be called lost.
void CommitWitness::Note(const std::vector<MessageId>& ids, bool accepted) noexcept {
  constexpr size_t kTogether = 64;
  if (file_ == nullptr) return;
  for (size_t done = 0; done < ids.size();) {
    // Never over the end of the ring in one write.
    const uint64_t place = next_ % kRecords;
    const size_t count = std::min<size_t>(std::min(ids.size() - done, kTogether),
                                          static_cast<size_t>(kRecords - place));
    std::array<char, kTogether * kRecordBytes> records;
    for (size_t i = 0; i < count; ++i)
      PutRecord(next_++, ids[done + i], accepted, records.data() + i * kRecordBytes);
    done += count;
    const std::string_view octets(records.data(), count * kRecordBytes);
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
