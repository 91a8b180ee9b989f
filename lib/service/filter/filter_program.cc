#include "lib/service/filter/filter_program.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "lib/core/base/strings.h"
#include "lib/service/filter/exchange.h"
#include "lib/service/filter/program_session.h"

namespace postern::service {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kWriteBytes = 64 << 10;  // at a time, so that progress is seen
constexpr size_t kErrorReadBytes = 4 << 10;
// Tokens are no small numbers, so that one left over from another run is not one of ours.
constexpr uint64_t kFirstToken = 0x1d5a'0000'0000'0001;
// How long the death of a killed program is awaited, and how often it is looked for.
constexpr Duration kBurialTime = absl::Seconds(5);
constexpr Duration kBurialPause = absl::Milliseconds(10);
// How long the last words of a program that ended are awaited.
constexpr Duration kLastWords = absl::Milliseconds(200);
// More lines of one read than this, and others get their turn.
constexpr int kLinesATurn = 512;

}  // namespace

FilterProgram::FilterProgram(rt::Executor* loop, rt::Clock* clock, LogSink* log,
                             FilterProgramOptions options, Start start)
    : loop_(loop),
      clock_(clock),
      log_(log),
      options_(std::move(options)),
      start_(std::move(start)),
      next_token_(kFirstToken),
      stop_(loop),
      ready_(loop),
      said_(loop),
      drained_(loop),
      errors_over_(loop) {}

FilterProgram::~FilterProgram() = default;

void FilterProgram::Log(LogLevel level, std::string event, std::vector<LogField> fields) const {
  fields.insert(fields.begin(), {"filter", options_.name});
  log_->Write(LogRecord{.level = level,
                        .subsystem = "filter",
                        .session = "",
                        .event = std::move(event),
                        .fields = std::move(fields)});
}

rt::Task<void> FilterProgram::Run() {
  const std::shared_ptr<FilterProgram> self = shared_from_this();
  Duration pause = options_.first_pause;
  while (!stop_.is_set()) {
    const Instant begun = loop_->Now();
    StatusOr<std::unique_ptr<rt::Companion>> program = co_await start_();
    std::string why;
    if (program.ok() && !stop_.is_set()) {
      why = co_await Serve(program->get());
    } else if (!program.ok()) {
      why = StrCat("cannot be started: ", Message(program.status()));
    }
    ForgetSessions();
    has_ended_ = true;
    ready_.Pulse();
    if (program.ok()) co_await Bury(program->get());
    if (stop_.is_set()) break;
    if (loop_->Now() - begun >= options_.longest_pause) pause = options_.first_pause;
    Log(LogLevel::kError, "program-ended",
        {{"reason", why}, {"next_start", StrCat(absl::ToInt64Seconds(pause), "s")}});
    (void)co_await stop_.Wait(loop_->Now() + pause);
    pause = std::min(pause * 2, options_.longest_pause);
  }
  ForgetSessions();
}

// Bury awaits the end of a program that was killed, for a while.
rt::Task<void> FilterProgram::Bury(rt::Companion* program) {
  program->End();
  const Instant deadline = loop_->Now() + kBurialTime;
  rt::Event never(loop_);
  while (!program->Ended() && loop_->Now() < deadline) {
    const Instant again = loop_->Now() + kBurialPause;
    (void)co_await never.Wait(again);
  }
}

void FilterProgram::Stop() {
  stop_.Set();
  GiveUp("it was told to end");
  ready_.Pulse();
}

rt::Task<bool> FilterProgram::Ready(Instant deadline) {
  while (Current().generation == 0 && !has_ended_ && !stop_.is_set()) {
    const bool woken = co_await ready_.Wait(deadline);
    if (!woken) break;
  }
  co_return Current().generation != 0;
}

// GiveUp ends the conversation with the program: Serve returns.
void FilterProgram::GiveUp(std::string why) {
  if (why_.empty()) why_ = std::move(why);
  if (stream_ != nullptr) stream_->Close();
  if (errors_ != nullptr) errors_->Close();
  said_.Set();
  drained_.Set();
}

