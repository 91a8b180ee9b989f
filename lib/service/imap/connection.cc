#include "lib/service/imap/connection.h"

#include <array>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

using imap::CommandKind;
using imap::Completion;
using imap::Event;

// Below ServerOptions::input_limit_bytes: a session that needs input has room for one read.
constexpr size_t kReadBytes = 16 * 1024;

}  // namespace

Completion CompletionOf(const Status& status, std::string_view verb, bool trycreate) {
  std::string text = StrCat(verb, " failed: ", Message(status));
  // Where the files of the server lie is nobody's business but its own.
  const bool has_path = Message(status).find('/') != std::string_view::npos;
  switch (status.code()) {
    case StatusCode::kNotFound:
      return Completion::NoCode(trycreate ? "TRYCREATE" : "NONEXISTENT", std::move(text));
    case StatusCode::kAlreadyExists: return Completion::NoCode("ALREADYEXISTS", std::move(text));
    case StatusCode::kInvalidArgument:
    case StatusCode::kFailedPrecondition: return Completion::NoCode("CANNOT", std::move(text));
    case StatusCode::kResourceExhausted:
      if (has_path) text = StrCat(verb, " failed: no room on the disk of the server");
      return Completion::NoCode("OVERQUOTA", std::move(text));
    case StatusCode::kPermissionDenied:
      if (has_path) text = StrCat(verb, " failed: no permission");
      return Completion::NoCode("NOPERM", std::move(text));
    case StatusCode::kUnavailable:
      if (has_path) text = StrCat(verb, " failed: try again later");
      return Completion::NoCode("UNAVAILABLE", std::move(text));
    default:
      // What else the world does is for the log; a client cannot act on it.
      return Completion::NoCode("SERVERBUG", StrCat(verb, " failed"));
  }
}

ImapConnection::ImapConnection(ImapService* service, std::unique_ptr<rt::Stream> stream,
                               std::shared_ptr<const ImapListener> listener)
    : service_(service), stream_(std::move(stream)), idle_event_(service->loop_) {
  facts_.id = Hex(service_->world_->random().Next(), 16);
  facts_.listener = std::move(listener);
  facts_.local = stream_->local();
  facts_.remote = stream_->remote();
}

ImapConnection::~ImapConnection() = default;

rt::Task<void> ImapConnection::Run() {
  if (stream_->accepted_on_reserve()) {
    Log(LogLevel::kWarning, "refused", {{"reason", "out of file descriptors"}});
    const std::string busy = "* BYE [UNAVAILABLE] Too busy, try again later\r\n";
    if (!facts_.listener->tls_from_start) {
      const Status ignored = co_await stream_->Write(busy, loop().Now() + absl::Seconds(1));
      (void)ignored;
    }
    stream_->Close();
    co_return;
  }
  if (facts_.listener->accept_proxy) {
    const bool told = co_await TakeProxyHeader();
    if (!told) co_return;
  }
  Log(LogLevel::kInfo, "connected",
      {{"address", facts_.remote.is_unix() ? "local" : facts_.remote.address.ToString()},
       {"listener", facts_.listener->name}});
  if (facts_.listener->tls_from_start) {
    const bool secured = co_await StartTls();
    if (!secured) co_return;
  }
  session_ = std::make_unique<imap::ServerSession>(*facts_.listener->options, facts_.tls,
                                                   loop().Now(), ChannelNow());

  for (;;) {
    const Event event = session_->NextEvent(loop().Now());
    switch (event.kind) {
      case Event::Kind::kNeedInput: co_await FillInput(); break;
      case Event::Kind::kAwaitingDecision:
        // Every event that asks is answered below before the next is asked for.
        POSTERN_CHECK(false);
        break;
      case Event::Kind::kCredentials: co_await OnCredentials(event); break;
      case Event::Kind::kSecret:
        co_await OnSecret(event.credentials->authentication_id, event.mechanism);
        break;
      case Event::Kind::kCommand: co_await OnCommand(event.command); break;
      case Event::Kind::kIdleDone:
        co_await StopIdle();
        if (!session_->closed()) session_->Finish(Completion::Ok("IDLE completed"));
        break;
      case Event::Kind::kStartTls: {
        const bool secured = co_await StartTls();
        if (!secured) co_return;
        session_->TlsStarted(loop().Now(), ChannelNow());
        break;
      }
      case Event::Kind::kAppend: co_await OnAppend(event.command); break;
      case Event::Kind::kAppendData: co_await OnAppendData(event.data); break;
      case Event::Kind::kAppendEnd: co_await OnAppendEnd(event.command); break;
      case Event::Kind::kAppendAbort: append_.reset(); break;
      case Event::Kind::kClosed: {
        append_.reset();
        co_await StopIdle();
        const bool written = co_await Flush();
        Log(LogLevel::kInfo, "disconnected",
            {{"user", facts_.user}, {"reason", std::string(event.reason)}});
        if (written) {
          const Status ignored =
              co_await stream_->ShutdownWrite(loop().Now() + service_->options_.farewell_timeout);
          (void)ignored;
        }
        stream_->Close();
        co_return;
      }
    }
    if (session_->PendingOutput().size() > service_->options_.output_chunk_bytes) {
      const bool written = co_await Flush();
      if (!written) session_->EndOfInput();
    }
  }
}

