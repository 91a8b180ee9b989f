#include "lib/server/imap_gate.h"

#include "lib/core/base/strings.h"
#include "lib/server/listener_slot.h"
#include "lib/server/mail_gate.h"
#include "lib/server/own_senders.h"
#include "lib/store/mailbox/maildir_store.h"

namespace postern::server {
namespace {

// OpenedStore keeps the view of the file system alive that the store works with.
struct OpenedStore {
  std::unique_ptr<rt::Files> files;
  std::unique_ptr<mailbox::MailStore> store;
};

}  // namespace

StatusOr<std::shared_ptr<mailbox::MailStore>> MailStores::Open(
    const std::string& root, const std::optional<rt::Credentials>& run_as) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::weak_ptr<mailbox::MailStore>& known = stores_[root];
  if (std::shared_ptr<mailbox::MailStore> store = known.lock()) return store;
  auto opened = std::make_shared<OpenedStore>();
  if (run_as.has_value()) opened->files = world_->files().As(*run_as);
  rt::Files& files = opened->files != nullptr ? *opened->files : world_->files();
  POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(files, root, 0700));
  mailbox::MaildirStoreOptions options;
  options.durable_names = &names_;
  StatusOr<std::unique_ptr<mailbox::MailStore>> store =
      mailbox::OpenMaildirStore(files, world_->clock(), world_->random(), root, hub_, options);
  if (!store.ok()) return store.status();
  opened->store = std::move(*store);
  std::shared_ptr<mailbox::MailStore> shared(opened, opened->store.get());
  // One that can only be read is not kept for others: the next login tries anew.
  if (shared->is_writable()) known = shared;
  std::erase_if(stores_, [](const auto& each) { return each.second.expired(); });
  return shared;
}

StatusOr<deliver::LocalTarget> FindMailbox(const Runtime& runtime, policy::AccountSource& accounts,
                                           LocalTargets& targets, const std::string& user) {
  mail::AddressOptions options;
  options.allow_no_domain = true;
  StatusOr<mail::Address> address = mail::ParseAddress(user, options);
  if (!address.ok())
    return NotFound(StrCat("the login is no mail address: ", Message(address.status())));
  if (address->domain.empty()) address->domain = runtime.server_name();

  const policy::EnvelopeContext context = OwnMailContext(user, *address);
  const policy::Expansion expansion = policy::Expand(runtime.ruleset(), accounts, context);
  service::SmtpSessionFacts facts;
  auto listener = std::make_shared<service::SmtpListener>();
  listener->options = std::make_shared<smtp::ServerOptions>();
  facts.listener = std::move(listener);
  mail::ForwardPath recipient;
  recipient.address = *address;
  for (const queue::Envelope& envelope :
       EnvelopesFor(runtime, facts, mail::ReversePath(), recipient, expansion)) {
    if (envelope.kind != queue::Envelope::Kind::kLocal ||
        envelope.local_kind != queue::Envelope::LocalKind::kAction)
      continue;
    StatusOr<deliver::LocalTarget> target = targets.ResolveTarget(envelope);
    if (!target.ok()) return target.status();
    if (target->kind != deliver::LocalTarget::Kind::kMaildir) {
      return Unimplemented(StrCat("mail of ", user, " goes to an mbox; IMAP serves Maildirs"));
    }
    return target;
  }
  return NotFound(StrCat("the rules deliver no mail for ", address->ToString(), " on this machine",
                         expansion.reason.empty() ? "" : ": ", expansion.reason));
}

ImapGate::ImapGate(rt::World* world, rt::Executor* loop, RuntimeHolder* runtimes,
                   LocalTargets* targets, MailStores* stores, LoginGate* logins)
    : world_(world),
      loop_(loop),
      runtimes_(runtimes),
      targets_(targets),
      stores_(stores),
      logins_(logins),
      accounts_(&world->processes(), &world->files()) {}

LoginPlace ImapGate::PlaceOf(const service::ImapSessionFacts& facts) const {
  ListenerSlot::View view = ListenerSlot::ViewOf(facts.listener->origin);
  if (view.runtime == nullptr) view.runtime = runtimes_->Get();
  LoginPlace place;
  place.loop = loop_;
  place.runtime = std::move(view.runtime);
  place.listener = view.index;
  place.remote = facts.remote;
  place.tls = facts.tls_info;
  return place;
}

rt::Task<StatusOr<service::ImapLogin>> ImapGate::Login(const service::ImapSessionFacts& facts,
                                                       std::string user, std::string password) {
  sasl::Credentials credentials;
  credentials.authentication_id = std::move(user);
  credentials.password = std::move(password);
  StatusOr<service::ImapLogin> login =
      co_await LoginBy(facts, sasl::Mechanism::kPlain, std::move(credentials), false);
  co_return login;
}

rt::Task<StatusOr<service::ImapLogin>> ImapGate::LoginBy(const service::ImapSessionFacts& facts,
                                                         sasl::Mechanism mechanism,
                                                         sasl::Credentials credentials,
                                                         bool proven) {
  LoginPlace place = PlaceOf(facts);
  StatusOr<std::optional<std::string>> judged =
      co_await logins_->Judge(std::move(place), mechanism, std::move(credentials), proven);
  if (!judged.ok()) co_return judged.status();
  if (!judged->has_value()) co_return service::ImapLogin();
  const std::string user = std::move(**judged);
  const std::shared_ptr<const Runtime> runtime = runtimes_->Get();
  auto work = [&]() -> StatusOr<service::ImapLogin> {
    const StatusOr<deliver::LocalTarget> target = FindMailbox(*runtime, accounts_, *targets_, user);
    if (!target.ok()) return target.status();
    StatusOr<std::shared_ptr<mailbox::MailStore>> store =
        stores_->Open(target->path, target->run_as);
    if (!store.ok()) return store.status();
    return service::ImapLogin{.store = std::move(*store), .user = user};
  };
  // A table that asks a program may have to wait for it, and the disk is not to wait with it.
  if (runtime->tables().Blocks()) {
    auto outside = loop_->RunOutside(work);
    StatusOr<service::ImapLogin> login = co_await outside;
    co_return login;
  }
  auto checked = loop_->RunBlocking(work);
  StatusOr<service::ImapLogin> login = co_await checked;
  co_return login;
}

rt::Task<StatusOr<sasl::ScramSecret>> ImapGate::ScramSecretOf(
    const service::ImapSessionFacts& facts, sasl::Mechanism mechanism, std::string user) {
  LoginPlace place = PlaceOf(facts);
  StatusOr<sasl::ScramSecret> secret =
      co_await logins_->SecretOf(std::move(place), mechanism, std::move(user));
  co_return secret;
}

}  // namespace postern::server
