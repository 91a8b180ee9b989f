// Engine is one TLS connection, without the connection: what the peer sent goes in by Feed, what is
// to be sent to it comes out by TakeOutput, plaintext is read and written in between. No I/O, no
// clock, no thread.
//
// It costs little while nothing happens: buffers exist only while there is something in them, and
// what only the handshake needed is dropped after it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/tls/config.h"

namespace postern::tls {

struct EngineLimits {
  // ciphertext fed and not used: one record of RFC 8446 §5.2 and a little
  size_t input_bytes = 20 * 1024;
  size_t output_bytes = 256 * 1024;  // ciphertext not taken; Write accepts nothing beyond
};

// Info describes an established connection.
struct Info {
  std::string version;  // "TLSv1.3"
  std::string cipher;   // "TLS_AES_256_GCM_SHA384"; TLS 1.2 ciphers by OpenSSL's name, as logs have
                        // always had them
  int cipher_bits = 0;
  std::string server_name;  // SNI
  std::string alpn;         // what was agreed; may be empty
  bool resumed = false;
  bool peer_verified = false;
  // What an authentication can be bound to: tls-exporter (RFC 9266; TLS 1.3 alone has it here) and
  // tls-server-end-point (RFC 5929 §4).
  std::string channel_exporter;
  std::string channel_end_point;
  std::string peer_certificate_der;  // the leaf; empty when there was none (or the session was
                                     // resumed without)
};

class Engine {
 public:
  // Server and Client start a connection at `now`, the time by which certificates are judged. (The
  // age of tickets is BoringSSL's own affair, by the machine's clock: its callback for the time
  // does not say for which connection it asks.)
  static std::unique_ptr<Engine> Server(std::shared_ptr<const ServerConfig> config, WallTime now,
                                        const EngineLimits& limits = {});
  // `server_name` is sent as SNI when it is a name (not an address), and is what the certificate
  // must name when the configuration verifies.
  static std::unique_ptr<Engine> Client(std::shared_ptr<const ClientConfig> config,
                                        std::string_view server_name, WallTime now,
                                        const EngineLimits& limits = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Feed copies ciphertext in and returns how many octets it took; less than all when the input is
  // full: Handshake or Read makes room.
  size_t Feed(std::string_view ciphertext);
  // input_room is how many octets Feed would take.
  size_t input_room() const;
  // FeedEnd says that the peer's octets have ended (TCP FIN).
  void FeedEnd();

  enum class Step { kDone, kNeedInput, kFailed };
  // Handshake goes as far as the input allows. Take the output after each call, also after kFailed
  // (the alert that tells the peer why). Once done it stays kDone.
  Step Handshake();

  enum class ReadKind {
    kData,       // `size` octets were written to `into`
    kNeedInput,  // nothing yet
    kEnd,        // the peer said close_notify: the true end
    kFailed,     // error() says why; kDataLoss when the octets ended without close_notify, so that
                 // something may be missing
  };
  struct ReadResult {
    ReadKind kind = ReadKind::kNeedInput;
    size_t size = 0;
  };
  // Read gives decrypted octets. Only after the handshake. `into` is not empty.
  ReadResult Read(std::span<char> into);
  // Peek tells what Read would say, without taking anything (`size` is at most 1).
  ReadResult Peek();

  // Write encrypts from the front of `plaintext` and returns how many octets it took; 0 when the
  // output is full, or after CloseNotify or a failure.
  size_t Write(std::string_view plaintext);

  // CloseNotify says that no more plaintext will come. Idempotent.
  void CloseNotify();

  bool has_output() const;
  size_t output_size() const;
  // TakeOutput hands over all ciphertext that waits to be sent.
  std::string TakeOutput();

  // error says in one sentence what went wrong, once something was kFailed: "certificate of
  // mx.example.com expired on …".
  const Status& error() const;

  // info is valid after the handshake.
  Info info() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::tls