rt::Task<void> ImapConnection::End() {
  if (stream_ != nullptr) stream_->Close();
  co_await goodbye_.Join();
  TellIdleToStop();
  co_await idle_tasks_.Join();
  // Mailboxes are closed on the pool: that may write.
  auto work = [this] {
    append_.reset();
    selected_.reset();
    store_.reset();
  };
  if (store_ != nullptr) co_await loop().RunBlocking(work);
}

// Flush writes what the session has to say; false when the client cannot be reached any more.
rt::Task<bool> ImapConnection::Flush() {
  while (!session_->PendingOutput().empty()) {
    const std::string_view output = session_->PendingOutput();
    const Duration patience =
        session_->closed() ? service_->options_.farewell_timeout : service_->options_.write_timeout;
    writing_ = true;
    const Status written = co_await stream_->Write(output, loop().Now() + patience);
    if (!written.ok()) {
      stream_->Close();
      co_return false;
    }
    writing_ = false;
    session_->Wrote(output.size());
  }
  co_return true;
}

rt::Task<void> ImapConnection::FlushIfLong() {
  if (session_->PendingOutput().size() <= service_->options_.output_chunk_bytes) co_return;
  const bool written = co_await Flush();
  (void)written;  // the stream is closed then: the next read tells
}

// FillInput sends what is pending, then waits for octets, the end or the deadline and feeds that.
rt::Task<void> ImapConnection::FillInput() {
  if (idle_tasks_.running() == 0) {
    const bool written = co_await Flush();
    if (!written) {
      session_->EndOfInput();
      co_return;
    }
    if (session_->idling() && idle_signal_ == nullptr) StartIdle();
  }
  if (FeedWhatIsThere()) co_return;
  if (leaving_) {
    co_await goodbye_.Join();
    co_await StopIdle();
    session_->Bye("UNAVAILABLE", "Server shutting down");
    co_return;
  }
  const Instant deadline = session_->NextDeadline();
  waiting_for_input_ = true;
  const Status readable = co_await stream_->WaitReadable(deadline);
  waiting_for_input_ = false;
  if (leaving_) {
    co_await goodbye_.Join();
    co_return;
  }
  if (readable.code() == StatusCode::kDeadlineExceeded) {
    co_await StopIdle();
    session_->OnDeadline(loop().Now());
    co_return;
  }
  if (!readable.ok()) {
    session_->EndOfInput();
    co_return;
  }
  FeedWhatIsThere();
}

