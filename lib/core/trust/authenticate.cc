#include "lib/core/trust/authenticate.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::trust {

AuthMethodResult AuthResultOf(const Iprev& iprev, const IpAddress& client) {
  AuthMethodResult out;
  out.method = "iprev";
  out.result = IprevResultName(iprev.result);
  if (iprev.result != IprevResult::kPass) out.reason = iprev.reason;
  if (!iprev.name.empty()) out.comment = iprev.name;
  out.properties.push_back({"policy", "iprev", client.ToString()});
  return out;
}

AuthMethodResult AuthResultOf(const Spf& spf, std::string_view mail_from, std::string_view helo) {
  AuthMethodResult out;
  out.method = "spf";
  out.result = SpfResultName(spf.result);
  if (spf.result != SpfResult::kPass) out.reason = spf.reason;
  // RFC 8601 §2.7.2: a null reverse-path is checked by HELO, and says so.
  if (spf.identity == SpfIdentity::kHelo || mail_from.empty()) {
    out.properties.push_back({"smtp", "helo", std::string(helo)});
  } else {
    out.properties.push_back({"smtp", "mailfrom", std::string(mail_from)});
  }
  return out;
}

AuthMethodResult AuthResultOf(const DkimSignatureVerdict& dkim) {
  AuthMethodResult out;
  out.method = "dkim";
  out.result = DkimResultName(dkim.result);
  if (dkim.result != DkimResult::kPass) out.reason = dkim.reason;
  const DkimSignature& signature = dkim.signature;
  const auto add = [&out](std::string property, std::string value) {
    if (!value.empty()) out.properties.push_back({"header", std::move(property), std::move(value)});
  };
  add("d", signature.domain);
  if (signature.identity != "@" + signature.domain) add("i", signature.identity);
  add("s", signature.selector);
  add("a", signature.algorithm);
  // RFC 6008 §4: enough of the signature to tell several apart.
  add("b", signature.b_start.substr(0, 8));
  return out;
}

AuthMethodResult AuthResultOf(const ArcVerdict& arc, const IpAddress* client) {
  AuthMethodResult out;
  out.method = "arc";
  out.result = ArcResultName(arc.result);
  if (arc.result == ArcResult::kFail || arc.result == ArcResult::kTempError)
    out.reason = arc.reason;
  if (arc.result != ArcResult::kNone) {
    // RFC 8617 §6.1, §10.2.
    if (client != nullptr) out.properties.push_back({"smtp", "remote-ip", client->ToString()});
    if (arc.result == ArcResult::kPass)
      out.properties.push_back({"header", "oldest-pass", StrCat(arc.oldest_pass)});
  }
  return out;
}

AuthMethodResult AuthResultOf(const DmarcCheck& dmarc) {
  AuthMethodResult out;
  out.method = "dmarc";
  out.result = DmarcResultName(dmarc.result);
  if (dmarc.result != DmarcResult::kPass) out.reason = dmarc.reason;
  if (dmarc.record) {
    out.comment = StrCat(dmarc.policy_tag, "=", DmarcPolicyName(dmarc.policy),
                         dmarc.testing ? " t=y" : "", " dis=", DmarcPolicyName(dmarc.disposition));
  }
  if (!dmarc.author_domain.empty())
    out.properties.push_back({"header", "from", dmarc.author_domain});
  return out;
}

DmarcInput DmarcInputOf(DmarcAuthor author, const Spf* spf, const DkimVerdict* dkim) {
  DmarcInput input;
  input.author = std::move(author);
  if (spf != nullptr && (spf->result == SpfResult::kPass || spf->result == SpfResult::kTempError))
    input.spf = DmarcIdentity{spf->domain, spf->result == SpfResult::kTempError};
  if (dkim == nullptr) return input;
  for (const DkimSignatureVerdict& verdict : dkim->signatures) {
    const bool pass = verdict.result == DkimResult::kPass;
    if (pass || verdict.result == DkimResult::kTempError)
      input.dkim.push_back(DmarcIdentity{verdict.signature.domain, !pass});
  }
  return input;
}

std::optional<DmarcReportRecord> DmarcReportRecordOf(const Authentication& found,
                                                     const AuthenticateRequest& request,
                                                     DmarcPolicy applied,
                                                     std::string_view envelope_to) {
  if (!found.dmarc || !request.client || found.dmarc->author_domain.empty()) return std::nullopt;
  const DmarcCheck& dmarc = *found.dmarc;
  DmarcReportRecord record;
  record.source_ip = request.client->ToString();
  record.count = 1;
  record.dkim = dmarc.dkim_aligned ? "pass" : "fail";
  record.spf = dmarc.spf_aligned ? "pass" : "fail";
  // "pass" says that the policy had no part in it.
  record.disposition = record.aligned() && applied == DmarcPolicy::kNone
                           ? "pass"
                           : std::string(DmarcPolicyName(applied));
  if (dmarc.testing && dmarc.result == DmarcResult::kFail && applied == DmarcPolicy::kNone &&
      dmarc.policy != DmarcPolicy::kNone)
    record.reasons.push_back({"policy_test_mode", "the record says t=y"});
  record.header_from = dmarc.author_domain;
  record.envelope_from = AsciiLower(request.mail_from.substr(request.mail_from.rfind('@') + 1));
  if (!envelope_to.empty()) record.envelope_to = AsciiLower(envelope_to);
  if (found.dkim) {
    for (const DkimSignatureVerdict& verdict : found.dkim->signatures) {
      if (verdict.signature.domain.empty()) continue;
      record.dkim_results.push_back({AsciiLower(verdict.signature.domain),
                                     verdict.signature.selector, DkimResultName(verdict.result),
                                     verdict.result == DkimResult::kPass ? "" : verdict.reason});
    }
  }
  if (found.spf) {
    record.spf_results.push_back({found.spf->domain, "mfrom", SpfResultName(found.spf->result),
                                  found.spf->result == SpfResult::kPass ? "" : found.spf->reason});
  }
  return record;
}

