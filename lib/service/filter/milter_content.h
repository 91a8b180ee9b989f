// MilterContent takes one message through a milter: its fields and its body go there as they come;
// where the milter may change it, it is held back until the milter has seen all of it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/service/filter/content_spool.h"
#include "lib/service/filter/milter_header.h"
#include "lib/service/filter/milter_link.h"

namespace postern::service {

class MilterContent final : public MilterChanges {
 public:
  // `link` is open, and DATA has been told; all pointers outlive the content. `mark` tells its
  // files from all others.
  MilterContent(rt::Executor* loop, rt::Files* files, ContentSpoolOptions spool,
                const MilterOptions* options, MilterLink* link, ContentSink* next,
                std::string message_id, std::string mark);
  ~MilterContent() override;

  // Add takes the next piece of the message; the error is that of `next` or of the spool.
  rt::Task<Status> Add(std::string_view piece);

  // Outcome is what became of the message.
  struct Outcome {
    bool failed = false;  // the milter did not do its part: link->failure() says what
    milter::Verdict verdict;
    FilterChanges changes;
  };
  // End ends the message. Unless it was refused, discarded, or has failed and the options do not
  // let it go on, all of it has been written to `next`.
  rt::Task<StatusOr<Outcome>> End();

  rt::Task<Status> Take(const milter::Change& change) override;

 private:
  struct KeptChange {
    milter::Change::Kind kind;
    uint32_t index;
    std::string name;
    std::string value;
  };

  bool dropped() const;  // nobody is to get the message
  rt::Task<Status> HeaderDone();
  rt::Task<void> Step(bool begun, MilterChanges* changes);
  rt::Task<void> TellHeader();
  rt::Task<Status> AddBody(std::string_view piece);
  rt::Task<void> TellBody(std::string_view piece);
  rt::Task<Status> WriteOut();
  Status TakeEnvelope(const milter::Change& change);

  rt::Executor* loop_;
  rt::Files* files_;
  ContentSpoolOptions spool_options_;
  const MilterOptions* options_;
  MilterLink* link_;
  ContentSink* next_;
  std::string message_id_;
  std::string mark_;
  std::string head_;     // until the header has ended
  size_t searched_ = 0;  // of head_, for the blank line
  std::vector<HeaderField> fields_;
  std::string chunk_;  // of the body, for the milter
  std::unique_ptr<ContentSpool> body_;
  std::unique_ptr<ContentSpool> new_body_;
  std::vector<KeptChange> kept_;
  Outcome outcome_;
  bool in_header_ = true;
  bool has_blank_line_ = false;
  bool hold_ = false;
  bool asking_ = true;  // the milter has not decided yet
};

}  // namespace postern::service
