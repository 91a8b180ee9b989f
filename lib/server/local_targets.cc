#include "lib/server/local_targets.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/format.h"
#include "lib/server/accounts.h"

namespace postern::server {
namespace {

constexpr std::string_view kMailSpool = "/var/mail/";

policy::FormatContext FormatContextOf(const Runtime& runtime, const queue::Envelope& envelope,
                                      const policy::LocalAccount& account) {
  policy::FormatContext context;
  context.sender = envelope.sender.address;
  context.recipient = envelope.recipient;
  context.destination = envelope.destination;
  context.user_name = envelope.user;
  context.home = account.home;
  context.sub_address_delimiter = runtime.config().smtp.sub_address_delimiter;
  return context;
}

// RunAs is unset for ourselves: an unprivileged server delivers with its own rights.
std::optional<rt::Credentials> RunAs(rt::World& world, const policy::LocalAccount& account) {
  if (world.processes().Self().uid == account.uid) return std::nullopt;
  return CredentialsOf(world, account);
}

}  // namespace

StatusOr<policy::LocalAccount> FindRecipientAccount(rt::World& world, const Runtime& runtime,
                                                    const policy::Action& action,
                                                    const std::string& user) {
  if (action.userbase != policy::kNoIndex) {
    const StatusOr<std::optional<std::string>> value =
        runtime.tables().Get(action.userbase)->Lookup(policy::Service::kUserinfo, user);
    if (!value.ok()) return value.status();
    if (!value->has_value())
      return NotFound(StrCat("no account ", Escape(user), " in the userbase"));
    const StatusOr<policy::TableUserinfo> info = policy::ParseUserinfo(**value);
    if (!info.ok()) return info.status();
    return policy::LocalAccount{
        .name = user, .uid = info->uid, .gid = info->gid, .home = info->home};
  }
  const StatusOr<rt::Account> account = world.processes().FindAccount(user);
  if (!account.ok()) return account.status();
  return policy::LocalAccount{
      .name = account->name, .uid = account->uid, .gid = account->gid, .home = account->home};
}

StatusOr<deliver::LocalTarget> LocalTargets::ResolveTarget(const queue::Envelope& envelope) {
  const std::shared_ptr<const Runtime> runtime = runtimes_->Get();
  const int index = runtime->config().FindAction(envelope.action);
  if (index == policy::kNoIndex) {
    // The operator took the action away while mail waited for it: it waits until there is one of
    // that name again, or expires.
    return Unavailable(StrCat("no action is called \"", envelope.action, "\" any more"));
  }
  const policy::Action& action = runtime->config().actions[static_cast<size_t>(index)];
  const StatusOr<policy::LocalAccount> recipient =
      FindRecipientAccount(*world_, *runtime, action, envelope.user);
  if (!recipient.ok() && action.user.empty()) return recipient.status();
  StatusOr<policy::LocalAccount> run_as = recipient;
  if (!action.user.empty()) {
    const StatusOr<rt::Account> account = world_->processes().FindAccount(action.user);
    if (!account.ok()) return Unavailable(StrCat("no account is called \"", action.user, "\""));
    run_as = policy::LocalAccount{
        .name = account->name, .uid = account->uid, .gid = account->gid, .home = account->home};
  }
  const policy::LocalAccount& account = recipient.ok() ? *recipient : *run_as;

  deliver::LocalTarget target;
  target.run_as = RunAs(*world_, *run_as);
  if (envelope.local_kind == queue::Envelope::LocalKind::kFile) {
    target.kind = envelope.path_or_command == "/dev/null" ? deliver::LocalTarget::Kind::kNowhere
                                                          : deliver::LocalTarget::Kind::kMbox;
    target.path = envelope.path_or_command;
    if (envelope.run_as_daemon) target.run_as = std::nullopt;
    return target;
  }
  if (envelope.local_kind == queue::Envelope::LocalKind::kCommand) {
    return Unimplemented("delivery to a program is not supported by this version");
  }
  switch (action.kind) {
    case policy::ActionKind::kMaildir: {
      StatusOr<std::string> path =
          policy::ExpandFormat(action.maildir_path, FormatContextOf(*runtime, envelope, account),
                               policy::FormatUse::kPath);
      if (!path.ok()) return path.status();
      target.kind = deliver::LocalTarget::Kind::kMaildir;
      target.path = std::move(*path);
      target.junk = action.junk;
      return target;
    }
    case policy::ActionKind::kMbox:
      // The name is an account of this machine, so it has no '/' of a stranger's in it.
      target.kind = deliver::LocalTarget::Kind::kMbox;
      target.path = StrCat(kMailSpool, account.name);
      target.in_mail_spool = true;
      return target;
    case policy::ActionKind::kLmtp:
    case policy::ActionKind::kMda:
    case policy::ActionKind::kForwardOnly:
    case policy::ActionKind::kExpandOnly:
    case policy::ActionKind::kRelay: break;
  }
  return Unimplemented(StrCat("action \"", envelope.action, "\" does not deliver to a mailbox"));
}

}  // namespace postern::server
