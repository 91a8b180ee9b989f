// The Maildir store under power cuts: what APPEND, COPY and MOVE acknowledged is there, under the
// UID that was given out; a UID never names two messages; what was expunged stays away.

#include "tests/sim/world.h"
#include <map>
#include <memory>
#include <set>
#include <string>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_store.h"

namespace postern::sim_test {
namespace {

using rt::sim::CrashKind;
using rt::sim::Host;

// What the clients of one mailbox know.
struct Known {
  uint32_t uid_validity = 0;
  std::map<uint32_t, std::string> body_of;  // every UID that was ever seen
  std::set<uint32_t> promised;              // acknowledged, and nobody tried to remove it
  std::set<uint32_t> removed;               // acknowledged as gone
};

class Clients {
 public:
  explicit Clients(Run& run) : run_(run) {}

  StatusOr<std::unique_ptr<mailbox::MailStore>> Open(Host& host) {
    rt::World& world = host.world();
    return mailbox::OpenMaildirStore(world.files(), world.clock(), world.random(),
                                     "/home/anna/Maildir");
  }

  void Note(const std::string& name, uint32_t uid, const std::string& body) {
    const auto [at, first] = known_[name].body_of.emplace(uid, body);
    run_.Require(at->second == body, StrCat(name, " UID ", uid, " was given to two messages"));
  }

  // Work does things until the machine dies or enough is done.
  void Work(Host& host) {
    StatusOr<std::unique_ptr<mailbox::MailStore>> store = Open(host);
    if (!store.ok()) return;
    (void)(*store)->Create("Other");
    for (uint64_t left = run_.random().Between(1, 25); left > 0 && host.up(); --left) {
      StatusOr<std::unique_ptr<mailbox::Mailbox>> inbox = (*store)->Open("INBOX", false);
      if (!inbox.ok()) return;
      Look(**inbox);
      const uint64_t what = run_.random().Below(8);
      if (what < 3) {
        const std::string body = StrCat("message ", ++number_, "\r\n");
        const StatusOr<mailbox::AppendResult> appended = mailbox::Append(**store, "INBOX", body);
        if (!appended.ok()) continue;
        Note("INBOX", appended->uids[0], body);
        known_["INBOX"].promised.insert(appended->uids[0]);
      } else if ((*inbox)->messages().empty()) {
        continue;
      } else {
        const auto messages = (*inbox)->messages();
        const uint32_t uid = messages[run_.random().Below(messages.size())].uid;
        Change(**inbox, uid, what);
      }
    }
  }

  // Fill makes both mailboxes and puts one message into each.
  void Fill(Host& host) {
    StatusOr<std::unique_ptr<mailbox::MailStore>> store = Open(host);
    if (!store.ok()) return;
    (void)(*store)->Create("Other");
    for (const char* name : {"Other", "INBOX"}) {
      const std::string body = StrCat("message ", ++number_, "\r\n");
      const StatusOr<mailbox::AppendResult> appended = mailbox::Append(**store, name, body);
      if (!appended.ok()) continue;
      Note(name, appended->uids[0], body);
      known_[name].promised.insert(appended->uids[0]);
    }
  }

  void Change(mailbox::Mailbox& inbox, uint32_t uid, uint64_t what) {
    Known& known = known_["INBOX"];
    const std::string body = known.body_of[uid];
    const mailbox::UidSet uids{uid};
    if (what < 5) {
      mailbox::StoreRequest request;
      request.flags.system = mailbox::kSeen;
      (void)inbox.StoreFlags(uids, request);
    } else if (what == 5) {
      mailbox::StoreRequest request;
      request.flags.system = mailbox::kDeleted;
      // A message whose move was cut short may be removed here like any other.
      moving_.erase(body);
      if (!inbox.StoreFlags(uids, request).ok()) return;
      known.promised.erase(uid);
      const StatusOr<mailbox::UidSet> removed = inbox.Expunge(&uids);
      if (removed.ok() && removed->Contains(uid)) known.removed.insert(uid);
    } else {
      const bool move = what == 6;
      // One, or all that there are: many are made durable in another way than one.
      const mailbox::UidSet all = mailbox::UidSet::OfRange(1, mailbox::kMaxNumber);
      const mailbox::UidSet& which = run_.random().Below(3) == 0 ? all : uids;
      for (const mailbox::MessageInfo& message : inbox.messages()) {
        // A move that is cut short may have removed the message: then its copy is there.
        if (!move || !which.Contains(message.uid)) continue;
        if (known.promised.erase(message.uid) > 0) moving_.insert(known.body_of[message.uid]);
      }
      const StatusOr<mailbox::CopyResult> copied =
          move ? inbox.Move(which, "Other") : inbox.Copy(which, "Other");
      if (!copied.ok()) return;
      for (size_t i = 0; i < copied->target.size(); ++i) {
        if (move) known.removed.insert(copied->source[i]);
        Note("Other", copied->target[i], known.body_of[copied->source[i]]);
        known_["Other"].promised.insert(copied->target[i]);
      }
    }
  }

