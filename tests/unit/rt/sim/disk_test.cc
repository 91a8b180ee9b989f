#include "lib/rt/sim/disk.h"

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {

OpenOptions Create() {
  OpenOptions options;
  options.write = options.create = true;
  return options;
}

// Machine is one host whose files a test uses directly.
struct Machine {
  explicit Machine(uint64_t seed, HostOptions options = {})
      : simulation(seed), host(simulation.AddHost(std::move(options))) {}
  Files& files() { return host.world().files(); }
  Files& view() { return host.disk().view(); }
  std::unique_ptr<File> Open(const std::string& path, OpenOptions options = Create()) {
    StatusOr<std::unique_ptr<File>> file = files().Open(path, options);
    EXPECT_TRUE(file.ok()) << Text(file.status());
    return file.ok() ? std::move(*file) : nullptr;
  }
  void Write(const std::string& path, std::string_view data) {
    std::unique_ptr<File> file = Open(path);
    ASSERT_TRUE(file->WriteAt(0, data).ok());
  }
  std::string Read(const std::string& path) {
    const StatusOr<std::string> data = ReadFile(view(), path, 1 << 24);
    return data.ok() ? *data : "(none)";
  }
  void LosePower() {
    host.Crash(CrashKind::kPowerLoss);
    host.Restart();
  }
  Simulation simulation;
  Host& host;
};

TEST(Disk, FilesBehaveAsFilesDo) {
  Machine m(1);
  ASSERT_TRUE(m.files().MakeDirectory("/d", 0755).ok());
  m.Write("/d/a", "hello");
  EXPECT_EQ(m.Read("/d/a"), "hello");
  OpenOptions exclusive = Create();
  exclusive.exclusive = true;
  EXPECT_EQ(m.files().Open("/d/a", exclusive).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(m.files().Open("/d/b", OpenOptions()).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(m.files().Link("/d/a", "/d/b").ok());
  EXPECT_EQ(m.files().Stat("/d/a")->links, 2u);
  EXPECT_EQ(m.files().Stat("/d/a")->inode, m.files().Stat("/d/b")->inode);
  ASSERT_TRUE(m.files().Rename("/d/b", "/d/c").ok());
  EXPECT_EQ(m.files().Link("/d/a", "/d/c").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(m.files().List("/d")->size(), 2u);
  EXPECT_EQ(ErrnoOf(m.files().RemoveDirectory("/d")), ENOTEMPTY);
  ASSERT_TRUE(m.files().Unlink("/d/a").ok());
  ASSERT_TRUE(m.files().Unlink("/d/c").ok());
  ASSERT_TRUE(m.files().RemoveDirectory("/d").ok());
  EXPECT_EQ(m.files().Stat("/d").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(m.host.disk().used_bytes(), 0u);
}

TEST(Disk, AnUnlinkedFileLivesWhileItIsOpen) {
  Machine m(1);
  std::unique_ptr<File> file = m.Open("/a");
  ASSERT_TRUE(file->Append("abc").ok());
  ASSERT_TRUE(m.files().Unlink("/a").ok());
  char octets[3];
  EXPECT_EQ(*file->ReadAt(0, octets), 3u);
  EXPECT_EQ(m.host.disk().used_bytes(), 3u);
  file.reset();
  EXPECT_EQ(m.host.disk().used_bytes(), 0u);
}

TEST(Disk, WritesBeyondTheEndLeaveZeros) {
  Machine m(1);
  std::unique_ptr<File> file = m.Open("/a");
  ASSERT_TRUE(file->WriteAt(3, "x").ok());
  ASSERT_TRUE(file->Truncate(6).ok());
  EXPECT_EQ(m.Read("/a"), std::string("\0\0\0x\0\0", 6));
  ASSERT_TRUE(file->Truncate(1).ok());
  EXPECT_EQ(m.Read("/a"), std::string("\0", 1));
}

TEST(Disk, SymbolicLinksAreFollowedOnlyOnRequest) {
  Machine m(1);
  m.Write("/real", "data");
  ASSERT_TRUE(m.files().MakeDirectory("/dir", 0755).ok());
  ASSERT_TRUE(m.host.disk().MakeSymlink("../real", "/dir/link").ok());
  ASSERT_TRUE(m.host.disk().MakeSymlink("/dir", "/short").ok());
  EXPECT_EQ(ErrnoOf(m.files().Open("/dir/link", OpenOptions()).status()), ELOOP);
  EXPECT_EQ(m.files().Stat("/dir/link")->kind, FileInfo::Kind::kSymlink);
  EXPECT_EQ(*ReadFile(m.files(), "/short/link", 10), "data");
}

TEST(Disk, PermissionsHold) {
  Machine m(1);
  ASSERT_TRUE(m.files().MakeDirectory("/home", 0755).ok());
  ASSERT_TRUE(m.files().MakeDirectory("/home/ann", 0700).ok());
  ASSERT_TRUE(m.files().SetOwner("/home/ann", 1000, 1000).ok());
  std::unique_ptr<Files> ann = m.files().As({1000, 1000, {}});
  std::unique_ptr<Files> bob = m.files().As({1001, 1001, {}});
  ASSERT_TRUE(ann->Open("/home/ann/a", Create()).ok());
  EXPECT_EQ(m.files().Stat("/home/ann/a")->uid, 1000u);
  EXPECT_EQ(bob->Open("/home/ann/a", OpenOptions()).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(ann->Open("/home/b", Create()).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(ann->SetOwner("/home/ann/a", 1001, 1001).code(), StatusCode::kPermissionDenied);
}

TEST(Disk, ALockExcludesAnotherOpenFile) {
  Machine m(1);
  std::unique_ptr<File> a = m.Open("/a");
  std::unique_ptr<File> b = m.Open("/a");
  EXPECT_TRUE(a->TryLock().ok());
  EXPECT_TRUE(a->TryLock().ok());
  EXPECT_EQ(b->TryLock().code(), StatusCode::kUnavailable);
  a.reset();
  EXPECT_TRUE(b->TryLock().ok());
}

// --- what survives ---

TEST(DiskCrash, WhatWasSyncedWithItsNameAlwaysSurvives) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Machine m(seed);
    m.host.disk().set_name_loss(seed % 2 == 0 ? NameLoss::kPrefix : NameLoss::kAnySubset);
    const std::string data(5000, 'x');
    ASSERT_TRUE(WriteFileDurably(m.files(), "/a", data, 0600).ok());
    m.Write("/b", "unsynced");
    ASSERT_TRUE(m.files().Unlink("/b").ok());
    m.LosePower();
    ASSERT_EQ(m.Read("/a"), data) << seed;
  }
}

TEST(DiskCrash, UnsyncedWritesSurviveInPartTornAtSectors) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Machine m(seed);
    {
      std::unique_ptr<File> file = m.Open("/a");
      ASSERT_TRUE(file->WriteAt(0, std::string(2048, 'o')).ok());
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(m.files().SyncDirectory("/").ok());
      ASSERT_TRUE(file->WriteAt(0, std::string(2048, 'n')).ok());
    }
    m.LosePower();
    const std::string data = m.Read("/a");
    ASSERT_EQ(data.size(), 2048u);
    std::string sectors;
    for (size_t at = 0; at < data.size(); at += 512) {
      ASSERT_EQ(data.substr(at, 512), std::string(512, data[at]));
      sectors += data[at];
    }
    outcomes.insert(sectors);
  }
  EXPECT_TRUE(outcomes.contains("oooo"));
  EXPECT_TRUE(outcomes.contains("nnnn"));
  EXPECT_GT(outcomes.size(), 6u);
}

TEST(DiskCrash, OverlappingWritesAndTruncationsRollBackToWhatWasSynced) {
  bool old_seen = false;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    {
      std::unique_ptr<File> file = m.Open("/a");
      ASSERT_TRUE(file->WriteAt(0, "0123456789").ok());
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(m.files().SyncDirectory("/").ok());
      ASSERT_TRUE(file->WriteAt(8, "abcd").ok());
      ASSERT_TRUE(file->Truncate(4).ok());
      ASSERT_TRUE(file->WriteAt(2, "XYZUVW").ok());
      ASSERT_TRUE(file->Truncate(20).ok());
      ASSERT_TRUE(file->WriteAt(15, "!").ok());
    }
    m.LosePower();
    old_seen = old_seen || m.Read("/a") == "0123456789";
  }
  EXPECT_TRUE(old_seen);
}

TEST(DiskCrash, AKillKeepsAllThatWasWritten) {
  Machine m(1);
  m.Write("/a", "abc");
  m.host.Crash(CrashKind::kKill);
  m.host.Restart();
  EXPECT_EQ(m.Read("/a"), "abc");
  // But it is not on the platter yet.
  bool lost = false;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine n(seed);
    n.Write("/a", "abc");
    n.host.Crash(CrashKind::kKill);
    n.host.Restart();
    n.LosePower();
    lost = lost || n.Read("/a") != "abc";
  }
  EXPECT_TRUE(lost);
}

TEST(DiskCrash, SyncOfAFileDoesNotSyncItsName) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Machine m(seed);
    {
      std::unique_ptr<File> file = m.Open("/a");
      ASSERT_TRUE(file->WriteAt(0, "abc").ok());
      ASSERT_TRUE(file->Sync().ok());
    }
    m.LosePower();
    const std::string data = m.Read("/a");
    ASSERT_TRUE(data == "abc" || data == "(none)") << data;
    lost += data == "(none)" ? 1 : 0;
  }
  EXPECT_GT(lost, 10);
  EXPECT_LT(lost, 90);
}

