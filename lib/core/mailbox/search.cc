#include "lib/core/mailbox/search.h"

#include <algorithm>

#include <unicode/uchar.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::mailbox {
namespace {

constexpr int64_t kDaySeconds = 86400;

int64_t DayOf(int64_t seconds) {
  return seconds >= 0 ? seconds / kDaySeconds : -((-seconds + kDaySeconds - 1) / kDaySeconds);
}

bool IsContentKind(SearchKey::Kind kind) {
  switch (kind) {
    case SearchKey::Kind::kSentBefore:
    case SearchKey::Kind::kSentOn:
    case SearchKey::Kind::kSentSince:
    case SearchKey::Kind::kHeader:
    case SearchKey::Kind::kBody:
    case SearchKey::Kind::kText: return true;
    default: return false;
  }
}

// CostOf orders the children of AND and OR: 0 for what the snapshot knows, then the header, then
// the whole text.
int CostOf(const SearchKey& key) {
  int cost = 0;
  if (key.kind == SearchKey::Kind::kBody || key.kind == SearchKey::Kind::kText) {
    cost = 2;
  } else if (IsContentKind(key.kind)) {
    cost = 1;
  }
  for (const SearchKey& child : key.children) cost = std::max(cost, CostOf(child));
  return cost;
}

void Prepare(SearchKey& key) {
  if (key.kind == SearchKey::Kind::kHeader || key.kind == SearchKey::Kind::kBody ||
      key.kind == SearchKey::Kind::kText) {
    key.text = FoldText(key.text);
  }
  for (SearchKey& child : key.children) Prepare(child);
  std::stable_sort(key.children.begin(), key.children.end(),
                   [](const SearchKey& a, const SearchKey& b) { return CostOf(a) < CostOf(b); });
}

bool CountKeys(const SearchKey& key, size_t depth, size_t& count) {
  if (depth > kMaxSearchDepth || ++count > kMaxSearchKeys) return false;
  return std::all_of(key.children.begin(), key.children.end(),
                     [&](const SearchKey& child) { return CountKeys(child, depth + 1, count); });
}

// Evaluation is one message under examination.
class Evaluation {
 public:
  Evaluation(const MessageInfo& message, uint32_t number, const KeywordTable& table, int64_t now_s,
             int64_t zone_s, const std::function<std::unique_ptr<SearchableMessage>()>& open)
      : message_(message),
        number_(number),
        table_(table),
        now_s_(now_s),
        zone_s_(zone_s),
        open_(open) {}

  bool Meets(const SearchKey& key) {
    using Kind = SearchKey::Kind;
    const int64_t number = static_cast<int64_t>(key.number);
    switch (key.kind) {
      case Kind::kAll: return true;
      case Kind::kAnd:
        return std::all_of(key.children.begin(), key.children.end(),
                           [this](const SearchKey& k) { return Meets(k); });
      case Kind::kOr:
        return std::any_of(key.children.begin(), key.children.end(),
                           [this](const SearchKey& k) { return Meets(k); });
      case Kind::kNot: return !Meets(key.children.front());
      case Kind::kNumbers: return key.set.Contains(number_);
      case Kind::kUids: return key.set.Contains(message_.uid);
      case Kind::kFlag: return (message_.flags & key.flag) != 0;
      case Kind::kKeyword: {
        const int bit = table_.Find(key.text);
        return bit >= 0 && (message_.keywords >> bit & 1) != 0;
      }
      case Kind::kRecent: return message_.recent;
      case Kind::kLarger: return message_.size_bytes > key.number;
      case Kind::kSmaller: return message_.size_bytes < key.number;
      case Kind::kModSeq: return message_.modseq >= key.number;
      case Kind::kOlder: return now_s_ - message_.internal_date_s >= number;
      case Kind::kYounger: return now_s_ - message_.internal_date_s <= number;
      case Kind::kBefore: return InternalDay() < number;
      case Kind::kOn: return InternalDay() == number;
      case Kind::kSince: return InternalDay() >= number;
      case Kind::kSentBefore:
      case Kind::kSentOn:
      case Kind::kSentSince: return SentMeets(key.kind, number);
      case Kind::kHeader: return HeaderMeets(key);
      case Kind::kBody: return TextMeets(key);
      case Kind::kText: return HeaderMeets(key) || TextMeets(key);
    }
    return false;
  }

 private:
  int64_t InternalDay() const { return DayOf(message_.internal_date_s + zone_s_); }

  SearchableMessage* Content() {
    if (!opened_) {
      opened_ = true;
      content_ = open_();
    }
    return content_.get();
  }

  bool SentMeets(SearchKey::Kind kind, int64_t day) {
    SearchableMessage* content = Content();
    if (content == nullptr) return false;
    const StatusOr<std::optional<mail::MailDate>> date = content->SentDate();
    if (!date.ok() || !date->has_value()) return false;
    const int64_t sent = (**date).LocalDay();
    if (kind == SearchKey::Kind::kSentBefore) return sent < day;
    return kind == SearchKey::Kind::kSentOn ? sent == day : sent >= day;
  }

