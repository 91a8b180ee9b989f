// The PROXY header, which anybody who reaches a listener of a proxy may send.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/base/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const StatusOr<size_t> announced = ProxyHeaderSize(text.substr(0, kProxyPrefixBytes));
  const StatusOr<ProxyHeader> read = ParseProxyHeader(text);
  if (announced.ok() && (*announced < kProxyPrefixBytes || *announced > kMaxProxyHeaderBytes))
    std::abort();
  if (!read.ok()) return 0;
  if (!announced.ok() || *announced != size) std::abort();
  // The optional fields change nothing, whatever they are.
  if (!read->local && (read->source.is_unix() || read->destination.is_unix())) std::abort();
  if (!read->local && read->source.ToString().empty()) std::abort();
  return 0;
}
