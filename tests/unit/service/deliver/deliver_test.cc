#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/service/deliver/maildir_batch.h"
#include "lib/service/deliver/mbox.h"
#include "lib/service/deliver/outcome.h"
#include "lib/store/queue/memory_body.h"

namespace postern::deliver {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

class DeliverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-deliver-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    envelope_.id = queue::MakeEnvelopeId(0xabcdef01, 0x23456789);
    envelope_.sender.address = mail::Address{"s", "example.org"};
    envelope_.destination = mail::Address{"u", "example.com"};
    envelope_.created = absl::FromUnixSeconds(1700000000);
  }
  void TearDown() override { fs::remove_all(root_); }

  Delivery Make(std::string body) {
    Delivery delivery;
    delivery.envelope = &envelope_;
    delivery.body = std::make_shared<store::MemoryBody>(std::move(body));
    delivery.target.path = root_ + "/Maildir";
    delivery.files = &files_;
    return delivery;
  }
  Status ToMaildir(Delivery& delivery) {
    MaildirBatch batch("mx/example:org", &names_);
    batch.Deliver({&delivery});
    return delivery.outcome;
  }
  Status ToMbox(Delivery& delivery) {
    delivery.target.path = root_ + "/mbox";
    return AppendToMbox(delivery, files_, absl::FromUnixSeconds(1700000100), &names_);
  }
  // Names lists all regular files below the root, without it.
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      if (entry.is_regular_file()) names.push_back(entry.path().string().substr(root_.size()));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  rt::PosixFiles files_;
  rt::DurableNames names_;
  std::string root_;
  queue::Envelope envelope_;
};

constexpr char kName[] = "1700000000.Qabcdef0123456789.mx\\057example\\072org";