TEST(DiskCrash, RenameOfAnUnsyncedFileCanLeaveItEmpty) {
  bool empty = false;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Machine m(seed);
    ASSERT_TRUE(WriteFileDurably(m.files(), "/a", "old", 0600).ok());
    m.Write("/b", "new");
    ASSERT_TRUE(m.files().Rename("/b", "/a").ok());
    ASSERT_TRUE(m.files().SyncDirectory("/").ok());
    m.LosePower();
    const std::string data = m.Read("/a");
    ASSERT_TRUE(data == "new" || data.empty()) << data;
    empty = empty || data.empty();
  }
  EXPECT_TRUE(empty);
}

TEST(DiskCrash, ARenameIsDurableOnceTheNewDirectoryIsSynced) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    m.host.disk().set_name_loss(seed % 2 == 0 ? NameLoss::kPrefix : NameLoss::kAnySubset);
    ASSERT_TRUE(m.files().MakeDirectory("/tmp", 0700).ok());
    ASSERT_TRUE(m.files().MakeDirectory("/new", 0700).ok());
    ASSERT_TRUE(m.files().SyncDirectory("/").ok());
    {
      std::unique_ptr<File> file = m.Open("/tmp/x");
      ASSERT_TRUE(file->WriteAt(0, "abc").ok());
      ASSERT_TRUE(file->Sync().ok());
    }
    ASSERT_TRUE(m.files().Rename("/tmp/x", "/new/x").ok());
    const bool synced = seed % 3 != 0;
    if (synced) {
      ASSERT_TRUE(m.files().SyncDirectory("/new").ok());
    }
    m.LosePower();
    if (synced) {
      ASSERT_EQ(m.Read("/new/x"), "abc") << seed;
      ASSERT_EQ(m.Read("/tmp/x"), "(none)") << seed;
    } else {
      // One operation: never under both names.
      ASSERT_FALSE(m.Read("/new/x") != "(none)" && m.Read("/tmp/x") != "(none)") << seed;
    }
  }
}

