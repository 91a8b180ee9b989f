// Both stores under one roof, on the real file system.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/rt/asio/asio_world.h"
#include "lib/store/mailbox/maildir_store.h"
#include "lib/store/mailbox/memory_store.h"

namespace postern::mailbox {

class ScratchMaildir {
 public:
  ScratchMaildir() : world_(NoThreads()) {
    char name[] = "/tmp/postern-maildir-XXXXXX";
    if (mkdtemp(name) != nullptr) base_ = name;
    root_ = base_ + "/Maildir";
    options_.recheck_after_scan = absl::ZeroDuration();
    options_.recheck_after_own_change = absl::ZeroDuration();
  }
  ~ScratchMaildir() { (void)!std::system(("rm -rf " + base_).c_str()); }

  std::unique_ptr<MailStore> Open() {
    auto store =
        OpenMaildirStore(world_.files(), world_.clock(), world_.random(), root_, nullptr, options_);
    EXPECT_TRUE(store.ok()) << Text(store.status());
    return store.ok() ? std::move(*store) : nullptr;
  }

  // Shell runs a command in the Maildir.
  void Shell(const std::string& command) {
    EXPECT_EQ(std::system(("cd " + root_ + " && " + command).c_str()), 0) << command;
  }
  std::string Output(const std::string& command) {
    std::string out;
    FILE* pipe = popen(("cd " + root_ + " && " + command).c_str(), "r");
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) out.push_back(static_cast<char>(c));
    pclose(pipe);
    return out;
  }

  static rt::AsioWorldOptions NoThreads() {
    rt::AsioWorldOptions options;
    options.no_threads = true;
    return options;
  }

  rt::AsioWorld world_;
  std::string base_;
  std::string root_;
  MaildirStoreOptions options_;
};

inline AppendOptions WithFlags(std::initializer_list<const char*> flags) {
  AppendOptions options;
  for (const char* flag : flags) EXPECT_TRUE(options.flags.Add(flag).ok());
  return options;
}

inline StoreRequest Change(FlagChange change, std::initializer_list<const char*> flags) {
  StoreRequest request;
  request.change = change;
  for (const char* flag : flags) EXPECT_TRUE(request.flags.Add(flag).ok());
  return request;
}

// Shown writes a snapshot as "1(\Seen) 2()".
inline std::string Shown(const Mailbox& mailbox) {
  std::string out;
  for (const MessageInfo& message : mailbox.messages()) {
    if (!out.empty()) out += ' ';
    out += std::to_string(message.uid) +
           FormatFlags(message.flags, message.keywords, mailbox.keywords(), false);
  }
  return out;
}

}  // namespace postern::mailbox
