// From the text of an smtpd.conf to its Config.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

// SourceLoader reads the files that a configuration is made of: the main one and what it includes.
// The core does no I/O.
class SourceLoader {
 public:
  virtual ~SourceLoader() = default;
  // Load returns the whole text of `path`, as written in the file.
  virtual StatusOr<std::string> Load(const std::string& path) = 0;
};

// MemoryLoader serves texts from memory, by exact path. For embedders that have no file, and for
// tests.
class MemoryLoader final : public SourceLoader {
 public:
  MemoryLoader() = default;
  MemoryLoader(std::string path, std::string text) { Add(std::move(path), std::move(text)); }
  void Add(std::string path, std::string text) {
    files_.emplace_back(std::move(path), std::move(text));
  }
  StatusOr<std::string> Load(const std::string& path) override;

 private:
  std::vector<std::pair<std::string, std::string>> files_;
};

struct ParseOptions {
  // -D name=value: wins over a definition in the file.
  std::vector<std::pair<std::string, std::string>> macros;
  // server_name gives the name the server will have unless the file says otherwise; empty when it
  // is not known. It decides whether TLS without `pki` finds a certificate, and is asked only where
  // that is in question: the answer may take a question to DNS.
  std::function<std::string()> server_name;
  // table_backends are the helper programs found on this machine, by TYPE of table-TYPE, beyond the
  // usual ones.
  std::vector<std::string> table_backends;

  size_t max_file_bytes = 16 << 20;   // of one file
  size_t max_total_bytes = 64 << 20;  // of all files together, macros' text counted at each use
  int max_include_depth = 16;
  size_t max_errors = 100;             // after which reading stops; of warnings so many are told
  size_t max_table_entries = 1 << 20;  // of one table written in the file
  size_t max_string_bytes = 64 << 10;  // of one word or quoted string
};

struct ParseResult {
  // config is null when there was an error.
  std::shared_ptr<const Config> config;
  // readable holds what could be read of a file with errors, so that the files it names can be
  // checked at the same time; nothing may be run from it. Null when the file itself cannot be read.
  std::shared_ptr<const Config> readable;
  // diagnostics holds all errors and warnings, each file's by line, what is about all of it last.
  Diagnostics diagnostics;
};

// Parse reads `file_name` and what it includes through `loader` and returns its meaning or all that
// is wrong with it. Blocks only in `loader`.
ParseResult Parse(const std::string& file_name, SourceLoader& loader,
                  const ParseOptions& options = {});

// ParseRelayUrl reads [scheme://][label@]host[:port]. The error says what is wrong.
StatusOr<RelayUrl> ParseRelayUrl(std::string_view text);

// TlsProtocols is what `protocols` means: the versions of TLS that may be spoken. `older` tells
// that versions were named too that are not (RFC 8996).
struct TlsProtocols {
  bool tls12 = true;
  bool tls13 = true;
  bool older = false;

  friend bool operator==(const TlsProtocols&, const TlsProtocols&) = default;
};
// ParseTlsProtocols reads "TLSv1.2,TLSv1.3", "!TLSv1.2", "secure": libtls's words, in any case,
// with commas, colons or blanks between them. An error when a word is unknown or no version is
// left.
StatusOr<TlsProtocols> ParseTlsProtocols(std::string_view text);

// LmtpDestination is where the action `lmtp` hands mail over: a socket of this machine, or a host
// and its port.
struct LmtpDestination {
  std::string socket_path;  // absolute; empty: by the network
  std::string host;         // lower case; an address without brackets
  bool host_is_address = false;
  uint16_t port = 0;
};
// kMaxSocketPathBytes is what an address of a Unix socket holds (unix(7)).
inline constexpr size_t kMaxSocketPathBytes = 107;
// ParseLmtpDestination reads /path or host:port ([address]:port for IPv6). The error says what is
// wrong.
StatusOr<LmtpDestination> ParseLmtpDestination(std::string_view text);

// IneffectiveSettings lists what `config` sets and this version does not obey, where a server
// without it does its work all the same: limits of ours, names in headers. Each is a warning.
Diagnostics IneffectiveSettings(const Config& config);

}  // namespace postern::policy