TEST_F(DeliverTest, AMaildirIsMadeAndGetsTheMessageWithLfAndHeaders) {
  Delivery delivery = Make("Subject: x\r\n\r\nhello\r\n\rbare\r\n");
  ASSERT_TRUE(ToMaildir(delivery).ok()) << Text(delivery.outcome);
  const std::string text =
      "Return-Path: <s@example.org>\nDelivered-To: u@example.com\nSubject: x\n\nhello\n\rbare\n";
  const std::string name = StrCat("/Maildir/new/", kName, ",S=", text.size());
  ASSERT_EQ(Names(), std::vector<std::string>{name});
  EXPECT_EQ(Read(root_ + name), text);
  struct stat info;
  ASSERT_EQ(stat((root_ + "/Maildir/cur").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((root_ + name).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DeliverTest, ALoopIsKnownByDeliveredTo) {
  struct Row {
    const char* text;
    bool loop;
  };
  const Row rows[] = {
      {"Subject: x\r\nDelivered-To: u@example.com\r\n\r\n", true},
      {"delivered-TO:  U@EXAMPLE.com \r\n\r\n", true},
      {"Delivered-To: other@example.com\r\n\r\nDelivered-To: u@example.com\r\n", false},
      {"X: y\r\n Delivered-To: u@example.com\r\n\r\n", false},
      {"", false},
  };
  for (const Row& row : rows) {
    std::shared_ptr<const store::Body> body = std::make_shared<store::MemoryBody>(row.text);
    const Status status = Prepare(envelope_, &body);
    EXPECT_EQ(status.ok(), !row.loop) << row.text;
    if (!row.loop) continue;
    const schedule::DeliveryResult result = ResultOf(envelope_, status, absl::Seconds(1));
    EXPECT_EQ(result.outcome, schedule::DeliveryResult::Outcome::kPermanent);
    EXPECT_EQ(result.text,
              "Loop detected: the message was delivered to u@example.com before (Delivered-To)");
  }
}

// What waits for somebody's lock is tried soon, and less and less soon; nothing else is.
TEST_F(DeliverTest, OnlyALockAsksForAnEarlyAttempt) {
  const auto retry = [this](const Status& status, uint32_t attempts) {
    envelope_.attempts = attempts;
    const schedule::DeliveryResult result = ResultOf(envelope_, status, absl::Seconds(5));
    EXPECT_EQ(result.outcome, schedule::DeliveryResult::Outcome::kTemporary) << Text(status);
    return result.retry_after;
  };
  const Status locked = Unavailable("mailbox is locked");
  EXPECT_EQ(retry(locked, 0), absl::Seconds(5));
  EXPECT_EQ(retry(locked, 1), absl::Seconds(10));
  EXPECT_EQ(retry(locked, 1000), absl::Minutes(1));
  for (const Status& other :
       {ErrnoError(24, "open /x"), Internal("the helper ended without an answer"),
        PermissionDenied("user bob (1000) is not in group 100"), DeadlineExceeded("too slow"),
        ByTheSchedule(Unavailable("no action is called \"local\" any more"))})
    EXPECT_EQ(retry(other, 0), std::nullopt) << Text(other);
  EXPECT_TRUE(ByTheSchedule(OkStatus()).ok());
  EXPECT_EQ(ByTheSchedule(NotFound("nobody")).code(), StatusCode::kNotFound);
}

// An attempt that was given up and goes on all the same must not deliver half a file of the next.
TEST_F(DeliverTest, AnAttemptTakesNoFileOfAnother) {
  Delivery first = Make("Subject: x\r\n\r\nwhole\r\n");
  Delivery second = first;
  MaildirBatch one("mx", &names_, "100");
  MaildirBatch two("mx", &names_, "200");
  // The first one stands still when its file is written, before it has its name in new/.
  struct Late final : public rt::PosixFiles {
    std::function<void()> before;
    std::string from;
    Status Rename(const std::string& a, const std::string& b) override {
      from = a;
      if (before) std::exchange(before, nullptr)();
      return PosixFiles::Rename(a, b);
    }
  } late, other;
  first.files = &late;
  second.files = &other;
  bool between = false;
  other.before = [&] {
    // Here the second has its file in tmp/; the first one wakes up and must not move it.
    between = true;
    EXPECT_NE(other.from, late.from);
    EXPECT_TRUE(fs::exists(other.from));
    EXPECT_FALSE(fs::exists(late.from)) << "nothing is left to be renamed";
  };
  late.before = [&] { two.Deliver({&second}); };
  one.Deliver({&first});
  EXPECT_TRUE(between);
  EXPECT_TRUE(second.outcome.ok()) << Text(second.outcome);
  EXPECT_FALSE(first.outcome.ok());
  EXPECT_EQ(Names().size(), 1u);
  EXPECT_TRUE(Names().front().starts_with("/Maildir/new/")) << Names().front();
}

// RFC 5321 §4.4: one Return-Path, which is ours.
TEST_F(DeliverTest, AReturnPathThatArrivesGivesWayToOurs) {
  Delivery delivery = Make(
      "Return-Path: <old@example.net>\r\nSubject: x\r\nRETURN-path\t:\r\n\t<older@x>\r\n"
      "Return-Paths: stay\r\n\r\nReturn-Path: stays\r\n");
  const std::string text =
      "Return-Path: <s@example.org>\nDelivered-To: u@example.com\nSubject: x\nReturn-Paths: "
      "stay\n\nReturn-Path: stays\n";
  ASSERT_TRUE(ToMaildir(delivery).ok()) << Text(delivery.outcome);
  EXPECT_EQ(Read(root_ + Names().front()), text);
  Delivery file = Make("Return-Path: <old@example.net>\r\nb\r\n");
  ASSERT_TRUE(ToMbox(file).ok());
  EXPECT_NE(Read(root_ + "/mbox").find("Return-Path: <s@example.org>\n"), std::string::npos);
  EXPECT_EQ(Read(root_ + "/mbox").find("old@"), std::string::npos);
}

TEST(WithoutReturnPath, GivesTheSameHoweverTheMessageIsCut) {
  struct Row {
    std::string message;
    std::string kept;
  };
  const Row rows[] = {
      {"", ""},
      {"\r\nReturn-Path: b\r\n", "\r\nReturn-Path: b\r\n"},
      {"Return-Path: <a>\r\n b\r\n\tc\r\nTo: x\r\n y\r\n\r\nReturn-Path: b",
       "To: x\r\n y\r\n\r\nReturn-Path: b"},
      {"A: b\nreturn-path  :<a>\n\nc", "A: b\n\nc"},
      {"return-path", "return-path"},
      {"return-path\r\nA: b\r\n", "return-path\r\nA: b\r\n"},
      {"Return-Path: cut off", ""},
      {" a\r\nReturn-Path: <a>\r\nReturn-Path: <b>\r\n\r\n", " a\r\n\r\n"},
      {"\rReturn-Path: <a>\r\nA: b\r\n", "\rReturn-Path: <a>\r\nA: b\r\n"},
      {"return-path" + std::string(200, ' ') + ": a\r\n",
       "return-path" + std::string(200, ' ') + ": a\r\n"},
  };
  for (const Row& row : rows) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{5}, size_t{1000}}) {
      WithoutReturnPath filter;
      std::string kept;
      const Sink sink = [&kept](std::string_view piece) {
        kept.append(piece);
        return OkStatus();
      };
      for (size_t at = 0; at < row.message.size(); at += step) {
        ASSERT_TRUE(filter.Push(std::string_view(row.message).substr(at, step), sink).ok());
      }
      ASSERT_TRUE(filter.Finish(sink).ok());
      EXPECT_EQ(kept, row.kept) << row.message << ", step " << step;
    }
  }
}

