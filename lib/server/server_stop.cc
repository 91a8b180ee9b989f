// The end of a server: the services of every loop at the same time, then the deliveries, the queue
// last.
#include <algorithm>
#include <new>

#include "lib/core/base/strings.h"
#include "lib/server/server_parts.h"

namespace postern::server {
namespace {

// StopAndReport runs on the loop of `worker`. Memory that runs out puts the end off and does not
// prevent it.
rt::Task<void> StopAndReport(Worker* worker, rt::Executor* loop, bool imap, Duration grace,
                             rt::Completion<bool>* done) {
  for (bool stopped = false; !stopped;) {
    try {
      rt::Task<void> stop = imap ? worker->imap->Stop(grace) : worker->smtp->Stop(grace);
      co_await std::move(stop);
      stopped = true;
    } catch (const std::bad_alloc&) {
    }
    rt::Event never(loop);
    const Instant again = loop->Now() + kPauseWithoutMemory;
    if (!stopped) (void)co_await never.Wait(again);
  }
  done->Complete(true);
}

// BeginToStop has one of the services of `worker` stop on its loop, and adds what tells of the end
// to `stopped`, which has room; false without memory for it.
bool BeginToStop(Worker* worker, rt::Executor* loop, bool imap, Duration grace, rt::Executor* main,
                 std::vector<std::unique_ptr<rt::Completion<bool>>>* stopped) noexcept {
  try {
    auto done = std::make_unique<rt::Completion<bool>>(main);
    loop->Post([worker, loop, imap, grace, done = done.get()] {
      try {
        worker->stops->Spawn(StopAndReport(worker, loop, imap, grace, done));
      } catch (const std::bad_alloc&) {
        done->Complete(false);
      }
    });
    stopped->push_back(std::move(done));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

rt::Task<void> Server::Stop(Duration grace) {
  Parts& parts = *parts_;
  rt::Executor& main = parts.world->main_loop();
  // What ends one after the other shares it. A delivery that has just begun has a moment in any
  // case: cut off before the reply it would be a duplicate.
  const auto left = [&main, grace, end = main.Now() + grace] {
    return std::max(end - main.Now(), std::min(grace, absl::Seconds(1)));
  };
  parts.started = false;
  parts.stopping = true;
  if (parts.pam != nullptr) parts.pam->Stop();
  // After a start that was cut short by memory that ran out some of the parts are not there.
  if (parts.ports != nullptr) co_await parts.ports->Stop();
  if (parts.control_listener != nullptr) parts.control_listener->Close();
  if (parts.offline != nullptr) parts.offline->Stop();
  if (parts.control != nullptr) co_await parts.control->Stop(left());
  co_await parts.control_tasks.Join();
  parts.control_listener.reset();
  // Each worker's services are stopped on their own loop, all at the same time. What was begun is
  // waited for, and what could not be begun for want of memory is tried again.
  for (bool all = false; !all;) {
    all = true;
    std::vector<std::unique_ptr<rt::Completion<bool>>> stopped;
    stopped.reserve(2 * parts.workers.size());
    for (size_t i = 0; i < parts.workers.size(); ++i) {
      for (const bool imap : {false, true})
        all = BeginToStop(&parts.workers[i], &parts.world->worker(i), imap, left(), &main,
                          &stopped) &&
              all;
    }
    for (const std::unique_ptr<rt::Completion<bool>>& each : stopped) {
      const bool ended = co_await each->Wait();
      all = all && ended;
    }
    rt::Event never(&main);
    const Instant again = main.Now() + kPauseWithoutMemory;
    if (!all) (void)co_await never.Wait(again);
  }
  if (parts.filters != nullptr) co_await parts.filters->Stop();
  // The scheduler waits for the deliveries under way, and those for the relay's farewell.
  if (parts.scheduler != nullptr) parts.scheduler->Stop();
  if (parts.audit != nullptr) parts.audit->Stop();
  if (parts.relay != nullptr) parts.relay->StopWithin(left());
  if (parts.lmtp != nullptr) parts.lmtp->StopWithin(left());
  if (parts.programs != nullptr) parts.programs->StopWithin(left());
  co_await parts.tasks.Join();
  if (parts.relay != nullptr) co_await parts.relay->Join();
  if (parts.lmtp != nullptr) co_await parts.lmtp->Join();
  Status closed;
  if (parts.queue != nullptr) closed = co_await parts.queue->Close(main);
  if (parts.own_resolver != nullptr) parts.own_resolver->Stop();
  parts.log->Write(LogRecord{.level = closed.ok() ? LogLevel::kInfo : LogLevel::kError,
                             .subsystem = "server",
                             .session = "",
                             .event = "stopped",
                             .fields = closed.ok()
                                           ? std::vector<LogField>()
                                           : std::vector<LogField>{{"queue", Text(closed)}}});
}

}  // namespace postern::server
