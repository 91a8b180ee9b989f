// File names of Maildirs that other programs wrote.
#include "tests/conformance/suite.h"
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::conformance {
namespace {

namespace fs = std::filesystem;

// What the letters of each name say by the Maildir specification, in the order of IMAP's flags.
std::string FlagsOf(const mailbox::MaildirName& name) {
  const mailbox::SystemFlags flags = mailbox::FlagsOfLetters(name.letters);
  std::string out;
  for (const auto& [flag, word] :
       {std::pair<mailbox::SystemFlags, const char*>{mailbox::kSeen, "seen"},
        {mailbox::kAnswered, "replied"},
        {mailbox::kFlagged, "flagged"},
        {mailbox::kDeleted, "trashed"},
        {mailbox::kDraft, "draft"}}) {
    if ((flags & flag) != 0) StrAppend(out, word, " ");
  }
  return out;
}

TEST(MaildirNames, AreTakenApart) {
  const std::optional<std::string> folder = Folder("mime/maildir-names");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("mime/maildir-names");
  for (const auto& entry : fs::recursive_directory_iterator(*folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string file = entry.path().filename().string();
    const std::optional<mailbox::MaildirName> name = mailbox::ParseMaildirName(file);
    std::string case_name = entry.path().parent_path().filename().string() + "/" + file;
    std::replace(case_name.begin(), case_name.end(), ' ', '_');
    if (file.front() == '.') {
      // The specification: files that begin with a dot are no messages.
      tally.Count(case_name, !name.has_value(), "is taken for a message");
      continue;
    }
    if (!name.has_value()) {
      tally.Count(case_name, false, "is not taken for a message");
      continue;
    }
    const size_t info = file.find(";2,");
    std::string wanted;
    if (info != std::string::npos) {
      for (const auto& [letter, word] : {std::pair<char, const char*>{'S', "seen"},
                                         {'R', "replied"},
                                         {'F', "flagged"},
                                         {'T', "trashed"},
                                         {'D', "draft"}}) {
        if (file.find(letter, info) != std::string::npos) StrAppend(wanted, word, " ");
      }
    }
    tally.Count(case_name, FlagsOf(*name) == wanted && name->base == file.substr(0, info),
                StrCat("got ", name->base, " ", FlagsOf(*name), " expected ", wanted));
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::conformance
