#include "lib/core/sasl/saslprep.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include "lib/core/base/strings.h"

namespace postern::sasl {
namespace {

// RFC 3454 appendix B.3: no mapping makes a code point longer than this many UTF-16 units; with the
// shortest input of one unit.
constexpr int32_t kLongestMapping = 18;
constexpr int32_t kMaxUnits = 16 * 1024;

struct Profile {
  UStringPrepProfile* profile;
  ~Profile() {
    if (profile != nullptr) usprep_close(profile);
  }
};

}  // namespace

std::optional<std::string> SaslPrep(std::string_view utf8) {
  // What is printable ASCII is prepared.
  if (std::all_of(utf8.begin(), utf8.end(), IsAsciiPrintable)) return std::string(utf8);
  if (utf8.size() > static_cast<size_t>(kMaxUnits)) return std::nullopt;
  UErrorCode error = U_ZERO_ERROR;
  std::vector<UChar> units(utf8.size() + 1);
  int32_t size = 0;
  u_strFromUTF8(units.data(), static_cast<int32_t>(units.size()), &size, utf8.data(),
                static_cast<int32_t>(utf8.size()), &error);
  if (U_FAILURE(error)) return std::nullopt;
  Profile profile{usprep_openByType(USPREP_RFC4013_SASLPREP, &error)};
  if (U_FAILURE(error)) return std::nullopt;
  std::vector<UChar> prepared(static_cast<size_t>(size * kLongestMapping + 1));
  const int32_t prepared_size =
      usprep_prepare(profile.profile, units.data(), size, prepared.data(),
                     static_cast<int32_t>(prepared.size()), USPREP_DEFAULT, nullptr, &error);
  std::string out;
  if (U_SUCCESS(error)) {
    constexpr size_t kUtf8Bytes = 3;  // of a UTF-16 unit, at most
    out.resize(static_cast<size_t>(prepared_size) * kUtf8Bytes);
    int32_t out_size = 0;
    u_strToUTF8(out.data(), static_cast<int32_t>(out.size()), &out_size, prepared.data(),
                prepared_size, &error);
    if (U_SUCCESS(error)) out.resize(static_cast<size_t>(out_size));
  }
  // It may have been a password.
  std::fill(units.begin(), units.end(), UChar{0});
  std::fill(prepared.begin(), prepared.end(), UChar{0});
  if (U_FAILURE(error)) return std::nullopt;
  return out;
}

}  // namespace postern::sasl
