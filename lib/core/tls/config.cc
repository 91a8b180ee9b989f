#include "lib/core/tls/config.h"

#include <algorithm>
#include <iterator>

#include "lib/core/base/strings.h"
#include "lib/core/tls/certificate.h"
#include "lib/core/tls/config_impl.h"

namespace postern::tls {
namespace {

uint16_t VersionNumber(Version version) {
  return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

ConnectionState* StateOf(const SSL* ssl) {
  return static_cast<ConnectionState*>(SSL_get_ex_data(ssl, StateIndex()));
}

ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* out_alert) {
  ConnectionState* state = StateOf(ssl);
  X509_STORE* store =
      state->server != nullptr ? state->server->store.get() : state->client->store.get();
  if (store == nullptr) return ssl_verify_ok;
  state->verify_error = VerifyChain(store, SSL_get0_peer_certificates(ssl),
                                    state->client != nullptr, state->host, state->now);
  state->verified = state->verify_error.ok();
  if (state->verified) return ssl_verify_ok;
  *out_alert = SSL_AD_BAD_CERTIFICATE;
  return ssl_verify_invalid;
}

// The ClientHello is looked at before anything is decided: RFC 6066 §3.
ssl_select_cert_result_t SelectCertificate(const SSL_CLIENT_HELLO* hello) {
  const ConnectionState* state = StateOf(hello->ssl);
  const char* name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
  const size_t index = state->server->IndexFor(name == nullptr ? "" : name);
  if (index != 0) SSL_set_SSL_CTX(hello->ssl, state->server->contexts[index].get());
  return ssl_select_cert_success;
}

int SelectAlpn(SSL* ssl, const uint8_t** out, uint8_t* out_size, const uint8_t* in,
               unsigned in_size, void*) {
  const std::string& ours = StateOf(ssl)->server->alpn_wire;
  uint8_t* selected = nullptr;
  uint8_t selected_size = 0;
  if (SSL_select_next_proto(
          &selected, &selected_size, reinterpret_cast<const uint8_t*>(ours.data()),
          static_cast<unsigned>(ours.size()), in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol, RFC 7301 §3.2
  }
  *out = selected;
  *out_size = selected_size;
  return SSL_TLSEXT_ERR_OK;
}

StatusOr<std::string> AlpnWire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255)
      return InvalidArgument("an ALPN name has 1 to 255 octets");
    wire.push_back(static_cast<char>(name.size()));
    wire += name;
  }
  return wire;
}

// Words that OpenSSL knows and BoringSSL has no cipher for. To exclude them is what it does anyway.
constexpr std::string_view kAbsent[] = {
    "aNULL",    "eNULL",   "NULL",   "MD5",     "RC4",     "RC2",       "DES",   "IDEA",  "SEED",
    "CAMELLIA", "ARIA",    "EXP",    "EXPORT",  "LOW",     "MEDIUM",    "SSLv2", "DSS",   "aDSS",
    "DH",       "DHE",     "EDH",    "kDHE",    "kEDH",    "kDH",       "aDH",   "ADH",   "AECDH",
    "SRP",      "aSRP",    "kSRP",   "kRSAPSK", "kDHEPSK", "kECDHEPSK", "GOST",  "aGOST", "kGOST",
    "AESCCM",   "AESCCM8", "SHA256", "SHA384",  "TLSv1.0",
};

// Lists that libtls has names for. OpenSMTPD hands `ciphers` to it.
struct NamedList {
  std::string_view name;
  const char* ciphers;
};
constexpr NamedList kNamedLists[] = {
    {"secure", ""},     {"default", ""}, {"compat", "HIGH"},
    {"legacy", "HIGH"}, {"all", "ALL"},  {"insecure", "ALL"},
};

