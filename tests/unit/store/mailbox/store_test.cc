#include "tests/unit/store/mailbox/store_fixture.h"

namespace postern::mailbox {
namespace {

class StoreTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    store_ = GetParam() ? scratch_.Open() : MakeMemoryStore(scratch_.world_.clock(), Dots());
  }
  static MemoryStoreOptions Dots() {
    MemoryStoreOptions options;
    options.separator = '.';
    return options;
  }
  std::unique_ptr<Mailbox> Open(const std::string& name, bool read_only = false) {
    auto mailbox = store_->Open(name, read_only);
    EXPECT_TRUE(mailbox.ok()) << Text(mailbox.status());
    return mailbox.ok() ? std::move(*mailbox) : nullptr;
  }
  uint32_t Put(const std::string& name, std::string_view text,
               std::initializer_list<const char*> flags = {}) {
    const auto result = Append(*store_, name, text, WithFlags(flags));
    EXPECT_TRUE(result.ok()) << Text(result.status());
    return result.ok() ? result->uids.at(0) : 0;
  }

  ScratchMaildir scratch_;
  std::unique_ptr<MailStore> store_;
};

TEST_P(StoreTest, AppendedMailIsThereWithUidFlagsDateAndExactSize) {
  AppendOptions options = WithFlags({"\\Seen", "$Junk"});
  options.internal_date = absl::FromUnixSeconds(820454400);
  const auto first = Append(*store_, "inbox", "Subject: a\r\n\r\nbody\r\n", options);
  ASSERT_TRUE(first.ok()) << Text(first.status());
  EXPECT_EQ(Put("INBOX", "Subject: b\n\nbare\nends"), 2u);
  auto inbox = Open("INBOX");
  EXPECT_EQ(Shown(*inbox), "1(\\Seen $Junk) 2()");
  EXPECT_EQ(inbox->uid_validity(), first->uid_validity);
  EXPECT_EQ(inbox->uid_next(), 3u);
  EXPECT_EQ(inbox->messages()[0].internal_date_s, 820454400);
  EXPECT_EQ(inbox->messages()[0].size_bytes, 20u);
  auto content = inbox->OpenContent(2);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(*(*content)->All(1000), "Subject: b\r\n\r\nbare\r\nends");
  EXPECT_EQ((*content)->size_bytes(), inbox->messages()[1].size_bytes);
  EXPECT_EQ(inbox->OpenContent(3).status().code(), StatusCode::kNotFound);
}

TEST_P(StoreTest, OddLineEndsComeBackAsTheyWere) {
  const std::string odd = "a\rb\r\r\nc\r\r\r\n\r\n\rd\r";
  Put("INBOX", odd);
  auto inbox = Open("INBOX");
  auto content = inbox->OpenContent(1);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(*(*content)->All(1000), odd);
  EXPECT_EQ(inbox->messages()[0].size_bytes, odd.size());
}

TEST_P(StoreTest, ALargeMessageIsReadFromAnyOffset) {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "line " + std::to_string(i) + "\r\n";
  Put("INBOX", text);
  auto inbox = Open("INBOX");
  auto content = inbox->OpenContent(1);
  ASSERT_TRUE(content.ok());
  ASSERT_EQ((*content)->size_bytes(), text.size());
  for (const size_t offset : {size_t{0}, text.size() - 10, size_t{5}, size_t{200001}, size_t{65535},
                              size_t{70000}, text.size()}) {
    std::string got(1000, '\0');
    const auto n = (*content)->ReadAt(offset, std::span<char>(got.data(), got.size()));
    ASSERT_TRUE(n.ok());
    EXPECT_EQ(got.substr(0, *n), text.substr(offset, 1000)) << offset;
  }
  EXPECT_EQ(*(*content)->All(text.size()), text);
}

