// Where the log goes: files that are moved away, sockets whose owner comes and goes.
#include "lib/server/log_writer.h"

#include <cstdio>
#include <cstring>
#include <fstream>
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

TEST_F(LogWriterTest, ADaemonThatComesBackIsToldWhatItMissed) {
  int daemon = Bind();
  const std::unique_ptr<LogWriter> writer = Open("syslog:" + folder_ + "/socket");
  writer->Write(Record("one"));
  EXPECT_NE(Take(daemon).find("]: server one"), std::string::npos);
  ::close(daemon);
  writer->Write(Record("two"));
  writer->Write(Record("three"));
  daemon = Bind();
  writer->Write(Record("four"));
  const std::string note = Take(daemon);
  EXPECT_NE(note.find("log lines-lost count=2"), std::string::npos) << note;
  EXPECT_NE(Take(daemon).find("server four"), std::string::npos);
  ::close(daemon);
}

TEST_F(LogWriterTest, ADaemonThatReadsNothingHoldsNobodyUp) {
  const int daemon = Bind();
  const std::unique_ptr<LogWriter> writer = Open("journal:" + folder_ + "/socket");
  LogRecord record = Record("much");
  record.fields.push_back({"text", std::string(1000, 'x')});
  for (int i = 0; i < 5000; ++i) writer->Write(record);
  while (!Take(daemon).empty()) {
  }
  writer->Write(Record("last"));
  EXPECT_NE(Take(daemon).find("POSTERN_COUNT="), std::string::npos);
  EXPECT_NE(Take(daemon).find("MESSAGE=server last\n"), std::string::npos);
  ::close(daemon);
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
