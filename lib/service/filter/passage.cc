#include "lib/service/filter/passage.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"

namespace postern::service {
namespace {

using Kind = FilterVerdict::Kind;

constexpr char kMark[] = "X-Spam: Yes\r\n";

bool SameAddress(const mail::Address& a, const mail::Address& b) {
  return a.local_part == b.local_part && EqualsIgnoreCase(a.domain, b.domain);
}

StepResult ResultOf(const std::optional<mail::Reply>& refusal) {
  if (!refusal.has_value()) return StepResult::kOk;
  return refusal->IsTransient() ? StepResult::kTempFail : StepResult::kPermFail;
}

// Kept is where the last filter writes.
class Kept final : public ContentSink {
 public:
  explicit Kept(ContentSpool* spool) : spool_(spool) {}
  rt::Task<Status> Write(std::string_view octets) override {
    if (!failure_.ok()) co_return failure_;
    eight_bit_ = eight_bit_ ||
                 std::any_of(octets.begin(), octets.end(), [](char c) { return (c & 0x80) != 0; });
    failure_ = co_await spool_->Append(octets);
    co_return failure_;
  }
  const Status& failure() const { return failure_; }
  bool eight_bit() const { return eight_bit_; }

 private:
  ContentSpool* spool_;
  Status failure_;
  bool eight_bit_ = false;
};

class Passage {
 public:
  Passage(SessionFilter* filter, PassageRequest request, ContentSource* source,
          ContentSpool* content)
      : filter_(*filter),
        request_(std::move(request)),
        source_(source),
        content_(content),
        kept_(content) {
    result_.sender = request_.sender;
    for (const mail::ForwardPath& path : request_.recipients)
      result_.recipients.push_back({path, std::nullopt});
  }

  rt::Task<PassageResult> Run() {
    Tell(SessionEvent::kLinkConnect);
    const bool met = co_await Meet();
    if (met) {
      const bool begun = co_await Envelope();
      if (begun) {
        const bool passed = co_await Content();
        Event({.event = passed ? SessionEvent::kTxCommit : SessionEvent::kTxRollback,
               .number = content_->size_bytes(),
               .message_id = request_.message_id});
      } else if (tx_begun_) {
        Event({.event = SessionEvent::kTxRollback, .message_id = request_.message_id});
      }
      if (tx_begun_) Event({.event = SessionEvent::kTxReset, .message_id = request_.message_id});
    }
    Tell(SessionEvent::kLinkDisconnect);
    co_return std::move(result_);
  }

 private:
  void Event(FilterReport report) {
    if (!filter_.Wants(report.event)) return;
    report.facts = request_.facts;
    filter_.Report(report);
  }
  void Tell(SessionEvent event) { Event({.event = event}); }

  FilterQuestion About(SmtpPhase phase) const {
    return {.phase = phase,
            .facts = request_.facts,
            .sender = &result_.sender.address,
            .reverse_path = &result_.sender,
            .message_id = request_.message_id};
  }

  // All gives everybody who has no fate yet this one.
  void All(const mail::Reply& fate, std::string decided_by) {
    for (PassageRecipient& each : result_.recipients) {
      if (!each.fate.has_value()) each.fate = fate;
    }
    result_.decided_by = std::move(decided_by);
  }
  void CannotBe(std::string_view filter, std::string_view what) {
    All(mail::Reply(451, {4, 7, 1},
                    StrCat("The filter ", filter, " wants to ", what,
                           ", which it cannot do to mail that goes out")),
        std::string(filter));
  }

