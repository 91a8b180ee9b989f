// Memory that runs out inside a call of the C API: the n-th allocation of the call fails, for every
// n. The call comes back, with POSTERN_ERR_NO_MEMORY or without harm, and so do those behind it:
// what it had begun has ended when it returns.
#include "include/postern.h"
#include "tests/unit/denied_memory.h"
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern {
namespace {

// DenyEach denies `call` each of its allocations in turn, from `stride` to `stride`, until it makes
// no more. `call` returns the status of what it tried, and must not expect memory.
void DenyEach(const char* what, int64_t stride, const std::function<postern_status()>& call) {
  ASSERT_EQ(call(), POSTERN_OK);
  if (test::EachAllocationIsAskedFor()) stride = 1;
  std::map<postern_status, int> seen;
  int64_t n = 1;
  for (bool denied = true; denied && n < 100'000 && !testing::Test::HasFailure(); n += stride) {
    test::DenyMemory(n, 1);
    const postern_status status = call();
    denied = test::GrantMemory();
    ++seen[status];
    // SQLite's own want of memory is as any of its failures that pass.
    EXPECT_TRUE(status == POSTERN_OK || status == POSTERN_ERR_NO_MEMORY ||
                status == POSTERN_ERR_IO || status == POSTERN_ERR_BUSY)
        << postern_status_name(status) << " without allocation " << n;
  }
  std::string counts;
  for (const auto& [status, count] : seen)
    StrAppend(counts, " ", postern_status_name(status), " x ", count);
  std::printf("%s: up to allocation %d:%s\n", what, static_cast<int>(n), counts.c_str());
  EXPECT_GT(seen[POSTERN_ERR_NO_MEMORY], 5);
}

TEST(CapiOutOfMemory, AConfigurationIsChecked) {
  const std::string config =
      "listen on 127.0.0.1 port 0\naction away relay\nmatch for any action away\n";
  DenyEach("check", 1, [&config] {
    postern_config_options options = POSTERN_CONFIG_OPTIONS_INIT;
    options.config_text = config.c_str();
    options.config_text_len = config.size();
    postern_findings* findings = nullptr;
    const postern_status status = postern_config_check(&findings, &options, nullptr);
    postern_findings_free(findings);
    return status;
  });
}

// The questions of a check are asked together, and each may be the one without memory.
TEST(CapiOutOfMemory, TheNetworkIsAsked) {
  postern_resolver_options options = POSTERN_RESOLVER_OPTIONS_INIT;
  options.forwarders = "127.0.0.1@9";
  options.question_timeout_ms = 1;
  postern_resolver* resolver = nullptr;
  ASSERT_EQ(postern_resolver_new_system(&resolver, &options, nullptr), POSTERN_OK);
  DenyEach("ask", 1, [resolver] {
    postern_spf_options question = POSTERN_SPF_OPTIONS_INIT;
    question.client_ip = "192.0.2.1";
    question.sender = "joe@example.org";
    postern_spf* spf = nullptr;
    postern_status status = postern_spf_check(&spf, resolver, &question, nullptr);
    postern_spf_free(spf);
    postern_iprev* iprev = nullptr;
    if (status == POSTERN_OK) status = postern_iprev_check(&iprev, resolver, "192.0.2.1", nullptr);
    postern_iprev_free(iprev);
    return status;
  });
  postern_resolver_free(resolver);
}

// A start that is cut short leaves a server that can be freed.
TEST(CapiOutOfMemory, AServerStarts) {
  char folder[] = "/tmp/postern-capi-oom-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string config =
      StrCat("mailname \"mx.example.org\"\nspool \"", folder, "/spool\"\n",
             "listen on 127.0.0.1 port 0\naction away relay\nmatch for any action away\n");
  DenyEach("start", 13, [&config] {
    postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
    options.config_text = config.c_str();
    options.config_text_len = config.size();
    options.no_threads = 1;
    postern_server* server = nullptr;
    postern_status status = postern_server_new(&server, &options, nullptr);
    if (status == POSTERN_OK) status = postern_server_start(server, nullptr);
    postern_server_free(server);
    return status;
  });
  std::filesystem::remove_all(folder);
}

// One that cannot end at once for want of memory ends all the same.
TEST(CapiOutOfMemory, AServerEnds) {
  const std::string config =
      "listen on 127.0.0.1 port 0\nlisten on 127.0.0.1 port 0 tag other\naction away relay\n"
      "match for any action away\n";
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  options.config_text = config.c_str();
  options.config_text_len = config.size();
  options.no_threads = 1;
  options.in_memory = 1;
  int64_t n = 0;
  for (bool denied = true; denied && n < 10'000;) {
    postern_server* server = nullptr;
    ASSERT_EQ(postern_server_new(&server, &options, nullptr), POSTERN_OK);
    ASSERT_EQ(postern_server_start(server, nullptr), POSTERN_OK);
    test::DenyMemory(++n, 1);
    postern_server_free(server);
    denied = test::GrantMemory();
  }
  std::printf("end: up to allocation %d\n", static_cast<int>(n));
  EXPECT_GT(n, 10);
}

}  // namespace
}  // namespace postern