  // Look compares a mailbox with what is known of it.
  std::set<std::string> Look(mailbox::Mailbox& box) {
    std::set<std::string> bodies;
    Known& known = known_[box.name()];
    if (known.uid_validity == 0) known.uid_validity = box.uid_validity();
    run_.Require(known.uid_validity == box.uid_validity(), "UIDVALIDITY changed");
    std::set<uint32_t> present;
    const std::vector<mailbox::MessageInfo> messages(box.messages().begin(), box.messages().end());
    for (const mailbox::MessageInfo& message : messages) {
      const StatusOr<std::unique_ptr<mailbox::MessageContent>> content =
          box.OpenContent(message.uid);
      if (!content.ok()) {
        run_.Require(!up_, StrCat(box.name(), " UID ", message.uid, ": ", Text(content.status())));
        return bodies;  // the crash came
      }
      const StatusOr<std::string_view> all = (*content)->All(1000);
      if (!all.ok()) return bodies;
      run_.Require(all->size() == message.size_bytes, "the size is not exact");
      Note(box.name(), message.uid, std::string(*all));
      bodies.insert(std::string(*all));
      present.insert(message.uid);
    }
    for (const uint32_t uid : known.promised) {
      run_.Require(present.contains(uid),
                   StrCat(box.name(), " UID ", uid, " was acknowledged and is not there"));
    }
    for (const uint32_t uid : known.removed) {
      run_.Require(!present.contains(uid),
                   StrCat(box.name(), " UID ", uid, " was expunged and is back"));
    }
    return bodies;
  }

  void Check(Host& host) {
    up_ = true;
    StatusOr<std::unique_ptr<mailbox::MailStore>> store = Open(host);
    run_.Require(store.ok(), StrCat("open after the crash: ", Text(store.status())));
    std::set<std::string> all;
    for (const char* name : {"INBOX", "Other"}) {
      StatusOr<std::unique_ptr<mailbox::Mailbox>> box = (*store)->Open(name, false);
      if (!box.ok()) {
        run_.Require(known_[name].promised.empty(), StrCat(name, ": ", Text(box.status())));
        continue;
      }
      all.merge(Look(**box));
    }
    up_ = false;
    for (const std::string& body : moving_)
      run_.Require(all.contains(body), StrCat("lost in a move: ", body));
  }

 private:
  Run& run_;
  bool up_ = false;  // no crash can come
  uint64_t number_ = 0;
  std::map<std::string, Known> known_;
  std::set<std::string> moving_;
};

void MailUnderCrashes(Run& run, CrashKind kind, rt::sim::NameLoss names) {
  Host& host = run.simulation().AddHost({.name = "store"});
  host.disk().set_name_loss(names);
  Clients clients(run);
  const uint64_t rounds = run.random().Between(1, 3);
  for (uint64_t round = 0; round < rounds; ++round) {
    host.CrashAtFileOperation(run.random().Between(1, 400), kind);
    while (host.up()) {
      run.simulation().SpendTime(absl::Milliseconds(run.random().Between(1, 3000)));
      clients.Work(host);
    }
    host.Restart();
    // A crash in the moment of the last look is noticed at the second look, half a second later.
    run.simulation().SpendTime(absl::Seconds(1));
    clients.Check(host);
  }
}

// MakeTwice: a process dies at operation `crash_at` while it makes the mailboxes; the next one
// finds what is there, goes on, and acknowledges mail in it; then the power goes.
uint64_t MakeTwice(Run& run, uint64_t crash_at) {
  Host& host = run.simulation().AddHost({.name = "store"});
  host.disk().set_name_loss(rt::sim::NameLoss::kAnySubset);
  Clients clients(run);
  if (crash_at != 0) host.CrashAtFileOperation(crash_at, CrashKind::kKill);
  clients.Fill(host);
  const uint64_t operations = host.disk().operations();
  if (host.up()) host.Crash(CrashKind::kKill);
  host.Restart();
  clients.Fill(host);
  host.Crash(CrashKind::kPowerLoss);
  host.Restart();
  run.simulation().SpendTime(absl::Seconds(1));
  clients.Check(host);
  return operations;
}

Scenario Of(const char* name, CrashKind kind, rt::sim::NameLoss names, uint64_t seeds) {
  return {.name = name,
          .run = [kind, names](Run& run) { MailUnderCrashes(run, kind, names); },
          .seeds = seeds};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  using postern::rt::sim::NameLoss;
  return RunScenarios(
      argc, argv,
      {Of("mailbox-power", CrashKind::kPowerLoss, NameLoss::kPrefix, 300),
       Of("mailbox-power-any-names", CrashKind::kPowerLoss, NameLoss::kAnySubset, 300),
       Of("mailbox-kill", CrashKind::kKill, NameLoss::kPrefix, 200),
       {.name = "mailboxes-made-twice",
        .run = [](Run& run) { CrashAtOperations(run, 1, MakeTwice); },
        .seeds = 12}});
}