// FeedWhatIsThere takes one read's worth without waiting; false when there was nothing yet. It is
// no coroutine, so the buffer is on the stack and an idle session has none.
bool ImapConnection::FeedWhatIsThere() {
  std::array<char, kReadBytes> buffer;
  const StatusOr<size_t> got = stream_->TryRead(std::span<char>(buffer));
  if (!got.ok() && rt::IsWouldBlock(got.status())) return false;
  if (!got.ok() || *got == 0) {
    session_->EndOfInput();
    return true;
  }
  std::string_view octets(buffer.data(), *got);
  octets.remove_prefix(session_->Feed(octets, loop().Now()));
  POSTERN_CHECK(octets.empty());
  return true;
}

// TakeProxyHeader learns from the proxy who the client is.
rt::Task<bool> ImapConnection::TakeProxyHeader() {
  const std::string proxy = facts_.remote.ToString();
  const Instant deadline = loop().Now() + facts_.listener->proxy_timeout;
  StatusOr<std::unique_ptr<rt::Stream>> proxied =
      co_await facts_.listener->accept_proxy(std::move(stream_), deadline);
  if (!proxied.ok()) {
    Log(LogLevel::kWarning, "proxy-failed",
        {{"proxy", proxy}, {"reason", std::string(Message(proxied.status()))}});
    co_return false;
  }
  stream_ = std::move(*proxied);
  facts_.local = stream_->local();
  facts_.remote = stream_->remote();
  Log(LogLevel::kInfo, "proxied", {{"proxy", proxy}});
  co_return true;
}

rt::Task<bool> ImapConnection::StartTls() {
  if (session_ != nullptr) {
    const bool written = co_await Flush();
    if (!written) co_return false;
  }
  const Instant deadline = loop().Now() + facts_.listener->handshake_timeout;
  StatusOr<std::unique_ptr<rt::Stream>> secured =
      co_await facts_.listener->accept_tls(std::move(stream_), deadline);
  if (!secured.ok()) {
    // Who does not speak TLS (HTTP on this port, say) hears nothing: there is no alert before a
    // record of theirs, and text in the clear would break the promise that this port makes.
    Log(LogLevel::kInfo, "tls-failed", {{"reason", std::string(Message(secured.status()))}});
    co_return false;
  }
  stream_ = std::move(*secured);
  facts_.tls = true;
  if (stream_->tls() != nullptr) {
    facts_.tls_info = *stream_->tls();
    Log(LogLevel::kInfo, "tls",
        {{"ciphers", StrCat(stream_->tls()->version, ":", stream_->tls()->cipher)}});
  }
  co_return true;
}

rt::Task<void> ImapConnection::OnCommand(const imap::Command* command) {
  if (command->kind == CommandKind::kIdle) co_return;  // FillInput starts it, once "+" is sent
  const bool may_expunge = imap::AllowsExpunge(*command);
  Completion completion = co_await Execute(command);
  if (session_->closed()) co_return;
  if (selected_ != nullptr && command->kind != CommandKind::kSelect &&
      command->kind != CommandKind::kExamine) {
    const bool there = co_await ReportChanges(may_expunge);
    if (!there) co_return;
  }
  session_->Finish(completion);
}

rt::Task<Completion> ImapConnection::Execute(const imap::Command* command) {
  switch (command->kind) {
    case CommandKind::kSelect:
    case CommandKind::kExamine: return Select(command);
    case CommandKind::kCreate:
    case CommandKind::kDelete:
    case CommandKind::kRename:
    case CommandKind::kSubscribe:
    case CommandKind::kUnsubscribe: return ChangeMailbox(command);
    case CommandKind::kList:
    case CommandKind::kLsub: return List(command);
    case CommandKind::kStatus: return StatusOf(command);
    case CommandKind::kClose: return Close(true);
    case CommandKind::kUnselect: return Close(false);
    case CommandKind::kExpunge: return Expunge(command);
    case CommandKind::kSearch: return Search(command);
    case CommandKind::kFetch: return Fetch(command);
    case CommandKind::kStore: return Store(command);
    case CommandKind::kCopy:
    case CommandKind::kMove: return Copy(command);
    default: return Simple(command);
  }
}

