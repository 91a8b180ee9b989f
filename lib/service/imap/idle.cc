// IDLE (RFC 2177): while the client waits, one task looks for changes and tells them; it alone
// writes until it has ended.
#include <utility>

#include "lib/service/imap/connection.h"

namespace postern::service {

void ImapConnection::StartIdle() {
  if (selected_ == nullptr) return;
  idle_stopping_ = false;
  idle_event_.Reset();
  idle_signal_ = std::make_shared<IdleSignal>();
  idle_signal_->event = &idle_event_;
  idle_signal_->run = [](rt::Job* job) {
    const std::shared_ptr<IdleSignal> signal = std::move(static_cast<IdleSignal*>(job)->owner);
    signal->posted = false;
    if (signal->event != nullptr) signal->event->Set();
  };
  idle_signal_->drop = [](rt::Job* job) {
    const std::shared_ptr<IdleSignal> signal = std::move(static_cast<IdleSignal*>(job)->owner);
  };
  // The callback runs on the thread that made the change, which must not fail for want of memory
  // here, and what it posts may run after this session is over.
  rt::Executor* loop = service_->loop_;
  std::shared_ptr<IdleSignal> signal = idle_signal_;
  idle_watch_ = store_->Watch(selected_->mailbox->name(), [loop, signal] {
    if (signal->posted.exchange(true)) return;
    signal->owner = signal;
    loop->PostJob(signal.get());
  });
  idle_tasks_.Spawn(IdleUpdates());
}

void ImapConnection::TellIdleToStop() noexcept {
  if (idle_signal_ == nullptr) return;
  idle_signal_->event = nullptr;
  idle_signal_.reset();
  idle_watch_.reset();
  idle_stopping_ = true;
  idle_event_.Set();
}

rt::Task<void> ImapConnection::StopIdle() {
  TellIdleToStop();
  co_await idle_tasks_.Join();
}

rt::Task<void> ImapConnection::IdleUpdates() {
  while (!idle_stopping_) {
    const bool there = co_await ReportChanges(true);
    const bool written = co_await Flush();
    // Gone or unreachable: the reader is woken and finds the session closed.
    if (!there || !written) {
      stream_->Close();
      co_return;
    }
    if (idle_stopping_) co_return;
    const Instant next_look = loop().Now() + service_->options_.idle_poll_interval;
    const bool told = co_await idle_event_.Wait(next_look);
    (void)told;
    if (!idle_stopping_) idle_event_.Reset();
  }
}

}  // namespace postern::service