TEST_F(DeliverTest, ASecondAttemptFindsTheFirstWhereverItWasMoved) {
  Delivery first = Make("Subject: x\r\n\r\nhello\r\n");
  ASSERT_TRUE(ToMaildir(first).ok());
  fs::create_directories(root_ + "/Maildir/.Archive/cur");
  fs::rename(root_ + Names().front(), root_ + "/Maildir/.Archive/cur/" + kName + ",S=70:2,S");
  Delivery second = Make("Subject: x\r\n\r\nhello\r\n");
  EXPECT_TRUE(ToMaildir(second).ok());
  EXPECT_EQ(Names().size(), 1u);
}

TEST_F(DeliverTest, WhatStandsInTmpIsReplacedAndNeverWrittenThrough) {
  fs::create_directories(root_ + "/Maildir/tmp");
  std::ofstream(root_ + "/Maildir/tmp/" + kName) << "half a mess";
  Delivery delivery = Make("b\r\n");
  ASSERT_TRUE(ToMaildir(delivery).ok());
  EXPECT_TRUE(fs::is_empty(root_ + "/Maildir/tmp"));
  std::ofstream(root_ + "/secret") << "kept";
  envelope_.id = queue::MakeEnvelopeId(0xabcdef01, 1);
  fs::create_symlink(root_ + "/secret",
                     root_ + "/Maildir/tmp/1700000000.Qabcdef0100000001.mx\\057example\\072org");
  Delivery other = Make("b\r\n");
  ASSERT_TRUE(ToMaildir(other).ok()) << Text(other.outcome);
  EXPECT_EQ(Read(root_ + "/secret"), "kept");
}

// CountingFiles counts what a delivery costs.
class CountingFiles final : public rt::PosixFiles {
 public:
  Status SyncDirectory(const std::string& path) override {
    ++syncs;
    return rt::PosixFiles::SyncDirectory(path);
  }
  int syncs = 0;
};

TEST_F(DeliverTest, JunkIsThereFromTheFirstDeliveryOnAndCostsNoSyncAfterIt) {
  CountingFiles files;
  int syncs_without = 0;
  for (const bool junk : {false, true}) {
    fs::remove_all(root_ + "/Maildir");
    names_.Forget(root_ + "/Maildir/new");
    files.syncs = 0;
    for (uint32_t i = 0; i < 3; ++i) {
      envelope_.id = queue::MakeEnvelopeId(9, i);
      Delivery delivery = Make("Subject: x\r\n\r\n");
      delivery.files = &files;
      delivery.target.junk = junk;
      ASSERT_TRUE(ToMaildir(delivery).ok());
      if (i == 0) files.syncs = 0;  // the first makes the folders
    }
    for (const char* part : {"/new", "/cur", "/tmp"})
      EXPECT_EQ(fs::is_directory(root_ + "/Maildir/.Junk" + part), junk) << part;
    if (junk) {
      EXPECT_EQ(files.syncs, syncs_without);
    } else {
      syncs_without = files.syncs;
    }
  }
  // It is made again where it was taken away, and stands in nobody's way.
  fs::remove_all(root_ + "/Maildir/.Junk");
  std::ofstream(root_ + "/Maildir/.Junk") << "a file";
  envelope_.id = queue::MakeEnvelopeId(9, 9);
  Delivery delivery = Make("Subject: x\r\n\r\n");
  delivery.target.junk = true;
  EXPECT_TRUE(ToMaildir(delivery).ok());
}