void FilterProgram::ForgetSessions() {
  std::map<uint64_t, std::shared_ptr<Exchange>> gone;
  std::vector<std::shared_ptr<Exchange>> waiting;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    registered_ = Registered();
    gone.swap(exchanges_);
    waiting.swap(waiting_);
    std::string().swap(unsaid_);
    saying_bytes_ = 0;
    overflowed_ = false;
  }
  for (const auto& [id, exchange] : gone) {
    const std::lock_guard<std::mutex> lock(exchange->mutex);
    exchange->gone = true;
    exchange->Wake();
  }
}

rt::Task<std::string> FilterProgram::Serve(rt::Companion* program) {
  stream_ = &program->stream();
  errors_ = program->errors();
  why_.clear();
  registering_ = Registered();
  registering_.generation = ++generations_;
  stray_bytes_ = 0;
  last_heard_ = loop_->Now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    unsaid_.clear();
    for (const auto& [name, value] : options_.config) filter::AppendConfig(name, value, &unsaid_);
    filter::AppendConfigReady(&unsaid_);
  }
  said_.Set();
  rt::TaskGroup tasks([this](std::exception_ptr) { GiveUp("out of memory"); });
  errors_over_.Reset();
  if (errors_ == nullptr) errors_over_.Set();
  try {
    tasks.Spawn(ReadAnswers(stream_));
    tasks.Spawn(WriteQuestions(stream_));
    if (errors_ != nullptr) tasks.Spawn(ReadErrors(errors_));
  } catch (const std::bad_alloc&) {
    // The group must not go before those of them that run.
    errors_over_.Set();
    GiveUp("out of memory");
  }
  co_await tasks.Join();
  stream_ = errors_ = nullptr;
  co_return why_.empty() ? std::string("it ended") : why_;
}

rt::Task<void> FilterProgram::WriteQuestions(rt::Stream* stream) {
  std::string saying;
  while (why_.empty()) {
    said_.Reset();
    bool overflowed = false;
    std::vector<std::shared_ptr<Exchange>> waiting;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      saying.clear();
      saying.swap(unsaid_);
      saying_bytes_ = saying.size();
      overflowed = overflowed_;
      if (saying.size() < options_.content_ahead_bytes) waiting.swap(waiting_);
    }
    for (const std::shared_ptr<Exchange>& each : waiting) {
      const std::lock_guard<std::mutex> lock(each->mutex);
      each->Wake();
    }
    if (overflowed) GiveUp("it does not read what it is told");
    if (saying.empty()) {
      if (why_.empty()) (void)co_await said_.Wait();
      continue;
    }
    for (size_t at = 0; at < saying.size() && why_.empty(); at += kWriteBytes) {
      const std::string_view piece = std::string_view(saying).substr(at, kWriteBytes);
      const Status written = co_await stream->Write(piece, loop_->Now() + options_.write_timeout);
      if (!written.ok()) {
        GiveUp(written.code() == StatusCode::kDeadlineExceeded ? "it does not read what it is told"
                                                               : "it ended");
      }
      const std::lock_guard<std::mutex> lock(mutex_);
      saying_bytes_ -= std::min(saying_bytes_, piece.size());
    }
    if (saying.capacity() > 4 * kWriteBytes) std::string().swap(saying);
  }
}

rt::Task<void> FilterProgram::ReadAnswers(rt::Stream* stream) {
  filter::LineReader lines(options_.max_line_bytes);
  const std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kReadBytes);
  const Instant ready_by = loop_->Now() + options_.ready_timeout;
  while (why_.empty()) {
    const bool ready = Current().generation != 0;
    const StatusOr<size_t> got = co_await rt::ReadSome(
        *stream, std::span<char>(buffer.get(), kReadBytes), ready ? Instant::Never() : ready_by);
    if (!got.ok() || *got == 0) {
      if (why_.empty() && got.ok()) {
        const Instant until = loop_->Now() + kLastWords;
        (void)co_await errors_over_.Wait(until);
      }
      GiveUp(got.status().code() == StatusCode::kDeadlineExceeded ? "it does not register"
                                                                  : "it ended");
      co_return;
    }
    last_heard_ = loop_->Now();
    lines.Feed(std::string_view(buffer.get(), *got));
    int taken = 0;
    while (why_.empty()) {
      const std::optional<std::string_view> line = lines.Next();
      if (!line.has_value()) break;
      std::shared_ptr<Exchange> full;
      const bool fine = Take(*line, &full);
      if (!fine) co_return;
      if (full != nullptr) co_await LetDrain(std::move(full));
      if (++taken % kLinesATurn == 0) co_await loop_->Yield();
    }
    if (lines.overflowed()) GiveUp("a line without end");
  }
}

