#include "lib/core/mailbox/view.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

MessageInfo Message(uint32_t uid, SystemFlags flags = 0, bool recent = false) {
  MessageInfo message;
  message.uid = uid;
  message.flags = flags;
  message.recent = recent;
  return message;
}

std::string Told(View& view, const std::vector<MessageInfo>& messages, bool may_expunge = true) {
  std::string out;
  for (const ViewUpdate& update : view.Update(messages, may_expunge)) {
    out += "XERF"[static_cast<int>(update.kind)] + std::to_string(update.number) + " ";
  }
  return out;
}

TEST(ViewTest, TellsWhatChanged) {
  View view;
  std::vector<MessageInfo> mail = {Message(3), Message(5, kSeen), Message(9)};
  view.Reset(mail);
  EXPECT_EQ(Told(view, mail), "");
  mail[2].flags = kDeleted;
  EXPECT_EQ(Told(view, mail), "F3 ");
  mail.push_back(Message(12, 0, true));
  EXPECT_EQ(Told(view, mail), "E4 R1 ");
  mail.erase(mail.begin());
  mail.erase(mail.begin() + 1);
  mail.push_back(Message(20));
  EXPECT_EQ(Told(view, mail), "X3 X1 E3 ");
  EXPECT_EQ(view.UidAt(1), 5u);
  EXPECT_EQ(view.NumberOf(20), 3u);
  EXPECT_EQ(view.NumberOf(9), 0u);
}

TEST(ViewTest, KeepsTheRemovedUntilTheyMayBeTold) {
  View view;
  view.Reset(std::vector<MessageInfo>{Message(1), Message(2), Message(3)});
  const std::vector<MessageInfo> later = {Message(1), Message(3, kSeen), Message(4)};
  EXPECT_EQ(Told(view, later, false), "F3 E4 ");
  EXPECT_TRUE(view.has_ghosts());
  EXPECT_EQ(view.UidAt(2), 2u);
  EXPECT_EQ(Told(view, later, true), "X2 ");
  EXPECT_FALSE(view.has_ghosts());
  EXPECT_EQ(view.size(), 3u);
}

TEST(ViewTest, WhatWasToldIsNotToldAgain) {
  View view;
  std::vector<MessageInfo> mail = {Message(1)};
  view.Reset(mail);
  mail[0].flags = kSeen;
  view.Told(mail[0]);
  EXPECT_EQ(Told(view, mail), "");
}

TEST(ViewTest, ResolvesNumbersAndUids) {
  View view;
  view.Reset(std::vector<MessageInfo>{Message(10), Message(20), Message(30)});
  EXPECT_EQ(view.UidsOf(UidSet{1, 3})->ToString(), "10,30");
  EXPECT_FALSE(view.UidsOf(UidSet{4}).has_value());
  EXPECT_EQ(view.Known(UidSet::OfRange(11, kMaxNumber)).ToString(), "20,30");
}

}  // namespace
}  // namespace postern::mailbox
