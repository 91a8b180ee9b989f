#include "lib/rt/tls/tls_stream.h"

#include <algorithm>
#include <array>
#include <optional>

#include "lib/core/base/check.h"

namespace postern::rt {
namespace {

// How much plaintext one inner write carries at most: a reply of any length that occurs goes out in
// one segment train.
constexpr size_t kWriteBytes = 128 * 1024;
// How long the peer is given to take the alert that says why the handshake failed.
constexpr absl::Duration kAlertPatience = absl::Seconds(1);

class TlsStream final : public Stream {
 public:
  TlsStream(std::unique_ptr<Stream> inner, std::unique_ptr<tls::Engine> engine)
      : inner_(std::move(inner)), engine_(std::move(engine)) {}

  Task<Status> Handshake(Instant deadline) {
    for (;;) {
      const tls::Engine::Step step = engine_->Handshake();
      if (step == tls::Engine::Step::kFailed) {
        // The alert tells the peer why; the connection is given up whether it arrives or not.
        const Instant patience = std::min(deadline, inner_->executor().Now() + kAlertPatience);
        const Status sent = co_await Flush(patience);
        (void)sent;
        co_return engine_->error();
      }
      const Status sent = co_await Flush(deadline);
      if (!sent.ok()) co_return Annotate(sent, "TLS handshake");
      if (step == tls::Engine::Step::kDone) break;
      const Status readable = co_await inner_->WaitReadable(deadline);
      if (!readable.ok()) co_return Annotate(readable, "TLS handshake");
      const Status pulled = Pull();
      if (!pulled.ok()) co_return Annotate(pulled, "TLS handshake");
    }
    const tls::Info info = engine_->info();
    info_.version = info.version;
    info_.cipher = info.cipher;
    info_.cipher_bits = info.cipher_bits;
    info_.server_name = info.server_name;
    info_.peer_verified = info.peer_verified;
    info_.channel_exporter = info.channel_exporter;
    info_.channel_end_point = info.channel_end_point;
    info_.peer_certificate_der = info.peer_certificate_der;
    co_return OkStatus();
  }

  Task<Status> WaitReadable(Instant deadline) override {
    for (;;) {
      if (closed_) co_return Cancelled("the stream was closed");
      if (!read_error_.ok()) co_return OkStatus();
      const tls::Engine::ReadResult there = engine_->Peek();
      if (there.kind != tls::Engine::ReadKind::kNeedInput) co_return OkStatus();
      // Reading may make something to say (an answer to a key update). A writer that is at work
      // takes it along.
      if (engine_->has_output() && !writing_) {
        const Status sent = co_await Flush(deadline);
        if (!sent.ok()) co_return sent;
      }
      const Status readable = co_await inner_->WaitReadable(deadline);
      if (!readable.ok()) co_return readable;
      // An error of the connection is what TryRead will say.
      const Status pulled = Pull();
      if (!pulled.ok() && !IsWouldBlock(pulled)) read_error_ = pulled;
    }
  }

  StatusOr<size_t> TryRead(std::span<char> into) override {
    if (closed_) return Cancelled("the stream was closed");
    size_t total = 0;
    for (;;) {
      if (total == into.size()) return total;
      const tls::Engine::ReadResult got = engine_->Read(into.subspan(total));
      switch (got.kind) {
        case tls::Engine::ReadKind::kData: total += got.size; continue;
        case tls::Engine::ReadKind::kEnd: return total;
        case tls::Engine::ReadKind::kFailed:
          if (total > 0) return total;
          return engine_->error();
        case tls::Engine::ReadKind::kNeedInput: break;
      }
      if (!read_error_.ok()) {
        if (total > 0) return total;
        return read_error_;
      }
      const Status pulled = Pull();
      if (pulled.ok()) continue;
      if (total > 0) {
        if (!IsWouldBlock(pulled)) read_error_ = pulled;
        return total;
      }
      return pulled;
    }
  }