TEST(DiskCrash, UnsyncedNamesSurviveAsAPrefix) {
  std::set<size_t> kept;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    for (const char* name : {"/0", "/1", "/2", "/3", "/4"}) m.Write(name, "x");
    m.LosePower();
    const StatusOr<std::vector<DirectoryEntry>> names = m.view().List("/");
    ASSERT_TRUE(names.ok());
    for (size_t i = 0; i < names->size(); ++i)
      ASSERT_EQ((*names)[i].name, std::to_string(i)) << seed;
    kept.insert(names->size());
  }
  EXPECT_EQ(kept.size(), 6u);
}

TEST(DiskCrash, AnySubsetOfNamesSurvivesWhenAskedFor) {
  bool gap = false;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Machine m(seed);
    m.host.disk().set_name_loss(NameLoss::kAnySubset);
    m.Write("/0", "x");
    m.Write("/1", "x");
    m.LosePower();
    gap = gap || (m.Read("/0") == "(none)" && m.Read("/1") != "(none)");
  }
  EXPECT_TRUE(gap);
}

TEST(DiskCrash, AnUnlinkThatWasNotSyncedMayComeBack) {
  bool back = false;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    ASSERT_TRUE(WriteFileDurably(m.files(), "/a", "abc", 0600).ok());
    ASSERT_TRUE(m.files().Unlink("/a").ok());
    m.LosePower();
    const std::string data = m.Read("/a");
    ASSERT_TRUE(data == "abc" || data == "(none)");
    back = back || data == "abc";
    EXPECT_EQ(m.host.disk().used_bytes(), data == "abc" ? 3u : 0u);
  }
  EXPECT_TRUE(back);
}

