#include "lib/server/explain_where.h"

#include "lib/core/base/strings.h"
#include "lib/server/local_targets.h"
#include "lib/server/mail_gate.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/store/queue/memory_body.h"

namespace postern::server {

using policy::Config;

namespace {

std::string WhereRelayed(const Config& config, const policy::Destination& destination) {
  const policy::RelayOptions& relay = config.actions[static_cast<size_t>(destination.action)].relay;
  if (relay.host != policy::kNoIndex || relay.domain != policy::kNoIndex)
    return relay.host != policy::kNoIndex ? "to the host that the action names"
                                          : "to the host of the domain in the action's table";
  const std::string domain = Escape(destination.destination.domain, 120);
  if (!relay.backup) return StrCat("to ", domain, ", by its MX records");
  return StrCat("to the exchangers of ", domain, " that come before ",
                relay.backup_mx.empty() ? "this server" : relay.backup_mx);
}

}  // namespace

void FillDestinations(rt::World* world, RuntimeHolder* runtimes,
                      const service::SmtpSessionFacts& facts, const ExplainQuestion& question,
                      bool is_marked, Explanation* out) {
  const Runtime& runtime = *out->runtime;
  LocalTargets targets(world, runtimes);
  bool spam = is_marked;
  if (question.message) {
    const store::MemoryBody body(*question.message);
    const StatusOr<bool> marked = deliver::IsMarkedAsSpam(body);
    spam = spam || (marked.ok() && *marked);
  }
  for (ExplainedRecipient& recipient : out->recipients) {
    policy::Expansion expansion;
    for (const ExplainedDestination& each : recipient.destinations)
      expansion.destinations.push_back(each.destination);
    const std::vector<queue::Envelope> envelopes =
        EnvelopesFor(runtime, facts, mail::ReversePath(), mail::ForwardPath(), expansion);
    for (size_t i = 0; i < recipient.destinations.size(); ++i) {
      ExplainedDestination& each = recipient.destinations[i];
      const policy::Destination& destination = each.destination;
      switch (destination.kind) {
        case policy::Destination::Kind::kRelay:
          each.where = WhereRelayed(runtime.config(), destination);
          break;
        case policy::Destination::Kind::kFile:
          each.where = StrCat("appended to ", Escape(destination.path_or_command, 200));
          break;
        case policy::Destination::Kind::kCommand:
          each.where = StrCat("to the program ", Escape(destination.path_or_command, 200));
          break;
        case policy::Destination::Kind::kAccount: {
          const StatusOr<deliver::LocalTarget> target = targets.ResolveTarget(envelopes[i]);
          if (!target.ok()) {
            each.where = StrCat("not now: ", Escape(Message(target.status()), 200));
          } else if (target->wrapped) {
            each.where = StrCat("through the action's wrapper, then by the action, for ",
                                Escape(destination.user, 80));
          } else if (target->path.empty()) {
            each.where = StrCat("by the action, for ", Escape(destination.user, 80));
          } else {
            each.where =
                StrCat(target->kind == deliver::LocalTarget::Kind::kMaildir ? "into the Maildir "
                                                                            : "into ",
                       Escape(target->path, 300), spam && target->junk ? "/.Junk" : "");
          }
          break;
        }
      }
      if (destination.kind != policy::Destination::Kind::kRelay && !destination.run_as.name.empty())
        StrAppend(each.where, ", as ", Escape(destination.run_as.name, 80));
    }
  }
}

}  // namespace postern::server