TEST_P(StoreTest, StoreAddsRemovesAndReplaces) {
  Put("INBOX", "a\r\n");
  Put("INBOX", "b\r\n", {"\\Flagged", "Work"});
  auto inbox = Open("INBOX");
  const uint64_t before = inbox->highest_modseq();
  auto result =
      inbox->StoreFlags(UidSet::OfRange(1, 9), Change(FlagChange::kAdd, {"\\Seen", "work"}));
  ASSERT_TRUE(result.ok()) << Text(result.status());
  EXPECT_EQ(result->changed.ToString(), "1:2");
  EXPECT_GT(inbox->highest_modseq(), before);
  EXPECT_EQ(Shown(*inbox), "1(\\Seen Work) 2(\\Flagged \\Seen Work)");
  result =
      inbox->StoreFlags(UidSet{2}, Change(FlagChange::kRemove, {"\\Flagged", "Work", "Never"}));
  EXPECT_EQ(Shown(*inbox), "1(\\Seen Work) 2(\\Seen)");
  result = inbox->StoreFlags(UidSet{2}, Change(FlagChange::kAdd, {"\\Seen"}));
  EXPECT_TRUE(result->changed.empty());
  StoreRequest conditional = Change(FlagChange::kReplace, {"\\Draft"});
  conditional.unchanged_since = inbox->messages()[0].modseq;
  result = inbox->StoreFlags(UidSet{1, 2}, conditional);
  EXPECT_EQ(result->changed.ToString(), "1");
  EXPECT_EQ(result->modified.ToString(), "2");
  EXPECT_EQ(Shown(*inbox), "1(\\Draft) 2(\\Seen)");
}

TEST_P(StoreTest, TheFortiethKeywordIsKeptLikeTheFirst) {
  Put("INBOX", "a\r\n");
  auto inbox = Open("INBOX");
  for (int i = 0; i < 40; ++i) {
    StoreRequest request;
    ASSERT_TRUE(request.flags.Add("k" + std::to_string(i)).ok());
    ASSERT_TRUE(inbox->StoreFlags(UidSet{1}, request).ok());
  }
  const std::string all = Shown(*inbox);
  EXPECT_NE(all.find("k0 "), std::string::npos);
  EXPECT_NE(all.find(" k39)"), std::string::npos);
  for (int i = 40; i < 70; ++i) {
    StoreRequest request;
    ASSERT_TRUE(request.flags.Add("k" + std::to_string(i)).ok());
    const auto result = inbox->StoreFlags(UidSet{1}, request);
    EXPECT_EQ(result.ok(), i < 64) << i;
  }
}

TEST_P(StoreTest, ExpungeRemovesTheDeletedOnesOnly) {
  for (int i = 0; i < 5; ++i) Put("INBOX", "x\r\n");
  auto inbox = Open("INBOX");
  ASSERT_TRUE(inbox->StoreFlags(UidSet{1, 2, 4}, Change(FlagChange::kAdd, {"\\Deleted"})).ok());
  const UidSet some{2, 3};
  EXPECT_EQ(inbox->Expunge(&some)->ToString(), "2");
  EXPECT_EQ(inbox->Expunge(nullptr)->ToString(), "1,4");
  EXPECT_EQ(Shown(*inbox), "3() 5()");
  EXPECT_EQ(Put("INBOX", "y\r\n"), 6u);
}

