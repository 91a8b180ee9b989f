// `listen on`, and the certificates: `pki`, `ca`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"

namespace postern::policy {

inline constexpr size_t kMaxTagBytes = 32;
inline constexpr size_t kMaxListenerPki = 32;

enum class DheMode : uint8_t { kNone, kAuto, kLegacy };

struct Pki {
  std::string name;  // lower case; "*" is the fallback
  std::string certificate_path;
  std::string key_path;
  DheMode dhe = DheMode::kNone;
  SourceLocation location;
  SourceLocation certificate_location;
  SourceLocation key_location;
};

struct CertificateAuthority {
  std::string name;
  std::string certificate_path;
  SourceLocation location;
  SourceLocation certificate_location;
};

enum class ListenerProtocol : uint8_t { kSmtp, kImap };

enum class ListenerTls : uint8_t {
  kNone,
  kOptional,  // `tls`: STARTTLS is offered
  kRequired,  // `tls-require`: nothing is done before STARTTLS
  kSmtps,     // `smtps`: TLS from the first octet
};

enum class ListenerAuth : uint8_t { kNone, kRequired, kOptional };

// SendersRule says what a login may send as where no table does.
enum class SendersRule : uint8_t {
  kNotOthers,  // as anybody but the others of this server; the default
  kOwn,        // as itself alone (`senders own`)
  kAny,        // as anybody (`senders any`), as OpenSMTPD has it
};

struct Listener {
  SourceLocation location;
  OptionPlaces options;
  bool is_socket = false;  // `listen on socket`: the local submission socket
  std::string target;      // interface, group (all, egress, lo0), address or host name, as written
  AddressFamily family = AddressFamily::kAny;
  uint16_t port = 0;  // 0: one that the system chooses (`port 0`); none with is_socket
  ListenerProtocol protocol = ListenerProtocol::kSmtp;
  ListenerTls tls = ListenerTls::kNone;
  bool verify_client = false;  // `tls-require verify`, `smtps verify`
  // Certificates by index into Config::pkis, the first is the default. Empty with TLS: chosen among
  // all by SNI, then by the server's name, then "*".
  std::vector<int> pkis;
  // ca: index into Config::cas, whose certificates those of clients are verified against; without
  // it, the system's. Without verify_client a client may have none, but no bad one.
  int ca = kNoIndex;
  ListenerAuth auth = ListenerAuth::kNone;
  TableId auth_table = kNoIndex;  // kNoIndex with auth: the system's accounts
  std::string pam_service;        // those by this service of PAM; empty: by the shadow file
  std::string pam_folder;         // where its file lies; empty: where libpam looks
  int filter = kNoIndex;
  std::string tag;
  std::string hostname;          // empty: the server's name
  TableId hostnames = kNoIndex;  // local address -> name
  bool mask_src = false;
  TableId senders = kNoIndex;                          // login -> addresses it may send as
  SendersRule senders_rule = SendersRule::kNotOthers;  // without that table
  bool senders_masquerade = false;
  bool received_auth = false;
  bool no_dsn = false;
  // proxy_v2: connections begin with the header of a proxy, which says who the client is; nobody
  // else is served. Whoever reaches such a listener may claim any address but this machine's own,
  // so that only the proxy should reach it.
  bool proxy_v2 = false;
  std::string protocols;  // TLS versions, OpenSSL's words; empty: default
  std::string ciphers;
};

}  // namespace postern::policy
