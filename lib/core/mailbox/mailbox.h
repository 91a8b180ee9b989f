// The mailbox interface: one account's mailboxes (MailStore), one opened mailbox as a session works
// with it (Mailbox), the content of one message. lib/store/mailbox has the stores: Maildir++ and
// memory.
//
// All calls block and belong on the pool. A MailStore may be called by any thread: it serialises
// inside, so all sessions of an account may share one. A Mailbox, an Appender and a MessageContent
// serve one thread at a time; they keep what they need of their store alive.
//
// Names are UTF-8, levels separated by MailStore::separator(), "INBOX" in capitals: what
// CanonicalName (names.h) gives. Errors: kNotFound (no such mailbox: TRYCREATE; or message),
// kAlreadyExists, kInvalidArgument (bad name or flag), kResourceExhausted (disk full, quota,
// limit), kPermissionDenied, kUnavailable (busy, try again), kDataLoss (broken medium).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/mailbox/flags.h"
#include "lib/core/mailbox/names.h"
#include "lib/core/mailbox/uid_set.h"

namespace postern::mailbox {

// MessageInfo is what is known about a message without looking into it.
struct MessageInfo {
  uint32_t uid = 0;
  SystemFlags flags = 0;
  bool recent = false;          // this session is the first to hear of it (RFC 3501 §2.3.2)
  uint64_t modseq = 0;          // RFC 7162; 1 or more
  KeywordBits keywords = 0;     // over Mailbox::keywords()
  int64_t internal_date_s = 0;  // Unix time
  uint64_t size_bytes = 0;  // RFC822.SIZE: exactly what MessageContent gives, with CRLF line ends

  WallTime internal_date() const { return absl::FromUnixSeconds(internal_date_s); }
  friend bool operator==(const MessageInfo&, const MessageInfo&) = default;
};

// MessageContent is the octets of one message in canonical form: every line ends in CRLF, whatever
// the file has. A message that was expunged after it was opened can still be read.
class MessageContent {
 public:
  virtual ~MessageContent() = default;
  virtual uint64_t size_bytes() const = 0;
  // ReadAt fills `into` from `offset` and returns how much there was; less than asked only at the
  // end. Cheap when reading on, dearer when jumping back.
  virtual StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) = 0;
  // All lends the whole message, in memory from the first call until this object dies.
  // kResourceExhausted above `limit_bytes`.
  virtual StatusOr<std::string_view> All(uint64_t limit_bytes) = 0;
};

// AppendOptions goes with a message that APPEND brings.
struct AppendOptions {
  FlagList flags;
  std::optional<WallTime> internal_date;  // unset: now
};

// AppendResult says where messages went (APPENDUID, RFC 4315 §3). `uids` is in the order of the
// messages.
struct AppendResult {
  uint32_t uid_validity = 0;
  std::vector<uint32_t> uids;
};

// Appender takes one message or several (MULTIAPPEND, RFC 3502) piece by piece. Dropped before
// Commit, it leaves nothing.
class Appender {
 public:
  virtual ~Appender() = default;
  // StartMessage begins the next message.
  virtual Status StartMessage(const AppendOptions& options) = 0;
  // Write adds octets to the message at hand, cut anywhere. Line ends are CRLF; a bare LF is taken
  // for one.
  virtual Status Write(std::string_view octets) = 0;
  // Commit puts all of the messages in the mailbox, or none, and returns when they are durable.
  // Once.
  virtual StatusOr<AppendResult> Commit() = 0;
};

// CopyResult maps what was copied or moved: source[i] became target[i] (COPYUID, RFC 4315 §3). Both
// rise. Messages that were gone are missing from it.
struct CopyResult {
  uint32_t uid_validity = 0;
  std::vector<uint32_t> source;
  std::vector<uint32_t> target;
};

// StoreRequest is what STORE asks for.
struct StoreRequest {
  FlagChange change = FlagChange::kAdd;
  FlagList flags;
  std::optional<uint64_t>
      unchanged_since;  // RFC 7162 §3.1.3: leave messages with a higher modseq alone
};

// StoreResult says which messages were changed, which were left alone because of unchanged_since,
// and which are gone. A message that had the flags already is in none of them.
struct StoreResult {
  UidSet changed;
  UidSet modified;
  UidSet gone;
};

// CacheKind is what may be kept about a message so that FETCH need not parse it again; the text is
// the caller's.
enum class CacheKind : uint8_t { kEnvelope = 1, kBody = 2, kBodyStructure = 3 };

// Mailbox is an opened mailbox. Its snapshot (messages, uid_next, …) changes only inside Sync and
// the calls that change the mailbox through this object; what others did becomes visible at the
// next Sync.
class Mailbox {
 public:
  virtual ~Mailbox() = default;

  virtual const std::string& name() const = 0;
  virtual bool read_only() const = 0;
  virtual uint32_t uid_validity() const = 0;
  virtual uint32_t uid_next() const = 0;
  virtual uint64_t highest_modseq() const = 0;
  // messages lends the snapshot, by rising UID, until the next call that is not const.
  virtual std::span<const MessageInfo> messages() const = 0;
  // keywords names the bits of MessageInfo::keywords. Bits keep their meaning while this object
  // lives.
  virtual const KeywordTable& keywords() const = 0;
  // generation changes whenever the snapshot does, so that "nothing new" costs one comparison.
  virtual uint64_t generation() const = 0;