TEST_F(DeliverTest, SpamGoesToJunkAndSubAddressesToFoldersThatExist) {
  uint32_t number = 100;
  for (const auto& [header, junk] : std::map<std::string, bool>{{"X-SPAM: Yes\r\n", true},
                                                                {"x-spam-flag: YES\r\n", true},
                                                                {"X-Spam: yes, score=9\r\n", false},
                                                                {"X-Spam: no\r\n", false},
                                                                {"X-Spam-Status: yes\r\n", false},
                                                                {"A: b\r\n X-Spam: yes\r\n", false},
                                                                {"\r\nX-Spam: yes\r\n", false}}) {
    envelope_.id = queue::MakeEnvelopeId(2, number++);
    Delivery spam = Make(header + "\r\n");
    spam.target.junk = true;
    ASSERT_TRUE(ToMaildir(spam).ok());
    const bool in_junk = junk;
    EXPECT_EQ(std::ranges::count_if(Names(),
                                    [this, in_junk](const std::string& name) {
                                      return name.starts_with(StrCat(
                                          in_junk ? "/Maildir/.Junk/new/" : "/Maildir/new/",
                                          "1700000000.Q", queue::EnvelopeIdText(envelope_.id)));
                                    }),
              1)
        << header;
  }

  fs::create_directories(root_ + "/Maildir/.lists");
  struct Row {
    const char* sub_address;
    const char* folder;
  };
  uint32_t low = 10;
  for (const Row& row : {Row{"lists", "/Maildir/.lists/new/"}, Row{"none", "/Maildir/new/"},
                         Row{"../..", "/Maildir/new/"}, Row{"../../x", "/Maildir/new/"},
                         Row{"lists/../..", "/Maildir/new/"}, Row{".", "/Maildir/new/"}}) {
    envelope_.id = queue::MakeEnvelopeId(1, low++);
    envelope_.sub_address = row.sub_address;
    const size_t before = Names().size();
    Delivery delivery = Make("b\r\n");
    ASSERT_TRUE(ToMaildir(delivery).ok()) << row.sub_address;
    bool found = false;
    for (const std::string& name : Names()) {
      if (name.starts_with(StrCat(row.folder, "1700000000.Q", queue::EnvelopeIdText(envelope_.id))))
        found = true;
    }
    EXPECT_TRUE(found) << row.sub_address;
    EXPECT_EQ(Names().size(), before + 1);
  }
}

TEST_F(DeliverTest, ABatchOfManyIsWholeAndOneBadMailboxHarmsOnlyItself) {
  std::vector<queue::Envelope> envelopes(50, envelope_);
  std::vector<Delivery> deliveries;
  std::ofstream(root_ + "/file") << "not a folder";
  for (uint32_t i = 0; i < 50; ++i) {
    envelopes[i].id = queue::MakeEnvelopeId(i + 1, 1);
    envelopes[i].fresh = true;
    Delivery delivery = Make(StrCat("n ", i, "\r\n"));
    delivery.envelope = &envelopes[i];
    if (i == 7) delivery.target.path = root_ + "/file";
    deliveries.push_back(std::move(delivery));
  }
  std::vector<Delivery*> pointers;
  for (Delivery& delivery : deliveries) pointers.push_back(&delivery);
  MaildirBatch batch("h", &names_);
  batch.Deliver(pointers);
  for (size_t i = 0; i < 50; ++i)
    EXPECT_EQ(deliveries[i].outcome.ok(), i != 7) << i << Text(deliveries[i].outcome);
  EXPECT_EQ(Names().size(), 50u);
}

TEST_F(DeliverTest, AnMboxIsQuotedSoThatItReadsBack) {
  Delivery one = Make("Subject: x\r\n\r\nFrom me\r\n>From you\r\n>>From\r\nfrom\r\nno end");
  ASSERT_TRUE(ToMbox(one).ok()) << Text(one.outcome);
  envelope_.id = queue::MakeEnvelopeId(2, 2);
  envelope_.sender.address = {};
  Delivery two = Make("b\r\n");
  ASSERT_TRUE(ToMbox(two).ok());
  EXPECT_EQ(Read(root_ + "/mbox"),
            "From s@example.org Tue Nov 14 22:13:20 2023\nX-Postern-Queue-Id: abcdef0123456789\n"
            "Return-Path: <s@example.org>\nDelivered-To: u@example.com\nSubject: x\n\n>From "
            "me\n>>From you\n>>From\nfrom\nno end\n\n"
            "From MAILER-DAEMON Tue Nov 14 22:13:20 2023\nX-Postern-Queue-Id: 0000000200000002\n"
            "Return-Path: <>\nDelivered-To: u@example.com\nb\n\n");
  EXPECT_FALSE(fs::exists(root_ + "/mbox.lock"));
}