void Authenticator::FromReader::OnHeader(const HeaderFields& header, BodyHasher&) {
  std::vector<std::string_view> values;
  for (uint32_t index : header.Indexes("From")) values.push_back(header.fields()[index].value);
  author = DmarcAuthorOf(values);
}

void Authenticator::FromReader::OnUnreadable(const char* reason, std::string why) {
  author = DmarcAuthor{};
  author.reason = reason;
  author.explanation = std::move(why);
  author.broken = true;
}

std::vector<MessageScan::Reader*> Authenticator::Readers() {
  std::vector<MessageScan::Reader*> readers;
  if (options_.check_dkim) readers.push_back(&dkim_);
  if (options_.check_arc) readers.push_back(&arc_);
  readers.push_back(&from_);
  return readers;
}

Authenticator::Authenticator(AuthenticateOptions options)
    : options_(std::move(options)),
      dkim_(options_.dkim),
      arc_(options_.arc),
      scan_(Readers(), options_.scan) {}

dns::Inquiry<Authentication> Authenticator::Check(AuthenticateRequest request) {
  Authentication out;
  out.results.authserv_id = request.authserv_id;
  std::vector<AuthMethodResult>& results = out.results.results;
  const IpAddress* client = request.client ? &*request.client : nullptr;

  if (!request.auth_user.empty()) {
    // RFC 8601 §2.7.4.
    AuthMethodResult auth;
    auth.method = "auth";
    auth.result = "pass";
    auth.properties.push_back({"smtp", "auth", request.auth_user});
    results.push_back(std::move(auth));
  }
  if (options_.check_iprev && client != nullptr) {
    dns::Inquiry<Iprev> inquiry = CheckIprev(*client, options_.iprev);
    out.iprev = co_await std::move(inquiry);
    results.push_back(AuthResultOf(*out.iprev, *client));
    out.explanations.push_back(out.iprev->explanation);
  }
  if (options_.check_spf && client != nullptr) {
    SpfQuery query;
    query.client = *client;
    query.helo = request.helo;
    query.sender = request.mail_from;
    query.receiver = request.authserv_id;
    query.now_unix_s = absl::ToUnixSeconds(request.now);
    if (options_.check_helo && !request.mail_from.empty() && !request.helo.empty()) {
      SpfQuery helo = query;
      helo.identity = SpfIdentity::kHelo;
      dns::Inquiry<Spf> inquiry = CheckSpf(std::move(helo), options_.spf);
      out.spf_helo = co_await std::move(inquiry);
      results.push_back(AuthResultOf(*out.spf_helo, request.mail_from, request.helo));
      out.explanations.push_back(out.spf_helo->explanation);
    }
    dns::Inquiry<Spf> inquiry = CheckSpf(std::move(query), options_.spf);
    out.spf = co_await std::move(inquiry);
    results.push_back(AuthResultOf(*out.spf, request.mail_from, request.helo));
    out.explanations.push_back(out.spf->explanation);
  }
  if (options_.check_dkim) {
    dns::Inquiry<DkimVerdict> inquiry = dkim_.Check(request.now);
    out.dkim = co_await std::move(inquiry);
    for (const DkimSignatureVerdict& verdict : out.dkim->signatures) {
      results.push_back(AuthResultOf(verdict));
      out.explanations.push_back(verdict.explanation);
    }
    if (out.dkim->signatures.empty()) {
      AuthMethodResult none;
      none.method = "dkim";
      none.result = DkimResultName(out.dkim->result);
      if (out.dkim->result != DkimResult::kNone) none.reason = out.dkim->reason;
      results.push_back(std::move(none));
      out.explanations.push_back(out.dkim->explanation);
    }
  }
  if (options_.check_arc) {
    dns::Inquiry<ArcVerdict> inquiry = arc_.Check();
    out.arc = co_await std::move(inquiry);
    // No chain is the ordinary case and no news.
    if (out.arc->result != ArcResult::kNone) {
      results.push_back(AuthResultOf(*out.arc, client));
      out.explanations.push_back(out.arc->explanation);
    }
  }
  out.author = from_.author;
  if (options_.check_dmarc) {
    DmarcInput input =
        DmarcInputOf(out.author, out.spf ? &*out.spf : nullptr, out.dkim ? &*out.dkim : nullptr);
    dns::Inquiry<DmarcCheck> inquiry = CheckDmarc(std::move(input), options_.dmarc);
    out.dmarc = co_await std::move(inquiry);
    results.push_back(AuthResultOf(*out.dmarc));
    out.explanations.push_back(out.dmarc->explanation);
  }
  co_return out;
}

dns::Inquiry<Authentication> Authenticate(std::string message, AuthenticateRequest request,
                                          AuthenticateOptions options) {
  Authenticator authenticator(std::move(options));
  authenticator.Feed(message);
  authenticator.Finish();
  dns::Inquiry<Authentication> inquiry = authenticator.Check(std::move(request));
  Authentication out = co_await std::move(inquiry);
  co_return out;
}

}  // namespace postern::trust