  // RFC 3501 §6.4.4: HEADER looks at the values of the named fields, TEXT at names and values of
  // all of them.
  bool HeaderMeets(const SearchKey& key) {
    SearchableMessage* content = Content();
    if (content == nullptr) return false;
    const bool whole = key.kind == SearchKey::Kind::kText;
    const StatusOr<bool> found = content->EachHeader(
        whole ? "" : key.field, [&](std::string_view name, std::string_view value) {
          if (key.text.empty()) return true;
          return FoldText(whole ? StrCat(name, ": ", value) : std::string(value)).find(key.text) !=
                 std::string::npos;
        });
    return found.ok() && *found;
  }

  bool TextMeets(const SearchKey& key) {
    if (key.text.empty()) return true;
    SearchableMessage* content = Content();
    if (content == nullptr) return false;
    const StatusOr<bool> found = content->EachText(
        [&](std::string_view text) { return FoldText(text).find(key.text) != std::string::npos; });
    return found.ok() && *found;
  }

  const MessageInfo& message_;
  const uint32_t number_;
  const KeywordTable& table_;
  const int64_t now_s_;
  const int64_t zone_s_;
  const std::function<std::unique_ptr<SearchableMessage>()>& open_;
  bool opened_ = false;
  std::unique_ptr<SearchableMessage> content_;
};

SearchKey Leaf(SearchKey::Kind kind) {
  SearchKey key;
  key.kind = kind;
  return key;
}

}  // namespace

SearchKey SearchKey::And(std::vector<SearchKey> children) {
  SearchKey key = Leaf(Kind::kAnd);
  key.children = std::move(children);
  return key;
}
SearchKey SearchKey::Or(SearchKey a, SearchKey b) {
  SearchKey key = Leaf(Kind::kOr);
  key.children.push_back(std::move(a));
  key.children.push_back(std::move(b));
  return key;
}
SearchKey SearchKey::Not(SearchKey a) {
  SearchKey key = Leaf(Kind::kNot);
  key.children.push_back(std::move(a));
  return key;
}
SearchKey SearchKey::Flag(SystemFlags flag) {
  SearchKey key = Leaf(Kind::kFlag);
  key.flag = flag;
  return key;
}
SearchKey SearchKey::Keyword(std::string name) {
  SearchKey key = Leaf(Kind::kKeyword);
  key.text = std::move(name);
  return key;
}
SearchKey SearchKey::Recent() { return Leaf(Kind::kRecent); }
SearchKey SearchKey::Numbers(UidSet set) {
  SearchKey key = Leaf(Kind::kNumbers);
  key.set = std::move(set);
  return key;
}
SearchKey SearchKey::Uids(UidSet set) {
  SearchKey key = Leaf(Kind::kUids);
  key.set = std::move(set);
  return key;
}
SearchKey SearchKey::Number(Kind kind, uint64_t number) {
  SearchKey key = Leaf(kind);
  key.number = number;
  return key;
}
SearchKey SearchKey::Header(std::string field, std::string text) {
  SearchKey key = Leaf(Kind::kHeader);
  key.field = std::move(field);
  key.text = std::move(text);
  return key;
}
SearchKey SearchKey::Body(std::string text) {
  SearchKey key = Leaf(Kind::kBody);
  key.text = std::move(text);
  return key;
}
SearchKey SearchKey::Text(std::string text) {
  SearchKey key = Leaf(Kind::kText);
  key.text = std::move(text);
  return key;
}

bool SearchKey::NeedsContent() const { return CostOf(*this) > 0; }

bool WithinSearchLimits(const SearchKey& key) {
  size_t count = 0;
  return CountKeys(key, 1, count);
}

std::string FoldText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      if (out.empty() || out.back() != ' ') out.push_back(' ');
      ++i;
    } else if (IsAscii(c)) {
      out.push_back(AsciiToLower(c));
      ++i;
    } else {
      size_t length = 0;
      const int32_t code_point = mail::DecodeUtf8(text.substr(i), &length);
      if (code_point < 0) {
        out.push_back(c);
      } else {
        mail::AppendUtf8(static_cast<uint32_t>(u_foldCase(code_point, U_FOLD_CASE_DEFAULT)), out);
      }
      i += length;
    }
  }
  return out;
}

Search::Search(SearchKey key, const KeywordTable& table, WallTime now, int zone_offset_minutes)
    : key_(std::move(key)),
      table_(table),
      now_s_(absl::ToUnixSeconds(now)),
      zone_s_(int64_t{zone_offset_minutes} * 60),
      needs_content_(key_.NeedsContent()) {
  Prepare(key_);
}

bool Search::Matches(const MessageInfo& message, uint32_t number,
                     const std::function<std::unique_ptr<SearchableMessage>()>& open) const {
  return Evaluation(message, number, table_, now_s_, zone_s_, open).Meets(key_);
}

}  // namespace postern::mailbox
