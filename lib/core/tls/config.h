// What both sides of TLS are set up with. A configuration is made once, checked as it is made,
// never changes, and is shared by all connections; a reload makes a new one, and the connections
// that have the old one keep it to their end.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::tls {

enum class Version { kTls12, kTls13 };

// KeyPair is a certificate with its chain (the leaf first) and its private key, as PEM texts.
struct KeyPair {
  std::string name;  // of the pki: a host name that selects it besides those in the certificate,
                     // "*" or "": none besides
  std::string certificate_pem;
  std::string key_pem;
};

// CheckCiphers tells whether each word of `ciphers` (as in ServerOptions) is known and any cipher
// is left; "" is good. The error names the word that is not, and those that are.
Status CheckCiphers(const std::string& ciphers);

// ClientCertificates says whether a server asks its clients for a certificate.
enum class ClientCertificates {
  kNone,
  kRequest,  // asked for; one that is given must verify against `ca_pem`
  kRequire,  // the handshake fails without
};

struct ServerOptions {
  // key_pairs: at least one. The server name that the client sends selects: an exact name of any of
  // them first, then a wildcard, and otherwise the first one (RFC 6066 §3 allows to go on with a
  // default, and mail clients need it).
  std::vector<KeyPair> key_pairs;
  Version min_version = Version::kTls12;  // RFC 8996
  Version max_version = Version::kTls13;
  // ciphers: OpenSSL's cipher words for TLS 1.2 ("HIGH:!aNULL:!MD5"), as far as BoringSSL has them:
  // what it does not have may be excluded, but not asked for. libtls's words for whole lists
  // ("secure", "compat") are known too. Empty: BoringSSL's default. TLS 1.3 has no choice.
  std::string ciphers;
  // alpn: protocol names that we speak ("imap"). A client that offers ALPN and none of them is
  // refused with the alert no_application_protocol (RFC 7301 §3.2: against cross-protocol attacks);
  // empty: ALPN is ignored.
  std::vector<std::string> alpn;
  ClientCertificates client_certificates = ClientCertificates::kNone;
  std::string ca_pem;  // authorities for client certificates
  // tickets: resumption by tickets (RFC 5077, RFC 8446 §4.6.1), which keep nothing here. There is
  // no session cache.
  bool tickets = true;
};

// ServerConfig is what a server's connections share. Any thread.
class ServerConfig {
 public:
  // Make checks everything: keys fit, certificates parse, ciphers are known. kInvalidArgument names
  // the pki and the reason. An expired certificate is no error here (CheckValidity tells): a server
  // with an old certificate is better than none.
  static StatusOr<std::shared_ptr<const ServerConfig>> Make(const ServerOptions& options);
  ~ServerConfig();
  ServerConfig(const ServerConfig&) = delete;
  ServerConfig& operator=(const ServerConfig&) = delete;

  // IndexFor returns which key pair `server_name` selects: exact, wildcard, or 0.
  size_t IndexFor(std::string_view server_name) const;

  class Impl;
  const Impl& impl() const { return *impl_; }  // for Engine

 private:
  explicit ServerConfig(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct ClientOptions {
  // verify: the server's certificate must chain to `ca_pem`, be valid now, and name the server that
  // is asked for. Without it any certificate is taken (opportunistic TLS of RFC 7435).
  bool verify = false;
  std::string ca_pem;
  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  std::string ciphers;
  std::vector<std::string> alpn;  // offered when not empty
  // key_pair is our certificate for servers that ask for one; without certificate_pem none is
  // given.
  KeyPair key_pair;
};

// ClientConfig is what a client's connections of one kind share. Any thread.
class ClientConfig {
 public:
  static StatusOr<std::shared_ptr<const ClientConfig>> Make(const ClientOptions& options);
  ~ClientConfig();
  ClientConfig(const ClientConfig&) = delete;
  ClientConfig& operator=(const ClientConfig&) = delete;

  bool verifies() const;

  class Impl;
  const Impl& impl() const { return *impl_; }  // for Engine

 private:
  explicit ClientConfig(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::tls
