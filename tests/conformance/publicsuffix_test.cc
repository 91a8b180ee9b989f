// The tests of the public suffix list, against the list that comes with them.
#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/trust/public_suffix.h"

namespace postern::conformance {
namespace {

TEST(PublicSuffix, RegistrableDomains) {
  const std::optional<std::string> folder = Folder("publicsuffix");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const auto read = [&folder](const char* name) {
    std::ifstream in(*folder + "/" + name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const StatusOr<trust::PublicSuffixList> list =
      trust::PublicSuffixList::Parse(read("public_suffix_list.dat"));
  ASSERT_TRUE(list.ok()) << list.status();
  const Json cases = Json::Parse(read("tests.json"));
  Tally tally("publicsuffix");
  for (const Json& test : cases.Array()) {
    const std::string got = list->OrganizationalDomain(test["input"].String());
    tally.Count(test["input"].String(), got == test["registrable_domain"].String(),
                StrCat("got \"", got, "\""));
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::conformance
