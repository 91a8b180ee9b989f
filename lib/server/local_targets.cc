#include "lib/server/local_targets.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/format.h"
#include "lib/core/policy/shell_command.h"
#include "lib/server/accounts.h"
#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/program.h"

namespace postern::server {
namespace {

using deliver::kMailSpool;
// kDaemonAccounts deliver what aliases name when the server itself is root; the first that exists.
constexpr const char* kDaemonAccounts[] = {"postern", "nobody"};

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

// SetDaemon makes `target` run as nobody's account but the server's: what an alias names. A
// server that is root has others for that.
Status SetDaemon(rt::World& world, deliver::LocalTarget* target) {
  target->run_as = std::nullopt;
  const rt::Account self = world.processes().Self();
  target->user = self.name;
  target->home = self.home;
  if (self.uid != 0) return OkStatus();
  for (const char* name : kDaemonAccounts) {
    const StatusOr<rt::Account> account = world.processes().FindAccount(name);
    if (!account.ok() || account->uid == 0) continue;
    target->run_as = rt::Credentials{account->uid, account->gid, account->groups};
    target->user = account->name;
    target->home = account->home;
    return OkStatus();
  }
  return Unavailable(
      "root delivers nothing for aliases itself, and there is neither an account postern nor "
      "nobody");
}

// MakeCommand gives `target` the program that `command` names, with the wrapper of `action`.
Status MakeCommand(const Runtime& runtime, const policy::Action& action, std::string_view command,
                   const policy::FormatContext& context, deliver::LocalTarget* target) {
  const std::vector<policy::MdaWrapper>& wrappers = runtime.config().wrappers;
  const std::string_view wrapper =
      action.wrapper == policy::kNoIndex
          ? std::string_view()
          : std::string_view(wrappers[static_cast<size_t>(action.wrapper)].command);
  StatusOr<policy::ShellCommand> made = policy::MakeShellCommand(command, wrapper, context);
  if (!made.ok()) return made.status();
  target->command = *std::move(made);
  return OkStatus();
}

// IsWrapped tells whether `envelope` goes through the wrapper of `action` and then to what is no
// program.
bool IsWrapped(const policy::Action& action, const queue::Envelope& envelope) {
  using LocalKind = queue::Envelope::LocalKind;
  if (action.wrapper == policy::kNoIndex) return false;
  if (envelope.local_kind == LocalKind::kCommand) return false;
  if (envelope.local_kind == LocalKind::kFile) return envelope.path_or_command != "/dev/null";
  return action.kind == policy::ActionKind::kMaildir || action.kind == policy::ActionKind::kMbox ||
         action.kind == policy::ActionKind::kLmtp;
}

}  // namespace

queue::Envelope::Kind LocalTargets::KindOf(const queue::Envelope& envelope) const {
  using Kind = queue::Envelope::Kind;
  if (envelope.local_kind == queue::Envelope::LocalKind::kCommand) return Kind::kProgram;
  const RuntimeHolder::FoundAction found =
      runtimes_->FindAction(envelope.action, /*is_local=*/true);
  if (found.action == nullptr) return Kind::kLocal;
  if (IsWrapped(*found.action, envelope)) return Kind::kProgram;
  if (envelope.local_kind == queue::Envelope::LocalKind::kFile) return Kind::kLocal;
  switch (found.action->kind) {
    case policy::ActionKind::kLmtp: return Kind::kLmtp;
    case policy::ActionKind::kMda: return Kind::kProgram;
    default: return Kind::kLocal;
  }
}

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

bool LocalTargets::MayWait(const queue::Envelope& envelope) const {
  const auto [runtime, action] = runtimes_->FindAction(envelope.action, /*is_local=*/true);
  if (action == nullptr || action->userbase == policy::kNoIndex) return false;
  const policy::Table* accounts = runtime->tables().Get(action->userbase);
  return accounts != nullptr && accounts->Blocks();
}

StatusOr<deliver::LocalTarget> LocalTargets::ResolveTarget(const queue::Envelope& envelope) {
  const auto [runtime, found] = runtimes_->FindAction(envelope.action, /*is_local=*/true);
  if (found == nullptr) {
    // The operator took the action away and started anew while mail waited for it: it waits until
    // there is one of that name again, or expires.
    return Unavailable(StrCat("no action is called \"", envelope.action, "\" any more"));
  }
  const policy::Action& action = *found;
  deliver::LocalTarget target;
  policy::LocalAccount account;  // the recipient's, or the server's for what an alias names
  if (envelope.run_as_daemon) {
    POSTERN_RETURN_IF_ERROR(SetDaemon(*world_, &target));
    account.name = target.user;
    account.home = target.home;
  } else {
    const StatusOr<policy::LocalAccount> recipient =
        FindRecipientAccount(*world_, *runtime, action, envelope.user);
    if (!recipient.ok() && action.user.empty()) return recipient.status();
    StatusOr<policy::LocalAccount> run_as = recipient;
    if (!action.user.empty()) {
      const StatusOr<rt::Account> named = world_->processes().FindAccount(action.user);
      if (!named.ok()) return Unavailable(StrCat("no account is called \"", action.user, "\""));
      run_as = policy::LocalAccount{
          .name = named->name, .uid = named->uid, .gid = named->gid, .home = named->home};
    }
    account = recipient.ok() ? *recipient : *run_as;
    target.run_as = RunAs(*world_, *run_as);
    target.user = run_as->name;
    target.home = run_as->home;
    if (run_as->uid == 0 && KindOf(envelope) == queue::Envelope::Kind::kProgram)
      return Unimplemented(StrCat("MDA not allowed to deliver to: ", run_as->name));
  }

  if (IsWrapped(action, envelope)) {
    target.wrapped = true;
    POSTERN_RETURN_IF_ERROR(MakeCommand(*runtime, action, deliver::HandBackCommand(),
                                        FormatContextOf(*runtime, envelope, account), &target));
  }
  switch (envelope.local_kind) {
    case queue::Envelope::LocalKind::kCommand:
      target.kind = deliver::LocalTarget::Kind::kProgram;
      POSTERN_RETURN_IF_ERROR(MakeCommand(*runtime, action, envelope.path_or_command,
                                          FormatContextOf(*runtime, envelope, account), &target));
      return target;
    case queue::Envelope::LocalKind::kFile:
      target.kind = envelope.path_or_command == "/dev/null" ? deliver::LocalTarget::Kind::kNowhere
                                                            : deliver::LocalTarget::Kind::kMbox;
      target.path = envelope.path_or_command;
      return target;
    case queue::Envelope::LocalKind::kAction: break;
  }
  switch (action.kind) {
    case policy::ActionKind::kMaildir: {
      // A path that is written is the recipient's, ~ included. Where none is, OpenSMTPD delivers to
      // the home of whom it runs as, which is the action's `user`.
      policy::FormatContext context = FormatContextOf(*runtime, envelope, account);
      if (action.options.Find("maildir path") == nullptr) context.home = target.home;
      StatusOr<std::string> path =
          policy::ExpandFormat(action.maildir_path, context, policy::FormatUse::kPath);
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
    case policy::ActionKind::kLmtp: target.kind = deliver::LocalTarget::Kind::kLmtp; return target;
    case policy::ActionKind::kMda:
      target.kind = deliver::LocalTarget::Kind::kProgram;
      POSTERN_RETURN_IF_ERROR(MakeCommand(*runtime, action, action.mda_command,
                                          FormatContextOf(*runtime, envelope, account), &target));
      return target;
    case policy::ActionKind::kForwardOnly:
    case policy::ActionKind::kExpandOnly:
    case policy::ActionKind::kRelay: break;
  }
  return Unimplemented(StrCat("action \"", envelope.action, "\" does not deliver to a mailbox"));
}

}  // namespace postern::server
