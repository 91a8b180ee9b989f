// What milters are told beside the commands: who the client is, how it is secured, who it logged in
// as, and the two addresses.
#include "lib/service/filter/milter_macros.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

class MilterMacrosTest : public ::testing::Test {
 protected:
  MilterMacrosTest() {
    auto options = std::make_shared<smtp::ServerOptions>();
    options->hostname = "mx.example.org";
    listener_->options = options;
    listener_->tag = "IN";
    facts_.listener = listener_;
    facts_.local = Endpoint{IpAddress::V4(192, 0, 2, 1), 25, ""};
    facts_.remote = Endpoint{IpAddress::V4(192, 0, 2, 9), 40000, ""};
  }
  // Get gives the value of a macro, or "(unset)".
  std::string Get(std::string_view name) const {
    const std::string* value = table_.Find(name);
    return value == nullptr ? "(unset)" : *value;
  }

  std::shared_ptr<SmtpListener> listener_ = std::make_shared<SmtpListener>();
  SmtpSessionFacts facts_;
  milter::MacroTable table_;
};

TEST_F(MilterMacrosTest, WhoTheClientIs) {
  struct Row {
    const char* name;
    bool confirmed, local;
    const char *connect, *client_name, *client_ptr, *resolve, *underscore;
  };
  for (const Row& row : {
           Row{"mail.client.example", true, false, "mail.client.example", "mail.client.example",
               "mail.client.example", "OK", "mail.client.example [192.0.2.9]"},
           Row{"forged.example", false, false, "[192.0.2.9]", "unknown", "forged.example", "FORGED",
               "unknown [192.0.2.9]"},
           Row{"", false, false, "[192.0.2.9]", "unknown", "unknown", "FAIL",
               "unknown [192.0.2.9]"},
           Row{"", false, true, "localhost", "localhost", "localhost", "OK",
               "localhost [127.0.0.1]"},
       }) {
    SCOPED_TRACE(row.name);
    facts_.reverse_name = row.name;
    facts_.reverse_confirmed = row.confirmed;
    listener_->is_local_socket = row.local;
    SetConnectMacros(facts_, &table_);
    EXPECT_EQ(MilterClientName(facts_), row.connect);
    EXPECT_EQ(Get("{client_name}"), row.client_name);
    EXPECT_EQ(Get("{client_ptr}"), row.client_ptr);
    EXPECT_EQ(Get("{client_resolve}"), row.resolve);
    EXPECT_EQ(Get("_"), row.underscore);
    EXPECT_EQ(Get("{client_addr}"), row.local ? "127.0.0.1" : "192.0.2.9");
  }
  EXPECT_EQ(Get("j"), "mx.example.org");
  EXPECT_EQ(Get("{daemon_name}"), "IN");
  EXPECT_EQ(Get("{daemon_addr}"), "192.0.2.1");
  EXPECT_EQ(Get("{daemon_port}"), "25");
  EXPECT_EQ(Get("{client_port}"), "40000");
}

TEST_F(MilterMacrosTest, HowItIsSecured) {
  rt::TlsInfo tls;
  tls.version = "TLSv1.3";
  tls.cipher = "TLS_AES_256_GCM_SHA384";
  tls.cipher_bits = 256;
  facts_.tls = tls;
  SetHeloMacros(facts_, &table_);
  EXPECT_EQ(Get("{tls_version}"), "TLSv1.3");
  EXPECT_EQ(Get("{cipher}"), "TLS_AES_256_GCM_SHA384");
  EXPECT_EQ(Get("{cipher_bits}"), "256");
  EXPECT_EQ(Get("{verify}"), "NO");
  facts_.tls.reset();
  SetHeloMacros(facts_, &table_);
  for (const char* name : {"{tls_version}", "{cipher}", "{cipher_bits}", "{verify}"})
    EXPECT_EQ(Get(name), "(unset)") << name;
}

TEST_F(MilterMacrosTest, TheEnvelope) {
  facts_.auth_user = "alice";
  SetMailMacros(facts_, mail::Address{"alice", "example.org"}, "0badcafe", "PLAIN", &table_);
  EXPECT_EQ(Get("i"), "0badcafe");
  EXPECT_EQ(Get("{auth_type}"), "PLAIN");
  EXPECT_EQ(Get("{auth_authen}"), "alice");
  EXPECT_EQ(Get("{mail_addr}"), "alice@example.org");
  EXPECT_EQ(Get("{mail_host}"), "example.org");
  EXPECT_EQ(Get("{mail_mailer}"), "smtp");
  SetRcptMacros(mail::Address{"bob", "example.net"}, &table_);
  EXPECT_EQ(Get("{rcpt_addr}"), "bob@example.net");
  EXPECT_EQ(Get("{rcpt_host}"), "example.net");
  EXPECT_EQ(Get("{rcpt_mailer}"), "smtp");
  SetRejectedRcptMacros(mail::Reply(550, {5, 1, 1}, "Recipient refused"), &table_);
  EXPECT_EQ(Get("{rcpt_mailer}"), "error");
  EXPECT_EQ(Get("{rcpt_host}"), "5.1.1");
  EXPECT_EQ(Get("{rcpt_addr}"), "550 5.1.1 Recipient refused");
  // The next message of nobody, by somebody who has not logged in.
  facts_.auth_user.clear();
  SetMailMacros(facts_, mail::Address(), "", "", &table_);
  EXPECT_EQ(Get("i"), "(unset)");
  EXPECT_EQ(Get("{auth_authen}"), "(unset)");
  EXPECT_EQ(Get("{mail_addr}"), "");
}

}  // namespace
}  // namespace postern::service
