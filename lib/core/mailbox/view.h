// View: what one session has been told about its mailbox. Sequence numbers live here: they shift
// only when the client hears of it, and RFC 3501 §7.4.1 says when that may be.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/core/mailbox/mailbox.h"

namespace postern::mailbox {

// ViewUpdate is one untagged response that the client is owed.
struct ViewUpdate {
  enum class Kind : uint8_t {
    kExpunge,  // `number` is the sequence number at that moment; earlier kExpunge of the same batch
               // already count
    kExists,   // `number` is the new count
    kRecent,   // `number` is the new count of \Recent
    kFlags,    // `number` is the sequence number of `message`, whose flags changed
  };
  Kind kind = Kind::kExists;
  uint32_t number = 0;
  uint32_t uid = 0;     // kExpunge (for VANISHED, RFC 7162 §3.2.10) and kFlags
  MessageInfo message;  // kFlags
};

// View keeps, in order, the UID and the last announced flags of each message that the client knows
// of. No locks, no I/O.
class View {
 public:
  // Reset starts over with what SELECT announces.
  void Reset(std::span<const MessageInfo> messages);

  size_t size() const { return entries_.size(); }
  // UidAt returns the UID of sequence number `number`, 0 when there is none.
  uint32_t UidAt(uint32_t number) const;
  // NumberOf returns the sequence number of `uid`, 0 when the client does not know it.
  uint32_t NumberOf(uint32_t uid) const;
  uint32_t max_uid() const { return entries_.empty() ? 0 : entries_.back().uid; }
  uint32_t recent() const { return recent_; }

  // UidsOf turns a set of sequence numbers into UIDs. nullopt when a number is beyond size(): RFC
  // 3501 §9 makes that an error.
  std::optional<UidSet> UidsOf(const UidSet& numbers) const;
  // Known keeps those of `uids` that the client knows of (RFC 3501 §6.4.8: others are ignored
  // without a word).
  UidSet Known(const UidSet& uids) const;

  // Update compares with the mailbox's present state and returns what the client must be told, in
  // an order that is right to send: expunges (highest number first), flags, EXISTS, RECENT. Without
  // `may_expunge` (during FETCH, STORE and SEARCH, RFC 3501 §7.4.1) removed messages stay in the
  // view until a later call. Cost is O(size) of both.
  std::vector<ViewUpdate> Update(std::span<const MessageInfo> messages, bool may_expunge);

  // Told marks the flags of `message` as announced: after a FETCH with FLAGS, and after
  // STORE.SILENT (RFC 3501 §6.4.6).
  void Told(const MessageInfo& message);

  // has_ghosts tells whether removed messages wait to be announced.
  bool has_ghosts() const { return ghosts_; }

 private:
  struct Entry {
    uint32_t uid;
    SystemFlags flags;
    bool recent;
    KeywordBits keywords;
  };
  static Entry EntryOf(const MessageInfo& message) {
    return Entry{message.uid, message.flags, message.recent, message.keywords};
  }

  std::vector<Entry> entries_;
  uint32_t recent_ = 0;
  bool ghosts_ = false;
};

}  // namespace postern::mailbox
