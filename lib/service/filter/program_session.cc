#include "lib/service/filter/program_session.h"

#include <cstdlib>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

// Lines are handed over in pieces of about this much.
constexpr size_t kBatchBytes = 64 << 10;

// AddressText is an address as the protocol shows it: "[2001:db8::1]", and a port behind it where
// there is one.
std::string AddressText(const IpAddress& address) {
  return address.is_v6() ? StrCat("[", address.ToString(), "]") : address.ToString();
}
std::string PlaceText(const Endpoint& place, bool is_local_socket) {
  if (place.is_unix()) return StrCat("unix:", place.unix_path);
  if (is_local_socket) return "local";
  return StrCat(AddressText(place.address), ":", place.port);
}

std::string PlainAddress(const mail::Address* address) {
  return address == nullptr || address->empty() ? std::string() : address->ToString();
}

std::string_view ReverseName(const SmtpSessionFacts& facts) {
  return facts.reverse_name.empty() ? std::string_view("<unknown>")
                                    : std::string_view(facts.reverse_name);
}

std::string_view ResultText(StepResult result) {
  switch (result) {
    case StepResult::kOk: return "ok";
    case StepResult::kPermFail: return "permfail";
    case StepResult::kTempFail: break;
  }
  return "tempfail";
}

std::string_view LoginText(StepResult result) {
  switch (result) {
    case StepResult::kOk: return "pass";
    case StepResult::kPermFail: return "fail";
    case StepResult::kTempFail: break;
  }
  return "error";
}

// In what is told of their answers two phases have other names than in what is asked.
std::string_view ResponsePhase(SmtpPhase phase) {
  if (phase == SmtpPhase::kConnect) return "connected";
  if (phase == SmtpPhase::kStartTls) return "tls";
  return SmtpPhaseName(phase);
}

}  // namespace

ProgramSession::ProgramSession(std::shared_ptr<FilterProgram> program, rt::Executor* loop,
                               uint64_t id, FilterProgram::Registered registered,
                               std::function<void(const FilterReport&)> tell)
    : program_(std::move(program)),
      loop_(loop),
      id_(id),
      registered_(registered),
      tell_(std::move(tell)),
      exchange_(std::make_shared<Exchange>(loop)) {
  if (!program_->Join(id_, exchange_, registered_.generation)) registered_.generation = 0;
}

ProgramSession::~ProgramSession() {
  AbortContent();
  if (registered_.generation != 0) program_->Part(id_);
}

uint32_t ProgramSession::phases() const {
  // Without the program nobody is greeted.
  return registered_.generation == 0 ? PhaseBit(SmtpPhase::kConnect) : registered_.phases;
}

FilterVerdict ProgramSession::Gone() const {
  FilterVerdict verdict = FilterVerdict::TryLater(name());
  verdict.kind = FilterVerdict::Kind::kDisconnect;
  verdict.reply.code = 421;
  verdict.reply.status = {4, 3, 0};
  return verdict;
}

rt::Task<FilterVerdict> ProgramSession::Ask(FilterQuestion question) {
  TellReports(question.facts);
  if (registered_.generation == 0) co_return Gone();
  const uint64_t token = program_->NewToken();
  bool gone = false;
  {
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    gone = exchange_->gone;
    exchange_->question = token;
    exchange_->answer.reset();
  }
  if (gone) co_return Gone();

  const SmtpSessionFacts& facts = *question.facts;
  const WallTime now = program_->WallNow();
  const filter::Version version = program_->options().version;
  std::string line;
  const auto ask = [&](std::initializer_list<std::string_view> fields) {
    filter::AppendRequest(version, now, SmtpPhaseName(question.phase), id_, token, fields, &line);
  };
  switch (question.phase) {
    case SmtpPhase::kConnect:
      ask({ReverseName(facts), facts.listener->is_local_socket
                                   ? std::string("local")
                                   : AddressText(facts.remote.address)});
      break;
    case SmtpPhase::kHelo:
    case SmtpPhase::kEhlo:
    case SmtpPhase::kAuth: ask({question.argument}); break;
    case SmtpPhase::kMailFrom: ask({PlainAddress(question.sender)}); break;
    case SmtpPhase::kRcptTo: ask({PlainAddress(question.recipient)}); break;
    default: ask({}); break;
  }
  const Instant asked = loop_->Now();
  const Instant deadline = asked + program_->options().answer_timeout;
  program_->Say(registered_.generation, line);

  for (;;) {
    exchange_->changed.Reset();
    std::optional<Exchange::Answer> answer;
    {
      const std::lock_guard<std::mutex> lock(exchange_->mutex);
      answer = std::exchange(exchange_->answer, std::nullopt);
      gone = exchange_->gone;
      if (answer.has_value() || gone) exchange_->question = 0;
    }
    TellReports(question.facts);
    if (answer.has_value()) co_return VerdictOf(question, *std::move(answer));
    if (gone) co_return FilterVerdict::TryLater(name());
    const bool changed = co_await exchange_->changed.Wait(deadline);
    if (changed) continue;
    program_->Suspect(registered_.generation, asked,
                      StrCat("no answer to ", SmtpPhaseName(question.phase)));
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    exchange_->question = 0;
    co_return FilterVerdict::TryLater(name());
  }
}