  // Ask gives the verdict, less what is said in the same way in all phases.
  rt::Task<FilterVerdict> Ask(FilterQuestion question) {
    if (!filter_.Wants(question.phase)) co_return FilterVerdict();
    FilterVerdict verdict = co_await filter_.Ask(question);
    junk_ = junk_ || verdict.junk;
    co_return verdict;
  }
  static bool Refuses(const FilterVerdict& verdict) {
    return verdict.kind == Kind::kReject || verdict.kind == Kind::kDisconnect;
  }
  bool Refused(const FilterVerdict& verdict) {
    if (verdict.kind == Kind::kDiscard) {
      All(mail::Reply(250, {2, 0, 0}, "Discarded by a filter"), verdict.filter);
      return true;
    }
    if (!Refuses(verdict)) return false;
    All(verdict.reply, verdict.filter);
    return true;
  }

  rt::Task<bool> Meet() {
    const FilterVerdict connected =
        co_await Ask({.phase = SmtpPhase::kConnect, .facts = request_.facts});
    if (Refused(connected)) co_return false;
    Event({.event = SessionEvent::kLinkGreeting,
           .text = request_.facts->listener->options->hostname});
    const SmtpPhase hello = request_.facts->extended ? SmtpPhase::kEhlo : SmtpPhase::kHelo;
    const FilterVerdict named =
        co_await Ask({.phase = hello, .facts = request_.facts, .argument = request_.facts->helo});
    if (Refused(named)) co_return false;
    Event({.event = SessionEvent::kLinkIdentify, .text = request_.facts->helo});
    if (!request_.facts->auth_user.empty())
      Event({.event = SessionEvent::kLinkAuth, .text = request_.facts->auth_user});
    co_return true;
  }

  rt::Task<bool> Envelope() {
    const FilterVerdict sender = co_await Ask(About(SmtpPhase::kMailFrom));
    if (Refused(sender)) co_return false;
    if (sender.kind == Kind::kRewrite) {
      std::optional<mail::Address> address = ReadAddressOfFilter(sender.argument, true);
      if (!address.has_value()) {
        CannotBe(sender.filter, "make what is no address the sender");
        co_return false;
      }
      result_.sender.address = *std::move(address);
    }
    tx_begun_ = true;
    Event({.event = SessionEvent::kTxBegin, .message_id = request_.message_id});
    Event({.event = SessionEvent::kTxMail,
           .message_id = request_.message_id,
           .address = &result_.sender.address});
    bool anybody = false;
    for (size_t i = 0; i < result_.recipients.size(); ++i) {
      PassageRecipient& each = result_.recipients[i];
      const mail::Address asked = each.path.address;
      FilterQuestion question = About(SmtpPhase::kRcptTo);
      question.recipient = &each.path.address;
      question.forward_path = &each.path;
      const FilterVerdict verdict = co_await Ask(question);
      if (verdict.kind == Kind::kDisconnect) {
        All(verdict.reply, verdict.filter);
        co_return false;
      }
      if (verdict.kind == Kind::kReject) each.fate = verdict.reply;
      if (verdict.kind == Kind::kRewrite) Rewrite(verdict, &each);
      anybody = anybody || !each.fate.has_value();
      if (!each.fate.has_value() && i < request_.envelopes.size()) {
        Event({.event = SessionEvent::kTxEnvelope,
               .number = static_cast<uint32_t>(request_.envelopes[i]),
               .message_id = request_.message_id});
      }
      Event({.event = SessionEvent::kTxRcpt,
             .result = ResultOf(each.fate),
             .message_id = request_.message_id,
             .address = &asked});
    }
    co_return anybody;
  }

  void Rewrite(const FilterVerdict& verdict, PassageRecipient* recipient) {
    std::optional<mail::Address> address = ReadAddressOfFilter(verdict.argument, false);
    if (address.has_value() && EqualsIgnoreCase(address->domain, recipient->path.address.domain)) {
      recipient->path.address = *std::move(address);
      return;
    }
    recipient->fate = mail::Reply(451, {4, 7, 1},
                                  StrCat("The filter ", verdict.filter,
                                         " wants to send it to another domain, which it cannot "
                                         "do to mail that goes out"));
  }

