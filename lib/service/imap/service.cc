#include "lib/service/imap/service.h"

#include <exception>
#include <new>

#include "lib/service/imap/connection.h"

namespace postern::service {
ImapService::ImapService(rt::World* world, rt::Executor* loop, ImapBackend* backend, LogSink* log,
                         ImapServiceOptions options)
    : world_(world),
      loop_(loop),
      backend_(backend),
      log_(log),
      options_(options),
      all_gone_(loop),
      tasks_([log](std::exception_ptr failure) {
        std::string what = "unknown";
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& e) {
          what = e.what();
        } catch (...) {
        }
        log->Write(LogRecord{.level = LogLevel::kError,
                             .subsystem = "imap",
                             .session = "",
                             .event = "session-failed",
                             .fields = {{"reason", what}}});
      }) {}

ImapService::~ImapService() = default;

void ImapService::Serve(std::unique_ptr<rt::Stream> stream,
                        std::shared_ptr<const ImapListener> listener) {
  tasks_.Spawn(ServeConnection(std::move(stream), std::move(listener)));
}

rt::Task<void> ImapService::ServeConnection(std::unique_ptr<rt::Stream> stream,
                                            std::shared_ptr<const ImapListener> listener) {
  ImapConnection connection(this, std::move(stream), std::move(listener));
  // What still runs for the session ends before it does, though memory is short by then.
  rt::Task<void> end = connection.End();
  const auto at = connections_.insert(connections_.end(), &connection);
  std::exception_ptr failure;
  try {
    co_await connection.Run();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    try {
      co_await connection.Apologize();
    } catch (const std::exception&) {
      // Then it is closed without a word.
    }
    connection.Cut();
  }
  co_await std::move(end);
  connections_.erase(at);
  if (connections_.empty()) all_gone_.Set();
  if (failure) std::rethrow_exception(failure);
}

rt::Task<void> ImapService::Stop(Duration grace) {
  stopping_ = true;
  const Instant deadline = loop_->Now() + grace;
  if (!connections_.empty()) {
    all_gone_.Reset();
    for (ImapConnection* connection : connections_) connection->AskToLeave();
    const bool gone = co_await all_gone_.Wait(deadline);
    if (!gone) {
      for (ImapConnection* connection : connections_) connection->Cut();
    }
  }
  co_await tasks_.Join();
}

}  // namespace postern::service
