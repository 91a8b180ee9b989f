#include "lib/service/filter/milter_filter.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/xtext.h"
#include "lib/service/filter/milter_macros.h"

namespace postern::service {
namespace {

using VerdictKind = milter::Verdict::Kind;

// How long a good-bye may take to be written.
constexpr Duration kQuitTimeout = absl::Seconds(2);

// PathOf writes an address as MAIL and RCPT have it.
std::string PathOf(const mail::Address& address) {
  return address.empty() ? "<>" : StrCat("<", address.ToString(), ">");
}

std::vector<std::string> MailArguments(const mail::ReversePath* path) {
  std::vector<std::string> out;
  if (path == nullptr) return out;
  if (path->declared_size_bytes.has_value())
    out.push_back(StrCat("SIZE=", *path->declared_size_bytes));
  if (path->body == mail::BodyType::k8BitMime) out.push_back("BODY=8BITMIME");
  if (path->body == mail::BodyType::kBinaryMime) out.push_back("BODY=BINARYMIME");
  if (path->smtputf8) out.push_back("SMTPUTF8");
  if (path->dsn_return == mail::DsnReturn::kFull) out.push_back("RET=FULL");
  if (path->dsn_return == mail::DsnReturn::kHeaders) out.push_back("RET=HDRS");
  if (!path->dsn_envelope_id.empty())
    out.push_back(StrCat("ENVID=", mail::XtextEncode(path->dsn_envelope_id)));
  if (!path->auth.empty()) out.push_back(StrCat("AUTH=", mail::XtextEncode(path->auth)));
  return out;
}

std::string NotifyWords(uint8_t notify) {
  std::vector<std::string> words;
  if ((notify & mail::kNotifyNever) != 0) words.push_back("NEVER");
  if ((notify & mail::kNotifySuccess) != 0) words.push_back("SUCCESS");
  if ((notify & mail::kNotifyFailure) != 0) words.push_back("FAILURE");
  if ((notify & mail::kNotifyDelay) != 0) words.push_back("DELAY");
  return StrJoin(words, ",");
}

std::vector<std::string> RcptArguments(const mail::ForwardPath* path) {
  std::vector<std::string> out;
  if (path == nullptr) return out;
  if (path->dsn_notify != mail::kNotifyUnset)
    out.push_back(StrCat("NOTIFY=", NotifyWords(path->dsn_notify)));
  const std::string_view original = path->dsn_original_recipient;
  const size_t semicolon = original.find(';');
  if (semicolon == std::string_view::npos) return out;
  const std::string_view type = original.substr(0, semicolon);
  const std::string_view address = original.substr(semicolon + 1);
  // RFC 6533 §3: the utf-8 type has an encoding of its own.
  out.push_back(StrCat("ORCPT=", type, ";",
                       EqualsIgnoreCase(type, "utf-8") ? mail::Utf8AddressEncode(address)
                                                       : mail::XtextEncode(address)));
  return out;
}

}  // namespace

MilterFilter::MilterFilter(rt::Executor* loop, rt::World* world,
                           std::shared_ptr<const MilterOptions> options, ContentSpoolOptions spool,
                           LogSink* log)
    : loop_(loop),
      world_(world),
      options_(std::move(options)),
      spool_(std::move(spool)),
      log_(log),
      link_(loop_, &world_->network(), options_.get()) {}

MilterFilter::~MilterFilter() = default;

uint32_t MilterFilter::phases() const {
  return PhaseBit(SmtpPhase::kConnect) | PhaseBit(SmtpPhase::kHelo) | PhaseBit(SmtpPhase::kEhlo) |
         PhaseBit(SmtpPhase::kAuth) | PhaseBit(SmtpPhase::kMailFrom) |
         PhaseBit(SmtpPhase::kRcptTo) | PhaseBit(SmtpPhase::kData) | PhaseBit(SmtpPhase::kQuit) |
         PhaseBit(SmtpPhase::kOther);
}

FilterVerdict MilterFilter::Away() const {
  FilterVerdict verdict;
  if (options_->when_away == MilterOptions::WhenAway::kAccept) return verdict;
  verdict.kind = FilterVerdict::Kind::kReject;
  verdict.filter = options_->name;
  verdict.reply = options_->when_away == MilterOptions::WhenAway::kReject
                      ? mail::Reply(550, {5, 7, 1}, "Service unavailable")
                      : mail::Reply(451, {4, 7, 1}, "Service unavailable - try again later");
  return verdict;
}

void MilterFilter::LogAway() const {
  constexpr const char* kDefaults[] = {"tempfail", "reject", "accept"};
  log_->Write(LogRecord{.level = LogLevel::kWarning,
                        .subsystem = "smtp",
                        .session = session_,
                        .event = "filter-failed",
                        .fields = {{"filter", options_->name},
                                   {"phase", std::string(link_.failed_at())},
                                   {"result", kDefaults[static_cast<size_t>(options_->when_away)]},
                                   {"reason", link_.failure()}}});
}

FilterVerdict MilterFilter::Answer(const milter::Verdict& verdict) {
  FilterVerdict answer;
  if (away_) return Away();
  switch (verdict.kind) {
    case VerdictKind::kContinue:
    case VerdictKind::kAccept: return answer;
    case VerdictKind::kDiscard: discard_ = true; return answer;
    case VerdictKind::kRefuse: answer.kind = FilterVerdict::Kind::kReject; break;
    case VerdictKind::kShutdown: answer.kind = FilterVerdict::Kind::kDisconnect; break;
  }
  answer.reply = verdict.reply;
  answer.filter = options_->name;
  return answer;
}

rt::Task<milter::Verdict> MilterFilter::Step(bool begun) {
  if (!begun || !link_.IsOpen()) co_return milter::Verdict();
  auto settling = link_.Settle(nullptr);
  const milter::Verdict* const verdict = co_await std::move(settling);
  if (verdict != nullptr) co_return *verdict;
  away_ = true;
  LogAway();
  co_return milter::Verdict();
}

rt::Task<milter::Verdict> MilterFilter::Reach(const SmtpSessionFacts* facts) {
  away_ = false;
  auto opening = link_.Open();
  const bool open = co_await std::move(opening);
  if (!open) {
    away_ = true;
    LogAway();
    co_return milter::Verdict();
  }
  milter::Client& client = link_.client();
  SetConnectMacros(*facts, &client.macros());
  // Mail that was given to us by a program of this machine is told as Postfix tells it.
  const bool local = facts->listener->is_local_socket || facts->remote.is_unix();
  const IpAddress address = local ? IpAddress::V4(127, 0, 0, 1) : facts->remote.address;
  const milter::Family family = address.is_v4() ? milter::Family::kInet : milter::Family::kInet6;
  auto step = Step(client.Connect(MilterClientName(*facts), family, local ? 0 : facts->remote.port,
                                  address.ToString(), link_.Now()));
  milter::Verdict verdict = co_await std::move(step);
  if (away_ || verdict.kind != VerdictKind::kContinue || facts->helo.empty()) co_return verdict;
  auto hello = Hello(facts);
  milter::Verdict said = co_await std::move(hello);
  co_return said;
}

rt::Task<milter::Verdict> MilterFilter::Hello(const SmtpSessionFacts* facts) {
  SetHeloMacros(*facts, &link_.client().macros());
  auto step = Step(link_.client().Helo(facts->helo, link_.Now()));
  milter::Verdict verdict = co_await std::move(step);
  co_return verdict;
}

rt::Task<FilterVerdict> MilterFilter::Ask(FilterQuestion question) {
  switch (question.phase) {
    case SmtpPhase::kConnect:
    case SmtpPhase::kHelo:
    case SmtpPhase::kEhlo: {
      session_ = question.facts->id;
      milter::Verdict verdict;
      if (question.phase == SmtpPhase::kConnect) {
        auto reaching = Reach(question.facts);
        verdict = co_await std::move(reaching);
      } else if (link_.IsOpen()) {
        auto hello = Hello(question.facts);
        verdict = co_await std::move(hello);
      }
      // Mail is refused when it comes: a milter that is away now may be there by then.
      if (away_) co_return FilterVerdict();
      if (verdict.kind == VerdictKind::kRefuse && verdict.reply.IsTransient())
        co_return FilterVerdict();
      co_return Answer(verdict);
    }
    case SmtpPhase::kAuth:
      // The mechanism; what stands behind it is no milter's business.
      mechanism_ = std::string(question.argument.substr(0, question.argument.find(' ')));
      co_return FilterVerdict();
    case SmtpPhase::kMailFrom: {
      auto asking = AskMail(question);
      FilterVerdict verdict = co_await std::move(asking);
      co_return verdict;
    }
    case SmtpPhase::kRcptTo: {
      auto asking = AskRcpt(question);
      FilterVerdict verdict = co_await std::move(asking);
      co_return verdict;
    }
    case SmtpPhase::kData: {
      if (away_) co_return Away();
      if (!link_.IsOpen() || discard_) co_return FilterVerdict();
      auto telling = TellRejected();
      co_await std::move(telling);
      if (away_) co_return Away();
      auto step = Step(link_.client().Data(link_.Now()));
      const milter::Verdict verdict = co_await std::move(step);
      co_return Answer(verdict);
    }
    case SmtpPhase::kOther: {
      if (!link_.IsOpen() || !link_.client().Wants(milter::Step::kUnknown))
        co_return FilterVerdict();
      auto step = Step(link_.client().Unknown(question.argument, link_.Now()));
      const milter::Verdict verdict = co_await std::move(step);
      if (away_ && !link_.IsOpen()) co_return FilterVerdict();
      co_return Answer(verdict);
    }
    case SmtpPhase::kQuit: {
      auto leaving = Leave();
      co_await std::move(leaving);
      co_return FilterVerdict();
    }
    default: co_return FilterVerdict();
  }
}

rt::Task<FilterVerdict> MilterFilter::AskMail(FilterQuestion question) {
  discard_ = false;
  rejected_.clear();
  ++messages_;
  if (!link_.IsAlive()) {
    auto reaching = Reach(question.facts);
    const milter::Verdict verdict = co_await std::move(reaching);
    if (away_ || verdict.kind == VerdictKind::kRefuse || verdict.kind == VerdictKind::kShutdown)
      co_return Answer(verdict);
  }
  away_ = false;
  milter::Client& client = link_.client();
  SetMailMacros(*question.facts, *question.sender, question.message_id, mechanism_,
                &client.macros());
  auto step = Step(
      client.Mail(PathOf(*question.sender), MailArguments(question.reverse_path), link_.Now()));
  const milter::Verdict verdict = co_await std::move(step);
  co_return Answer(verdict);
}

rt::Task<FilterVerdict> MilterFilter::AskRcpt(FilterQuestion question) {
  if (away_) co_return Away();
  if (!link_.IsOpen() || discard_) co_return FilterVerdict();
  auto telling = TellRejected();
  co_await std::move(telling);
  if (away_) co_return Away();
  SetRcptMacros(*question.recipient, &link_.client().macros());
  const std::string path = PathOf(*question.recipient);
  auto step = Step(link_.client().Rcpt(path, RcptArguments(question.forward_path), link_.Now()));
  const milter::Verdict verdict = co_await std::move(step);
  own_refusal_ = verdict.kind == VerdictKind::kRefuse ? path : "";
  co_return Answer(verdict);
}

void MilterFilter::Report(const FilterReport& report) {
  if (report.event != SessionEvent::kTxRcpt || report.result == StepResult::kOk ||
      report.address == nullptr || !link_.IsOpen()) {
    return;
  }
  if (!link_.client().agreement().has(milter::kWantsRejectedRcpt)) return;
  std::string path = PathOf(*report.address);
  if (path == own_refusal_ || rejected_.size() >= options_->max_rejected_recipients) return;
  rejected_.push_back({std::move(path), report.result});
}

// TellRejected tells of the recipients that others refused, to a milter that wants to know: with
// the mailer "error", as Sendmail does. Its answers change nothing.
rt::Task<void> MilterFilter::TellRejected() {
  while (!rejected_.empty() && link_.IsOpen()) {
    const Rejected rejected = std::move(rejected_.front());
    rejected_.pop_front();
    SetRejectedRcptMacros(rejected.result == StepResult::kTempFail
                              ? mail::Reply(450, {4, 1, 1}, "Recipient refused")
                              : mail::Reply(550, {5, 1, 1}, "Recipient refused"),
                          &link_.client().macros());
    auto step = Step(link_.client().Rcpt(rejected.path, {}, link_.Now()));
    co_await std::move(step);
  }
}

rt::Task<void> MilterFilter::Leave() {
  if (!link_.IsAlive()) co_return;
  link_.client().Quit(/*reuse=*/false);
  auto flushing = link_.Flush(link_.Now() + kQuitTimeout);
  (void)co_await std::move(flushing);
  link_.Close();
}

void MilterFilter::BeginContent(const FilterQuestion& question, ContentSink* next) {
  next_ = next;
  content_.reset();
  if (discard_ || !link_.IsOpen() || !link_.client().Wants(milter::Step::kEndOfMessage)) return;
  content_ = std::make_unique<MilterContent>(
      loop_, &world_->files(), spool_, options_.get(), &link_, next,
      std::string(question.message_id),
      StrCat(session_, ".", options_->name.find('/') == std::string::npos ? options_->name : "",
             ".", messages_));
}

rt::Task<Status> MilterFilter::Content(std::string_view piece) {
  if (discard_) co_return OkStatus();
  if (content_ == nullptr) {
    auto writing = next_->Write(piece);
    Status written = co_await std::move(writing);
    co_return written;
  }
  auto adding = content_->Add(piece);
  Status added = co_await std::move(adding);
  co_return added;
}

rt::Task<FilterVerdict> MilterFilter::EndContent() {
  FilterVerdict answer;
  if (content_ != nullptr) {
    auto ending = content_->End();
    StatusOr<MilterContent::Outcome> outcome = co_await std::move(ending);
    content_.reset();
    if (!outcome.ok()) {
      // Of the disk, or of whoever comes next, who knows it too.
      log_->Write(LogRecord{.level = LogLevel::kWarning,
                            .subsystem = "smtp",
                            .session = session_,
                            .event = "filter-failed",
                            .fields = {{"filter", options_->name},
                                       {"phase", "commit"},
                                       {"result", "tempfail"},
                                       {"reason", std::string(Message(outcome.status()))}}});
      co_return FilterVerdict::TryLater(options_->name);
    }
    if (outcome->failed) {
      away_ = true;
      LogAway();
    }
    answer = Answer(outcome->verdict);
    answer.changes = std::move(outcome->changes);
  }
  if (discard_) {
    answer = FilterVerdict();
    answer.kind = FilterVerdict::Kind::kDiscard;
    answer.filter = options_->name;
  }
  co_return answer;
}

void MilterFilter::AbortContent() {
  // The milter hears of it when the next message begins, or by the end of the connection.
  content_.reset();
}

}  // namespace postern::service
