// Number sets, flags, names and LIST patterns from a client.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/mailbox/flags.h"
#include "lib/core/mailbox/names.h"
#include "lib/core/mailbox/uid_set.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::mailbox;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto set = ParseUidSet(text, 100)) {
    // What is printed reads back as the same set, and the algebra keeps its laws.
    if (!set->empty() && ParseUidSet(set->ToString(), 1) != *set) std::abort();
    if (!set->Subtract(*set).empty() || set->Union(*set) != *set || set->Intersect(*set) != *set)
      std::abort();
  }
  FlagList flags;
  (void)flags.Add(text);
  if (const auto name = DecodeMailboxUtf7(text)) {
    // One mailbox, one name on the wire.
    if (EncodeMailboxUtf7(*name) != text) std::abort();
    const auto canonical = CanonicalName(*name, '.');
    if (canonical.ok() && canonical->find("..") != std::string::npos) std::abort();
  }
  (void)MatchesListPattern(text.substr(0, size / 2), text.substr(size / 2, 300), '.');
  return 0;
}
