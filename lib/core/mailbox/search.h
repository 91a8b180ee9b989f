// SEARCH: the criteria of RFC 3501 §6.4.4 (with MODSEQ, OLDER and YOUNGER) as a tree, and whether a
// message meets them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/mail/date.h"
#include "lib/core/mailbox/flags.h"
#include "lib/core/mailbox/mailbox.h"
#include "lib/core/mailbox/uid_set.h"

namespace postern::mailbox {

// SearchKey is one node. The keys that are opposites or sums of others have no kind of their own:
// UNSEEN is Not(Flag(kSeen)), NEW is And(Recent, Not(Flag(kSeen))), OLD is Not(Recent), FROM is
// Header("From").
struct SearchKey {
  enum class Kind : uint8_t {
    kAll,
    kAnd,
    kOr,
    kNot,  // children; kNot has one
    kNumbers,
    kUids,     // set: sequence numbers, UIDs
    kFlag,     // flag
    kKeyword,  // text: its name
    kRecent,
    kLarger,
    kSmaller,  // number: octets, strictly
    kModSeq,   // number: at least
    kOlder,
    kYounger,  // number: seconds (RFC 5032)
    kBefore,
    kOn,
    kSince,  // number: day since 1970-01-01, of the internal date
    kSentBefore,
    kSentOn,
    kSentSince,  // number: day, of the Date field as written
    kHeader,     // field, text ("" means: has the field)
    kBody,
    kText,  // text
  };
  Kind kind = Kind::kAll;
  SystemFlags flag = 0;
  uint64_t number = 0;
  std::string field;
  std::string text;  // UTF-8
  UidSet set;
  std::vector<SearchKey> children;

  static SearchKey All() { return {}; }
  static SearchKey And(std::vector<SearchKey> children);
  static SearchKey Or(SearchKey a, SearchKey b);
  static SearchKey Not(SearchKey a);
  static SearchKey Flag(SystemFlags flag);
  static SearchKey Keyword(std::string name);
  static SearchKey Recent();
  static SearchKey Numbers(UidSet set);
  static SearchKey Uids(UidSet set);
  static SearchKey Number(Kind kind, uint64_t number);  // kLarger … kSentSince
  static SearchKey Header(std::string field, std::string text);
  static SearchKey Body(std::string text);
  static SearchKey Text(std::string text);

  // NeedsContent tells whether the message itself must be read to answer.
  bool NeedsContent() const;
};

// SearchLimits bounds what a client may ask for.
inline constexpr size_t kMaxSearchDepth = 64;
inline constexpr size_t kMaxSearchKeys = 1000;

// WithinSearchLimits tells whether `key` has at most kMaxSearchKeys nodes and kMaxSearchDepth
// levels.
bool WithinSearchLimits(const SearchKey& key);

// SearchableMessage is a message as the content keys see it: decoded, UTF-8. Called only when a key
// needs it.
class SearchableMessage {
 public:
  virtual ~SearchableMessage() = default;
  // EachHeader calls `visit` with each field named `name` (any case; "" is every field), its value
  // unfolded and RFC 2047-decoded, until it returns true; returns whether it did.
  virtual StatusOr<bool> EachHeader(
      std::string_view name,
      const std::function<bool(std::string_view name, std::string_view value)>& visit) = 0;
  // SentDate is the Date field, if there is one that can be read.
  virtual StatusOr<std::optional<mail::MailDate>> SentDate() = 0;
  // EachText calls `visit` with each text part of the body (and the header fields of parts),
  // decoded, until it returns true.
  virtual StatusOr<bool> EachText(const std::function<bool(std::string_view text)>& visit) = 0;
};

// FoldText gives `text` in the form in which it is compared: Unicode simple case folding, and runs
// of blanks and line ends as one blank. What is not UTF-8 compares octet by octet.
std::string FoldText(std::string_view text);

// Search is a criterion made ready: texts folded, children sorted so that what is cheap decides
// first. One thread.
class Search {
 public:
  // `table` is the mailbox's and outlives this object. `now` is for OLDER and YOUNGER;
  // `zone_offset_minutes` is the zone in which internal dates are turned into days.
  Search(SearchKey key, const KeywordTable& table, WallTime now, int zone_offset_minutes = 0);

  // Matches tells whether `message`, whose sequence number is `number`, meets the criterion. `open`
  // is called at most once, and only when the rest does not decide; a message that cannot be opened
  // or parsed (it is gone, say) does not match content keys.
  bool Matches(const MessageInfo& message, uint32_t number,
               const std::function<std::unique_ptr<SearchableMessage>()>& open) const;

  bool NeedsContent() const { return needs_content_; }

 private:
  SearchKey key_;
  const KeywordTable& table_;
  int64_t now_s_;
  int64_t zone_s_;
  bool needs_content_;
};

}  // namespace postern::mailbox