// --- faults ---

TEST(DiskFault, StrikesTheNthOperationThatMatches) {
  Machine m(1);
  m.host.disk().Inject({.operation = FileOperation::kWrite,
                        .path_contains = "spool",
                        .skip = 1,
                        .error_number = EIO});
  ASSERT_TRUE(m.files().MakeDirectory("/spool", 0700).ok());
  std::unique_ptr<File> other = m.Open("/other");
  std::unique_ptr<File> file = m.Open("/spool/a");
  EXPECT_TRUE(other->Append("x").ok());
  EXPECT_TRUE(file->Append("x").ok());
  const Status failed = file->Append("x");
  EXPECT_EQ(ErrnoOf(failed), EIO);
  EXPECT_EQ(failed.code(), StatusCode::kDataLoss);
  EXPECT_TRUE(file->Append("x").ok());
}

TEST(DiskFault, AFullDiskTakesWhatFitsAndWorksAgainWithRoom) {
  Machine m(1);
  m.host.disk().SetSpace(1000);
  std::unique_ptr<File> file = m.Open("/a");
  const Status full = file->Append(std::string(1500, 'x'));
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(file->Stat()->size_bytes, 1000u);
  EXPECT_EQ(m.files().Space("/")->free_bytes, 0u);
  EXPECT_TRUE(file->WriteAt(0, "over what is there").ok());
  m.host.disk().SetSpace(2000);
  EXPECT_TRUE(file->Append(std::string(500, 'x')).ok());
}

TEST(DiskFault, AFailedSyncLosesTheDataThoughALaterOneSucceeds) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    {
      std::unique_ptr<File> file = m.Open("/a");
      ASSERT_TRUE(file->WriteAt(0, std::string(512, 'a')).ok());
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(m.files().SyncDirectory("/").ok());
      ASSERT_TRUE(file->WriteAt(0, std::string(512, 'b')).ok());
      m.host.disk().Inject({.operation = FileOperation::kSync});
      ASSERT_EQ(ErrnoOf(file->Sync()), EIO);
      ASSERT_TRUE(file->WriteAt(512, std::string(512, 'c')).ok());
      ASSERT_TRUE(file->Sync().ok());
      // The cache still shows it: that is the trap.
      ASSERT_EQ(m.Read("/a"), std::string(512, 'b') + std::string(512, 'c'));
    }
    m.LosePower();
    ASSERT_EQ(m.Read("/a"), std::string(512, 'a') + std::string(512, 'c'));
  }
}

TEST(DiskFault, ADiskThatLiesAboutASyncLosesTheData) {
  bool lost = false;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    m.host.disk().LieAbout("/a");
    ASSERT_TRUE(WriteFileDurably(m.files(), "/a", "abc", 0600).ok());
    ASSERT_TRUE(WriteFileDurably(m.files(), "/b", "abc", 0600).ok());
    m.LosePower();
    lost = lost || m.Read("/a") != "abc";
    ASSERT_EQ(m.Read("/b"), "abc");
  }
  EXPECT_TRUE(lost);
}

TEST(DiskFault, CrashAtOperationStrikesBeforeAfterOrWithinIt) {
  std::set<size_t> sizes;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Machine m(seed);
    {
      std::unique_ptr<File> file = m.Open("/a");
      m.host.CrashAtFileOperation(2, CrashKind::kKill);
      ASSERT_TRUE(file->Append("12345").ok());
      ASSERT_EQ(file->Append("67890").code(), StatusCode::kCancelled);
      ASSERT_FALSE(m.host.up());
      ASSERT_EQ(file->Append("x").code(), StatusCode::kCancelled);
    }
    m.host.Restart();
    sizes.insert(m.Read("/a").size());
  }
  EXPECT_TRUE(sizes.contains(5));
  EXPECT_TRUE(sizes.contains(10));
  EXPECT_GT(sizes.size(), 3u);
}

}  // namespace
}  // namespace postern::rt::sim
