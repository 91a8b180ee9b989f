// Names of files and folders that others left in a Maildir.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/store/mailbox/maildir_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::mailbox;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto name = ParseMaildirName(text)) {
    if (std::string(name->base) + std::string(name->suffix) != text) std::abort();
    // The flags that are written are the flags that are read, and the base stays.
    const std::string suffix = FormatSuffix(name->suffix, kSeen | kDraft, 5, 7);
    const std::string renamed = std::string(name->base) + suffix;
    const auto again = ParseMaildirName(renamed);
    if (!again || again->base != name->base) std::abort();
    if (FlagsOfLetters(again->letters) != (kSeen | kDraft)) std::abort();
    if ((LowKeywordsOfLetters(again->letters) & 7) != 5) std::abort();
  }
  if (const auto folder = NameOfFolder(text)) {
    if (FolderOfName(*folder) != text) std::abort();
  }
  return 0;
}