// WordsKnown lists what a cipher string may name here, for whoever named something else.
std::string WordsKnown(SSL_CTX* context) {
  std::string words =
      "HIGH, ALL, FIPS, ECDHE, RSA, PSK, ECDSA, AES, AES128, AES256, AESGCM, "
      "CHACHA20, 3DES, SHA, TLSv1.2";
  const STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context);
  for (size_t i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    if (SSL_CIPHER_get_min_version(cipher) < TLS1_3_VERSION)
      StrAppend(words, ", ", SSL_CIPHER_get_name(cipher));
  }
  return words;
}

// IsOfTls13 tells the ciphers of RFC 8446 §B.4 from the older ones that have such names, too.
bool IsOfTls13(std::string_view word) {
  return word.starts_with("TLS_AES_") || word.starts_with("TLS_CHACHA20_");
}

// UnknownWord returns the word of `term` ("!ECDHE+AESGCM") that means nothing to BoringSSL; "" when
// there is none.
std::string_view UnknownWord(SSL_CTX* context, std::string_view term) {
  if (term == "@STRENGTH") return {};
  const bool excludes = term.starts_with('!') || term.starts_with('-');
  if (excludes || term.starts_with('+')) term.remove_prefix(1);
  for (const std::string_view word : Split(term, '+')) {
    if (excludes && std::find(std::begin(kAbsent), std::end(kAbsent), word) != std::end(kAbsent))
      continue;
    if (word.empty()) return term;
    if (IsOfTls13(word)) return word;
    // Words are judged one by one: a list passes over those that it does not know. One that is
    // known and has no cipher is no mistake.
    ERR_clear_error();
    const std::string alone(word);
    const bool known = SSL_CTX_set_strict_cipher_list(context, alone.c_str()) == 1 ||
                       ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_CIPHER_MATCH;
    ERR_clear_error();
    if (!known) return word;
  }
  return {};
}

// UseCiphers sets what `ciphers` asks for.
Status UseCiphers(SSL_CTX* context, const std::string& ciphers) {
  std::string list;
  for (const NamedList& row : kNamedLists) {
    if (!EqualsIgnoreCase(row.name, ciphers)) continue;
    if (*row.ciphers == '\0') return OkStatus();
    list = row.ciphers;
  }
  if (list.empty()) list = ciphers;
  for (char& c : list) {
    if (c == ',' || c == ';' || c == ' ') c = ':';
  }
  for (const std::string_view term : Split(list, ':')) {
    if (term.empty()) continue;
    const std::string_view unknown = UnknownWord(context, term);
    if (unknown.empty()) continue;
    SSL_CTX_set_strict_cipher_list(context, "ALL");
    ERR_clear_error();
    return InvalidArgument(
        StrCat("ciphers \"", Escape(ciphers), "\": ", Escape(unknown, 64),
               IsOfTls13(unknown) ? " is one of TLS 1.3, which are all on and not chosen among; "
                                  : " is not known here; ",
               "known are ", WordsKnown(context)));
  }
  ERR_clear_error();
  if (!SSL_CTX_set_cipher_list(context, list.c_str())) {
    return InvalidArgument(
        StrCat("ciphers \"", Escape(ciphers), "\": ", TakeErrors("none of them is known")));
  }
  return OkStatus();
}

