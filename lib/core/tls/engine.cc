#include "lib/core/tls/engine.h"

#include <algorithm>

#include "lib/core/base/buffer.h"
#include "lib/core/base/check.h"
#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/tls/boringssl.h"
#include "lib/core/tls/config_impl.h"

namespace postern::tls {
namespace {

// What BoringSSL reads from and writes to.
struct Pipe {
  explicit Pipe(const EngineLimits& limits) : input(limits.input_bytes) {}
  ByteQueue input;
  std::string output;
  bool input_ended = false;
};

int PipeRead(BIO* bio, char* out, int size) {
  auto* pipe = static_cast<Pipe*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (pipe->input.empty()) {
    if (pipe->input_ended) return 0;
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::string_view have = pipe->input.View();
  const size_t n = std::min(have.size(), static_cast<size_t>(size));
  std::copy_n(have.data(), n, out);
  pipe->input.Consume(n);
  return static_cast<int>(n);
}

int PipeWrite(BIO* bio, const char* data, int size) {
  auto* pipe = static_cast<Pipe*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  // Never refuses: BoringSSL writes a flight of the handshake, one record for a Write, or an alert,
  // and Write looks at the limit.
  pipe->output.append(data, static_cast<size_t>(size));
  return size;
}

long PipeControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* PipeMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern");
    POSTERN_CHECK(made != nullptr);
    BIO_meth_set_read(made, PipeRead);
    BIO_meth_set_write(made, PipeWrite);
    BIO_meth_set_ctrl(made, PipeControl);
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

}  // namespace

struct Engine::Impl {
  explicit Impl(const EngineLimits& engine_limits) : limits(engine_limits), pipe(engine_limits) {}

  EngineLimits limits;
  Pipe pipe;
  ConnectionState state;
  // Shared with all connections of the configuration; they outlive `ssl`.
  std::shared_ptr<const ServerConfig> server_config;
  std::shared_ptr<const ClientConfig> client_config;
  std::string server_name;
  bssl::UniquePtr<SSL> ssl;
  bool done = false;
  bool closed_for_writing = false;
  bool peer_closed = false;
  Status error;

  void Attach() {
    POSTERN_CHECK(ssl != nullptr);
    BIO* bio = BIO_new(PipeMethod());
    POSTERN_CHECK(bio != nullptr);
    BIO_set_data(bio, &pipe);
    SSL_set_bio(ssl.get(), bio, bio);
    POSTERN_CHECK(SSL_set_ex_data(ssl.get(), StateIndex(), &state) == 1);
    SSL_set_shed_handshake_config(ssl.get(), 1);
    SSL_set_renegotiate_mode(ssl.get(), ssl_renegotiate_never);
  }

  void Fail(Status status) {
    if (error.ok()) error = std::move(status);
  }

  // Explain makes a sentence of what BoringSSL's last call left in the error queue.
  Status Explain(int ssl_error) {
    const bool client = client_config != nullptr;
    const std::string_view peer = client ? "the server" : "the client";
    if (!state.verify_error.ok()) {
      ERR_clear_error();
      return state.verify_error;
    }
    const uint32_t error_code = ERR_peek_error();
    if (pipe.input_ended && (ssl_error == SSL_ERROR_SYSCALL || error_code == 0)) {
      ERR_clear_error();
      if (done) return DataLoss(StrCat(peer, " closed the connection without ending TLS"));
      return Unavailable(StrCat(peer, " closed the connection during the TLS handshake"));
    }
    const int reason = ERR_GET_LIB(error_code) == ERR_LIB_SSL ? ERR_GET_REASON(error_code) : 0;
    if (reason >= SSL_AD_REASON_OFFSET) {
      ERR_clear_error();
      const int alert = reason - SSL_AD_REASON_OFFSET;
      return FailedPrecondition(StrCat(peer, " ended TLS with the alert \"",
                                       AsciiLower(SSL_alert_desc_string_long(alert)), "\""));
    }
    switch (reason) {
      case SSL_R_HTTP_REQUEST:
      case SSL_R_HTTPS_PROXY_REQUEST:
        ERR_clear_error();
        return InvalidArgument(StrCat(peer, " speaks HTTP, not TLS"));
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_INVALID_OUTER_RECORD_TYPE:
        if (!done) {
          ERR_clear_error();
          return InvalidArgument(StrCat(peer, " does not speak TLS"));
        }
        break;
      case SSL_R_UNSUPPORTED_PROTOCOL:
        ERR_clear_error();
        return FailedPrecondition(StrCat(peer, " knows no version of TLS that we accept"));
      case SSL_R_NO_SHARED_CIPHER:
        ERR_clear_error();
        return FailedPrecondition(StrCat(peer, " knows no cipher that we accept"));
      case SSL_R_NO_APPLICATION_PROTOCOL:
        ERR_clear_error();
        return FailedPrecondition(StrCat(peer, " wants another application protocol (ALPN)"));
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        ERR_clear_error();
        return FailedPrecondition(StrCat(peer, " gave no certificate, and one is required"));
      case SSL_R_NO_RENEGOTIATION:
        ERR_clear_error();
        return InvalidArgument(StrCat(peer, " asked for renegotiation, which is refused"));
      default: break;
    }
    return InvalidArgument(StrCat("TLS error with ", peer, ": ", TakeErrors("unknown")));
  }

