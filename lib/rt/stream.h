// Stream: a connected sequence of octets both ways. Every wait has a deadline; errors are values.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/rt/executor.h"
#include "lib/rt/task.h"

namespace postern::rt {

// TlsInfo describes the TLS layer of a stream, for logs and Received lines.
struct TlsInfo {
  std::string version;         // "TLSv1.3"
  std::string cipher;          // "TLS_AES_256_GCM_SHA384"
  int cipher_bits = 0;         // 256
  std::string server_name;     // SNI that the client sent or that we sent; may be empty
  bool peer_verified = false;  // the peer gave a certificate that verified against what was asked
  // What an authentication can be bound to (RFC 9266, RFC 5929 §4), octets; may be empty.
  std::string channel_exporter;
  std::string channel_end_point;
  std::string peer_certificate_der;  // leaf certificate, empty when the peer gave none
};

// Stream belongs to one loop. At most one coroutine reads and one writes at a time. A waiting call
// ends with kDeadlineExceeded when its deadline comes, and with kCancelled once Close is called; a
// reset by the peer is kUnavailable.
//
// Reading is in two steps so that an idle stream needs no buffer: wait, then take what is there.
class Stream {
 public:
  virtual ~Stream() = default;

  // WaitReadable waits until TryRead has something to say: octets, the end, or an error.
  virtual Task<Status> WaitReadable(Instant deadline) = 0;

  // TryRead copies what is there into `into` without waiting and returns how much: 0 is the end of
  // the stream (the peer has closed its side). kUnavailable with WouldBlock() true: nothing yet.
  virtual StatusOr<size_t> TryRead(std::span<char> into) = 0;

  // Write sends all of `data`, which must stay unchanged until the call ends.
  virtual Task<Status> Write(std::string_view data, Instant deadline) = 0;

  // ShutdownWrite tells the peer that no more will come (TCP FIN, TLS close_notify); reading goes
  // on.
  virtual Task<Status> ShutdownWrite(Instant deadline) = 0;

  // Close ends both directions at once, wakes whoever waits with kCancelled, and frees the
  // descriptor. Idempotent.
  virtual void Close() = 0;

  virtual const Endpoint& local() const = 0;
  virtual const Endpoint& remote() const = 0;
  virtual Executor& executor() = 0;

  // accepted_on_reserve is true when the process had no descriptor left and this stream took the
  // one kept for that case: say so to the peer and close it at once.
  virtual bool accepted_on_reserve() const { return false; }

  // peer_uid is the user that the process at the other end of an accepted Unix stream ran as when
  // it connected; nullopt for any other stream, and where the system does not tell.
  virtual std::optional<uint32_t> peer_uid() const { return std::nullopt; }

  // tls is null on a plain stream.
  virtual const TlsInfo* tls() const { return nullptr; }
};

// WouldBlock is the Status of TryRead when nothing is there yet; IsWouldBlock recognises it.
Status WouldBlock();
bool IsWouldBlock(const Status& status);

// ReadSome waits and reads once: the two steps in one, for callers that have a buffer anyway.
Task<StatusOr<size_t>> ReadSome(Stream& stream, std::span<char> into, Instant deadline);

}  // namespace postern::rt
