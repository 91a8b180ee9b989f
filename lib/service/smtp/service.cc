#include "lib/service/smtp/service.h"

#include <exception>
#include <new>

#include "lib/service/smtp/connection.h"

namespace postern::service {

SmtpService::SmtpService(rt::World* world, rt::Executor* loop, SmtpBackend* backend, LogSink* log,
                         SmtpServiceOptions options)
    : world_(world),
      loop_(loop),
      backend_(backend),
      log_(log),
      options_(options),
      all_gone_(loop),
      tasks_([this](std::exception_ptr failure) {
        LogRecord record{.level = LogLevel::kError,
                         .subsystem = "smtp",
                         .session = "",
                         .event = "session-failed",
                         .fields = {}};
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& e) {
          record.fields.push_back({"error", e.what()});
        }
        log_->Write(record);
      }) {}

SmtpService::~SmtpService() = default;

void SmtpService::Serve(std::unique_ptr<rt::Stream> stream,
                        std::shared_ptr<const SmtpListener> listener) {
  tasks_.Spawn(ServeConnection(std::move(stream), std::move(listener)));
}

rt::Task<void> SmtpService::ServeConnection(std::unique_ptr<rt::Stream> stream,
                                            std::shared_ptr<const SmtpListener> listener) {
  SmtpConnection connection(this, std::move(stream), std::move(listener));
  const auto place = connections_.insert(connections_.end(), &connection);
  // The connection leaves the list whatever ends it, a failed check included.
  struct Leave {
    SmtpService* service;
    std::list<SmtpConnection*>::iterator place;
    ~Leave() {
      service->connections_.erase(place);
      if (service->connections_.empty()) service->all_gone_.Pulse();
    }
  } leave{this, place};
  std::exception_ptr failure;
  try {
    co_await connection.Run();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  try {
    co_await connection.Apologize();
  } catch (const std::exception&) {
    // Then it is closed without a word.
  }
  std::rethrow_exception(failure);
}

rt::Task<void> SmtpService::CutAt(Instant deadline) {
  while (!connections_.empty()) {
    const bool pulsed = co_await all_gone_.Wait(deadline);
    if (pulsed) continue;
    for (SmtpConnection* connection : connections_) connection->Cut();
    co_return;
  }
}

rt::Task<void> SmtpService::Stop(Duration grace) {
  stopping_ = true;
  const Instant deadline = world_->clock().Now() + grace;
  const std::list<SmtpConnection*> present = connections_;
  rt::TaskGroup farewells;
  std::exception_ptr failure;
  try {
    for (SmtpConnection* connection : present) farewells.Spawn(connection->AskToLeave());
    farewells.Spawn(CutAt(deadline));
  } catch (const std::bad_alloc&) {
    failure = std::current_exception();
  }
  co_await farewells.Join();
  if (failure) std::rethrow_exception(failure);
  co_await tasks_.Join();
}

}  // namespace postern::service