  Step Handshake() {
    if (!error.ok()) return Step::kFailed;
    if (done) return Step::kDone;
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl.get());
    if (result == 1) {
      done = true;
      return Step::kDone;
    }
    const int ssl_error = SSL_get_error(ssl.get(), result);
    if (ssl_error == SSL_ERROR_WANT_READ) {
      ERR_clear_error();
      return Step::kNeedInput;
    }
    Fail(Explain(ssl_error));
    return Step::kFailed;
  }

  ReadResult Read(char* into, size_t size, bool peek) {
    POSTERN_CHECK(done && size > 0);
    if (!error.ok()) return {ReadKind::kFailed, 0};
    if (peer_closed) return {ReadKind::kEnd, 0};
    const int want = static_cast<int>(std::min<size_t>(size, 1 << 30));
    ERR_clear_error();
    const int result = peek ? SSL_peek(ssl.get(), into, want) : SSL_read(ssl.get(), into, want);
    if (result > 0) return {ReadKind::kData, static_cast<size_t>(result)};
    const int ssl_error = SSL_get_error(ssl.get(), result);
    if (ssl_error == SSL_ERROR_WANT_READ) {
      ERR_clear_error();
      return {ReadKind::kNeedInput, 0};
    }
    if (ssl_error == SSL_ERROR_ZERO_RETURN) {
      ERR_clear_error();
      peer_closed = true;
      return {ReadKind::kEnd, 0};
    }
    Fail(Explain(ssl_error));
    return {ReadKind::kFailed, 0};
  }
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::unique_ptr<Engine> Engine::Server(std::shared_ptr<const ServerConfig> config, WallTime now,
                                       const EngineLimits& limits) {
  auto impl = std::make_unique<Impl>(limits);
  impl->server_config = std::move(config);
  impl->state.server = &impl->server_config->impl();
  impl->state.now = now;
  impl->ssl.reset(SSL_new(impl->state.server->contexts[0].get()));
  impl->Attach();
  SSL_set_accept_state(impl->ssl.get());
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

std::unique_ptr<Engine> Engine::Client(std::shared_ptr<const ClientConfig> config,
                                       std::string_view server_name, WallTime now,
                                       const EngineLimits& limits) {
  auto impl = std::make_unique<Impl>(limits);
  impl->client_config = std::move(config);
  impl->state.client = &impl->client_config->impl();
  impl->state.now = now;
  if (server_name.ends_with('.')) server_name.remove_suffix(1);
  if (impl->client_config->verifies()) {
    impl->state.host = std::string(server_name);
    // Without a name there is nothing to verify against: that must not pass.
    if (server_name.empty())
      impl->Fail(FailedPrecondition("no name to verify the server's certificate against"));
  }
  impl->ssl.reset(SSL_new(impl->state.client->context.get()));
  impl->Attach();
  SSL_set_connect_state(impl->ssl.get());
  // RFC 6066 §3: no address literals in SNI.
  if (!server_name.empty() && !IpAddress::Parse(server_name)) {
    impl->server_name = std::string(server_name);
    ERR_clear_error();
    if (!SSL_set_tlsext_host_name(impl->ssl.get(), impl->server_name.c_str())) {
      impl->server_name.clear();
      ERR_clear_error();
    }
  }
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

size_t Engine::Feed(std::string_view ciphertext) { return impl_->pipe.input.Append(ciphertext); }
size_t Engine::input_room() const { return impl_->limits.input_bytes - impl_->pipe.input.size(); }
void Engine::FeedEnd() { impl_->pipe.input_ended = true; }
Engine::Step Engine::Handshake() { return impl_->Handshake(); }
Engine::ReadResult Engine::Read(std::span<char> into) {
  return impl_->Read(into.data(), into.size(), false);
}
Engine::ReadResult Engine::Peek() {
  char octet = 0;
  return impl_->Read(&octet, 1, true);
}

size_t Engine::Write(std::string_view plaintext) {
  size_t taken = 0;
  if (!impl_->done || impl_->closed_for_writing || !impl_->error.ok()) return 0;
  while (taken < plaintext.size() && impl_->pipe.output.size() < impl_->limits.output_bytes) {
    const std::string_view piece = plaintext.substr(taken, 1 << 14);  // one record: RFC 8446 §5.1
    ERR_clear_error();
    const int result = SSL_write(impl_->ssl.get(), piece.data(), static_cast<int>(piece.size()));
    if (result <= 0) {
      impl_->Fail(impl_->Explain(SSL_get_error(impl_->ssl.get(), result)));
      break;
    }
    taken += static_cast<size_t>(result);
  }
  return taken;
}

void Engine::CloseNotify() {
  if (impl_->closed_for_writing) return;
  impl_->closed_for_writing = true;
  if (!impl_->done || !impl_->error.ok()) return;
  ERR_clear_error();
  SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
}

bool Engine::has_output() const { return !impl_->pipe.output.empty(); }
size_t Engine::output_size() const { return impl_->pipe.output.size(); }

std::string Engine::TakeOutput() {
  std::string taken;
  taken.swap(impl_->pipe.output);
  return taken;
}

const Status& Engine::error() const { return impl_->error; }

Info Engine::info() const {
  Info info;
  const SSL* ssl = impl_->ssl.get();
  if (!impl_->done) return info;
  info.version = SSL_get_version(ssl);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) {
    info.cipher = SSL_version(ssl) == TLS1_3_VERSION ? SSL_CIPHER_standard_name(cipher)
                                                     : SSL_CIPHER_get_name(cipher);
    info.cipher_bits = SSL_CIPHER_get_bits(cipher, nullptr);
  }
  if (impl_->client_config) {
    info.server_name = impl_->server_name;
  } else if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) {
    info.server_name = name;
  }
  const uint8_t* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  info.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  info.resumed = SSL_session_reused(ssl) != 0;
  if (SSL_version(ssl) == TLS1_3_VERSION) {
    constexpr std::string_view kLabel = "EXPORTER-Channel-Binding";  // RFC 9266 §2
    constexpr size_t kBytes = 32;
    std::string exported(kBytes, '\0');
    if (SSL_export_keying_material(impl_->ssl.get(), reinterpret_cast<uint8_t*>(exported.data()),
                                   kBytes, kLabel.data(), kLabel.size(), nullptr, 0, 1) == 1) {
      info.channel_exporter = std::move(exported);
    }
  }
  if (impl_->server_config)
    info.channel_end_point = impl_->state.server->EndPointOf(SSL_get_SSL_CTX(ssl));
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl);
  if (chain != nullptr && sk_CRYPTO_BUFFER_num(chain) > 0) {
    const CRYPTO_BUFFER* leaf = sk_CRYPTO_BUFFER_value(chain, 0);
    info.peer_certificate_der.assign(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(leaf)),
                                     CRYPTO_BUFFER_len(leaf));
    // A ticket is only given after the full handshake verified, so a resumed session is as verified
    // as that one was.
    info.peer_verified = impl_->state.verified || (info.resumed && impl_->server_config &&
                                                   impl_->state.server->store != nullptr);
  }
  return info;
}

}  // namespace postern::tls