// Simple answers the commands that only want to hear what is new, which comes before every tagged
// reply anyway.
rt::Task<Completion> ImapConnection::Simple(const imap::Command* command) {
  if (command->kind == CommandKind::kNamespace) {
    // RFC 2342 §5: one personal namespace without a prefix.
    session_->responses().Untagged(
        StrCat("NAMESPACE ((\"\" \"", store_->separator(), "\")) NIL NIL"));
  }
  co_return Completion::Ok(StrCat(imap::RowOf(command->kind).name, " completed"));
}

rt::Task<void> ImapConnection::OnAppend(const imap::Command* command) {
  const auto& arguments = std::get<imap::AppendArguments>(command->arguments);
  auto append = std::make_unique<Append>();
  auto work = [&]() -> Status {
    StatusOr<std::string> name = mailbox::CanonicalName(arguments.mailbox, store_->separator());
    if (!name.ok()) return name.status();
    StatusOr<std::unique_ptr<mailbox::Appender>> appender = store_->StartAppend(*name);
    if (!appender.ok()) return appender.status();
    append->appender = std::move(*appender);
    mailbox::AppendOptions options;
    options.flags = arguments.flags;
    options.internal_date = arguments.date;
    return append->appender->StartMessage(options);
  };
  const Status started = co_await loop().RunBlocking(work);
  imap::AppendDecision decision;
  if (started.ok()) {
    append_ = std::move(append);
  } else {
    decision.accept = false;
    decision.refusal = CompletionOf(started, "APPEND", true);
  }
  session_->Decide(decision);
}

rt::Task<void> ImapConnection::OnAppendData(std::string_view data) {
  // After a failure the rest is passed over, so that the reply comes where the client expects it.
  if (append_ == nullptr || !append_->failure.ok()) co_return;
  auto work = [&] { return append_->appender->Write(data); };
  append_->failure = co_await loop().RunBlocking(work);
}

rt::Task<void> ImapConnection::OnAppendEnd(const imap::Command*) {
  const std::unique_ptr<Append> append = std::move(append_);
  auto work = [&]() -> StatusOr<mailbox::AppendResult> {
    if (!append->failure.ok()) return append->failure;
    return append->appender->Commit();
  };
  const StatusOr<mailbox::AppendResult> result = co_await loop().RunBlocking(work);
  Completion completion;
  if (result.ok()) {
    // RFC 4315 §3
    completion = Completion::OkCode(
        StrCat("APPENDUID ", result->uid_validity, " ", result->uids.at(0)), "APPEND completed");
  } else {
    Log(LogLevel::kWarning, "append-failed",
        {{"user", facts_.user}, {"reason", Text(result.status())}});
    completion = CompletionOf(result.status(), "APPEND", true);
  }
  if (selected_ != nullptr) {
    const bool there = co_await ReportChanges(true);
    if (!there) co_return;
  }
  session_->Finish(completion);
}