TEST_F(DeliverTest, AnMboxAttemptThatFollowsACrashIsExactlyOnce) {
  envelope_.id = queue::MakeEnvelopeId(1, 1);
  Delivery before = Make("before\r\n");
  ASSERT_TRUE(ToMbox(before).ok());
  const std::string start = Read(root_ + "/mbox");
  envelope_.id = queue::MakeEnvelopeId(2, 2);
  Delivery message = Make("Subject: x\r\n\r\n" + std::string(3000, 'y') + "\r\n");
  ASSERT_TRUE(ToMbox(message).ok());
  const std::string whole = Read(root_ + "/mbox");
  ASSERT_TRUE(ToMbox(message).ok());
  EXPECT_EQ(Read(root_ + "/mbox"), whole) << "the first attempt was found";
  // Whatever part of it a crash left, with or without zeros for the rest, one copy is there
  // afterwards.
  for (size_t left = start.size(); left < whole.size(); left += 97) {
    for (const bool zeros : {false, true}) {
      const bool has_mark = left > start.size() + 120;
      std::ofstream(root_ + "/mbox", std::ios::binary)
          << whole.substr(0, left)
          << (zeros && has_mark ? std::string(whole.size() - left, '\0') : "");
      ASSERT_TRUE(ToMbox(message).ok());
      const std::string now = Read(root_ + "/mbox");
      EXPECT_TRUE(now.ends_with(whole.substr(start.size()))) << left;
      EXPECT_EQ(now.find(std::string(3000, 'y')), now.rfind(std::string(3000, 'y'))) << left;
    }
  }
}

// The same with another message behind what the crash left: its lock may have been taken for stale
// before the cut one is attempted again.
TEST_F(DeliverTest, AnMboxAttemptFindsWhatACrashCutThoughAnotherMessageIsBehindIt) {
  envelope_.id = queue::MakeEnvelopeId(1, 1);
  Delivery message = Make("Subject: x\r\n\r\nFrom\r\n\r\nFro\r\n" + std::string(300, 'y') + "\r\n");
  ASSERT_TRUE(ToMbox(message).ok());
  const std::string whole = Read(root_ + "/mbox");
  const std::string mark = "X-Postern-Queue-Id: 0000000100000001\n";
  for (size_t left = whole.find(mark) + mark.size(); left < whole.size() - 2; ++left) {
    for (const bool zeros : {false, true}) {
      std::ofstream(root_ + "/mbox", std::ios::binary)
          << whole.substr(0, left) << (zeros ? std::string(200, '\0') : "");
      envelope_.id = queue::MakeEnvelopeId(2, 2);
      Delivery other = Make("Subject: other\r\n\r\nz\r\n");
      ASSERT_TRUE(ToMbox(other).ok());
      envelope_.id = queue::MakeEnvelopeId(1, 1);
      for (int attempt = 0; attempt < 2; ++attempt) ASSERT_TRUE(ToMbox(message).ok());
      const std::string now = Read(root_ + "/mbox");
      ASSERT_TRUE(now.ends_with("\n\nz\n\n" + whole) || now.ends_with("\nz\n\n" + whole))
          << left << now;
      ASSERT_NE(now.find("\n\nFrom s@example.org Tue Nov 14 22:13:20 2023\nX-Postern-Queue-Id: "
                         "0000000200000002\n"),
                std::string::npos)
          << left;
      // One whole copy, however often it is attempted.
      const std::string tail = std::string(300, 'y') + "\n\n";
      ASSERT_EQ(now.find(tail), now.rfind(tail)) << left;
    }
  }
  // What a mail program made of a whole message is no torn one.
  std::string changed = whole;
  changed.insert(changed.find("Subject:"), "Status: RO\n");
  std::ofstream(root_ + "/mbox", std::ios::binary) << changed << whole.substr(0, 10) << "\n\n";
  ASSERT_TRUE(ToMbox(message).ok());
  EXPECT_EQ(Read(root_ + "/mbox"), changed + whole.substr(0, 10) + "\n\n");
}