  Task<Status> Write(std::string_view data, Instant deadline) override {
    while (!data.empty()) {
      if (closed_) co_return Cancelled("the stream was closed");
      const size_t taken = engine_->Write(data.substr(0, kWriteBytes));
      data.remove_prefix(taken);
      if (!engine_->error().ok()) co_return engine_->error();
      if (taken == 0 && !engine_->has_output())
        co_return FailedPrecondition("written after the end of the stream");
      const Status sent = co_await Flush(deadline);
      if (!sent.ok()) co_return sent;
    }
    co_return OkStatus();
  }

  Task<Status> ShutdownWrite(Instant deadline) override {
    if (closed_) co_return Cancelled("the stream was closed");
    engine_->CloseNotify();
    const Status sent = co_await Flush(deadline);
    if (!sent.ok()) co_return sent;
    co_return co_await inner_->ShutdownWrite(deadline);
  }

  void Close() override {
    closed_ = true;
    inner_->Close();
  }

  const Endpoint& local() const override { return inner_->local(); }
  const Endpoint& remote() const override { return inner_->remote(); }
  Executor& executor() override { return inner_->executor(); }
  bool accepted_on_reserve() const override { return inner_->accepted_on_reserve(); }
  const TlsInfo* tls() const override { return &info_; }

 private:
  // Pull moves ciphertext from the inner stream into the engine, through a buffer that is on the
  // stack and nowhere else. Ok when anything came, the end included.
  Status Pull() {
    std::array<char, 16 * 1024> buffer;
    std::span<char> room(buffer.data(), std::min(buffer.size(), engine_->input_room()));
    if (room.empty()) return OkStatus();
    StatusOr<size_t> got = inner_->TryRead(room);
    if (!got.ok()) return IsWouldBlock(got.status()) ? WouldBlock() : got.status();
    if (*got == 0) {
      engine_->FeedEnd();
    } else {
      POSTERN_CHECK(engine_->Feed(std::string_view(buffer.data(), *got)) == *got);
    }
    return OkStatus();
  }

  // Flush sends what the engine has to say, also what is added meanwhile. What is under way belongs
  // to this frame, so that the engine's memory may change.
  Task<Status> Flush(Instant deadline) {
    Status sent;
    writing_ = true;
    while (sent.ok() && engine_->has_output()) {
      const std::string ciphertext = engine_->TakeOutput();
      sent = co_await inner_->Write(ciphertext, deadline);
    }
    writing_ = false;
    co_return sent;
  }

  std::unique_ptr<Stream> inner_;
  std::unique_ptr<tls::Engine> engine_;
  TlsInfo info_;
  Status read_error_;
  bool writing_ = false;
  bool closed_ = false;
};

Task<StatusOr<std::unique_ptr<Stream>>> Establish(std::unique_ptr<Stream> inner,
                                                  std::unique_ptr<tls::Engine> engine,
                                                  Instant deadline) {
  auto stream = std::make_unique<TlsStream>(std::move(inner), std::move(engine));
  const Status established = co_await stream->Handshake(deadline);
  if (!established.ok()) {
    stream->Close();
    co_return established;
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace

Task<StatusOr<std::unique_ptr<Stream>>> TlsAccept(std::unique_ptr<Stream> inner,
                                                  std::shared_ptr<const tls::ServerConfig> config,
                                                  WallTime now, Instant deadline) {
  std::unique_ptr<tls::Engine> engine = tls::Engine::Server(std::move(config), now);
  StatusOr<std::unique_ptr<Stream>> stream =
      co_await Establish(std::move(inner), std::move(engine), deadline);
  co_return stream;
}

Task<StatusOr<std::unique_ptr<Stream>>> TlsConnect(std::unique_ptr<Stream> inner,
                                                   std::shared_ptr<const tls::ClientConfig> config,
                                                   std::string server_name, WallTime now,
                                                   Instant deadline) {
  std::unique_ptr<tls::Engine> engine = tls::Engine::Client(std::move(config), server_name, now);
  StatusOr<std::unique_ptr<Stream>> stream =
      co_await Establish(std::move(inner), std::move(engine), deadline);
  co_return stream;
}

}  // namespace postern::rt