  // Content takes the message through; false when it was refused or discarded.
  rt::Task<bool> Content() {
    const FilterVerdict data = co_await Ask(About(SmtpPhase::kData));
    if (Refused(data)) co_return false;
    Event({.event = SessionEvent::kTxData, .message_id = request_.message_id});
    FilterVerdict end;
    const bool filtered = filter_.wants_content();
    if (filtered || junk_) {
      result_.content_passed = true;
      const FilterQuestion about = About(SmtpPhase::kData);
      if (filtered) filter_.BeginContent(about, &kept_);
      Status read = co_await Stream(filtered);
      if (read.ok() && filtered) {
        end = co_await filter_.EndContent();
      } else if (filtered) {
        filter_.AbortContent();
      }
      if (read.ok()) read = kept_.failure();
      if (!read.ok()) {
        All(mail::Reply(451, {4, 3, 0}, StrCat("It cannot be filtered: ", Message(read))), "");
        co_return false;
      }
      result_.eight_bit = kept_.eight_bit();
      if (Refused(end)) co_return false;
      const bool applied = Apply(end);
      if (!applied) co_return false;
    }
    const FilterVerdict commit = co_await Ask(About(SmtpPhase::kCommit));
    co_return !Refused(commit);
  }

  // Stream writes the whole message into the filter, or to where it is kept.
  rt::Task<Status> Stream(bool filtered) {
    std::string_view piece = junk_ ? std::string_view(kMark) : std::string_view();
    for (bool first = true;; first = false) {
      if (!first || piece.empty()) {
        const StatusOr<std::string_view> next = co_await source_->Next();
        if (!next.ok()) co_return next.status();
        piece = *next;
        if (piece.empty()) co_return OkStatus();
      }
      Status written;
      if (filtered) {
        written = co_await filter_.Content(piece);
      } else {
        written = co_await kept_.Write(piece);
      }
      if (!written.ok()) co_return written;
    }
  }

  // Apply does what a filter wants changed of the envelope; false when that cannot be done.
  bool Apply(const FilterVerdict& verdict) {
    const FilterChanges& changes = verdict.changes;
    if (!changes.add_recipients.empty() || changes.quarantine) {
      CannotBe(verdict.filter, changes.quarantine ? "keep the message back" : "add recipients");
      return false;
    }
    for (const mail::Address& gone : changes.remove_recipients) {
      for (PassageRecipient& each : result_.recipients) {
        if (!each.fate.has_value() && SameAddress(each.path.address, gone))
          each.fate = mail::Reply(250, {2, 0, 0}, "Taken out by a filter");
      }
    }
    if (changes.change_sender) {
      result_.sender.address = changes.sender.address;
    }
    return std::any_of(result_.recipients.begin(), result_.recipients.end(),
                       [](const PassageRecipient& each) { return !each.fate.has_value(); });
  }

  SessionFilter& filter_;
  const PassageRequest request_;
  ContentSource* const source_;
  ContentSpool* const content_;
  Kept kept_;
  PassageResult result_;
  bool junk_ = false;
  bool tx_begun_ = false;
};

}  // namespace

rt::Task<PassageResult> PassMessage(SessionFilter* filter, PassageRequest request,
                                    ContentSource* source, ContentSpool* content) {
  Passage passage(filter, std::move(request), source, content);
  PassageResult result = co_await passage.Run();
  co_return result;
}

std::optional<mail::Address> ReadAddressOfFilter(std::string_view text, bool may_be_empty) {
  text = Trim(text);
  if (text.size() >= 2 && text.front() == '<' && text.back() == '>')
    text = text.substr(1, text.size() - 2);
  if (text.empty())
    return may_be_empty ? std::optional<mail::Address>(mail::Address()) : std::nullopt;
  StatusOr<mail::Address> parsed = mail::ParseAddress(text);
  if (!parsed.ok()) return std::nullopt;
  return *std::move(parsed);
}

}  // namespace postern::service