// A user may not make files in the system's folder: the server makes the mailbox, and it is the
// user's.
TEST_F(DeliverTest, AMailboxInTheSystemsFolderIsMadeForItsUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only a privileged server gives files away";
  constexpr uint32_t kUser = 12345;
  const std::unique_ptr<rt::Files> theirs =
      files_.As(rt::Credentials{.uid = kUser, .gid = kUser + 1});
  const std::string path = root_ + "/spool/mbox";
  fs::create_directory(root_ + "/spool");
  chmod(root_.c_str(), 0755);
  const auto deliver = [&] {
    Delivery delivery = Make("x\r\n");
    delivery.files = theirs.get();
    delivery.target.run_as = rt::Credentials{.uid = kUser, .gid = kUser + 1};
    delivery.target.in_mail_spool = true;
    delivery.target.path = path;
    return AppendToMbox(delivery, files_, absl::Now(), &names_);
  };
  const auto expect_theirs = [&] {
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, kUser);
    EXPECT_EQ(info.st_gid, kUser + 1);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
    EXPECT_FALSE(fs::exists(path + ".lock"));
  };
  Status done = deliver();
  ASSERT_TRUE(done.ok()) << Text(done);
  expect_theirs();
  const uintmax_t one = fs::file_size(path);
  EXPECT_GT(one, 0u);
  envelope_.id = queue::MakeEnvelopeId(1, 2);
  ASSERT_TRUE(deliver().ok());
  EXPECT_EQ(fs::file_size(path), 2 * one);
  // A crash between the two steps leaves an empty file of the server's.
  fs::remove(path);
  std::ofstream(path) << "";
  chmod(path.c_str(), 0600);
  ASSERT_TRUE(deliver().ok());
  expect_theirs();
  // What is not empty, or has two names, is given to nobody.
  fs::remove(path);
  std::ofstream(path) << "root's";
  chmod(path.c_str(), 0600);
  EXPECT_EQ(deliver().code(), StatusCode::kPermissionDenied);
  std::ofstream(path, std::ios::trunc) << "";
  fs::create_hard_link(path, root_ + "/spool/other");
  EXPECT_FALSE(deliver().ok());
  EXPECT_EQ(fs::file_size(path), 0u);
}

// Elsewhere nothing is done with the server's rights, not even the lock.
TEST_F(DeliverTest, AFolderThatIsNotTheUsersGetsNoLock) {
  if (geteuid() != 0) GTEST_SKIP() << "only a privileged server has other rights than the user";
  const std::unique_ptr<rt::Files> theirs = files_.As(rt::Credentials{.uid = 12345, .gid = 12345});
  chmod(root_.c_str(), 0755);
  std::ofstream(root_ + "/mbox.lock") << "an old one of another's";
  Delivery delivery = Make("x\r\n");
  delivery.files = theirs.get();
  delivery.target.run_as = rt::Credentials{.uid = 12345, .gid = 12345};
  delivery.target.path = root_ + "/mbox";
  EXPECT_FALSE(AppendToMbox(delivery, files_, absl::Now() + absl::Hours(1), &names_).ok());
  EXPECT_TRUE(fs::exists(root_ + "/mbox.lock"));
  EXPECT_FALSE(fs::exists(root_ + "/mbox"));
}

TEST_F(DeliverTest, ALockedOrHardLinkedMboxIsLeftAlone) {
  std::ofstream(root_ + "/mbox") << "";
  std::ofstream(root_ + "/mbox.lock") << "";
  Delivery delivery = Make("b\r\n");
  delivery.target.path = root_ + "/mbox";
  EXPECT_EQ(AppendToMbox(delivery, files_, absl::Now(), &names_).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(fs::exists(root_ + "/mbox.lock"));
  EXPECT_TRUE(AppendToMbox(delivery, files_, absl::Now() + absl::Hours(1), &names_).ok())
      << "the lock is stale";
  fs::create_hard_link(root_ + "/mbox", root_ + "/other");
  EXPECT_EQ(AppendToMbox(delivery, files_, absl::Now(), &names_).code(),
            StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace postern::deliver
