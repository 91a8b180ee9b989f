#include "lib/core/queue/relay_plan.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/dns/zone.h"

namespace postern::queue {
namespace {

constexpr std::string_view kZone = R"(
$ORIGIN example.
two MX 20 b.example.
two MX 10 a.example.
equal MX 10 a
equal MX 10 b
equal MX 10 c
plain A 192.0.2.1
null MX 0 .
backup MX 10 better
backup MX 20 us
backup MX 20 equal
backup MX 30 worse
loop MX 10 us
broken SERVFAIL
slow TIMEOUT
)";

MxPlan Plan(std::string_view domain, uint64_t chance = 0, std::string_view backup_mx = "") {
  const dns::ZoneData zone = *dns::ZoneData::Parse(kZone);
  return PlanMx(zone.Query(*dns::Name::Parse(domain), dns::Type::kMx), domain, {"us.example"},
                backup_mx, [chance](uint64_t n) { return chance % n; });
}
std::string Names(const MxPlan& plan) {
  std::vector<std::string> names;
  for (const MxHost& host : plan.hosts) names.push_back(host.name);
  return StrJoin(names, " ");
}

TEST(RelayPlan, MxOrder) {
  EXPECT_EQ(Names(Plan("two.example")), "a.example b.example");
  EXPECT_NE(Names(Plan("equal.example", 0)), Names(Plan("equal.example", 1)));
  const MxPlan plain = Plan("plain.example");
  EXPECT_TRUE(plain.implicit);
  EXPECT_EQ(Names(plain), "plain.example");
  EXPECT_EQ(Names(Plan("backup.example")), "better.example");
}

TEST(RelayPlan, ABackupHoldsMailForBetterExchangers) {
  EXPECT_EQ(Names(Plan("two.example", 0, "B.example")), "a.example");
  EXPECT_EQ(Names(Plan("two.example", 0, "c.example")), "a.example b.example");
  EXPECT_EQ(Names(Plan("backup.example", 0, "worse.example")), "better.example");
  // With the best one named nothing is left, and the mail waits.
  EXPECT_EQ(Plan("two.example", 0, "a.example").failure.ToString(),
            "451 4.4.4 No MX found for destination: none of two.example is preferred over "
            "a.example, which backup names");
  EXPECT_EQ(Plan("loop.example", 0, "us.example").failure.code, 451);
  EXPECT_EQ(Plan("loop.example", 0, "a.example").failure.code, 554);
}

TEST(RelayPlan, NoServers) {
  EXPECT_EQ(Plan("null.example").failure.ToString(),
            "556 5.1.10 Domain does not accept mail (null MX)");
  EXPECT_EQ(Plan("nobody.example").failure.code, 550);
  EXPECT_EQ(Plan("loop.example").failure.status.ToString(), "5.4.6");
  EXPECT_EQ(Plan("broken.example").failure.code, 451);
  EXPECT_EQ(Plan("slow.example").failure.code, 451);
}

TEST(RelayPlan, OpportunisticFallsBackOnce) {
  RelayPlan plan(RelayTls::kOpportunistic, {{"a", {}}, {"b", {}}});
  EXPECT_EQ(plan.tls(), RelayTls::kOpportunistic);
  plan.OnTlsFailure(mail::Reply(454, {4, 7, 0}, "tls"));
  EXPECT_EQ(plan.current()->host, "a");
  EXPECT_EQ(plan.tls(), RelayTls::kNever);
  plan.OnUnreachable(mail::Reply(451, {4, 4, 1}, "gone"));
  EXPECT_EQ(plan.current()->host, "b");
  EXPECT_EQ(plan.tls(), RelayTls::kOpportunistic);
}

TEST(RelayPlan, RequiredNeverFallsBack) {
  RelayPlan plan(RelayTls::kRequired, {{"a", {}}, {"b", {}}});
  plan.OnTlsFailure(mail::Reply(454, {4, 7, 0}, "tls"));
  EXPECT_EQ(plan.current()->host, "b");
  EXPECT_EQ(plan.tls(), RelayTls::kRequired);
  plan.OnTlsFailure(mail::Reply(454, {4, 7, 0}, "tls"));
  EXPECT_EQ(plan.current(), nullptr);
  EXPECT_EQ(plan.failure().code, 454);
}

TEST(RelayPlan, OnlyAllOfThemRefuseForGood) {
  RelayPlan one(RelayTls::kNever, {{"a", {}}, {"b", {}}});
  one.OnUnreachable(mail::Reply(451, {4, 4, 1}, "no answer"));
  one.OnUnreachable(mail::Reply(521, {5, 3, 2}, "no mail here"));
  EXPECT_EQ(one.failure().code, 451);
  RelayPlan all(RelayTls::kNever, {{"a", {}}, {"b", {}}});
  all.OnUnreachable(mail::Reply(554, {5, 3, 2}, "no"));
  all.OnUnreachable(mail::Reply(521, {5, 3, 2}, "no mail here"));
  EXPECT_EQ(all.failure().code, 521);
  EXPECT_EQ(RelayPlan(RelayTls::kNever, {}).failure().code, 451);
}

TEST(RelayPlan, Outcomes) {
  EXPECT_EQ(OutcomeOf(mail::Reply(250, {}, "ok"), true), RelayOutcome::kDelivered);
  EXPECT_EQ(OutcomeOf(mail::Reply(450, {}, "later"), true), RelayOutcome::kTemporary);
  EXPECT_EQ(OutcomeOf(mail::Reply(550, {}, "no"), true), RelayOutcome::kPermanent);
  EXPECT_EQ(OutcomeOf(mail::Reply(421, {}, "no answer"), false), RelayOutcome::kTemporary);
}

}  // namespace
}  // namespace postern::queue
