#include "lib/server/authorities.h"

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/core/tls/certificate.h"
#include "lib/store/table/tables.h"

namespace postern::server {
namespace {

// Where Debian's ca-certificates puts the authorities of the world.
constexpr char kSystemAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";

}  // namespace

StatusOr<std::string> ReadSystemAuthorities(rt::World& world) {
  StatusOr<std::string> text =
      store::ReadTextFile(world.files(), kSystemAuthorities, tls::kMaxPemBytes);
  if (!text.ok()) {
    return SameCause(text.status(), text.status().code(),
                     StrCat("no certificate authorities to verify with: ", Message(text.status()),
                            " (name some with ca)"));
  }
  return text;
}

}  // namespace postern::server