  // Sync takes in what other sessions, deliveries and programs did. kNotFound: the mailbox was
  // deleted. kFailedPrecondition: it has a new UIDVALIDITY; the session must select it again.
  virtual Status Sync() = 0;

  // StoreFlags changes flags of those of `uids` that exist. An error tells of the first message
  // that could not be changed; the others have been.
  virtual StatusOr<StoreResult> StoreFlags(const UidSet& uids, const StoreRequest& request) = 0;

  // Expunge removes those of `uids` that have \Deleted (all that have it, when `uids` is null) and
  // returns what is gone.
  virtual StatusOr<UidSet> Expunge(const UidSet* uids) = 0;

  // Copy puts copies of `uids` into `target` with their flags and dates, all or none, durable on
  // return.
  virtual StatusOr<CopyResult> Copy(const UidSet& uids, const std::string& target) = 0;
  // Move is Copy and removal (RFC 6851): at any instant each message is in one of the two
  // mailboxes, or in both.
  virtual StatusOr<CopyResult> Move(const UidSet& uids, const std::string& target) = 0;

  // OpenContent opens one message. kNotFound when it is gone; any other error concerns this message
  // only.
  virtual StatusOr<std::unique_ptr<MessageContent>> OpenContent(uint32_t uid) = 0;

  // Cached returns what PutCached left for `uid`, or nothing. PutCached may forget: it is not
  // durable, and never fails.
  virtual std::optional<std::string> Cached(uint32_t uid, CacheKind kind) = 0;
  virtual void PutCached(uint32_t uid, CacheKind kind, std::string_view text) = 0;
};

// MailboxEntry is one line of LIST.
struct MailboxEntry {
  std::string name;
  bool exists = true;  // false: only a level above others (\NonExistent), or subscribed and gone
  bool subscribed = false;
  bool has_children = false;
  SpecialUse special_use = SpecialUse::kNone;
  friend bool operator==(const MailboxEntry&, const MailboxEntry&) = default;
};

// MailboxStatus is what STATUS reports.
struct MailboxStatus {
  uint32_t uid_validity = 0;
  uint32_t uid_next = 0;
  uint64_t highest_modseq = 0;
  uint32_t messages = 0;
  uint32_t recent = 0;
  uint32_t unseen = 0;
  uint32_t deleted = 0;
  uint64_t size_bytes = 0;
};

// ChangeWatch is a standing wish to hear of changes; destroying it ends it, and after that its
// callback is not running.
class ChangeWatch {
 public:
  virtual ~ChangeWatch() = default;
};

// MailStore is the mailboxes of one account. INBOX always exists.
class MailStore {
 public:
  virtual ~MailStore() = default;

  virtual char separator() const = 0;
  // is_writable is false for a store that could only be opened for reading, because its disk is
  // full or read-only: whoever opens it anew later may find it whole.
  virtual bool is_writable() const { return true; }

  // List gives all mailboxes, the levels above them and the subscribed names that are gone, INBOX
  // first, then by name.
  virtual StatusOr<std::vector<MailboxEntry>> List() = 0;
  // Create makes a mailbox and the levels above it. kAlreadyExists when it is there.
  virtual Status Create(const std::string& name) = 0;
  // Delete removes a mailbox with its messages. Mailboxes below it stay (RFC 3501 §6.3.4). INBOX is
  // kInvalidArgument.
  virtual Status Delete(const std::string& name) = 0;
  // Rename renames a mailbox and those below it; of INBOX it moves the messages and leaves it empty
  // (RFC 3501 §6.3.5).
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // Subscribe and Unsubscribe need no such mailbox (RFC 3501 §6.3.6).
  virtual Status Subscribe(const std::string& name) = 0;
  virtual Status Unsubscribe(const std::string& name) = 0;

  // GetStatus answers STATUS without opening the mailbox.
  virtual StatusOr<MailboxStatus> GetStatus(const std::string& name) = 0;
  virtual StatusOr<std::unique_ptr<Mailbox>> Open(const std::string& name, bool read_only) = 0;
  // StartAppend begins an APPEND to `name`. kNotFound when there is no such mailbox.
  virtual StatusOr<std::unique_ptr<Appender>> StartAppend(const std::string& name) = 0;

  // Watch calls `on_change` after each change of `name` that this process knows of (its sessions
  // and deliveries), until the result dies. It is called on the thread that made the change: it
  // must not block nor call the store, only post to its loop.
  virtual std::unique_ptr<ChangeWatch> Watch(const std::string& name,
                                             std::function<void()> on_change) = 0;
};

// Append is StartAppend, one message, Commit; it returns UIDVALIDITY and UID.
StatusOr<AppendResult> Append(MailStore& store, const std::string& name, std::string_view content,
                              const AppendOptions& options = {});

}  // namespace postern::mailbox
