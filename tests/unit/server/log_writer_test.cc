// Where the log goes: files that are moved away, sockets whose owner comes and goes.
#include "lib/server/log_writer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/rt/asio/posix_log_output.h"

namespace postern::server {
namespace {

LogRecord Record(std::string event) {
  LogRecord record;
  record.subsystem = "server";
  record.event = std::move(event);
  return record;
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() {
    char name[] = "/tmp/postern-log-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~LogWriterTest() override {
    for (const char* const name : {"/log", "/old", "/socket"}) ::unlink((folder_ + name).c_str());
    ::rmdir(folder_.c_str());
  }
  std::unique_ptr<LogWriter> Open(const std::string& text, bool json = false) {
    const StatusOr<LogTarget> target = ParseLogTarget(text);
    EXPECT_TRUE(target.ok()) << Text(target.status());
    const bool file = target->form == LogTarget::Form::kPlain;
    StatusOr<std::unique_ptr<rt::LogOutput>> output =
        file ? rt::OpenLogFile(target->path) : rt::OpenLogSocket(target->path);
    EXPECT_TRUE(output.ok()) << Text(output.status());
    return std::make_unique<LogWriter>(&world_, target->form, json, "smtpd", *std::move(output));
  }
  // Bind makes the socket that a log daemon has.
  int Bind() {
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (folder_ + "/socket").c_str());
    ::unlink(address.sun_path);
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_EQ(::bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string Take(int fd) {
    char buffer[4096];
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    return got < 0 ? "" : std::string(buffer, static_cast<size_t>(got));
  }

  // RunUntil runs the main loop until `done`, for a minute at most.
  void RunUntil(std::function<bool()> done) {
    for (int turn = 0; turn < 6000 && !done(); ++turn) {
      world_.main_loop().Post([this] {
        rt::Executor& loop = world_.main_loop();
        loop.CallAt(loop.Now() + absl::Milliseconds(10), [this] { world_.Stop(); });
      });
      world_.Run();
    }
    EXPECT_TRUE(done());
  }

  rt::AsioWorld world_{[] {
    rt::AsioWorldOptions options;
    options.no_threads = true;
    return options;
  }()};
  std::string folder_;
};

TEST_F(LogWriterTest, AFileThatWasMovedAwayIsOpenedAnew) {
  const std::string path = folder_ + "/log";
  const std::unique_ptr<LogWriter> writer = Open("file:" + path);
  writer->Write(Record("one"));
  ASSERT_EQ(std::rename(path.c_str(), (folder_ + "/old").c_str()), 0);
  writer->Write(Record("two"));
  ASSERT_TRUE(writer->Reopen().ok());
  writer->Write(Record("three"));
  const std::string old = ReadAll(folder_ + "/old");
  EXPECT_NE(old.find("server one\n"), std::string::npos) << old;
  EXPECT_NE(old.find("server two\n"), std::string::npos) << old;
  const std::string now = ReadAll(path);
  EXPECT_EQ(now.substr(16), "server three\n") << now;
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0137, 0u);  // not for everybody
}

TEST_F(LogWriterTest, ADaemonThatComesBackGetsWhatItMissed) {
  int daemon = Bind();
  const std::unique_ptr<LogWriter> writer = Open("syslog:" + folder_ + "/socket");
  writer->Write(Record("one"));
  EXPECT_NE(Take(daemon).find("]: server one"), std::string::npos);
  ::close(daemon);
  writer->Write(Record("two"));
  writer->Write(Record("three"));
  daemon = Bind();
  RunUntil([&, got = std::string()]() mutable {
    got += Take(daemon);
    return got.find("server two") < got.find("server three") &&
           got.find("server three") != std::string::npos;
  });
  writer->Write(Record("four"));
  EXPECT_NE(Take(daemon).find("server four"), std::string::npos);
  ::close(daemon);
}

// Line k is "server line k=...", so that what comes tells what is missing.
TEST_F(LogWriterTest, ADaemonThatReadsNothingHoldsNobodyUpAndLosesNoLineSilently) {
  for (const char* const target : {"journal:", "syslog:"}) {
    const int daemon = Bind();
    const std::unique_ptr<LogWriter> writer = Open(target + folder_ + "/socket");
    constexpr int kLines = 5000;
    for (int i = 0; i < kLines; ++i) {
      LogRecord record = Record("line");
      record.fields.push_back({"text", std::string(1000, 'x')});
      writer->Write(record);
    }
    int lines = 0, lost = 0;
    RunUntil([&] {
      for (std::string got = Take(daemon); !got.empty(); got = Take(daemon)) {
        const size_t at = got.find("lines-lost count=");
        if (at == std::string::npos) {
          ++lines;
        } else {
          lost += std::atoi(got.c_str() + at + strlen("lines-lost count="));
        }
      }
      return lines + lost >= kLines;
    });
    EXPECT_EQ(lines + lost, kLines) << lines;
    // The queue's megabyte, and what the socket holds.
    EXPECT_GT(lines, 400);
    EXPECT_GT(lost, 1000);
    ::close(daemon);
  }
}

TEST_F(LogWriterTest, APipeThatNobodyEmptiesHoldsNobodyUp) {
  const std::string path = folder_ + "/log";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const std::unique_ptr<LogWriter> writer = Open("file:" + path);
  std::string wanted;
  for (int i = 0; i < 100; ++i) {
    LogRecord record = Record(StrCat("line", i));
    record.fields.push_back({"text", std::string(static_cast<size_t>(i * 97), 'x')});
    writer->Write(record);  // half a megabyte in all, a pipe holds 64 KiB
    StrAppend(wanted, FormatLogRecord(record), "\n");
  }
  std::string got;
  RunUntil([&] {
    char buffer[10'000];
    const ssize_t size = ::read(reader, buffer, sizeof buffer);
    if (size > 0) got.append(buffer, static_cast<size_t>(size));
    return std::count(got.begin(), got.end(), '\n') >= 100;
  });
  std::string told;
  for (const std::string_view line : Split(got, '\n'))
    if (line.size() > 16) StrAppend(told, line.substr(16), "\n");
  EXPECT_TRUE(told == wanted);
  ::close(reader);
}

TEST_F(LogWriterTest, JsonIsOneObjectALine) {
  const std::unique_ptr<LogWriter> writer = Open("file:" + folder_ + "/log", true);
  writer->Write(Record("a\nb"));
  const std::string text = ReadAll(folder_ + "/log");
  EXPECT_EQ(text.substr(0, 9), "{\"time\":\"");
  EXPECT_NE(text.find("\"event\":\"a\\nb\"}\n"), std::string::npos) << text;
}

TEST(ParseLogTarget, TakesTheseAndNoOthers) {
  for (const char* const text : {"stderr", "syslog", "journal", "file:/var/log/x",
                                 "syslog5424:/run/x", "syslog:/run/x", "journal:/run/x"})
    EXPECT_TRUE(ParseLogTarget(text).ok()) << text;
  for (const char* const text : {"", "file", "file:", "file:x", "syslog5424", "stdout", "syslog:x"})
    EXPECT_FALSE(ParseLogTarget(text).ok()) << text;
  const Status wrong = ParseLogTarget("stdout").status();
  EXPECT_NE(Message(wrong).find("syslog"), std::string::npos);
}

}  // namespace
}  // namespace postern::server
