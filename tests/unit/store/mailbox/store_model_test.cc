// Three actors (two sessions in two processes' stores, and a program that works on the files)
// against a model: reliability rows 21, F14 and F15.
#include "tests/unit/store/mailbox/store_fixture.h"
#include <map>
#include <random>
#include <set>

namespace postern::mailbox {
namespace {

// What must hold at every look: UIDs rise and are never used twice, each names one content for
// ever, and what nobody removed is there with the flags that were last given to it.
class Model {
 public:
  void Arrived(const std::string& body) { expected_[body] = 0; }
  void Removed(const std::string& body) { expected_.erase(body); }
  void Flags(const std::string& body, SystemFlags flags) { expected_[body] = flags; }

  void Check(Mailbox& mailbox) {
    std::map<std::string, SystemFlags> seen;
    uint32_t last = 0;
    for (const MessageInfo& message : mailbox.messages()) {
      ASSERT_GT(message.uid, last);
      ASSERT_LT(message.uid, mailbox.uid_next());
      last = message.uid;
      auto content = mailbox.OpenContent(message.uid);
      ASSERT_TRUE(content.ok()) << Text(content.status());
      const std::string body(*(*content)->All(1000));
      ASSERT_EQ(body.size(), message.size_bytes);
      const auto [at, first] = body_of_.emplace(message.uid, body);
      ASSERT_EQ(at->second, body) << "UID " << message.uid << " was given to two messages";
      seen[body] = message.flags;
    }
    ASSERT_EQ(seen, expected_);
  }
  std::map<std::string, SystemFlags> expected_;

 private:
  std::map<uint32_t, std::string> body_of_;
};

TEST(StoreModelTest, RandomActorsAgreeWithTheModel) {
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    ScratchMaildir scratch;
    const auto store_a = scratch.Open();
    const auto store_b = scratch.Open();
    auto a = *store_a->Open("INBOX", false);
    auto b = *store_b->Open("INBOX", false);
    Model model;
    int next = 0;
    const auto pick = [&]() -> std::string {
      if (model.expected_.empty()) return "";
      auto at = model.expected_.begin();
      std::advance(at, random() % model.expected_.size());
      return at->first;
    };
    const auto uid_of = [](Mailbox& mailbox, const std::string& body) -> uint32_t {
      for (const MessageInfo& message : mailbox.messages()) {
        auto content = mailbox.OpenContent(message.uid);
        if (content.ok() && *(*content)->All(1000) == body) return message.uid;
      }
      return 0;
    };
    for (int step = 0; step < 60; ++step) {
      Mailbox& session = random() % 2 != 0 ? *a : *b;
      MailStore& store = random() % 2 != 0 ? *store_a : *store_b;
      const std::string body = pick();
      switch (random() % 7) {
        case 0: {
          const std::string text = "appended " + std::to_string(++next) + "\r\n";
          ASSERT_TRUE(Append(store, "INBOX", text).ok());
          model.Arrived(text);
          break;
        }
        case 1: {
          const std::string text = "delivered " + std::to_string(++next);
          scratch.Shell("echo '" + text + "' > new/" + std::to_string(next) + ".x");
          model.Arrived(text + "\r\n");
          break;
        }
        case 2: {
          if (body.empty()) break;
          ASSERT_TRUE(session.Sync().ok());
          const SystemFlags flags = static_cast<SystemFlags>(random() % 32);
          StoreRequest request;
          request.change = FlagChange::kReplace;
          request.flags.system = flags;
          ASSERT_TRUE(session.StoreFlags(UidSet{uid_of(session, body)}, request).ok());
          model.Flags(body, flags);
          break;
        }
        case 3: {
          ASSERT_TRUE(session.Sync().ok());
          ASSERT_TRUE(session.Expunge(nullptr).ok());
          for (auto at = model.expected_.begin(); at != model.expected_.end();) {
            at = (at->second & kDeleted) != 0 ? model.expected_.erase(at) : std::next(at);
          }
          break;
        }
        case 4: {  // a mail reader flags what it finds in cur/
          const std::string file = scratch.Output("ls cur | head -n 1 | tr -d '\\n'");
          if (file.empty()) break;
          const std::string text = scratch.Output("cat 'cur/" + file + "' | tr -d '\\n'") + "\r\n";
          const std::string target = file.substr(0, file.find(':')) + ":2,FS";
          if (target == file) break;
          scratch.Shell("mv 'cur/" + file + "' 'cur/" + target + "'");
          model.Flags(text, kFlagged | kSeen);
          break;
        }
        case 5: {  // and deletes
          const std::string file = scratch.Output("ls cur | tail -n 1 | tr -d '\\n'");
          if (file.empty()) break;
          const std::string text = scratch.Output("cat 'cur/" + file + "' | tr -d '\\n'") + "\r\n";
          scratch.Shell("rm 'cur/" + file + "'");
          model.Removed(text);
          break;
        }
        default: {
          ASSERT_TRUE(session.Sync().ok());
          model.Check(session);
          break;
        }
      }
      if (::testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(a->Sync().ok());
    ASSERT_TRUE(b->Sync().ok());
    model.Check(*a);
    model.Check(*b);
    EXPECT_EQ(Shown(*a), Shown(*b));
  }
}

}  // namespace
}  // namespace postern::mailbox
