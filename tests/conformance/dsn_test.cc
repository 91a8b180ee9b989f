// The bounces of many mail systems: what they say of each recipient, as Sisimai reads them.
#include "lib/core/message/dsn.h"

#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/parser.h"

namespace postern::conformance {
namespace {

namespace fs = std::filesystem;
using message::Bounce;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<fs::path> Files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Line ends as the form of the folder wants them read: a file of lone CRs is a file of another
// system's lines.
std::string Lines(std::string text) {
  if (text.find('\n') == std::string::npos) std::replace(text.begin(), text.end(), '\r', '\n');
  return text;
}

// Upstream's own statuses ("5.0.9xx": no status in the mail) tell nothing of the message.
bool IsUpstreams(const std::string& status) {
  return status.empty() || status.compare(1, 4, ".0.9") == 0;
}

std::string Joined(std::vector<std::string> list) {
  std::sort(list.begin(), list.end());
  return StrJoin(list, " ");
}

// Same compares what was found with what is expected, recipient by recipient in no order. An
// expectation that tells nothing of the message takes anything.
bool Same(std::vector<std::string> got, const std::vector<std::string>& expected) {
  if (got.size() != expected.size()) return false;
  for (const std::string& each : expected) {
    if (each == "*") continue;
    const auto at = std::find(got.begin(), got.end(), each);
    if (at == got.end()) return false;
    got.erase(at);
  }
  return true;
}

TEST(Dsn, Sisimai) {
  const std::optional<std::string> folder = Folder("dsn/sisimai");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  const Json expected = Json::Parse(ReadFile(*folder + "/expected.json"));
  Tally statuses("dsn/sisimai/status"), replies("dsn/sisimai/reply");
  Tally text_statuses("dsn/sisimai/text-status"), text_replies("dsn/sisimai/text-reply");
  for (const fs::path& path : Files(*folder + "/maildir")) {
    const std::string form = path.parent_path().filename().string();
    const std::string stem = path.stem().string();
    if (!expected.Has(stem) || (form != "bsd" && form != "dos" && form != "mac")) continue;
    const std::vector<Json>& recipients = expected[stem].Array();
    if (recipients.empty()) continue;  // feedback reports
    const std::string raw = Lines(ReadFile(path));
    const message::MessageView view = message::ParseMessage(raw);
    const Bounce bounce = message::ReadBounce(view);
    std::vector<std::string> want_status, want_reply, got_status, got_reply;
    for (const Json& each : recipients) {
      const std::string& status = each["status"].String();
      want_status.push_back(IsUpstreams(status) ? "*" : status);
      const std::string& reply = each["replycode"].String();
      want_reply.push_back(reply.empty() ? "*" : reply);
    }
    for (const message::ReportedRecipient& each : bounce.recipients) {
      got_status.push_back(each.BestStatus().ToString());
      got_reply.push_back(each.reply_code == 0 ? "none" : StrCat(each.reply_code));
    }
    const bool is_status = bounce.form == Bounce::Form::kStatus;
    const std::string id = form + "/" + stem;
    (is_status ? statuses : text_statuses)
        .Count(id, Same(got_status, want_status),
               StrCat("got [", Joined(got_status), "] expected [", Joined(want_status), "]"));
    (is_status ? replies : text_replies)
        .Count(id, Same(got_reply, want_reply),
               StrCat("got [", Joined(got_reply), "] expected [", Joined(want_reply), "]"));
  }
  statuses.Finish();
  replies.Finish();
  text_statuses.Finish();
  text_replies.Finish();
}

// The hard cases, mailboxes and the mail that is no bounce: read in bounded time; what is no bounce
// is none.
TEST(Dsn, EverythingIsRead) {
  const std::optional<std::string> folder = Folder("dsn");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("dsn/read");
  for (const fs::path& path : Files(*folder)) {
    const std::string raw = ReadFile(path);
    const message::MessageView view = message::ParseMessage(raw);
    const Bounce bounce = message::ReadBounce(view);
    const bool no_bounce = path.parent_path().filename() == "not";
    tally.Count(path.filename().string(), !no_bounce || bounce.form == Bounce::Form::kNone,
                "is read as a bounce");
  }
  tally.Finish();
}

TEST(Dsn, StalwartGenerated) {
  const std::optional<std::string> folder = Folder("dsn/stalwart-generated");
  if (!folder.has_value()) GTEST_SKIP() << kSkipped;
  Tally tally("dsn/stalwart-generated");
  for (const auto& [file, action] :
       {std::pair<const char*, message::DsnAction>{"failure", message::DsnAction::kFailed},
        {"success", message::DsnAction::kDelivered}}) {
    const std::string raw = ReadFile(StrCat(*folder, "/", file, ".eml"));
    const message::MessageView view = message::ParseMessage(raw);
    const Bounce bounce = message::ReadBounce(view);
    bool good = bounce.form == Bounce::Form::kStatus && !bounce.recipients.empty() &&
                bounce.reporting_mta.type == "dns" && bounce.returned_part != message::kNoPart;
    std::string got;
    for (const message::ReportedRecipient& each : bounce.recipients) {
      StrAppend(got, each.final_recipient, " ",
                each.action.has_value() ? message::DsnActionName(*each.action) : "none", " ",
                each.status.ToString(), "; ");
      good = good && !each.final_recipient.empty() && each.action == action &&
             each.status.klass == (action == message::DsnAction::kFailed ? 5 : 2);
    }
    tally.Count(file, good, got);
  }
  tally.Finish();
}

}  // namespace
}  // namespace postern::conformance