rt::Task<bool> ImapConnection::ReportChanges(bool may_expunge) {
  Selected& selected = *selected_;
  auto work = [&] { return selected.mailbox->Sync(); };
  const Status synced = co_await loop().RunBlocking(work);
  if (synced.code() == StatusCode::kNotFound || synced.code() == StatusCode::kFailedPrecondition) {
    co_await DropSelected();
    session_->Bye("", synced.code() == StatusCode::kNotFound ? "The selected mailbox was deleted"
                                                             : "The selected mailbox was replaced");
    co_return false;
  }
  if (!synced.ok()) {
    // What is known stays; the next command looks again.
    Log(LogLevel::kWarning, "sync-failed", {{"user", facts_.user}, {"reason", Text(synced)}});
  }
  const bool changed = selected.generation != selected.mailbox->generation();
  if (!changed && !(may_expunge && selected.view.has_ghosts())) co_return true;
  selected.generation = selected.mailbox->generation();
  TellKeywords();
  const std::vector<mailbox::ViewUpdate> updates =
      selected.view.Update(selected.mailbox->messages(), may_expunge);
  for (const mailbox::ViewUpdate& update : updates) {
    switch (update.kind) {
      case mailbox::ViewUpdate::Kind::kExpunge:
        session_->responses().Untagged(StrCat(update.number, " EXPUNGE"));
        break;
      case mailbox::ViewUpdate::Kind::kExists:
        session_->responses().Untagged(StrCat(update.number, " EXISTS"));
        break;
      case mailbox::ViewUpdate::Kind::kRecent:
        session_->responses().Untagged(StrCat(update.number, " RECENT"));
        break;
      case mailbox::ViewUpdate::Kind::kFlags:
        session_->responses().Untagged(
            StrCat(update.number, " FETCH (FLAGS ",
                   mailbox::FormatFlags(update.message.flags, update.message.keywords,
                                        selected.mailbox->keywords(), update.message.recent),
                   ")"));
        break;
    }
    co_await FlushIfLong();
  }
  co_return true;
}

// TellKeywords says which flags there are when the mailbox has got a new keyword (RFC 3501 §7.2.6).
void ImapConnection::TellKeywords() {
  const mailbox::KeywordTable& table = selected_->mailbox->keywords();
  if (table.names().size() == selected_->keywords_told) return;
  selected_->keywords_told = table.names().size();
  session_->responses().Untagged(StrCat(
      "FLAGS ", mailbox::FormatFlags(mailbox::kAllSystemFlags, KeywordMask(), table, false)));
}

mailbox::KeywordBits ImapConnection::KeywordMask() const {
  const size_t count = selected_->mailbox->keywords().names().size();
  return count >= mailbox::kMaxKeywords ? ~mailbox::KeywordBits{0}
                                        : (mailbox::KeywordBits{1} << count) - 1;
}

rt::Task<void> ImapConnection::DropSelected() {
  if (selected_ == nullptr) co_return;
  const std::unique_ptr<Selected> dropped = std::move(selected_);
  auto work = [&] { dropped->mailbox.reset(); };
  co_await loop().RunBlocking(work);
}

void ImapConnection::AskToLeave() {
  if (std::exchange(leaving_, true)) return;
  // A session at work comes to FillInput by itself.
  if (waiting_for_input_) goodbye_.Spawn(SayGoodbye());
}

// SayGoodbye ends a session whose reader waits for its client; the reader then finds the stream
// closed.
rt::Task<void> ImapConnection::SayGoodbye() {
  co_await StopIdle();
  session_->Bye("UNAVAILABLE", "Server shutting down");
  const bool written = co_await Flush();
  (void)written;
  stream_->Close();
}

rt::Task<void> ImapConnection::Apologize() {
  // RFC 9051 §7.1.5. A response of which a part was sent is not finished: then there is none.
  constexpr std::string_view kFarewell = "* BYE [UNAVAILABLE] Out of memory, try again later\r\n";
  if (stream_ == nullptr || writing_) co_return;
  const Status ignored = co_await stream_->Write(kFarewell, loop().Now() + absl::Seconds(1));
  (void)ignored;
  stream_->Close();
}

void ImapConnection::Cut() {
  leaving_ = true;
  if (stream_ != nullptr) stream_->Close();
}

Completion ImapConnection::Failure(const Status& status, std::string_view verb) const {
  Log(LogLevel::kWarning, "command-failed",
      {{"user", facts_.user}, {"command", std::string(verb)}, {"reason", Text(status)}});
  return CompletionOf(status, verb, false);
}

void ImapConnection::Log(LogLevel level, std::string event, std::vector<LogField> fields) const {
  service_->log_->Write(LogRecord{.level = level,
                                  .subsystem = "imap",
                                  .session = facts_.id,
                                  .event = std::move(event),
                                  .fields = std::move(fields)});
}

}  // namespace postern::service
