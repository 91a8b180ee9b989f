// What other programs do to a Maildir behind our back.
#include "tests/unit/store/mailbox/store_fixture.h"

#include "lib/store/sqlite/database.h"

namespace postern::mailbox {
namespace {

class MaildirExternalTest : public ::testing::Test {
 protected:
  void SetUp() override { store_ = scratch_.Open(); }
  std::unique_ptr<Mailbox> Inbox(bool read_only = false) {
    auto mailbox = store_->Open("INBOX", read_only);
    EXPECT_TRUE(mailbox.ok()) << Text(mailbox.status());
    return mailbox.ok() ? std::move(*mailbox) : nullptr;
  }
  std::string Synced(Mailbox& mailbox) {
    const Status status = mailbox.Sync();
    return status.ok() ? Shown(mailbox) : Text(status);
  }
  void Shell(const std::string& command) { scratch_.Shell(command); }

  ScratchMaildir scratch_;
  std::unique_ptr<MailStore> store_;
};

TEST_F(MaildirExternalTest, DeliveriesGetUidsInOrderAndMoveToCur) {
  Shell(
      "printf 'b\\n' > new/200.b && printf 'a\\n' > new/100.a && touch -d @100 new/100.a && touch "
      "-d @200 new/200.b");
  auto inbox = Inbox();
  EXPECT_EQ(Shown(*inbox), "1() 2()");
  EXPECT_TRUE(inbox->messages()[0].recent);
  EXPECT_EQ(inbox->messages()[0].internal_date_s, 100);
  EXPECT_EQ(inbox->messages()[0].size_bytes, 3u);
  EXPECT_EQ(*(*inbox->OpenContent(1))->All(10), "a\r\n");
  EXPECT_EQ(scratch_.Output("ls new cur"), "cur:\n100.a:2,\n200.b:2,\n\nnew:\n");
  Shell("echo c > new/150.c");
  EXPECT_EQ(Synced(*inbox), "1() 2() 3()");
}

TEST_F(MaildirExternalTest, AReaderWithoutTheRightToChangeLeavesNewAlone) {
  Shell("echo a > new/1.a");
  auto inbox = Inbox(true);
  EXPECT_EQ(Shown(*inbox), "1()");
  EXPECT_EQ(scratch_.Output("ls new"), "1.a\n");
  EXPECT_EQ(store_->GetStatus("INBOX")->recent, 1u);
}

TEST_F(MaildirExternalTest, RenamesAreFlagsAndRemovalsAreExpunges) {
  Shell("echo a > cur/1.a:2, && echo b > cur/2.b:2,S && echo c > new/3.c");
  auto inbox = Inbox(true);
  EXPECT_EQ(inbox->messages().size(), 3u);
  const auto uid_of = [&](size_t i) { return inbox->messages()[i].uid; };
  const uint32_t a = uid_of(0);
  Shell("mv cur/1.a:2, cur/1.a:2,RS && mv cur/2.b:2,S cur/2.b:2, && mv new/3.c cur/3.c:2,FT");
  EXPECT_EQ(Synced(*inbox), "1(\\Answered \\Seen) 2() 3(\\Flagged \\Deleted)");
  EXPECT_EQ(uid_of(0), a);
  Shell("rm cur/2.b:2,");
  EXPECT_EQ(Synced(*inbox), "1(\\Answered \\Seen) 3(\\Flagged \\Deleted)");
  Shell("echo d > cur/2.b:2,");
  EXPECT_EQ(Synced(*inbox), "1(\\Answered \\Seen) 3(\\Flagged \\Deleted) 4()");
}

// Seen before: twelve files of killed APPENDs that nobody removed for a day and a half.
TEST_F(MaildirExternalTest, LeftoversOfKilledAppendsGoAndLivingOnesStay) {
  StatusOr<std::unique_ptr<Appender>> living = store_->StartAppend("INBOX");
  ASSERT_TRUE(living.ok());
  ASSERT_TRUE((*living)->StartMessage(AppendOptions()).ok());
  ASSERT_TRUE((*living)->Write("alive\r\n").ok());
  // As a killed process leaves it: the same kind of name, and no lock.
  Shell(
      "echo dead > tmp/17.M1R2.postern.locked && echo new > tmp/17.M1R3.postern.locked && "
      "echo other > tmp/17.other");
  Shell(
      "touch -d '1 hour ago' tmp/*1R2.postern.locked tmp/17.other && "
      "find tmp -name '*.locked' ! -name '17.*' -exec touch -d '1 hour ago' {} +");
  auto inbox = Inbox();
  EXPECT_EQ(scratch_.Output("ls tmp | grep -c locked"), "2\n") << scratch_.Output("ls tmp");
  EXPECT_EQ(scratch_.Output("ls tmp | grep ^17[.]"), "17.M1R3.postern.locked\n17.other\n");
  ASSERT_TRUE((*living)->Commit().ok());
  Shell("touch -d '1 hour ago' tmp/17.*");
  ASSERT_TRUE(Append(*store_, "INBOX", "b\r\n").ok());
  EXPECT_EQ(scratch_.Output("ls tmp"), "17.other\n");
}

TEST_F(MaildirExternalTest, UidsFlagsAndKeywordsSurviveARestart) {
  ASSERT_TRUE(Append(*store_, "INBOX", "a\r\n", WithFlags({"\\Seen", "$Forwarded"})).ok());
  Shell("echo b > new/2.b");
  auto inbox = Inbox();
  const uint32_t validity = inbox->uid_validity();
  inbox.reset();
  store_.reset();
  Shell("mv cur/2.b:2, cur/2.b:2,F");
  store_ = scratch_.Open();
  inbox = Inbox();
  EXPECT_EQ(Shown(*inbox), "1(\\Seen $Forwarded) 2(\\Flagged)");
  EXPECT_EQ(inbox->uid_validity(), validity);
  EXPECT_EQ(scratch_.Output("cat dovecot-keywords"), "0 $Forwarded\n");
}

TEST_F(MaildirExternalTest, DovecotsKeywordsAreRead) {
  Shell(
      "echo '0 Alpha' > dovecot-keywords && echo '2 Gamma' >> dovecot-keywords && echo x > "
      "cur/1.x:2,Sac");
  auto inbox = Inbox();
  EXPECT_EQ(Shown(*inbox), "1(\\Seen Alpha Gamma)");
  ASSERT_TRUE(inbox->StoreFlags(UidSet{1}, Change(FlagChange::kRemove, {"Alpha"})).ok());
  EXPECT_EQ(scratch_.Output("ls cur"), "1.x:2,Sc\n");
}

TEST_F(MaildirExternalTest, ALostIndexMeansNewUidValidityNotLostMail) {
  ASSERT_TRUE(Append(*store_, "INBOX", "a\r\n", WithFlags({"\\Seen"})).ok());
  const uint32_t validity = store_->GetStatus("INBOX")->uid_validity;
  for (const char* harm : {"rm -f postern.index*",
                           "rm -f postern.index-*; echo garbage garbage garbage > postern.index"}) {
    store_.reset();
    Shell(harm);
    store_ = scratch_.Open();
    ASSERT_NE(store_, nullptr) << harm;
    auto inbox = Inbox();
    EXPECT_EQ(Shown(*inbox), "1(\\Seen)");
    EXPECT_GT(inbox->uid_validity(), validity);
  }
}

TEST_F(MaildirExternalTest, AStoreThatFindsItsFileRenamedTriesAgain) {
  Shell("echo a > cur/1.a:2, && echo b > cur/2.b:2,");
  auto inbox = Inbox();
  Shell("mv cur/1.a:2, cur/1.a:2,F && rm cur/2.b:2,");
  const auto result = inbox->StoreFlags(UidSet{1, 2}, Change(FlagChange::kAdd, {"\\Seen"}));
  ASSERT_TRUE(result.ok()) << Text(result.status());
  EXPECT_EQ(Synced(*inbox), "1(\\Flagged \\Seen)");
  Shell("mv cur/1.a:2,FS cur/1.a:2,FST");
  EXPECT_EQ(*(*inbox->OpenContent(1))->All(10), "a\r\n");
}

TEST_F(MaildirExternalTest, OddFilesConcernOnlyThemselves) {
  Shell(
      "echo good > cur/1.good:2, && mkdir cur/2.dir && ln -s /etc/passwd cur/3.link && touch "
      "cur/.hidden && "
      "ln cur/1.good:2, cur/4.hardlink:2,S && mkfifo cur/5.fifo && echo secret > cur/6.none:2, && "
      "chmod 000 cur/6.none:2, && "
      "echo odd > 'cur/name with \"quotes\" and \\ and no info'");
  auto inbox = Inbox();
  EXPECT_EQ(inbox->messages().size(), 4u);
  Shell("rm cur/1.good:2,");
  ASSERT_TRUE(inbox->Sync().ok());
  EXPECT_EQ(inbox->messages().size(), 3u);
  size_t readable = 0;
  for (const MessageInfo& message : inbox->messages())
    readable += inbox->OpenContent(message.uid).ok() ? 1 : 0;
  EXPECT_EQ(readable, geteuid() == 0 ? 3u : 2u);
}

// RFC 3501 §2.3.1.1: UIDs only grow. When they are used up the mailbox gets a new UIDVALIDITY and
// begins anew.
TEST_F(MaildirExternalTest, UsedUpUidsMeanNewUidValidity) {
  Shell("echo a > cur/1.a:2,S && echo b > cur/2.b:2,");
  const uint32_t before = [&] {
    auto inbox = Inbox();
    EXPECT_EQ(Shown(*inbox), "1(\\Seen) 2()");
    return inbox->uid_validity();
  }();
  store_.reset();
  {
    auto database =
        sqlite::Database::Open(scratch_.world_.files(), scratch_.root_ + "/postern.index");
    ASSERT_TRUE(database.ok()) << Text(database.status());
    ASSERT_TRUE((*database)->Execute("UPDATE folder SET uid_next = 4294967294").ok());
  }
  store_ = scratch_.Open();
  Shell("echo c > new/3.c");
  auto inbox = Inbox();
  EXPECT_EQ(Shown(*inbox), "1(\\Seen) 2() 4294967294()");
  EXPECT_EQ(inbox->uid_validity(), before);
  Shell("echo d > new/4.d && echo e > new/5.e");
  // An opened mailbox whose numbers no longer mean anything cannot go on.
  EXPECT_FALSE(inbox->Sync().ok());
  inbox = Inbox();
  EXPECT_EQ(Shown(*inbox), "1(\\Seen) 2() 3() 4() 5()");
  EXPECT_GT(inbox->uid_validity(), before);
}

TEST_F(MaildirExternalTest, TwoFilesOfOneBaseAreTwoMessages) {
  Shell("echo a > cur/1.a:2,S && echo other > new/1.a");
  auto inbox = Inbox();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(inbox->Sync().ok());
  EXPECT_EQ(inbox->messages().size(), 2u);
}

TEST_F(MaildirExternalTest, AWrongSizeInANameIsCorrectedByTheContent) {
  Shell("echo abc > cur/1.a,W=2:2,");
  auto inbox = Inbox();
  auto content = inbox->OpenContent(1);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(*(*content)->All(10), "abc\r\n");
  EXPECT_EQ(inbox->messages()[0].size_bytes, 5u);
}

TEST_F(MaildirExternalTest, SubscriptionsOfBothFormsAreRead) {
  Shell("printf 'V\\t2\\n\\nWork\\tDone\\nK&AOQ-se\\n' > subscriptions");
  ASSERT_TRUE(store_->Subscribe("New").ok());
  EXPECT_EQ(scratch_.Output("cat subscriptions"), "K&AOQ-se\nNew\nWork.Done\n");
}

TEST_F(MaildirExternalTest, FoldersThatOthersMadeAreThere) {
  Shell("mkdir -p .Sent/cur .Sent/new .Sent/tmp .bare && echo x > .Sent/cur/1.x:2,S");
  auto sent = store_->Open("Sent", false);
  ASSERT_TRUE(sent.ok());
  EXPECT_EQ(Shown(**sent), "1(\\Seen)");
  EXPECT_TRUE(store_->Open("bare", false).ok());
  Shell("rm -r .Sent");
  EXPECT_EQ((*sent)->Sync().code(), StatusCode::kNotFound);
}

TEST_F(MaildirExternalTest, TwoProcessesHandOutDifferentUids) {
  const auto other = scratch_.Open();
  auto mine = Inbox();
  auto theirs = other->Open("INBOX", false);
  ASSERT_TRUE(theirs.ok());
  std::vector<uint32_t> uids;
  for (int i = 0; i < 10; ++i) {
    uids.push_back(Append(*store_, "INBOX", "a\r\n")->uids[0]);
    uids.push_back(Append(*other, "INBOX", "b\r\n")->uids[0]);
  }
  for (size_t i = 0; i < uids.size(); ++i) EXPECT_EQ(uids[i], i + 1);
  ASSERT_TRUE(mine->Sync().ok());
  ASSERT_TRUE((*theirs)->Sync().ok());
  EXPECT_EQ(Shown(*mine), Shown(**theirs));
  EXPECT_EQ(mine->messages().size(), 20u);
}

}  // namespace
}  // namespace postern::mailbox
