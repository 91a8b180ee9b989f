// COPY and MOVE of much mail: what they cost, what others may do meanwhile, and what a failure
// leaves.

#include "tests/unit/store/mailbox/store_fixture.h"
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::mailbox {
namespace {

// What the file system is told to do, and what was asked of it.
struct Oddities {
  bool links = true;
  bool syncs_file_system = true;
  int room = 1 << 20;  // new names before the disk is full
  int syncs = 0;
  int file_system_syncs = 0;
  std::function<void()> at_sync;  // called once, at the next sync of a file or of all

  void Syncing() {
    const std::function<void()> call = std::move(at_sync);
    at_sync = nullptr;
    if (call) call();
  }
  Status NewName() {
    if (room == 0) return ResourceExhausted("the disk is full");
    --room;
    return OkStatus();
  }
};

class OddFile final : public rt::File {
 public:
  OddFile(std::unique_ptr<rt::File> file, Oddities& odd) : file_(std::move(file)), odd_(odd) {}
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    return file_->ReadAt(offset, into);
  }
  Status WriteAt(uint64_t offset, std::string_view data) override {
    return file_->WriteAt(offset, data);
  }
  Status Append(std::string_view data) override { return file_->Append(data); }
  Status Truncate(uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
  Status Sync() override {
    ++odd_.syncs;
    odd_.Syncing();
    return file_->Sync();
  }
  Status SyncFileSystem() override {
    if (!odd_.syncs_file_system) return Unimplemented("none here");
    ++odd_.file_system_syncs;
    odd_.Syncing();
    return OkStatus();
  }
  StatusOr<rt::FileInfo> Stat() override { return file_->Stat(); }
  Status SetMode(uint32_t mode) override { return file_->SetMode(mode); }
  Status TryLock() override { return file_->TryLock(); }

 private:
  std::unique_ptr<rt::File> file_;
  Oddities& odd_;
};

class OddFiles final : public rt::Files {
 public:
  OddFiles(rt::Files& files, Oddities& odd) : files_(files), odd_(odd) {}
  StatusOr<std::unique_ptr<rt::File>> Open(const std::string& path,
                                           const rt::OpenOptions& options) override {
    if (options.create) POSTERN_RETURN_IF_ERROR(odd_.NewName());
    StatusOr<std::unique_ptr<rt::File>> file = files_.Open(path, options);
    if (!file.ok()) return file.status();
    return std::unique_ptr<rt::File>(std::make_unique<OddFile>(*std::move(file), odd_));
  }
  Status Rename(const std::string& from, const std::string& to) override {
    POSTERN_RETURN_IF_ERROR(odd_.NewName());
    return files_.Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    if (!odd_.links) return PermissionDenied("no second names here");
    POSTERN_RETURN_IF_ERROR(odd_.NewName());
    return files_.Link(from, to);
  }
  Status Unlink(const std::string& path) override { return files_.Unlink(path); }
  Status MakeDirectory(const std::string& path, uint32_t mode) override {
    return files_.MakeDirectory(path, mode);
  }
  Status RemoveDirectory(const std::string& path) override { return files_.RemoveDirectory(path); }
  StatusOr<std::vector<rt::DirectoryEntry>> List(const std::string& path) override {
    return files_.List(path);
  }
  StatusOr<rt::FileInfo> Stat(const std::string& path) override { return files_.Stat(path); }
  Status SyncDirectory(const std::string& path) override { return files_.SyncDirectory(path); }
  StatusOr<rt::SpaceInfo> Space(const std::string& path) override { return files_.Space(path); }
  Status SetOwner(const std::string& path, uint32_t uid, uint32_t gid) override {
    return files_.SetOwner(path, uid, gid);
  }
  std::unique_ptr<rt::Files> As(const rt::Credentials& who) override { return files_.As(who); }

 private:
  rt::Files& files_;
  Oddities& odd_;
};

class MaildirCopyTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kMany = 40;

  MaildirCopyTest() : files_(maildir_.world_.files(), odd_) {
    maildir_.options_.busy_timeout_ms = 200;
    others_ = maildir_.Open();
    EXPECT_TRUE(others_->Create("Work").ok());
    // As another program puts them there; the names are in the order of the UIDs.
    maildir_.Shell(
        StrCat("for i in $(seq ", kMany,
               "); do printf 'message %d\\n' $i > $(printf 'cur/1.M%03dR:2,S' $i); done; "
               "touch -d @1700000000 cur/*"));
    StatusOr<std::unique_ptr<MailStore>> store =
        OpenMaildirStore(files_, maildir_.world_.clock(), maildir_.world_.random(), maildir_.root_,
                         nullptr, maildir_.options_);
    EXPECT_TRUE(store.ok()) << Text(store.status());
    store_ = *std::move(store);
    inbox_ = *store_->Open("INBOX", false);
    odd_.syncs = odd_.file_system_syncs = 0;
  }

  // What stands in the directories of `Work`, as number of files.
  std::string FilesOfWork() {
    return maildir_.Output("ls .Work/cur .Work/new .Work/tmp | grep -c R");
  }

  Oddities odd_;
  ScratchMaildir maildir_;
  OddFiles files_;
  std::unique_ptr<MailStore> others_;  // another session of the same account
  std::unique_ptr<MailStore> store_;
  std::unique_ptr<Mailbox> inbox_;
};

TEST_F(MaildirCopyTest, ManyCostOneSyncAndNoOctets) {
  const auto copied = inbox_->Copy(UidSet::OfRange(1, kMany), "Work");
  ASSERT_TRUE(copied.ok()) << Text(copied.status());
  EXPECT_EQ(copied->target.size(), kMany);
  EXPECT_EQ(odd_.file_system_syncs, 1);
  EXPECT_EQ(odd_.syncs, 0);
  EXPECT_EQ(maildir_.Output("find .Work/cur -type f -links 2 | wc -l"), StrCat(kMany, "\n"));
}

TEST_F(MaildirCopyTest, AFewOrNoSyncOfAllIsASyncForEach) {
  ASSERT_TRUE(inbox_->Copy(UidSet::OfRange(1, 2), "Work").ok());
  EXPECT_EQ(odd_.file_system_syncs, 0);
  EXPECT_EQ(odd_.syncs, 2);
  odd_.syncs_file_system = false;
  ASSERT_TRUE(inbox_->Copy(UidSet::OfRange(1, 10), "Work").ok());
  EXPECT_EQ(odd_.syncs, 12);
}

TEST_F(MaildirCopyTest, OthersWorkOnTheAccountMeanwhile) {
  for (const bool links : {true, false}) {
    odd_.links = links;
    bool called = false;
    const uint32_t gone = links ? 3 : 5;
    odd_.at_sync = [&] {
      called = true;
      const auto appended = Append(*others_, "Work", "late\r\n");
      EXPECT_TRUE(appended.ok()) << Text(appended.status());
      const auto inbox = others_->Open("INBOX", false);
      ASSERT_TRUE(inbox.ok()) << Text(inbox.status());
      EXPECT_TRUE((*inbox)->StoreFlags(UidSet{gone}, Change(FlagChange::kAdd, {"\\Deleted"})).ok());
      EXPECT_TRUE((*inbox)->Expunge(nullptr).ok());
      EXPECT_TRUE((*inbox)->StoreFlags(UidSet{4}, Change(FlagChange::kAdd, {"\\Flagged"})).ok());
    };
    const auto copied = inbox_->Copy(UidSet::OfRange(1, 8), "Work");
    ASSERT_TRUE(copied.ok()) << Text(copied.status());
    EXPECT_TRUE(called);
    EXPECT_EQ(copied->source, links ? (std::vector<uint32_t>{1, 2, 4, 5, 6, 7, 8})
                                    : (std::vector<uint32_t>{1, 2, 4, 6, 7, 8}));
    const auto work = others_->Open("Work", false);
    ASSERT_TRUE(work.ok());
    EXPECT_EQ(*(*(*work)->OpenContent(copied->target[2]))->All(100), "message 4\r\n");
    const auto messages = (*work)->messages();
    const auto fourth = std::find_if(
        messages.begin(), messages.end(),
        [&copied](const MessageInfo& message) { return message.uid == copied->target[2]; });
    ASSERT_NE(fourth, messages.end());
    EXPECT_EQ(fourth->flags, kSeen | kFlagged);
  }
  EXPECT_EQ(maildir_.Output("ls .Work/tmp | wc -l"), "0\n");
}

TEST_F(MaildirCopyTest, WithoutLinksTheOctetsAreCopied) {
  odd_.links = false;
  const auto copied = inbox_->Copy(UidSet::OfRange(1, kMany), "Work");
  ASSERT_TRUE(copied.ok()) << Text(copied.status());
  EXPECT_EQ(odd_.file_system_syncs, 1);
  EXPECT_EQ(odd_.syncs, 0);
  const auto work = store_->Open("Work", false);
  ASSERT_TRUE(work.ok());
  for (uint32_t uid = 1; uid <= kMany; ++uid)
    EXPECT_EQ(*(*(*work)->OpenContent(uid))->All(100), StrCat("message ", uid, "\r\n"));
  EXPECT_EQ(FilesOfWork(), StrCat(kMany, "\n"));
}

// RFC 3501 §6.4.7: a COPY that fails leaves the target as it was.
TEST_F(MaildirCopyTest, ADiskThatFillsUpLeavesNothing) {
  for (const bool links : {true, false}) {
    for (const bool move : {false, true}) {
      odd_.links = links;
      odd_.room = links ? 30 : 60;
      const auto copied = move ? inbox_->Move(UidSet::OfRange(1, kMany), "Work")
                               : inbox_->Copy(UidSet::OfRange(1, kMany), "Work");
      EXPECT_EQ(copied.status().code(), StatusCode::kResourceExhausted);
      odd_.room = 1 << 20;
      EXPECT_EQ(FilesOfWork(), "0\n");
      const auto status = store_->GetStatus("Work");
      ASSERT_TRUE(status.ok());
      EXPECT_EQ(status->messages, 0u);
      EXPECT_EQ(store_->GetStatus("INBOX")->messages, kMany);
    }
  }
}

}  // namespace
}  // namespace postern::mailbox