FilterVerdict ProgramSession::VerdictOf(const FilterQuestion& question,
                                        Exchange::Answer answer) const {
  using Kind = FilterVerdict::Kind;
  FilterVerdict verdict;
  verdict.filter = std::string(name());
  const auto refuse = [&](Kind kind) {
    verdict.kind = kind;
    StatusOr<mail::Reply> reply = mail::Reply::FromText(answer.text);
    verdict.reply = reply.ok() ? *std::move(reply) : mail::Reply(421, {}, "Internal server error");
  };
  switch (answer.decision) {
    case filter::Decision::kProceed: break;
    case filter::Decision::kJunk: verdict.junk = question.phase != SmtpPhase::kCommit; break;
    case filter::Decision::kReject: refuse(Kind::kReject); break;
    case filter::Decision::kDisconnect: refuse(Kind::kDisconnect); break;
    case filter::Decision::kRewrite:
      verdict.kind = Kind::kRewrite;
      verdict.argument = std::move(answer.text);
      break;
    case filter::Decision::kReport:
      tell_({.event = SessionEvent::kFilterReport,
             .facts = question.facts,
             .text = answer.text,
             .filter = name()});
      break;
  }
  return verdict;
}

void ProgramSession::TellReports(const SmtpSessionFacts* facts) {
  std::vector<std::string> reports;
  {
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    reports.swap(exchange_->reports);
  }
  for (const std::string& text : reports) {
    tell_({.event = SessionEvent::kFilterReport, .facts = facts, .text = text, .filter = name()});
  }
}

void ProgramSession::Report(const FilterReport& report) {
  if (registered_.generation == 0) return;
  const SmtpSessionFacts& facts = *report.facts;
  const filter::Version version = program_->options().version;
  const WallTime now = program_->WallNow();
  std::string line;
  const auto say = [&](std::initializer_list<std::string_view> fields) {
    filter::AppendReport(version, now, SessionEventName(report.event), id_, fields, &line);
  };
  switch (report.event) {
    case SessionEvent::kLinkConnect: {
      const bool local = facts.listener->is_local_socket;
      const std::string_view confirmed = facts.reverse_name.empty() ? "error"
                                         : facts.reverse_confirmed  ? "pass"
                                                                    : "fail";
      say({ReverseName(facts), confirmed, PlaceText(facts.remote, local),
           PlaceText(facts.local, local)});
      break;
    }
    case SessionEvent::kLinkGreeting: say({report.text}); break;
    case SessionEvent::kLinkIdentify: say({facts.extended ? "EHLO" : "HELO", report.text}); break;
    case SessionEvent::kLinkTls:
      say({facts.tls.has_value()
               ? StrCat(facts.tls->version, ":", facts.tls->cipher, ":", facts.tls->cipher_bits)
               : std::string()});
      break;
    case SessionEvent::kLinkAuth:
      // 0.7 turned the two round.
      if (version == filter::Version::k07) {
        say({LoginText(report.result), report.text});
      } else {
        say({report.text, LoginText(report.result)});
      }
      break;
    case SessionEvent::kLinkDisconnect:
    case SessionEvent::kTimeout: say({}); break;
    case SessionEvent::kTxReset:
    case SessionEvent::kTxBegin:
    case SessionEvent::kTxRollback: say({report.message_id}); break;
    case SessionEvent::kTxMail:
    case SessionEvent::kTxRcpt:
      say({report.message_id, ResultText(report.result), PlainAddress(report.address)});
      break;
    case SessionEvent::kTxEnvelope:
      say({report.message_id, StrCat(report.message_id, Hex(report.number, 8))});
      break;
    case SessionEvent::kTxData: say({report.message_id, ResultText(report.result)}); break;
    case SessionEvent::kTxCommit: say({report.message_id, StrCat(report.number)}); break;
    case SessionEvent::kProtocolClient:
    case SessionEvent::kProtocolServer: say({report.text}); break;
    case SessionEvent::kFilterReport:
      say({report.is_builtin ? "builtin" : "proc", report.filter, report.text});
      break;
    case SessionEvent::kFilterResponse: say({ResponsePhase(report.phase), report.text}); break;
  }
  program_->Say(registered_.generation, line);
}

