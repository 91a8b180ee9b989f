#include "lib/core/dns/inquiry.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::dns {
namespace {

Name MakeName(std::string_view text) { return *Name::Parse(text); }

ZoneData Zone() {
  return *ZoneData::Parse(
      "one.example. A 192.0.2.1\n"
      "two.example. A 192.0.2.2\n"
      "chain.example. TXT \"one.example\"\n"
      "dead.example. SERVFAIL\n");
}

Inquiry<std::string> AddressOf(Name name) {
  const Answer answer = co_await Ask{std::move(name), Type::kA};
  if (!answer.ok()) co_return KindName(answer.kind);
  co_return std::get<AddressData>(answer.records.front().data).address.ToString();
}

Inquiry<std::string> AddressBehindText(Name name) {
  const Answer answer = co_await Ask{std::move(name), Type::kTxt};
  if (!answer.ok()) co_return std::string("no text");
  Name next = MakeName(std::get<TxtData>(answer.records.front().data).Joined());
  Inquiry<std::string> nested = AddressOf(std::move(next));
  std::string address = co_await std::move(nested);
  co_return address;
}

Inquiry<size_t> CountFound(std::vector<std::string> names) {
  std::vector<Question> questions;
  for (const std::string& name : names) questions.push_back(Question{MakeName(name), Type::kA});
  const std::vector<Answer> answers = co_await AskAll{std::move(questions)};
  size_t found = 0;
  for (const Answer& answer : answers) found += answer.ok() ? 1 : 0;
  co_return found;
}

Inquiry<int> Depth(int levels) {
  if (levels == 0) co_return 0;
  Inquiry<int> nested = Depth(levels - 1);
  const int below = co_await std::move(nested);
  co_return below + 1;
}

TEST(InquiryTest, AsksAndAnswers) {
  EXPECT_EQ(RunOnZone(Zone(), AddressOf(MakeName("one.example"))), "192.0.2.1");
  EXPECT_EQ(RunOnZone(Zone(), AddressOf(MakeName("dead.example"))), "servfail");
}

// A name too long for a small string's own octets, so that a copy of one is told from another.
TEST(InquiryTest, OwnsWhatItAsks) {
  EXPECT_EQ(RunOnZone(Zone(), AddressOf(MakeName("a-name-of-many-letters.in.a-zone.example"))),
            "nxdomain");
}

TEST(InquiryTest, AwaitsAnotherInquiry) {
  EXPECT_EQ(RunOnZone(Zone(), AddressBehindText(MakeName("chain.example"))), "192.0.2.1");
  EXPECT_EQ(RunOnZone(Zone(), AddressBehindText(MakeName("none.example"))), "no text");
}

TEST(InquiryTest, AsksSeveralAtOnceInOrder) {
  Inquiry<size_t> inquiry = CountFound({"one.example", "none.example", "two.example"});
  ASSERT_EQ(inquiry.questions().size(), 3u);
  EXPECT_EQ(inquiry.questions()[1].name.ToString(), "none.example");
  const ZoneData zone = Zone();
  std::vector<Answer> answers;
  for (const Question& question : inquiry.questions())
    answers.push_back(zone.Query(question.name, question.type));
  inquiry.Resume(std::move(answers));
  EXPECT_TRUE(inquiry.questions().empty());
  EXPECT_EQ(inquiry.asked(), 3u);
  EXPECT_EQ(inquiry.Take(), 2u);
}

TEST(InquiryTest, NothingToAskEndsAtOnce) {
  EXPECT_EQ(RunOnZone(Zone(), CountFound({})), 0u);
  EXPECT_EQ(RunOnZone(Zone(), Depth(50)), 50);
}

TEST(InquiryTest, MayBeDroppedHalfWay) {
  {
    Inquiry<std::string> inquiry = AddressBehindText(MakeName("chain.example"));
    ASSERT_EQ(inquiry.questions().size(), 1u);
    inquiry.Resume({Zone().Query(MakeName("chain.example"), Type::kTxt)});
    ASSERT_EQ(inquiry.questions().size(), 1u);  // the nested one's
    EXPECT_EQ(inquiry.questions()[0].name.ToString(), "one.example");
  }
  { Inquiry<std::string> never_started = AddressOf(MakeName("one.example")); }
}

}  // namespace
}  // namespace postern::dns