// LetDrain waits, though not for long, until a session has taken what was given for it.
rt::Task<void> FilterProgram::LetDrain(std::shared_ptr<Exchange> exchange) {
  const Instant deadline = loop_->Now() + options_.drain_timeout;
  while (why_.empty()) {
    drained_.Reset();
    {
      const std::lock_guard<std::mutex> lock(exchange->mutex);
      if (exchange->content.size() <= options_.max_untaken_bytes) co_return;
    }
    const bool drained = co_await drained_.Wait(deadline);
    if (drained) continue;
    const std::lock_guard<std::mutex> lock(exchange->mutex);
    exchange->overflowed = true;
    exchange->content_token = 0;
    std::string().swap(exchange->content);
    exchange->Wake();
    co_return;
  }
}

rt::Task<void> FilterProgram::ReadErrors(rt::Stream* stream) {
  std::string line;
  std::array<char, kErrorReadBytes> buffer;
  while (why_.empty()) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(*stream, std::span<char>(buffer), Instant::Never());
    // It may close its standard error and go on.
    if (!got.ok() || *got == 0) break;
    for (const char c : std::string_view(buffer.data(), *got)) {
      if (c != '\n') {
        if (line.size() < options_.max_error_line_bytes) line += c;
        continue;
      }
      if (!line.empty()) Log(LogLevel::kWarning, "said", {{"text", line}});
      line.clear();
    }
  }
  if (!line.empty()) Log(LogLevel::kWarning, "said", {{"text", line}});
  errors_over_.Set();
}

bool FilterProgram::TakeRegistration(const filter::ProgramLine& line) {
  using Kind = filter::ProgramLine::Kind;
  if (line.kind == Kind::kRegisterReady) {
    Log(LogLevel::kInfo, "ready", {});
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      registered_ = registering_;
    }
    ready_.Pulse();
    return true;
  }
  // Nothing is sent for relays: nobody is asked or told about them.
  if (!line.incoming) return true;
  if (line.kind == Kind::kRegisterReport) {
    if (line.name == "*") {
      registering_.events = kAllEvents;
      return true;
    }
    for (int i = 0; i < kSessionEventCount; ++i) {
      const SessionEvent event = static_cast<SessionEvent>(i);
      if (SessionEventName(event) != line.name) continue;
      registering_.events |= EventBit(event);
      return true;
    }
  } else {
    if (line.name == "data-line") {
      registering_.content = true;
      return true;
    }
    for (int i = 0; i < kSmtpPhaseCount; ++i) {
      const SmtpPhase phase = static_cast<SmtpPhase>(i);
      if (phase == SmtpPhase::kOther || SmtpPhaseName(phase) != line.name) continue;
      registering_.phases |= PhaseBit(phase);
      return true;
    }
  }
  GiveUp(StrCat("it registers for what there is not: ", Escape(line.name, 80)));
  return false;
}

bool FilterProgram::TakeStray(std::string_view line) {
  stray_bytes_ += line.size();
  if (stray_bytes_ <= options_.max_stray_bytes) return true;
  GiveUp("it says much that nobody asked for");
  return false;
}

