// FetchProducer puts the answers of one FETCH together (RFC 3501 §7.4.2), a piece at a time, so
// that a message of any size passes through a buffer of bounded size.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/imap/command.h"
#include "lib/core/mailbox/mailbox.h"
#include "lib/core/mailbox/view.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/parser.h"

namespace postern::service {

// FetchProducer blocks: its calls belong on the pool, one at a time. What it is given outlives it,
// and nobody else uses the mailbox or the view between its calls.
class FetchProducer {
 public:
  struct Options {
    bool uid_form = false;           // UID FETCH: every answer has the UID (RFC 3501 §6.4.8)
    uint64_t parse_limit_bytes = 0;  // how large a message may be that must be parsed
  };
  // `uids` are those to answer for, rising.
  FetchProducer(mailbox::Mailbox* mailbox, mailbox::View* view, std::vector<uint32_t> uids,
                const std::vector<imap::FetchItem>* items, Options options);
  ~FetchProducer();

  // Produce appends to `out` until that has `target_bytes` or more, or all is said.
  void Produce(std::string* out, size_t target_bytes);

  bool done() const { return broken_ || (next_ == uids_.size() && !in_message_); }
  // broken tells that an answer could not be finished after its length was said: only closing the
  // connection is honest now.
  bool broken() const { return broken_; }
  // missing counts messages that another session has expunged (RFC 2180 §4.1.2).
  size_t missing() const { return missing_; }
  // failure is why messages could not be read, if some could not.
  const Status& failure() const { return failure_; }

 private:
  bool StartMessage(std::string* out);
  void MarkSeen();
  bool PrepareContent();
  bool PrepareText();
  void StartItem(const imap::FetchItem& item, std::string* out);
  void StartSection(const imap::FetchItem& item, std::string* out);
  void AppendStructure(const imap::FetchItem& item, std::string* out);
  void AppendName(std::string_view name, std::string* out);
  void Stream(std::string* out);
  const mailbox::MessageInfo* Find(uint32_t uid) const;
  bool Wants(imap::FetchItem::Kind kind) const;

  mailbox::Mailbox* mailbox_;
  mailbox::View* view_;
  std::vector<uint32_t> uids_;
  const std::vector<imap::FetchItem>* items_;
  Options options_;
  bool sets_seen_ = false;
  bool needs_content_ = false;
  size_t next_ = 0;          // of uids_
  size_t marked_until_ = 0;  // of uids_: \Seen is set up to here
  mailbox::UidSet newly_seen_;

  bool in_message_ = false;
  bool first_item_ = true;
  size_t next_item_ = 0;
  mailbox::MessageInfo info_;
  std::unique_ptr<mailbox::MessageContent> content_;
  std::optional<message::MessageView> parsed_;
  // What is being sent of a body: octets of content_ from stream_offset_, or pieces of the parsed
  // message.
  uint64_t stream_left_ = 0;
  uint64_t stream_offset_ = 0;
  std::optional<message::SectionRange> stream_range_;

  bool broken_ = false;
  size_t missing_ = 0;
  Status failure_;
};

}  // namespace postern::service