// MakeContext makes what both sides have in common.
StatusOr<bssl::UniquePtr<SSL_CTX>> MakeContext(Version min, Version max,
                                               const std::string& ciphers) {
  ERR_clear_error();
  // "with buffers": certificates stay octets, instead of some 20 KiB of parsed objects for each
  // connection.
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  if (!context) return Unavailable("out of memory");
  if (!SSL_CTX_set_min_proto_version(context.get(), VersionNumber(min)) ||
      !SSL_CTX_set_max_proto_version(context.get(), VersionNumber(max)) ||
      VersionNumber(min) > VersionNumber(max)) {
    return InvalidArgument("the TLS versions do not make a range");
  }
  if (!ciphers.empty()) POSTERN_RETURN_IF_ERROR(UseCiphers(context.get(), ciphers));
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

Status UseKeyPair(SSL_CTX* context, const KeyPair& pair) {
  const std::string label = pair.name.empty() ? "key pair" : StrCat("pki ", pair.name);
  const Status fits = CheckKeyPair(pair.certificate_pem, pair.key_pem);
  if (!fits.ok()) return Annotate(fits, label);
  StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> chain =
      ReadPemCertificates(pair.certificate_pem, kMaxChainLength);
  if (!chain.ok()) return Annotate(chain.status(), label);
  StatusOr<bssl::UniquePtr<EVP_PKEY>> key = ReadPemKey(pair.key_pem);
  if (!key.ok()) return Annotate(key.status(), label);
  std::vector<CRYPTO_BUFFER*> raw;
  for (const bssl::UniquePtr<CRYPTO_BUFFER>& der : *chain) raw.push_back(der.get());
  ERR_clear_error();
  if (!SSL_CTX_set_chain_and_key(context, raw.data(), raw.size(), key->get(), nullptr)) {
    return InvalidArgument(StrCat(label, ": ", TakeErrors("the certificate cannot be used")));
  }
  return OkStatus();
}

// UseAuthorityNames lets a server tell its clients whose certificates it takes.
Status UseAuthorityNames(SSL_CTX* context, CRYPTO_BUFFER_POOL* pool, const std::string& ca_pem) {
  StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> authorities =
      ReadPemCertificates(ca_pem, 10'000);
  if (!authorities.ok()) return authorities.status();
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names(sk_CRYPTO_BUFFER_new_null());
  // A long list only fills the handshake: clients that get none choose by themselves.
  for (size_t i = 0; i < authorities->size() && authorities->size() <= 20; ++i) {
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer((*authorities)[i].get()));
    uint8_t* der = nullptr;
    const int size =
        certificate ? i2d_X509_NAME(X509_get_subject_name(certificate.get()), &der) : -1;
    if (size < 0) continue;
    bssl::UniquePtr<uint8_t> free_der(der);
    bssl::UniquePtr<CRYPTO_BUFFER> name(CRYPTO_BUFFER_new(der, static_cast<size_t>(size), pool));
    if (!name || !bssl::PushToStack(names.get(), std::move(name)))
      return Unavailable("out of memory");
  }
  SSL_CTX_set0_client_CAs(context, names.release());
  return OkStatus();
}

}  // namespace

int StateIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

size_t ServerConfig::Impl::IndexFor(std::string_view server_name) const {
  if (server_name.ends_with('.')) server_name.remove_suffix(1);
  if (server_name.empty()) return 0;
  const std::string name = AsciiLower(server_name);
  if (const auto it = exact.find(name); it != exact.end()) return it->second;
  const size_t dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return 0;
  if (const auto it = wildcards.find(std::string_view(name).substr(dot + 1)); it != wildcards.end())
    return it->second;
  return 0;
}

std::string ServerConfig::Impl::EndPointOf(const SSL_CTX* context) const {
  for (size_t i = 0; i < contexts.size(); ++i) {
    if (contexts[i].get() == context) return end_points[i];
  }
  return {};
}

