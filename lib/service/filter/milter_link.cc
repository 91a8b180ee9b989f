#include "lib/service/filter/milter_link.h"

#include <array>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
// What steps without an answer have gathered is written when it is this much.
constexpr size_t kFlushBytes = 128 * 1024;

}  // namespace

rt::Task<bool> MilterLink::Open() {
  Close();
  failed_at_ = "connect";
  const Instant begun = loop_->Now();
  MilterRest* const rest = options_->rest.get();
  if (rest != nullptr) {
    const Duration patience = options_->connect_timeout + options_->protocol->negotiation_timeout;
    if (std::optional<std::string> refusal = rest->Refusal(begun, patience)) {
      failure_ = *std::move(refusal);
      co_return false;
    }
  }
  auto connecting = Connect(begun + options_->connect_timeout);
  const bool connected = co_await std::move(connecting);
  if (rest == nullptr) co_return connected;
  if (connected) {
    rest->Reached();
  } else {
    rest->Failed(begun, loop_->Now(), failure_);
  }
  co_return connected;
}

rt::Task<bool> MilterLink::Connect(Instant deadline) {
  auto connecting = network_->Connect(*loop_, options_->endpoint, rt::ConnectOptions(), deadline);
  StatusOr<std::unique_ptr<rt::Stream>> stream = co_await std::move(connecting);
  if (!stream.ok()) {
    failure_ = StrCat("it cannot be reached at ", options_->endpoint.ToString(), ": ",
                      Message(stream.status()));
    co_return false;
  }
  stream_ = *std::move(stream);
  client_ = std::make_unique<milter::Client>(options_->protocol, loop_->Now());
  auto settling = Settle(nullptr);
  const milter::Verdict* const ready = co_await std::move(settling);
  co_return ready != nullptr;
}

void MilterLink::Close() {
  client_.reset();
  if (stream_ != nullptr) stream_->Close();
  stream_.reset();
  input_.clear();
}

bool MilterLink::IsAlive() {
  if (client_ == nullptr) return false;
  // Nothing is asked, so that nothing may come: neither octets nor the end.
  char octet = 0;
  const StatusOr<size_t> got = stream_->TryRead(std::span<char>(&octet, 1));
  if (!got.ok() && rt::IsWouldBlock(got.status())) return true;
  Close();
  return false;
}

rt::Task<Status> MilterLink::Flush(Instant deadline) {
  while (!client_->PendingOutput().empty()) {
    const std::string_view pending = client_->PendingOutput();
    auto writing = stream_->Write(pending, deadline);
    Status written = co_await std::move(writing);
    if (!written.ok()) co_return written;
    client_->Wrote(pending.size());
  }
  co_return OkStatus();
}

rt::Task<void> MilterLink::Receive() {
  const Instant deadline = client_->NextDeadline();
  auto flushing = Flush(deadline);
  const Status flushed = co_await std::move(flushing);
  StatusOr<size_t> got = size_t{0};
  std::array<char, kReadBytes> buffer;
  if (flushed.ok()) {
    auto reading = rt::ReadSome(*stream_, std::span<char>(buffer), deadline);
    got = co_await std::move(reading);
  } else {
    got = flushed;
  }
  if (got.ok()) {
    if (*got == 0) client_->FeedEnd();
    input_.append(buffer.data(), *got);
  } else if (got.status().code() == StatusCode::kDeadlineExceeded) {
    client_->OnDeadline(deadline);
  } else {
    client_->Drop(Message(got.status()));
  }
}

void MilterLink::Fail(const milter::ClientEvent& event) {
  failure_ = std::string(event.reason);
  failed_at_ = milter::StepName(event.step);
  Close();
}

rt::Task<const milter::Verdict*> MilterLink::Settle(MilterChanges* changes) {
  using Kind = milter::ClientEvent::Kind;
  for (;;) {
    if (!input_.empty()) input_.erase(0, client_->Feed(input_));
    const milter::ClientEvent event = client_->NextEvent(loop_->Now());
    switch (event.kind) {
      case Kind::kNeedInput: {
        if (!input_.empty()) break;  // there was no room for it before
        auto receiving = Receive();
        co_await std::move(receiving);
        break;
      }
      case Kind::kVerdict: {
        verdict_ = *event.verdict;
        if (client_->PendingOutput().size() < kFlushBytes) co_return &verdict_;
        auto flushing = Flush(loop_->Now() + options_->protocol->content_timeout);
        const Status flushed = co_await std::move(flushing);
        if (flushed.ok()) co_return &verdict_;
        client_->Drop(Message(flushed));
        break;
      }
      case Kind::kReady: verdict_ = milter::Verdict(); co_return &verdict_;
      case Kind::kChange: {
        Status taken = FailedPrecondition("a change out of its place");
        if (changes != nullptr) {
          auto taking = changes->Take(*event.change);
          taken = co_await std::move(taking);
        }
        if (!taken.ok()) client_->Drop(Message(taken));
        break;
      }
      case Kind::kFailed: Fail(event); co_return nullptr;
    }
  }
}

}  // namespace postern::service