void ProgramSession::BeginContent(const FilterQuestion& question, ContentSink* next) {
  next_ = next;
  facts_ = question.facts;
  line_.clear();
  const uint64_t token = program_->NewToken();
  prefix_ = filter::DataLinePrefix(program_->options().version, program_->WallNow(), id_, token);
  const std::lock_guard<std::mutex> lock(exchange_->mutex);
  failed_ = exchange_->gone || registered_.generation == 0;
  exchange_->content_token = token;
  exchange_->content.clear();
  exchange_->content_ended = exchange_->overflowed = false;
  exchange_->content_bytes = 0;
  exchange_->content_limit = program_->options().max_added_bytes;
}

void ProgramSession::Fail() {
  failed_ = true;
  AbortContent();
}

void ProgramSession::AbortContent() {
  line_.clear();
  bool was_full = false;
  {
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    was_full = !exchange_->content.empty();
    exchange_->content_token = 0;
    std::string().swap(exchange_->content);
  }
  if (was_full) program_->Drained();
}

rt::Task<Status> ProgramSession::PassOn(bool* ended, bool* moved) {
  std::string given;
  bool broken = false;
  {
    const std::lock_guard<std::mutex> lock(exchange_->mutex);
    given.swap(exchange_->content);
    *ended = exchange_->content_ended;
    broken = exchange_->overflowed || (exchange_->gone && !*ended);
  }
  *moved = !given.empty();
  if (broken) {
    Fail();
    co_return OkStatus();
  }
  if (given.empty()) co_return OkStatus();
  if (given.size() >= program_->options().max_untaken_bytes / 2) program_->Drained();
  Status written = co_await next_->Write(given);
  co_return written;
}

rt::Task<Status> ProgramSession::Content(std::string_view piece) {
  std::string batch;
  bool ended = false, moved = false;
  while (!piece.empty() && !failed_) {
    batch.clear();
    size_t taken = 0;
    while (!piece.empty() && batch.size() < kBatchBytes) {
      const size_t end = piece.find('\n');
      std::string_view line = piece.substr(0, end);
      taken += std::min(piece.size(), line.size() + 1);
      piece.remove_prefix(std::min(piece.size(), line.size() + 1));
      if (end == std::string_view::npos) {
        line_.append(line);
        break;
      }
      if (!line_.empty()) {
        line_.append(line);
        line = line_;
      }
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      filter::AppendDataLine(prefix_, line, &batch);
      line_.clear();
    }
    {
      const std::lock_guard<std::mutex> lock(exchange_->mutex);
      exchange_->content_limit += taken;
    }
    if (!batch.empty()) program_->Say(registered_.generation, batch);
    const Status written = co_await PassOn(&ended, &moved);
    if (!written.ok()) co_return written;

    // What is given here is not read faster from the client than the program reads it.
    const Instant begun = loop_->Now();
    const Instant deadline = begun + program_->options().content_timeout;
    for (;;) {
      exchange_->changed.Reset();
      if (failed_ || !program_->IsBehind(exchange_)) break;
      const bool changed = co_await exchange_->changed.Wait(deadline);
      const Status more = co_await PassOn(&ended, &moved);
      if (!more.ok()) co_return more;
      if (changed || failed_) continue;
      program_->Suspect(registered_.generation, begun, "a message is not read");
      Fail();
    }
  }
  co_return OkStatus();
}

rt::Task<FilterVerdict> ProgramSession::EndContent() {
  std::string last;
  if (!line_.empty()) {
    if (line_.back() == '\r') line_.pop_back();
    filter::AppendDataLine(prefix_, line_, &last);
    line_.clear();
  }
  filter::AppendDataEnd(prefix_, &last);
  if (!failed_) program_->Say(registered_.generation, last);
  Instant since = loop_->Now();
  while (!failed_) {
    exchange_->changed.Reset();
    bool ended = false, moved = false;
    const Status written = co_await PassOn(&ended, &moved);
    // Who gave the error knows of it.
    if (!written.ok() || failed_) break;
    if (ended) {
      AbortContent();
      TellReports(facts_);
      co_return FilterVerdict::Proceed();
    }
    if (moved) since = loop_->Now();
    const Instant deadline = since + program_->options().content_timeout;
    const bool changed = co_await exchange_->changed.Wait(deadline);
    if (changed) continue;
    program_->Suspect(registered_.generation, since, "a message was not given back");
    break;
  }
  Fail();
  co_return FilterVerdict::TryLater(name());
}

}  // namespace postern::service
