#include "lib/rt/proxy_stream.h"

#include "lib/core/base/proxy_header.h"

namespace postern::rt {
namespace {

// ProxiedStream is the stream inside with other addresses.
class ProxiedStream final : public Stream {
 public:
  ProxiedStream(std::unique_ptr<Stream> inner, const ProxyHeader& header)
      : inner_(std::move(inner)), local_(header.destination), remote_(header.source) {}

  Task<Status> WaitReadable(Instant deadline) override { return inner_->WaitReadable(deadline); }
  StatusOr<size_t> TryRead(std::span<char> into) override { return inner_->TryRead(into); }
  Task<Status> Write(std::string_view data, Instant deadline) override {
    return inner_->Write(data, deadline);
  }
  Task<Status> ShutdownWrite(Instant deadline) override { return inner_->ShutdownWrite(deadline); }
  void Close() override { inner_->Close(); }
  const Endpoint& local() const override { return local_; }
  const Endpoint& remote() const override { return remote_; }
  Executor& executor() override { return inner_->executor(); }
  bool accepted_on_reserve() const override { return inner_->accepted_on_reserve(); }
  const TlsInfo* tls() const override { return inner_->tls(); }

 private:
  std::unique_ptr<Stream> inner_;
  Endpoint local_;
  Endpoint remote_;
};

// Take reads until `*text` has `size` octets, and never more: what follows is the client's. What
// cannot become a header is an error at once.
Task<Status> Take(Stream* stream, size_t size, std::string* text, Instant deadline) {
  size_t have = text->size();
  text->resize(size);
  while (have < size) {
    const StatusOr<size_t> got =
        co_await ReadSome(*stream, std::span<char>(*text).subspan(have), deadline);
    if (!got.ok()) co_return got.status();
    if (*got == 0) co_return Unavailable("the connection ended within the PROXY header");
    have += *got;
    const Status right = CheckProxyStart(std::string_view(*text).substr(0, have));
    if (!right.ok()) co_return right;
  }
  co_return OkStatus();
}

Task<StatusOr<ProxyHeader>> ReadHeader(Stream* stream, Instant deadline) {
  std::string text;
  const Status begun = co_await Take(stream, kProxyPrefixBytes, &text, deadline);
  if (!begun.ok()) co_return begun;
  const StatusOr<size_t> size = ProxyHeaderSize(text);
  if (!size.ok()) co_return size.status();
  const Status ended = co_await Take(stream, *size, &text, deadline);
  if (!ended.ok()) co_return ended;
  co_return ParseProxyHeader(text);
}

}  // namespace

Task<StatusOr<std::unique_ptr<Stream>>> ProxyAccept(std::unique_ptr<Stream> inner,
                                                    Instant deadline) {
  const StatusOr<ProxyHeader> header = co_await ReadHeader(inner.get(), deadline);
  if (!header.ok()) {
    inner->Close();
    co_return header.status();
  }
  if (header->local) co_return inner;
  std::unique_ptr<Stream> made = std::make_unique<ProxiedStream>(std::move(inner), *header);
  co_return made;
}

}  // namespace postern::rt
