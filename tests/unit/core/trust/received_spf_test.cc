#include "lib/core/trust/received_spf.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::trust {
namespace {

SpfQuery Query(std::string sender) {
  SpfQuery query;
  query.client = *IpAddress::Parse("2001:db8::7");
  query.helo = "mail.example.org";
  query.sender = std::move(sender);
  query.receiver = "mx.example.net";
  return query;
}

std::string Field(const SpfQuery& query, const char* record) {
  dns::ZoneData zone = *dns::ZoneData::Parse(std::string("example.org. TXT \"") + record + "\"\n");
  return ReceivedSpf(dns::RunOnZone(zone, CheckSpf(query)), query);
}

TEST(ReceivedSpfTest, RecordsAResult) {
  EXPECT_EQ(Field(Query("joe@example.org"), "v=spf1 ip6:2001:db8::/32 -all"),
            "Received-SPF: pass (mx.example.net: 2001:db8::7 matches ip6:2001:db8::/32 of\r\n"
            " example.org's record) client-ip=\"2001:db8::7\";\r\n"
            " envelope-from=\"joe@example.org\"; helo=mail.example.org;\r\n"
            " receiver=mx.example.net; identity=mailfrom; mechanism=\"ip6:2001:db8::/32\"\r\n");
  EXPECT_EQ(Field(Query("joe@example.org"), "v=spf1 moo"),
            "Received-SPF: permerror (mx.example.net: example.org's record is wrong at\r\n"
            " \"moo\": there is no mechanism \"moo\") client-ip=\"2001:db8::7\";\r\n"
            " envelope-from=\"joe@example.org\"; helo=mail.example.org;\r\n"
            " receiver=mx.example.net; identity=mailfrom; problem=\"example.org's record is\r\n"
            " wrong at \\\"moo\\\": there is no mechanism \\\"moo\\\"\"\r\n");
}

TEST(ReceivedSpfTest, AStrangersWordsStayInTheirPlace) {
  SpfQuery query = Query("a\"b)\r\nX-Evil: 1  \\@example.org");
  query.helo = "h(";
  const std::string field = Field(query, "v=spf1 ?all");
  EXPECT_NE(field.find("envelope-from=\"a\\\"b)??X-Evil:"), std::string::npos) << field;
  EXPECT_NE(field.find("helo=\"h(\""), std::string::npos) << field;
  for (size_t i = 0; (i = field.find("\r\n", i)) != field.size() - 2; i += 2)
    EXPECT_EQ(field[i + 2], ' ') << field;
  EXPECT_NE(Field(Query(""), "v=spf1 -all").find("envelope-from=\"\""), std::string::npos);
}

}  // namespace
}  // namespace postern::trust
