// What a TLS connection vouches for in an authentication.
#pragma once

#include "lib/core/sasl/mechanism.h"
#include "lib/rt/stream.h"

namespace postern::service {

inline sasl::Channel ChannelOf(const rt::TlsInfo& tls) {
  return {.exporter = tls.channel_exporter,
          .end_point = tls.channel_end_point,
          .certificate = tls.peer_verified && !tls.peer_certificate_der.empty()};
}

}  // namespace postern::service
