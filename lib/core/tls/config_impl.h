// The inside of the configurations, for Engine. Not for other layers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/core/tls/boringssl.h"
#include "lib/core/tls/config.h"

namespace postern::tls {

class ServerConfig::Impl {
 public:
  // One context for each key pair; a connection begins with the first and changes to the one that
  // the server name selects.
  std::vector<bssl::UniquePtr<SSL_CTX>> contexts;
  std::vector<std::string> end_points;  // EndPointBinding of each context's certificate
  // EndPointOf is that of a connection's context.
  std::string EndPointOf(const SSL_CTX* context) const;
  std::map<std::string, size_t, std::less<>> exact;      // name in lower case -> index
  std::map<std::string, size_t, std::less<>> wildcards;  // what follows "*." -> index
  std::string alpn_wire;                                 // length-prefixed names
  ClientCertificates client_certificates = ClientCertificates::kNone;
  bssl::UniquePtr<X509_STORE> store;

  size_t IndexFor(std::string_view server_name) const;
};

class ClientConfig::Impl {
 public:
  bssl::UniquePtr<SSL_CTX> context;
  bssl::UniquePtr<X509_STORE> store;  // null: nothing is verified
};

// ConnectionState is what BoringSSL's callbacks find with an SSL: who it is, and the time.
struct ConnectionState {
  const ServerConfig::Impl* server = nullptr;
  const ClientConfig::Impl* client = nullptr;
  std::string host;  // that the peer's certificate must name; empty: none
  WallTime now;
  Status verify_error;
  bool verified = false;
};

// StateIndex is where the ConnectionState stands in an SSL's extra data.
int StateIndex();

}  // namespace postern::tls