bool FilterProgram::Take(std::string_view line, std::shared_ptr<Exchange>* full) {
  using Kind = filter::ProgramLine::Kind;
  StatusOr<filter::ProgramLine> parsed = filter::ParseProgramLine(line);
  if (!parsed.ok()) {
    GiveUp(StrCat("it talks nonsense: ", Message(parsed.status())));
    return false;
  }
  const bool is_registration = parsed->kind == Kind::kRegisterReport ||
                               parsed->kind == Kind::kRegisterFilter ||
                               parsed->kind == Kind::kRegisterReady;
  if (is_registration != (Current().generation == 0)) {
    GiveUp(is_registration ? "it registers twice" : "it speaks before it has registered");
    return false;
  }
  if (is_registration) return TakeRegistration(*parsed);

  std::shared_ptr<Exchange> exchange;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = exchanges_.find(parsed->session);
    // The session may be over.
    if (it == exchanges_.end()) return TakeStray(line);
    exchange = it->second;
  }
  if (parsed->kind == Kind::kReport) {
    Log(LogLevel::kInfo, "reported",
        {{"session", Hex(parsed->session, 16)}, {"text", Escape(parsed->text, 400)}});
  }
  const std::lock_guard<std::mutex> lock(exchange->mutex);
  if (parsed->kind == Kind::kReport) {
    if (exchange->reports.size() < Exchange::kMaxReports)
      exchange->reports.emplace_back(parsed->text);
    return true;
  }
  if (parsed->kind == Kind::kResult) {
    if (exchange->question == 0 || exchange->question != parsed->token) return TakeStray(line);
    stray_bytes_ = 0;
    exchange->answer = Exchange::Answer{parsed->decision, std::string(parsed->text)};
    exchange->Wake();
    return true;
  }
  if (exchange->content_token == 0 || exchange->content_token != parsed->token ||
      exchange->content_ended) {
    return TakeStray(line);
  }
  stray_bytes_ = 0;
  const std::optional<std::string_view> text = filter::UnstuffDataLine(parsed->text);
  if (!text.has_value()) {
    exchange->content_ended = true;
    exchange->Wake();
    return true;
  }
  exchange->content.append(*text).append("\r\n");
  exchange->content_bytes += text->size() + 2;
  exchange->Wake();
  if (exchange->content_bytes > exchange->content_limit) {
    exchange->overflowed = true;
    exchange->content_token = 0;
    GiveUp("it makes a message too large");
    return false;
  }
  if (exchange->content.size() > options_.max_untaken_bytes) *full = exchange;
  return true;
}

// --- what sessions call; any thread

FilterProgram::Registered FilterProgram::Current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return registered_;
}

bool FilterProgram::Join(uint64_t id, const std::shared_ptr<Exchange>& exchange,
                         uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (generation == 0 || registered_.generation != generation) return false;
  exchanges_[id] = exchange;
  return true;
}

void FilterProgram::Part(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  exchanges_.erase(id);
}

void FilterProgram::Say(uint64_t generation, std::string_view lines) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (registered_.generation != generation || overflowed_) return;
    if (unsaid_.size() + saying_bytes_ + lines.size() > options_.max_unread_bytes) {
      overflowed_ = true;
    } else {
      unsaid_.append(lines);
    }
    if (std::exchange(wake_posted_, true)) return;
  }
  loop_->Post([self = shared_from_this()] {
    bool overflowed = false;
    {
      const std::lock_guard<std::mutex> lock(self->mutex_);
      self->wake_posted_ = false;
      overflowed = self->overflowed_;
    }
    if (overflowed) self->GiveUp("it does not read what it is told");
    self->said_.Set();
  });
}

bool FilterProgram::IsBehind(const std::shared_ptr<Exchange>& exchange) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (unsaid_.size() + saying_bytes_ <= options_.content_ahead_bytes) return false;
  if (std::find(waiting_.begin(), waiting_.end(), exchange) == waiting_.end())
    waiting_.push_back(exchange);
  return true;
}

void FilterProgram::Suspect(uint64_t generation, Instant since, std::string why) {
  loop_->Post([self = shared_from_this(), generation, since, why = std::move(why)] {
    if (self->Current().generation != generation) return;
    // Who answers others is alive.
    if (self->last_heard_ > since) {
      self->Log(LogLevel::kWarning, "slow", {{"reason", why}});
      return;
    }
    self->GiveUp(why);
  });
}

void FilterProgram::Drained() {
  loop_->Post([self = shared_from_this()] { self->drained_.Set(); });
}

std::unique_ptr<SessionFilter> FilterProgram::NewSession(
    rt::Executor* loop, const SmtpSessionFacts& facts,
    std::function<void(const FilterReport&)> tell) {
  const uint64_t id = std::strtoull(facts.id.c_str(), nullptr, 16);
  return std::make_unique<ProgramSession>(shared_from_this(), loop, id, Current(), std::move(tell));
}

}  // namespace postern::service