ServerConfig::ServerConfig(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerConfig::~ServerConfig() = default;
size_t ServerConfig::IndexFor(std::string_view server_name) const {
  return impl_->IndexFor(server_name);
}

Status CheckCiphers(const std::string& ciphers) {
  return MakeContext(Version::kTls12, Version::kTls13, ciphers).status();
}

StatusOr<std::shared_ptr<const ServerConfig>> ServerConfig::Make(const ServerOptions& options) {
  if (options.key_pairs.empty())
    return InvalidArgument("a TLS server needs a certificate and its key");
  auto impl = std::make_unique<Impl>();
  StatusOr<std::string> alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  impl->alpn_wire = *std::move(alpn);
  impl->client_certificates = options.client_certificates;
  if (options.client_certificates != ClientCertificates::kNone) {
    StatusOr<bssl::UniquePtr<X509_STORE>> store = MakeStore(options.ca_pem);
    if (!store.ok()) return Annotate(store.status(), "ca");
    impl->store = *std::move(store);
  }
  for (const KeyPair& pair : options.key_pairs) {
    StatusOr<bssl::UniquePtr<SSL_CTX>> made =
        MakeContext(options.min_version, options.max_version, options.ciphers);
    if (!made.ok()) return made.status();
    SSL_CTX* context = made->get();
    POSTERN_RETURN_IF_ERROR(UseKeyPair(context, pair));
    if (!options.tickets) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_select_certificate_cb(context, SelectCertificate);
    if (!impl->alpn_wire.empty()) SSL_CTX_set_alpn_select_cb(context, SelectAlpn, nullptr);
    if (options.client_certificates != ClientCertificates::kNone) {
      const bool require = options.client_certificates == ClientCertificates::kRequire;
      SSL_CTX_set_custom_verify(
          context, SSL_VERIFY_PEER | (require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), VerifyPeer);
      POSTERN_RETURN_IF_ERROR(UseAuthorityNames(context, nullptr, options.ca_pem));
      // Sessions of servers with client certificates are kept apart (RFC 5077 §4 leaves that to
      // us).
      static constexpr uint8_t kContext[] = {'p'};
      SSL_CTX_set_session_id_context(context, kContext, sizeof kContext);
    }
    const size_t index = impl->contexts.size();
    impl->contexts.push_back(*std::move(made));

    StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> chain =
        ReadPemCertificates(pair.certificate_pem, kMaxChainLength);
    if (!chain.ok()) return chain.status();
    impl->end_points.push_back(EndPointBinding(chain->front().get()));

    StatusOr<std::vector<CertificateInfo>> infos = ReadCertificates(pair.certificate_pem);
    if (!infos.ok()) return infos.status();
    std::vector<std::string> names = infos->front().names;
    if (!pair.name.empty() && pair.name != "*") names.push_back(AsciiLower(pair.name));
    for (const std::string& name : names) {
      if (name.starts_with("*.")) {
        impl->wildcards.try_emplace(name.substr(2), index);
      } else {
        impl->exact.try_emplace(name, index);
      }
    }
  }
  return std::shared_ptr<const ServerConfig>(new ServerConfig(std::move(impl)));
}

ClientConfig::ClientConfig(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientConfig::~ClientConfig() = default;
bool ClientConfig::verifies() const { return impl_->store != nullptr; }

StatusOr<std::shared_ptr<const ClientConfig>> ClientConfig::Make(const ClientOptions& options) {
  auto impl = std::make_unique<Impl>();
  StatusOr<bssl::UniquePtr<SSL_CTX>> made =
      MakeContext(options.min_version, options.max_version, options.ciphers);
  if (!made.ok()) return made.status();
  impl->context = *std::move(made);
  SSL_CTX* context = impl->context.get();
  if (options.verify) {
    StatusOr<bssl::UniquePtr<X509_STORE>> store = MakeStore(options.ca_pem);
    if (!store.ok()) return Annotate(store.status(), "ca");
    impl->store = *std::move(store);
  }
  SSL_CTX_set_custom_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                            VerifyPeer);
  StatusOr<std::string> alpn = AlpnWire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  if (!alpn->empty() &&
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const uint8_t*>(alpn->data()),
                              static_cast<unsigned>(alpn->size())) != 0) {
    return Unavailable("out of memory");
  }
  if (!options.key_pair.certificate_pem.empty())
    POSTERN_RETURN_IF_ERROR(UseKeyPair(context, options.key_pair));
  return std::shared_ptr<const ClientConfig>(new ClientConfig(std::move(impl)));
}

}  // namespace postern::tls
