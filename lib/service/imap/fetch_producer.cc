#include "lib/service/imap/fetch_producer.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/imap/date_time.h"
#include "lib/core/message/imap_structure.h"

namespace postern::service {
namespace {

using imap::FetchItem;
using Kind = imap::FetchItem::Kind;

// How many messages get \Seen at a time: one transaction for many, and not much marked that was not
// sent when a client leaves.
constexpr size_t kSeenBatch = 32;
constexpr size_t kStreamBytes = 32 * 1024;

message::SectionSpec SpecOf(const FetchItem& item) {
  using Text = message::SectionSpec::Text;
  message::SectionSpec spec;
  switch (item.kind) {
    case Kind::kRfc822Header: spec.text = Text::kHeader; return spec;
    case Kind::kRfc822Text: spec.text = Text::kText; return spec;
    default: break;
  }
  spec.part = item.section.part;
  spec.fields = item.section.fields;
  switch (item.section.text) {
    case imap::BodySection::Text::kAll: spec.text = Text::kNone; break;
    case imap::BodySection::Text::kHeader: spec.text = Text::kHeader; break;
    case imap::BodySection::Text::kHeaderFields: spec.text = Text::kHeaderFields; break;
    case imap::BodySection::Text::kHeaderFieldsNot: spec.text = Text::kHeaderFieldsNot; break;
    case imap::BodySection::Text::kText: spec.text = Text::kText; break;
    case imap::BodySection::Text::kMime: spec.text = Text::kMime; break;
  }
  return spec;
}

// IsWhole tells whether the item is the message from its first octet to its last, which needs no
// parsing.
bool IsWhole(const FetchItem& item) {
  return item.kind == Kind::kRfc822 ||
         (item.kind == Kind::kSection && item.section == imap::BodySection());
}

// NoNul makes octets fit for a literal: RFC 3501 §9, CHAR8 has no NUL, and one octet must stay one
// octet.
void NoNul(std::string* out, size_t from) {
  std::replace(out->begin() + static_cast<long>(from), out->end(), '\0', ' ');
}

}  // namespace

FetchProducer::FetchProducer(mailbox::Mailbox* mailbox, mailbox::View* view,
                             std::vector<uint32_t> uids, const std::vector<FetchItem>* items,
                             Options options)
    : mailbox_(mailbox), view_(view), uids_(std::move(uids)), items_(items), options_(options) {
  for (const FetchItem& item : *items_) {
    sets_seen_ = sets_seen_ || (item.SetsSeen() && !mailbox_->read_only());
    needs_content_ = needs_content_ || item.NeedsContent();
  }
}

FetchProducer::~FetchProducer() = default;

void FetchProducer::Produce(std::string* out, size_t target_bytes) {
  while (!done() && out->size() < target_bytes) {
    if (stream_left_ > 0) {
      Stream(out);
      continue;
    }
    if (!in_message_) {
      StartMessage(out);
      continue;
    }
    if (next_item_ < items_->size()) {
      StartItem((*items_)[next_item_++], out);
      continue;
    }
    out->append(")\r\n");
    in_message_ = false;
    parsed_.reset();
    content_.reset();
  }
}

const mailbox::MessageInfo* FetchProducer::Find(uint32_t uid) const {
  const std::span<const mailbox::MessageInfo> messages = mailbox_->messages();
  const auto at =
      std::lower_bound(messages.begin(), messages.end(), uid,
                       [](const mailbox::MessageInfo& m, uint32_t u) { return m.uid < u; });
  return at == messages.end() || at->uid != uid ? nullptr : &*at;
}

bool FetchProducer::Wants(Kind kind) const {
  return std::any_of(items_->begin(), items_->end(),
                     [kind](const FetchItem& item) { return item.kind == kind; });
}

// MarkSeen sets \Seen on the next few messages that lack it.
void FetchProducer::MarkSeen() {
  mailbox::UidSet unseen;
  marked_until_ = std::min(uids_.size(), next_ + kSeenBatch);
  for (size_t i = next_; i < marked_until_; ++i) {
    const mailbox::MessageInfo* info = Find(uids_[i]);
    if (info != nullptr && (info->flags & mailbox::kSeen) == 0) unseen.Add(uids_[i]);
  }
  newly_seen_ = mailbox::UidSet();
  if (unseen.empty()) return;
  mailbox::StoreRequest request;
  request.flags.system = mailbox::kSeen;
  const StatusOr<mailbox::StoreResult> stored = mailbox_->StoreFlags(unseen, request);
  // A message can be read all the same when it cannot be marked (a full disk): it stays unread.
  if (stored.ok()) newly_seen_ = stored->changed;
}

bool FetchProducer::StartMessage(std::string* out) {
  if (sets_seen_ && next_ >= marked_until_) MarkSeen();
  const uint32_t uid = uids_[next_++];
  const uint32_t number = view_->NumberOf(uid);
  const mailbox::MessageInfo* info = Find(uid);
  if (number == 0 || info == nullptr) {
    ++missing_;
    return false;
  }
  info_ = *info;
  if (needs_content_ && !PrepareContent()) return false;
  StrAppend(*out, "* ", number, " FETCH (");
  in_message_ = true;
  first_item_ = true;
  next_item_ = 0;
  if (options_.uid_form && !Wants(Kind::kUid)) {
    AppendName("UID", out);
    StrAppend(*out, uid);
  }
  // RFC 3501 §6.4.5: when \Seen was set by this, the flags are told too.
  if (newly_seen_.Contains(uid) && !Wants(Kind::kFlags)) {
    FetchItem flags;
    StartItem(flags, out);
  }
  return true;
}

bool FetchProducer::PrepareContent() {
  StatusOr<std::unique_ptr<mailbox::MessageContent>> content = mailbox_->OpenContent(info_.uid);
  if (content.ok()) {
    content_ = std::move(*content);
    // Whatever must be parsed is parsed before the answer begins, so that a failure costs this
    // message only.
    const bool parse = std::any_of(items_->begin(), items_->end(), [this](const FetchItem& item) {
      if (!item.NeedsContent() || IsWhole(item)) return false;
      if (item.kind == Kind::kEnvelope)
        return !mailbox_->Cached(info_.uid, mailbox::CacheKind::kEnvelope).has_value();
      if (item.kind == Kind::kBody)
        return !mailbox_->Cached(info_.uid, mailbox::CacheKind::kBody).has_value();
      if (item.kind == Kind::kBodyStructure) {
        return !mailbox_->Cached(info_.uid, mailbox::CacheKind::kBodyStructure).has_value();
      }
      return true;
    });
    return !parse || PrepareText();
  }
  if (content.status().code() == StatusCode::kNotFound) {
    ++missing_;
  } else {
    failure_ = content.status();
  }
  return false;
}

bool FetchProducer::PrepareText() {
  if (parsed_.has_value()) return true;
  const StatusOr<std::string_view> text = content_->All(options_.parse_limit_bytes);
  if (!text.ok()) {
    failure_ = text.status();
    content_.reset();
    return false;
  }
  parsed_ = message::ParseMessage(*text);
  return true;
}

void FetchProducer::AppendName(std::string_view name, std::string* out) {
  if (!std::exchange(first_item_, false)) out->push_back(' ');
  out->append(name).push_back(' ');
}

void FetchProducer::StartItem(const FetchItem& item, std::string* out) {
  switch (item.kind) {
    case Kind::kFlags:
      AppendName("FLAGS", out);
      out->append(
          mailbox::FormatFlags(info_.flags, info_.keywords, mailbox_->keywords(), info_.recent));
      view_->Told(info_);
      return;
    case Kind::kUid:
      AppendName("UID", out);
      StrAppend(*out, info_.uid);
      return;
    case Kind::kInternalDate:
      AppendName("INTERNALDATE", out);
      StrAppend(*out, "\"", imap::FormatDateTime(info_.internal_date()), "\"");
      return;
    case Kind::kRfc822Size:
      AppendName("RFC822.SIZE", out);
      StrAppend(*out, info_.size_bytes);
      return;
    case Kind::kModSeq:
      AppendName("MODSEQ", out);
      StrAppend(*out, "(", info_.modseq, ")");
      return;
    case Kind::kEnvelope:
    case Kind::kBody:
    case Kind::kBodyStructure: AppendStructure(item, out); return;
    case Kind::kRfc822:
    case Kind::kRfc822Header:
    case Kind::kRfc822Text:
    case Kind::kSection: StartSection(item, out); return;
  }
}

void FetchProducer::AppendStructure(const FetchItem& item, std::string* out) {
  const mailbox::CacheKind kind = item.kind == Kind::kEnvelope ? mailbox::CacheKind::kEnvelope
                                  : item.kind == Kind::kBody   ? mailbox::CacheKind::kBody
                                                               : mailbox::CacheKind::kBodyStructure;
  AppendName(item.ResponseName(), out);
  if (const std::optional<std::string> cached = mailbox_->Cached(info_.uid, kind)) {
    out->append(*cached);
    return;
  }
  // The cache may have forgotten since PrepareContent looked.
  if (!PrepareText()) {
    broken_ = true;
    return;
  }
  const std::string text =
      kind == mailbox::CacheKind::kEnvelope
          ? message::EnvelopeText(*parsed_)
          : message::BodyStructureText(*parsed_, kind == mailbox::CacheKind::kBodyStructure);
  mailbox_->PutCached(info_.uid, kind, text);
  out->append(text);
}

void FetchProducer::StartSection(const FetchItem& item, std::string* out) {
  uint64_t size = 0;
  stream_range_.reset();
  AppendName(item.ResponseName(), out);
  if (IsWhole(item)) {
    size = content_->size_bytes();
  } else {
    StatusOr<message::SectionRange> range = message::FindSection(*parsed_, SpecOf(item));
    if (!range.ok()) {
      // RFC 3501 §7.4.2: nstring. There is no such part.
      out->append("NIL");
      return;
    }
    size = range->size();
    stream_range_ = std::move(*range);
  }
  stream_offset_ = 0;
  stream_left_ = size;
  if (item.partial) {
    // RFC 3501 §6.4.5: what is past the end is empty, what is too long is cut.
    stream_offset_ = std::min<uint64_t>(item.partial->first, size);
    stream_left_ = std::min<uint64_t>(item.partial->length, size - stream_offset_);
  }
  StrAppend(*out, "{", stream_left_, "}\r\n");
}

void FetchProducer::Stream(std::string* out) {
  const size_t start = out->size();
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(stream_left_, kStreamBytes));
  if (stream_range_.has_value()) {
    stream_range_->Append(*out, static_cast<size_t>(stream_offset_), wanted);
  } else {
    out->resize(start + wanted);
    const StatusOr<size_t> got =
        content_->ReadAt(stream_offset_, std::span<char>(out->data() + start, wanted));
    out->resize(start + (got.ok() ? *got : 0));
    if (!got.ok()) failure_ = got.status();
  }
  const size_t got = out->size() - start;
  if (got != wanted) {
    broken_ = true;
    return;
  }
  NoNul(out, start);
  stream_offset_ += got;
  stream_left_ -= got;
}

}  // namespace postern::service