TEST_P(StoreTest, CopyAndMoveKeepFlagsKeywordsAndDates) {
  ASSERT_TRUE(store_->Create("Work.Done").ok());
  AppendOptions options = WithFlags({"\\Answered", "Label"});
  options.internal_date = absl::FromUnixSeconds(820454400);
  ASSERT_TRUE(Append(*store_, "INBOX", "one\r\n", options).ok());
  Put("INBOX", "two\r\n");
  Put("Work.Done", "first\r\n", {"Other"});
  auto inbox = Open("INBOX");
  const auto copied = inbox->Copy(UidSet::OfRange(1, 10), "Work.Done");
  ASSERT_TRUE(copied.ok()) << Text(copied.status());
  EXPECT_EQ(copied->source, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(copied->target, (std::vector<uint32_t>{2, 3}));
  const auto moved = inbox->Move(UidSet{2}, "Work.Done");
  ASSERT_TRUE(moved.ok());
  EXPECT_EQ(moved->target, (std::vector<uint32_t>{4}));
  EXPECT_EQ(Shown(*inbox), "1(\\Answered Label)");
  auto done = Open("Work.Done");
  EXPECT_EQ(Shown(*done), "1(Other) 2(\\Answered Label) 3() 4()");
  EXPECT_EQ(done->messages()[1].internal_date_s, 820454400);
  EXPECT_EQ(*(*done->OpenContent(4))->All(100), "two\r\n");
  EXPECT_EQ(inbox->Copy(UidSet{1}, "Nowhere").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(inbox->Copy(UidSet{1}, "INBOX")->target, (std::vector<uint32_t>{3}));
  EXPECT_EQ(Shown(*inbox), "1(\\Answered Label) 3(\\Answered Label)");
}

TEST_P(StoreTest, SessionsSeeEachOtherAtSyncAndOneGetsRecent) {
  Put("INBOX", "a\r\n");
  auto reader = Open("INBOX", true);
  EXPECT_TRUE(reader->messages()[0].recent);
  auto first = Open("INBOX");
  auto second = Open("INBOX");
  EXPECT_TRUE(first->messages()[0].recent);
  EXPECT_FALSE(second->messages()[0].recent);
  int heard = 0;
  const auto watch = store_->Watch("INBOX", [&heard] { ++heard; });
  ASSERT_TRUE(first->StoreFlags(UidSet{1}, Change(FlagChange::kAdd, {"\\Seen"})).ok());
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(Shown(*second), "1()");
  const uint64_t generation = second->generation();
  ASSERT_TRUE(second->Sync().ok());
  EXPECT_NE(second->generation(), generation);
  EXPECT_EQ(Shown(*second), "1(\\Seen)");
  Put("INBOX", "b\r\n");
  ASSERT_TRUE(second->Sync().ok());
  EXPECT_TRUE(second->messages()[1].recent);
  EXPECT_TRUE(first->messages()[0].recent);
  EXPECT_EQ(reader->StoreFlags(UidSet{1}, Change(FlagChange::kAdd, {"\\Seen"})).status().code(),
            StatusCode::kPermissionDenied);
}

TEST_P(StoreTest, FoldersAreMadeListedRenamedAndDeleted) {
  ASSERT_TRUE(store_->Create("Trash").ok());
  ASSERT_TRUE(store_->Create("Eltern.K\xc3\xa4se.x&y.").ok());
  EXPECT_EQ(store_->Create("Trash").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->Create("inbox").code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(store_->Subscribe("Gone").ok());
  const uint32_t uid = Put("Eltern.K\xc3\xa4se.x&y", "kept\r\n", {"\\Seen"});
  auto listing = store_->List();
  ASSERT_TRUE(listing.ok());
  std::string shown;
  for (const MailboxEntry& entry : *listing) {
    shown += entry.name + (entry.exists ? "" : "?") + (entry.has_children ? "+" : "") +
             (entry.subscribed ? "*" : "") + std::string(SpecialUseName(entry.special_use)) + " ";
  }
  EXPECT_EQ(shown,
            "INBOX Eltern?+ Eltern.K\xc3\xa4se?+ Eltern.K\xc3\xa4se.x&y Gone?* Trash\\Trash ");
  ASSERT_TRUE(store_->Create("Eltern").ok());
  ASSERT_TRUE(store_->Rename("Eltern", "Neu.Hier").ok());
  auto moved = Open("Neu.Hier.K\xc3\xa4se.x&y");
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(Shown(*moved), std::to_string(uid) + "(\\Seen)");
  EXPECT_EQ(store_->Open("Eltern", false).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->Rename("Trash", "Neu.Hier").code(), StatusCode::kAlreadyExists);
  const uint32_t old_validity = store_->GetStatus("Trash")->uid_validity;
  ASSERT_TRUE(store_->Delete("Trash").ok());
  ASSERT_TRUE(store_->Create("Trash").ok());
  EXPECT_GT(store_->GetStatus("Trash")->uid_validity, old_validity);
  EXPECT_EQ(store_->Delete("INBOX").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Delete("Nope").code(), StatusCode::kNotFound);
  EXPECT_EQ(moved->Sync().code(), StatusCode::kOk);
  ASSERT_TRUE(store_->Delete("Neu.Hier.K\xc3\xa4se.x&y").ok());
  EXPECT_EQ(moved->Sync().code(), StatusCode::kNotFound);
}

TEST_P(StoreTest, RenamingInboxMovesItsMail) {
  Put("INBOX", "a\r\n");
  ASSERT_TRUE(store_->Rename("INBOX", "Old").ok());
  EXPECT_EQ(store_->GetStatus("INBOX")->messages, 0u);
  EXPECT_EQ(store_->GetStatus("Old")->messages, 1u);
}

TEST_P(StoreTest, StatusCounts) {
  Put("INBOX", "abc\r\n", {"\\Seen"});
  Put("INBOX", "abc\r\n", {"\\Deleted"});
  Put("INBOX", "abc\r\n");
  const auto status = store_->GetStatus("INBOX");
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->messages, 3u);
  EXPECT_EQ(status->unseen, 2u);
  EXPECT_EQ(status->deleted, 1u);
  EXPECT_EQ(status->size_bytes, 15u);
  EXPECT_EQ(status->uid_next, 4u);
}

TEST_P(StoreTest, AnAppendThatIsDroppedLeavesNothing) {
  {
    auto appender = store_->StartAppend("INBOX");
    ASSERT_TRUE(appender.ok());
    ASSERT_TRUE((*appender)->StartMessage({}).ok());
    ASSERT_TRUE((*appender)->Write("half").ok());
  }
  EXPECT_EQ(store_->GetStatus("INBOX")->messages, 0u);
  EXPECT_EQ(store_->StartAppend("Nowhere").status().code(), StatusCode::kNotFound);
  if (GetParam()) {
    EXPECT_EQ(scratch_.Output("ls tmp"), "");
  }
}

TEST_P(StoreTest, SeveralMessagesAreAppendedAtOnce) {
  auto appender = store_->StartAppend("INBOX");
  ASSERT_TRUE(appender.ok());
  for (const char* text : {"one\r", "two\r"}) {
    ASSERT_TRUE((*appender)->StartMessage({}).ok());
    ASSERT_TRUE((*appender)->Write(text).ok());
    ASSERT_TRUE((*appender)->Write("\n").ok());
  }
  const auto result = (*appender)->Commit();
  ASSERT_TRUE(result.ok()) << Text(result.status());
  EXPECT_EQ(result->uids, (std::vector<uint32_t>{1, 2}));
  auto inbox = Open("INBOX");
  EXPECT_EQ(*(*inbox->OpenContent(2))->All(100), "two\r\n");
}

TEST_P(StoreTest, CachedTextsComeBackAndGoWithTheMessage) {
  Put("INBOX", "a\r\n", {"\\Deleted"});
  auto inbox = Open("INBOX");
  EXPECT_FALSE(inbox->Cached(1, CacheKind::kEnvelope).has_value());
  inbox->PutCached(1, CacheKind::kEnvelope, "(env)");
  EXPECT_EQ(inbox->Cached(1, CacheKind::kEnvelope), "(env)");
  EXPECT_FALSE(inbox->Cached(1, CacheKind::kBody).has_value());
  ASSERT_TRUE(inbox->Sync().ok());
  auto other = Open("INBOX");
  EXPECT_EQ(other->Cached(1, CacheKind::kEnvelope), "(env)");
  ASSERT_TRUE(inbox->Expunge(nullptr).ok());
  EXPECT_FALSE(inbox->Cached(1, CacheKind::kEnvelope).has_value());
}

TEST_P(StoreTest, NoNameLeadsOutside) {
  for (const char* name : {"../x", "..", "/abs", "a/../b", ".x", "a..b", "~root", "a\x01",
                           "\xc0\xaf", "%", "", "a/b"}) {
    EXPECT_EQ(store_->Create(name).code(), StatusCode::kInvalidArgument) << name;
    EXPECT_FALSE(store_->Open(name, true).ok()) << name;
    EXPECT_FALSE(store_->Rename("INBOX", name).ok()) << name;
    EXPECT_FALSE(store_->Delete(name).ok()) << name;
  }
  if (GetParam()) {
    EXPECT_EQ(scratch_.Output("ls -a .."), ".\n..\nMaildir\n");
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Maildir" : "Memory"; });

}  // namespace
}  // namespace postern::mailbox
